"""A head that is recognised as the last one's means what the scanner reads in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.accept.test_plain_head import LIMITS, START, Mutation, composed, mutations, quickly
from tidegate.accept._head import Last, Request, scan
from tidegate.accept.routes import admit

BODY = b'{"model":"m"}'
CALL = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\ntraceparent: %b\r\nAuthorization: Bearer k\r\n"
    b"Content-Type: application/json\r\nContent-Length: %b\r\nX-Retry: %b\r\n\r\n%b"
)


def read(data: bytes) -> Request | None:
    request = scan(data, LIMITS.line, LIMITS.headers, LIMITS.header_count)
    if request is not None:
        admit(request)
    return request


def last_of(data: bytes) -> Last:
    request = read(data)
    assert request is not None
    return Last(request, data, LIMITS.headers)


def said(request: Request) -> tuple[object, ...]:
    return (
        *(request.method, request.path, request.query, request.headers, request.http11, request.keep_alive),
        *(request.size, request.length, request.whole, request.body, request.route, type(request.refusal)),
    )


def agree(last: Last, data: bytes) -> bool:
    """Whether `data` is recognised; then it is read as the scanner reads it."""
    again = last.again(data)
    if again is None:
        return False
    scanned = read(data)
    assert scanned is not None
    assert said(again) == said(scanned)
    return True


DIFFERENT = [
    ("nothing", (b"1", b"13", b"0", BODY), True),
    ("the body", (b"1", b"2", b"0", b"{}"), True),
    ("a length with zeros and blanks", (b"1", b" \t013 ", b"0", BODY), True),
    ("a body that is not whole", (b"1", b"99", b"0", BODY), True),
    ("more behind the body", (b"1", b"13", b"0", BODY + b"GET"), True),
    ("a trace", (b"00-abc \xff\t-01", b"13", b"0", BODY), True),
    ("no value", (b"", b"13", b"", BODY), True),
    ("a length that is none", (b"1", b"1x", b"0", BODY), False),
    ("no length", (b"1", b"", b"0", BODY), False),
    ("a length of many digits", (b"1", b"00000000013", b"0", BODY), False),
    ("a control character", (b"1\x00", b"13", b"0", BODY), False),
    ("a bare line feed", (b"1\nx: y", b"13", b"0", BODY), False),
    ("a bare carriage return", (b"1", b"13", b"0\r", BODY), False),
    ("a further field", (b"1\r\norigin: a", b"13", b"0", BODY), False),
    ("a second length", (b"1\r\nContent-Length: 2", b"13", b"0", BODY), False),
    ("a head above the limit", (b"1" * LIMITS.headers, b"13", b"0", BODY), False),
]


@pytest.mark.parametrize(("note", "parts", "recognised"), DIFFERENT, ids=[note for note, _, _ in DIFFERENT])
def test_what_may_differ(note: str, parts: tuple[bytes, ...], recognised: bool) -> None:
    assert agree(last_of(CALL % (b"2", b"13", b"1", BODY)), CALL % parts) is recognised


@pytest.mark.parametrize("before", [0, 1, 14, 15, 16, 17, 80])
@pytest.mark.parametrize("behind", [0, 1, 15, 16])
def test_the_length_is_read_however_many_fields_stand_beside_it(before: int, behind: int) -> None:
    def call(length: int) -> bytes:
        fields = [b"X-%d: v\r\n" % number for number in range(before + behind)]
        told = b"%bContent-Length: %d\r\n%b" % (b"".join(fields[:before]), length, b"".join(fields[before:]))
        return b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (told, b"G" * length)

    last = last_of(call(13))
    assert all(agree(last, call(length)) for length in (13, 0, 7, 100))


def test_any_other_byte_makes_it_another_head() -> None:
    data = CALL % (b"2", b"13", b"1", BODY)
    last, size = last_of(data), data.index(BODY)
    free = {data.index(b"2\r"), data.index(b"1\r\n\r"), data.index(b"13\r"), data.index(b"13\r") + 1}
    free |= {data.index(b" 2\r"), data.index(b" 1\r\n\r"), data.index(b" 13\r")}
    for at in range(size):
        for byte in (data[at] ^ 1, data[at] ^ 0x20, data[at] ^ 0x80, 13, 10):
            changed = data[:at] + bytes([byte]) + data[at + 1 :]
            if agree(last, changed):
                assert at in free or changed == data, at


def test_a_part_of_a_head_is_not_recognised() -> None:
    data = CALL % (b"2", b"13", b"1", BODY)
    last, size = last_of(data), data.index(BODY)
    assert [cut for cut in range(len(data) + 1) if agree(last, data[:cut])] == list(range(size, len(data) + 1))


def test_many_fields_that_mean_nothing() -> None:
    for count in range(40):
        shape = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n" + b"X: %b\r\n" * count + b"Y: z\r\n\r\n"
        last = last_of(shape % ((b"1",) * count))
        assert agree(last, shape % ((b"1",) * count))
        assert count > 12 or agree(last, shape % ((b"22",) * count))


@settings(quickly, max_examples=3000)
@given(st.sampled_from(START), st.lists(mutations, min_size=0, max_size=3))
def test_mutated_heads_mean_what_the_scanner_reads(head: bytes, changes: list[Mutation]) -> None:
    changed = head
    for change in changes:
        changed = change(changed) or b"\r\n"
    assert agree(last_of(head), changed) or changes


@settings(quickly, max_examples=3000)
@given(composed(), composed())
def test_composed_heads_mean_what_the_scanner_reads(head: bytes, other: bytes) -> None:
    request = read(head)
    if request is not None:
        last = Last(request, head, LIMITS.headers)
        assert agree(last, head)
        agree(last, other)
