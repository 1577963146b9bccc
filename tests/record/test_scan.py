"""Entries of a journal, found in bytes that are whole, cut or damaged, held against the same search in Python."""

import struct
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from tidegate.record._scan import whole_entries
from tidegate.record.segments import MOST_SEQ, entry, seal


def plainly(data: bytes, at: int, seq: int, key: int, begins: int, last: int) -> tuple[list[bytes], int, str]:
    """What `whole_entries` does, said in Python."""
    found: list[bytes] = []
    end = at
    while at + 8 <= len(data):
        length, crc = struct.unpack_from("<II", data, at)
        record = data[at + 8 : at + 8 + length]
        block = at + -(begins + at) % 4096
        if begins >= 0 and not length and at == end and at != block and seq <= last and not any(data[at:block]):
            at = block
            continue
        if length == 0xFFFFFFFF:
            return found, at, "seal"
        if seq > last:
            break
        if not 0 < length <= 65_535:
            return found, end, "invalid"
        if len(record) < length:
            break
        if crc32(record, crc32(struct.pack("<QI", seq, length), key)) != crc:
            return found, end, "invalid"
        found.append(record)
        at, seq = at + 8 + length, seq + 1
        end = at
    return found, end, "more"


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=200), st.booleans()), max_size=6), st.integers(1, 2**64 - 7),
       st.integers(0, 2**32 - 1), st.binary(max_size=9), st.booleans(), st.none() | st.integers(0, 10_000),
       st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=2), st.integers(0),
       st.integers(0, 7))  # fmt: skip
def test_whole_entries_are_found_up_to_what_is_none(
    records: list[tuple[bytes, bool]], seq: int, key: int, before: bytes, ends: bool, begins: int | None,
    wrong: list[tuple[int, int]], cut: int, most: int,
) -> None:  # fmt: skip
    """A ring has entries in a row; a segment, of which the data is a part, also some that begin a block."""
    data, ended = bytearray(before), len(before)
    first = -1 if begins is None else begins
    for at, (record, apart) in enumerate(records, seq):
        zeros = -(first + len(data)) % 4096
        if begins is not None and apart and zeros > 3:
            data += bytes(zeros)
        data += entry(key, at, record)
        ended = len(data)
    data += seal(key, seq + len(records), True) * ends
    expected = [record for record, _ in records], ended, "seal" if ends else "more"
    assert whole_entries(bytes(data), len(before), seq, key, first, MOST_SEQ) == expected
    some = whole_entries(bytes(data), len(before), seq, key, first, seq + most - 1)
    assert some == plainly(bytes(data), len(before), seq, key, first, seq + most - 1)
    assert some[0] == expected[0][:most]
    for at, byte in wrong:
        if len(data) > len(before):
            data[len(before) + at % (len(data) - len(before))] = byte
    damaged = bytes(data[: len(data) - cut % (len(data) + 1 - len(before))])
    expected = plainly(damaged, len(before), seq, key, first, MOST_SEQ)
    assert whole_entries(damaged, len(before), seq, key, first, MOST_SEQ) == expected


def test_a_record_has_a_byte_at_least() -> None:
    assert whole_entries(entry(1, 1, b""), 0, 1, 1, -1, MOST_SEQ) == ([], 0, "invalid")


def test_the_longest_record_is_an_entry() -> None:
    longest = entry(1, 1, b"x" * 65_535)
    assert whole_entries(longest, 0, 1, 1, -1, MOST_SEQ) == ([b"x" * 65_535], len(longest), "more")
    longer = struct.pack("<II", 65_536, 0) + b"x" * 65_536
    assert whole_entries(longer, 0, 1, 1, -1, MOST_SEQ) == ([], 0, "invalid")
