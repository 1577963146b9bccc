"""The strict parser without a socket: how the bytes are cut changes nothing."""

from typing import NamedTuple

import pytest

from tests.accept.cases import BODY, CASES, CHUNKED, CHUNKS, Case, get, head, post
from tidegate.accept.strict import StrictParser
from tidegate.errors import CallerError, HeadersTooLarge, LineTooLong, TooManyPipelined
from tidegate.settings import Accept

LIMITS = Accept()


class Reading(NamedTuple):
    """All that a parser has made of some bytes."""

    requests: tuple[tuple[object, ...], ...]
    error: type[CallerError] | None
    inside: bool


def read(parts: list[bytes], limits: Accept = LIMITS) -> Reading:
    parser = StrictParser(limits)
    for part in parts:
        parser.feed(part)
    requests = []
    for one in parser.requests:
        line = one.method, one.path, one.query, one.http11, one.keep_alive
        requests.append((*line, tuple(one.headers.items()), one.body, one.route, type(one.refusal)))
    return Reading(tuple(requests), type(parser.error) if parser.error is not None else None, parser.inside)


def bytewise(sent: bytes) -> list[bytes]:
    return [sent[i : i + 1] for i in range(len(sent))]


@pytest.mark.parametrize("case", [one for one in CASES if len(one.sent) < 16_384], ids=lambda case: case.note)
def test_any_cut_reads_the_same(case: Case) -> None:
    whole = read([case.sent])
    assert read(bytewise(case.sent)) == whole
    for cut in range(1, min(len(case.sent), 1500)):
        assert read([case.sent[:cut], case.sent[cut:]]) == whole, cut


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.note)
def test_what_closes_is_an_error_or_says_so(case: Case) -> None:
    """The connection closes where the parser has an error or the last request does not keep it."""
    reading = read([case.sent])
    if case.closes:
        assert reading.error is not None or not reading.requests[-1][4]
    else:
        assert reading.error is None
        assert not reading.inside
        assert len(reading.requests) == len(case.answers)


def test_nothing_is_read_behind_an_error() -> None:
    parser = StrictParser(LIMITS)
    parser.feed(get() + b"???\r\n\r\n")
    error = parser.error
    parser.feed(get())
    assert error is not None
    assert parser.error is error
    assert len(parser.requests) == 1


def test_a_client_is_asked_for_its_body_until_it_sends_one() -> None:
    parser = StrictParser(LIMITS)
    start = head(f"Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n")
    for byte in bytewise(start):
        assert not parser.awaits_continue
        parser.feed(byte)
    assert parser.awaits_continue
    parser.feed(BODY[:1])
    assert not parser.awaits_continue
    parser.feed(BODY[1:])
    assert not parser.awaits_continue
    assert parser.requests[0].body == BODY


@pytest.mark.parametrize(
    ("note", "sent"),
    [("a length", post(body=b" " * 500)), ("chunks", head(CHUNKED) + b"1f4\r\n" + b" " * 500 + b"\r\n0\r\n\r\n")],
)
def test_waiting_bytes_are_counted(note: str, sent: bytes) -> None:
    parser = StrictParser(LIMITS)
    parser.feed(sent[:300])
    part = parser.held
    parser.feed(sent[300:])
    assert 0 < part < 500
    assert parser.held == 500
    parser.feed(sent)
    assert parser.held == 1000
    parser.requests.popleft()
    assert parser.held == 500


@pytest.mark.parametrize("size", [1, 7, 100, 4096], ids=lambda size: f"in reads of {size}")
@pytest.mark.parametrize(
    ("note", "endless", "error"),
    [
        ("a target", b"GET /" + b"a" * 70_000, LineTooLong),
        ("a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000, HeadersTooLarge),
        ("a name", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a" * 70_000, HeadersTooLarge),
        ("fields", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 12_000, HeadersTooLarge),
        ("a target behind empty lines", b"\r\n" * 100 + b"GET /" + b"a" * 70_000, LineTooLong),
    ],
)
def test_an_endless_head_is_given_up_near_its_limit(
    note: str, endless: bytes, error: type[CallerError], size: int
) -> None:
    parser = StrictParser(LIMITS)
    for at in range(0, len(endless), size):
        parser.feed(endless[at : at + size])
        if parser.error is not None:
            break
    assert type(parser.error) is error
    assert at <= LIMITS.line + LIMITS.headers + size


def test_the_waiting_are_counted_however_they_are_cut() -> None:
    limits = Accept(pipeline=3)
    sent = get() + post() + head(CHUNKED) + CHUNKS + get()
    assert read([sent], limits).error is TooManyPipelined
    assert read(bytewise(sent), limits) == read([sent], limits)
    assert len(read([sent], limits).requests) == 3
    assert read([sent[: -len(get())]], limits).error is None
