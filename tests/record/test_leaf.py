"""What is read of a leaf without making a record of it, held against msgspec's reading of the same bytes."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.record.statements import ONE_OF_EACH, records
from tidegate.record._leaf import drawn, head
from tidegate.record.leaves import encode
from tidegate.record.records import OF_RUNS, Aborted, Code, Count, Draw, Outcome, Record, RecordError, Run
from tidegate.record.totals import ENDS, draws_of

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 0xFFFF_FFFF, 1 << 32, (1 << 63) - 1, (1 << 64) - 1)
FLOATS = {0xCA, 0xCB}  # what msgpack begins them with
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary()
    | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


class Plainly(msgspec.Struct, array_like=True):
    """The beginning of any leaf, as msgspec reads it."""

    kind: Code
    version: Count
    worker: Count
    epoch: Count
    seq: Count
    time: Count
    rest: msgspec.Raw = msgspec.Raw(b"\xc0")


class Values(msgspec.Struct, array_like=True):
    """Its values, as they lie."""

    kind: msgspec.Raw
    version: msgspec.Raw
    worker: msgspec.Raw
    epoch: msgspec.Raw
    seq: msgspec.Raw
    time: msgspec.Raw


def same(leaf: bytes) -> None:
    """Both read the same, or neither anything; but msgspec takes 3.0 for 3."""
    try:
        lie = msgspec.msgpack.decode(leaf, type=Values)
        if any(bytes(value)[0] in FLOATS for value in (lie.version, lie.worker, lie.epoch, lie.seq, lie.time)):
            raise msgspec.ValidationError
        plain = msgspec.msgpack.decode(leaf, type=Plainly)
    except ValueError:
        with pytest.raises(RecordError):
            head(leaf)
        return
    found = head(leaf)
    for name in ("kind", "version", "worker", "epoch", "seq", "time"):
        assert getattr(found, name) == getattr(plain, name)
    if plain.kind not in OF_RUNS:
        assert found.run is None
        return
    try:
        run = msgspec.msgpack.decode(plain.rest, type=Run)
    except ValueError:
        with pytest.raises(RecordError):
            assert found.run
    else:
        assert found.run == run


@given(records, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=2), st.integers(0))
def test_the_beginning_of_a_leaf_whole_damaged_or_cut(record: Record, wrong: list[tuple[int, int]], end: int) -> None:
    leaf = bytearray(encode(record))
    same(bytes(leaf))
    for at, byte in wrong:
        leaf[at % len(leaf)] = byte
    same(bytes(leaf))
    same(bytes(leaf[: end % len(leaf)]))


@given(st.binary(max_size=60))
@example(b"")
@example(b"\x90")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\x96\xa1k\x00\x00\x00\x00\x00\x00")
@example(b"\x97\xa1k\x00\x00\x00\x00\x00\xc1")
@example(b"\x97\xa1k\x00\x00\x00\x00\x00\xd4\x00")
@example(b"\x97\xa1k\x00\x00\x00\x00\x00\xd0\xff")
@example(b"\x96\xa1k\xd0\xff\x00\x00\x00\x00")
@example(b"\x96\xa1k\xd3\x7f\xff\xff\xff\xff\xff\xff\xff\xd2\x00\x00\x00\x01\xd1\x00\x01\xd0\x01\xcc\x01")
@example(b"\x96\xda\x00\x01k\x00\x00\x00\x00\x00")
@example(b"\xdc\x00\x06\xdb\x00\x00\x00\x01k\x00\x00\x00\x00\x00")
def test_any_bytes(leaf: bytes) -> None:
    same(leaf)


@given(st.text(max_size=70) | st.sampled_from(sorted(OF_RUNS)), st.lists(st.sampled_from(NUMBERS), max_size=6),
       st.lists(values, max_size=4))  # fmt: skip
@example("outcome", [1, 2, 3, 4, 5], [bytes(13)])
@example("outcome", [1, 2, 3, 4, 5], ["r" * 13])
@example("intent", [1, 2, 3, 4, 5], [])
@example("k" * 64, [1, 2, 3, 4, 5], [])
@example("k" * 65, [1, 2, 3, 4, 5], [])
@example("later", [1, 2, 3, 4, 5], [{str(number): number for number in range(20)}, [0] * 20])
@example("intent", [1, 2, 3, 4, 5], [[bytes(13)] * 20, {"a": {"b": [1.5]}}])
def test_whatever_follows_the_beginning_is_passed_over(kind: str, numbers: list[int], rest: list[Any]) -> None:
    same(msgspec.msgpack.encode([kind, *numbers, *rest]))


@pytest.mark.parametrize("record", ONE_OF_EACH)
def test_every_byte_of_every_kind_may_be_wrong(record: Record) -> None:
    leaf = encode(record)
    for at in range(len(leaf)):
        for byte in (0x00, 0x7F, 0x80, 0x9F, 0xA5, 0xC0, 0xC1, 0xC4, 0xC9, 0xCF, 0xD3, 0xD8, 0xD9, 0xDC, 0xDF, 0xFF):
            same(leaf[:at] + bytes([byte]) + leaf[at + 1 :])


def test_a_view_of_bytes_is_read_as_they_are() -> None:
    leaf = encode(ONE_OF_EACH[0])
    assert head(memoryview(leaf)).seq == head(leaf).seq


# draws


def settled(leaf: bytes) -> list[tuple[bytes, int, int]] | None:
    """What the draws say, by msgspec; None where they cannot be read."""
    try:
        return [(draw.bucket, draw.end, draw.settled) for draw in draws_of(leaf) if draw.end]
    except RecordError:
        return None


ends = records.filter(lambda record: isinstance(record, Outcome | Aborted))


@given(ends, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=2))
def test_the_draws_of_a_leaf_whole_or_damaged(record: Record, wrong: list[tuple[int, int]]) -> None:
    leaf = bytearray(encode(record))
    assert drawn(bytes(leaf)) == settled(bytes(leaf))
    for at, byte in wrong:
        leaf[at % len(leaf)] = byte
    try:
        ends_a_call = head(bytes(leaf)).kind in ENDS
    except RecordError:
        return
    if ends_a_call and (expected := settled(bytes(leaf))) is not None:
        try:
            assert drawn(bytes(leaf)) == expected
        except RecordError:
            assert FLOATS & set(leaf)


@given(st.lists(st.lists(st.binary(max_size=17) | st.sampled_from(["tokens", "m" * 33]) | st.sampled_from(NUMBERS)
                         | st.none() | st.lists(st.integers(0, 9)), max_size=7), max_size=3))  # fmt: skip
@example([[b"bucket", "tokens", 3, 2, 1, "of the future"]])
@example([[b"bucket", "tokens", 3]])
@example([[b"bucket", "tokens", 3, 2]])
@example([[b"b" * 17, "tokens", 3, 2, 1]])
@example([[b"bucket", "m" * 33, 3, 2, 1]])
@example([[b"bucket", "tokens", -1, 2, 1]])
def test_draws_of_any_shape(shapes: list[list[Any]]) -> None:
    leaf = msgspec.msgpack.encode(["aborted", 2, 0, 0, 0, 0, bytes(13), "worker_died", shapes, "of the future"])
    if (expected := settled(leaf)) is None:
        with pytest.raises(RecordError):
            drawn(leaf)
    else:
        assert drawn(leaf) == expected


def test_a_call_that_ended_before_there_were_draws_has_none() -> None:
    assert drawn(msgspec.msgpack.encode(["outcome", 1, 0, 0, 0, 0, bytes(13)])) == []
    assert drawn(encode(ONE_OF_EACH[0])) == []  # an intent has drawn nothing yet
    budget, rate = Draw(b"b", "tokens", 9, 7, 5), Draw(b"r", "calls", 1, 1)
    assert drawn(encode(Aborted(run=bytes(13), reason="closed", draws=(budget, rate)))) == [(b"b", 5, 7)]
