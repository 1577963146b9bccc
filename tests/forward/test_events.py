"""Events go on whole and unchanged, however the provider's writes cut them."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tidegate.forward._answer import Events

LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r)")
LIMIT = 1 << 20

ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
lines = st.sampled_from(
    [b"data: {}", b"data: \xe2\x82\xac", b"event: x", b": comment", b"", b"data", b"\xef\xbb\xbf", b"id: 1"]
)
any_streams = st.lists(st.one_of(lines, ends, ends, st.binary(max_size=3)), max_size=30).map(b"".join)
events = st.builds(
    lambda rows, end: b"".join(row + end for row in rows if row) + end, st.lists(lines, min_size=1), ends
)
streams = any_streams | st.lists(events, max_size=6).map(b"".join)
cuts = st.lists(st.integers(0, 200), max_size=12)


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces; a cut that stands twice makes an empty one."""
    at = sorted(min(cut, len(stream)) for cut in cuts)
    return [stream[start:end] for start, end in zip([0, *at], [*at, len(stream)], strict=True)]


def ends_an_event(text: bytes) -> bool:
    """By the standard's grammar alone: the last line is ended, and it is empty."""
    rest, last = 0, None
    for found in LINE.finditer(text):
        rest, last = found.end(), found[1]
    return rest == len(text) and last == b""


def has_an_event(text: bytes) -> bool:
    """Whether an event ends in it; the empty lines before the first line end none."""
    body = text.lstrip(b"\r\n")
    return any(found[1] == b"" for found in LINE.finditer(body))


@settings(max_examples=3000, deadline=None, database=None)
@given(streams, cuts)
@example(b"data: x\n\r\ndata: y\r\r\n", [9, 10, 18, 19])
@example(b"\r\n\r\n", [1, 2, 3])
@example(b"a\r\r\n\n", [2, 3])
def test_any_cut_of_any_stream_goes_on_event_by_event(stream: bytes, cuts: list[int]) -> None:
    reader = Events(LIMIT)
    came, gone = b"", b""
    for piece in pieces_of(stream, cuts):
        came += piece
        passed = reader.feed(piece)
        gone += passed
        assert came.startswith(gone)
        assert not passed or ends_an_event(gone), "half an event went on"
        assert not has_an_event(came[len(gone) :]), "a whole event was held back"
    assert gone + reader.rest() == stream
    assert reader.rest() == b""


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_cut_in_three_of_two_events(end: bytes) -> None:
    stream = end.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            reader = Events(LIMIT)
            passed = [reader.feed(part) for part in (stream[:first], stream[first:second], stream[second:])]
            assert b"".join(passed) + reader.rest() == stream
            assert not any(part and not ends_an_event(b"".join(passed[: i + 1])) for i, part in enumerate(passed))


@settings(max_examples=500, deadline=None, database=None)
@given(streams, cuts, st.integers(1, 40))
def test_an_event_above_the_limit_is_noticed(stream: bytes, cuts: list[int], limit: int) -> None:
    reader = Events(limit)
    held = 0
    for piece in pieces_of(stream, cuts):
        held += len(piece) - len(reader.feed(piece))
        assert reader.overflow == (held > limit)
    reader.rest()
    assert not reader.overflow


def test_a_large_event_costs_no_more_than_its_bytes() -> None:
    """64 KiB byte by byte: what was held already is not read again for each piece."""
    reader = Events(LIMIT)
    event = b"data: " + b"x" * 65_536 + b"\n\n"
    passed = [reader.feed(event[i : i + 1]) for i in range(len(event))]
    assert passed[-1] == event
    assert not any(passed[:-1])
