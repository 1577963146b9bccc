"""Entries of a journal, found in bytes that are whole, cut or damaged, held against the same search in Python."""

import struct
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from tidegate.record._scan import whole_entries
from tidegate.record.segments import entry, seal


def plainly(data: bytes, at: int, seq: int, key: int) -> tuple[list[bytes], int, str]:
    """What `whole_entries` does, said in Python."""
    found: list[bytes] = []
    while at + 8 <= len(data):
        length, crc = struct.unpack_from("<II", data, at)
        record = data[at + 8 : at + 8 + length]
        if length == 0xFFFFFFFF:
            return found, at, "seal"
        if not 0 < length <= 65_535:
            return found, at, "invalid"
        if len(record) < length:
            break
        if crc32(record, crc32(struct.pack("<QI", seq, length), key)) != crc:
            return found, at, "invalid"
        found.append(record)
        at, seq = at + 8 + length, seq + 1
    return found, at, "more"


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=6), st.integers(1, 2**64 - 7), st.integers(0, 2**32 - 1),
       st.binary(max_size=9), st.booleans(), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=2),
       st.integers(0))  # fmt: skip
def test_whole_entries_are_found_up_to_what_is_none(
    records: list[bytes], seq: int, key: int, before: bytes, ends: bool, wrong: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(before + b"".join(entry(key, at, record) for at, record in enumerate(records, seq)))
    data += seal(key, seq + len(records), True) * ends
    expected = records, len(before) + sum(8 + len(each) for each in records), "seal" if ends else "more"
    assert whole_entries(bytes(data), len(before), seq, key) == expected
    for at, byte in wrong:
        if len(data) > len(before):
            data[len(before) + at % (len(data) - len(before))] = byte
    damaged = bytes(data[: len(data) - cut % (len(data) + 1 - len(before))])
    assert whole_entries(damaged, len(before), seq, key) == plainly(damaged, len(before), seq, key)


def test_a_record_has_a_byte_at_least() -> None:
    assert whole_entries(entry(1, 1, b""), 0, 1, 1) == ([], 0, "invalid")


def test_the_longest_record_is_an_entry() -> None:
    longest = entry(1, 1, b"x" * 65_535)
    assert whole_entries(longest, 0, 1, 1) == ([b"x" * 65_535], len(longest), "more")
    longer = struct.pack("<II", 65_536, 0) + b"x" * 65_536
    assert whole_entries(longer, 0, 1, 1) == ([], 0, "invalid")
