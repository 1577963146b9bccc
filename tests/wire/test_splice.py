"""Splices: what is edited changes, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.splice import splice


@pytest.mark.parametrize(
    ("edits", "after", "note"),
    [
        ([], b"0123456789", "no edit"),
        ([(2, 4, b"ab")], b"01ab456789", "a replacement"),
        ([(4, 4, b"ab")], b"0123ab456789", "an insertion"),
        ([(2, 4, b"")], b"01456789", "a removal"),
        ([(8, 9, b"B"), (0, 1, b"A")], b"A1234567B9", "edits in any order"),
        ([(2, 4, b"a"), (4, 6, b"b")], b"01ab6789", "edits that touch"),
        ([(3, 5, b"c"), (3, 3, b"a"), (3, 3, b"b")], b"012abc56789", "insertions at one point keep their order"),
        ([(0, 0, b"<"), (10, 10, b">")], b"<0123456789>", "both ends"),
    ],
)
def test_edits_are_made(edits: list[tuple[int, int, bytes]], after: bytes, note: str) -> None:
    assert splice(b"0123456789", edits) == after


@pytest.mark.parametrize(
    ("edits", "note"),
    [
        ([(2, 5, b""), (4, 6, b"")], "an overlap"),
        ([(1, 9, b""), (4, 4, b"x")], "an insertion into what is replaced"),
        ([(9, 11, b"")], "beyond the end"),
        ([(-1, 2, b"")], "before the start"),
        ([(5, 4, b"")], "backwards"),
    ],
)
def test_edits_that_contradict_are_refused(edits: list[tuple[int, int, bytes]], note: str) -> None:
    with pytest.raises(ValueError, match="overlaps another or leaves the body"):
        splice(b"0123456789", edits)


@given(st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5), st.binary(max_size=5)), max_size=6))
def test_every_byte_outside_the_edits_stays(pieces: list[tuple[bytes, bytes, bytes]]) -> None:
    body, after, edits = b"", b"", []
    for kept, old, new in pieces:
        edits.append((len(body + kept), len(body + kept + old), new))
        body += kept + old
        after += kept + new
    assert splice(body + b"end", edits) == after + b"end"
