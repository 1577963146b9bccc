"""Answers in one piece."""

import pytest

from tidegate.wire.reply import STATUS_LINES, whole


@pytest.mark.parametrize("size", [0, 1, 9, 10, 99, 100, 1000, 12345, 100_000])
@pytest.mark.parametrize(("close", "more"), [(False, b""), (True, b"a: b\r\n")])
def test_an_answer_has_its_fields_its_length_and_its_body(size: int, close: bool, more: bytes) -> None:
    head, _, body = whole(429, b"x: y\r\n", b"run", b"z" * size, close, more).partition(b"\r\n\r\n")
    assert body == b"z" * size
    lines = [b"HTTP/1.1 429 Too Many Requests", b"x: y", *more.splitlines(), b"x-tidegate-run-id: run"]
    lines += [b"x-tidegate-tracked: true", *([b"Connection: close"] * close), b"Content-Length: %d" % size]
    assert head.split(b"\r\n") == lines


def test_every_status_has_its_line() -> None:
    assert STATUS_LINES[200] == b"HTTP/1.1 200 OK\r\n"
    assert STATUS_LINES[529] == b"HTTP/1.1 529 -\r\n"
