"""Segments are read as FORMAT.md says, by an encoder of the tests' own; nothing harmed is read as whole."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.record.disks import quick_folder
from tidegate.record import ring, segments
from tidegate.record.segments import Damaged, Name, Tail

GOLDEN = Path(__file__).parent / "golden"
WORKER, EPOCH = 3, 42
RECORDS = [bytes([65 + number]) * (7 * number + 1) for number in range(12)]


@pytest.fixture
def quick() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


def crc_of(seq: int, length: int, body: bytes, worker: int = WORKER, epoch: int = EPOCH) -> bytes:
    key = zlib.crc32(struct.pack("<IQ", worker, epoch))
    return struct.pack("<I", zlib.crc32(struct.pack("<QI", seq, length) + body, key))


def header_bytes(number: int, first: int, layout: int = 2) -> bytes:
    start = b"TGSEGMT1" + struct.pack("<IIQQQ", layout, WORKER, EPOCH, number, first)
    return start + struct.pack("<I", zlib.crc32(start))


def entry_bytes(seq: int, record: bytes) -> bytes:
    return struct.pack("<I", len(record)) + crc_of(seq, len(record), record) + record


def seal_bytes(seq: int, end: bool) -> bytes:
    return b"\xff" * 4 + crc_of(seq, 0xFFFFFFFF, struct.pack("<Q", end)) + struct.pack("<Q", end)


def segment_bytes(number: int, first: int, records: list[bytes], tail: bytes, layout: int = 2) -> bytes:
    body = b"".join(entry_bytes(seq, record) for seq, record in enumerate(records, first))
    return header_bytes(number, first, layout) + body + tail


def blocks_bytes(*parts: range, tail: bytes) -> bytes:
    """A segment of which each part but the first begins a block."""
    data = header_bytes(0, 1)
    for part in parts:
        if len(data) > 44:
            data += bytes(-len(data) % 4096)
        data += b"".join(entry_bytes(seq, RECORDS[seq - 1]) for seq in part)
    return data + tail


def write(folder: Path, number: int, data: bytes) -> Path:
    path = folder / f"0003-000000000042-{number:08}.segment"
    path.write_bytes(data)
    return path


def write_ring(folder: Path, durable: int, boot: bytes | None = None) -> Path:
    path = folder / "0003-000000000042.ring"
    data = bytearray(8192)
    struct.pack_into("<8sIIQQ16sQ", data, 0, b"TGRING01", WORKER, 0, EPOCH, 4096, boot or ring.boot(), 1)
    tail = sum(8 + len(record) for record in RECORDS[:durable])
    struct.pack_into("<QQQQQ", data, 128, 1, 0, 0, tail, durable)
    path.write_bytes(data)
    return path


def in_parts(folder: Path) -> None:
    """An epoch of three segments: 1 to 4 and a seal, 5 to 9 without one, 8 to 12 and the end."""
    write(folder, 0, segment_bytes(0, 1, RECORDS[:4], seal_bytes(5, False)))
    write(folder, 1, segment_bytes(1, 5, RECORDS[4:9], bytes(100)))
    write(folder, 2, segment_bytes(2, 8, RECORDS[7:], seal_bytes(13, True)))


@pytest.mark.parametrize(
    ("name", "first", "records", "sealed"),
    [
        ("0003-000000000042-00000000.segment", 1, RECORDS[:5], "next"),
        ("0003-000000000042-00000001.segment", 6, RECORDS[5:], "end"),
        ("0003-000000000042-00000002.segment", 13, RECORDS[:2], None),
    ],
)
def test_the_golden_segments_read_as_they_were_written(
    name: str, first: int, records: list[bytes], sealed: str | None
) -> None:
    path = GOLDEN / name
    found = segments.read(path)
    assert (found.worker, found.epoch, found.number) == segments.name_of(path)
    assert (found.first, found.entries, found.sealed) == (first, records, sealed)
    size = {"next": 16, "end": 16, None: 100}[sealed]
    assert found.end == path.stat().st_size - size
    tail = seal_bytes(found.next, sealed == "end") if sealed else bytes(100)
    assert path.read_bytes() == segment_bytes(found.number, first, records, tail, layout=1)


PARTS = range(1, 4), range(4, 5), range(5, 8), range(8, 13)


def test_the_golden_segment_with_zeros_between_entries_reads_as_it_was_written() -> None:
    path = GOLDEN / "blocks"
    assert path.read_bytes() == blocks_bytes(*PARTS, tail=seal_bytes(13, end=True))
    found = segments.read(path)
    assert (found.entries, found.sealed, found.end) == (RECORDS, "end", path.stat().st_size - 16)


def test_what_stands_behind_a_commit_that_is_missing_does_not_count(tmp_path: Path) -> None:
    """A power cut may take the first of two that are under way, and leave the second."""
    for missing in range(1, len(PARTS)):
        data = bytearray(blocks_bytes(*PARTS, tail=b""))
        data[4096 * missing : 4096 * (missing + 1)] = bytes(len(data[4096 * missing : 4096 * (missing + 1)]))
        path = write(tmp_path, 0, bytes(data))
        found = segments.read(path)
        assert found.next == PARTS[missing].start
        assert segments.cut(path) == found
        assert path.stat().st_size == found.end
        path.write_bytes(path.read_bytes() + seal_bytes(found.next, end=True))
        assert segments.read(path).entries == found.entries


def test_no_byte_between_entries_is_overlooked(quick: Path) -> None:
    data = blocks_bytes(range(1, 12), range(12, 13), tail=seal_bytes(13, end=True))
    for at in range(4096 - 300, 4096):
        with pytest.raises(Damaged):
            segments.read(write(quick, 0, data[:at] + b"\x01" + data[at + 1 :]))


def test_a_segment_is_cut_also_within_a_block_that_ends_in_zeros(tmp_path: Path) -> None:
    data = blocks_bytes(*PARTS, tail=bytes(100))
    for following in range(1, 14):
        path = write(tmp_path, 0, data)
        assert segments.cut(path, following).entries == RECORDS[: following - 1]
        assert segments.read(path).entries == RECORDS[: following - 1]
    with pytest.raises(Damaged, match="record 13"):
        segments.cut(write(tmp_path, 0, data), 14)


@pytest.mark.parametrize("durable", range(13))
def test_a_tail_passes_over_zeros_between_entries_and_no_further(tmp_path: Path, durable: int) -> None:
    write(tmp_path, 0, blocks_bytes(*PARTS, tail=bytes(100)))
    tail, found = Tail(tmp_path, WORKER, EPOCH), []
    for now in range(durable, 13, 4):
        write_ring(tmp_path, now)
        while entries := tail.read():
            found += entries
        assert found == list(enumerate(RECORDS[:now], 1))


def test_the_encoder_of_the_module_is_the_one_of_the_format() -> None:
    key = segments.key_of(WORKER, EPOCH)
    assert bytes(segments.Header(WORKER, EPOCH, 7, 9)) == header_bytes(7, 9)
    assert segments.entry(key, 9, b"record") == entry_bytes(9, b"record")
    assert segments.seal(key, 9, True) == seal_bytes(9, True)
    assert segments.seal(key, 9, False) == seal_bytes(9, False)


def test_every_truncation_of_a_sealed_segment_is_seen(quick: Path) -> None:
    whole = segment_bytes(0, 1, RECORDS, seal_bytes(13, True))
    ends = [44]
    for record in RECORDS:
        ends.append(ends[-1] + 8 + len(record))
    for size in range(len(whole)):
        path = write(quick, 0, whole[:size])
        if size < 44:
            with pytest.raises(Damaged):
                segments.read(path)
            continue
        found = segments.read(path)
        fit = max(number for number, end in enumerate(ends) if end <= size)
        assert (found.entries, found.end, found.sealed) == (RECORDS[:fit], ends[fit], None)


def test_every_flipped_bit_of_a_sealed_segment_is_seen(quick: Path) -> None:
    whole = segment_bytes(0, 1, RECORDS[:4], seal_bytes(5, True))
    for at in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << bit
            path = write(quick, 0, bytes(flipped))
            try:
                found = segments.read(path)
            except Damaged:
                continue
            # only the seal itself is gone: the records stand, and the epoch has no end
            assert at >= len(whole) - 16
            assert (found.entries, found.sealed) == (RECORDS[:4], None)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"", "ends within its header", id="empty"),
        pytest.param(bytes(4096), "no header", id="zeros"),
        pytest.param(header_bytes(1, 1), "another name", id="moved"),
        pytest.param(segment_bytes(0, 1, RECORDS, seal_bytes(13, True) + b"x"), "after its seal", id="longer"),
        pytest.param(segment_bytes(0, 1, RECORDS[:3], seal_bytes(5, True)), "seal follows", id="an entry removed"),
    ],
)  # fmt: skip
def test_what_is_no_segment_is_refused_with_its_place(tmp_path: Path, data: bytes, why: str) -> None:
    path = write(tmp_path, 0, data)
    with pytest.raises(Damaged, match=why) as refused:
        segments.read(path)
    assert refused.value.path == path


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda one: [one[1], one[0]], id="swapped"),
        pytest.param(lambda one: [one[0], one[0]], id="repeated"),
        pytest.param(lambda one: [one[1]], id="the first removed"),
    ],
)
def test_an_entry_holds_only_in_its_place(tmp_path: Path, change) -> None:
    entries = change([entry_bytes(1, b"same"), entry_bytes(2, b"same")])
    path = write(tmp_path, 0, header_bytes(0, 1) + b"".join(entries) + bytes(100))
    assert len(segments.read(path).entries) == (1 if entries[0] == entry_bytes(1, b"same") else 0)


def test_an_entry_holds_only_in_its_epoch(tmp_path: Path) -> None:
    stranger = struct.pack("<I", 4) + crc_of(1, 4, b"same", epoch=EPOCH + 1) + b"same"
    path = write(tmp_path, 0, header_bytes(0, 1) + stranger + bytes(100))
    assert segments.read(path).entries == []


def test_a_torn_tail_is_cut_where_the_last_whole_record_ends(tmp_path: Path) -> None:
    torn = entry_bytes(4, RECORDS[3])[:-1] + b"?" + entry_bytes(5, RECORDS[4]) + bytes(50)
    path = write(tmp_path, 0, segment_bytes(0, 1, RECORDS[:3], torn))
    found = segments.cut(path)
    assert found.entries == RECORDS[:3]
    assert path.read_bytes() == segment_bytes(0, 1, RECORDS[:3], b"")
    assert segments.cut(path) == found


def test_a_segment_is_cut_before_what_the_next_one_holds(tmp_path: Path) -> None:
    path = write(tmp_path, 0, segment_bytes(0, 1, RECORDS[:6], bytes(50)))
    assert segments.cut(path, 4).entries == RECORDS[:3]
    assert path.read_bytes() == segment_bytes(0, 1, RECORDS[:3], b"")


def test_a_sealed_segment_is_not_cut(tmp_path: Path) -> None:
    whole = segment_bytes(0, 1, RECORDS, seal_bytes(13, False))
    path = write(tmp_path, 0, whole)
    assert segments.cut(path).sealed == "next"
    assert path.read_bytes() == whole


def test_segments_are_listed_as_they_follow_one_another(tmp_path: Path) -> None:
    names = [Name(0, 9, 10), Name(0, 10, 0), Name(0, 10, 2), Name(0, 10, 11), Name(1, 1, 0)]
    for name in reversed(names):
        (tmp_path / str(name)).touch()
    for other in ("0003-000000000042.ring", "0000-000000000010-00000012.spare", "notes.txt"):
        (tmp_path / other).touch()
    assert [name for name, _ in segments.listing(tmp_path)] == names
    assert [name for name, _ in segments.listing(tmp_path, 0, 10)] == names[1:4]
    assert sorted(map(str, names)) == [str(name) for name in names]


def test_an_epoch_is_read_over_sealed_and_superseded_segments(tmp_path: Path) -> None:
    in_parts(tmp_path)
    assert list(segments.epoch_entries(tmp_path, WORKER, EPOCH)) == list(enumerate(RECORDS, 1))


def test_an_epoch_without_its_dropped_beginning_is_read_on(tmp_path: Path) -> None:
    in_parts(tmp_path)
    (tmp_path / str(Name(WORKER, EPOCH, 0))).unlink()
    assert list(segments.epoch_entries(tmp_path, WORKER, EPOCH)) == list(enumerate(RECORDS, 1))[4:]


@pytest.mark.parametrize("missing", [1, 2])
def test_a_missing_segment_is_not_overlooked(tmp_path: Path, missing: int) -> None:
    in_parts(tmp_path)
    (tmp_path / str(Name(WORKER, EPOCH, missing))).unlink()
    with pytest.raises(Damaged):
        list(segments.epoch_entries(tmp_path, WORKER, EPOCH))


def test_a_segment_that_ends_before_the_next_begins_is_damage(tmp_path: Path) -> None:
    in_parts(tmp_path)
    write(tmp_path, 1, segment_bytes(1, 5, RECORDS[4:6], bytes(100)))
    with pytest.raises(Damaged, match="record 7 is not whole"):
        list(segments.epoch_entries(tmp_path, WORKER, EPOCH))


def test_a_tail_returns_what_became_durable_and_no_more(tmp_path: Path) -> None:
    tail = Tail(tmp_path, WORKER, EPOCH)
    assert tail.read() == []  # there is nothing yet
    write(tmp_path, 0, segment_bytes(0, 1, RECORDS[:4], bytes(100)))
    assert tail.read() == []  # without a ring nothing is durable
    write_ring(tmp_path, 3, boot=bytes(16))
    assert tail.read() == []  # a ring of another boot says nothing
    write_ring(tmp_path, 2)
    assert tail.read() == [(1, RECORDS[0]), (2, RECORDS[1])]
    assert tail.read() == []
    write_ring(tmp_path, 4)
    assert tail.read() == [(3, RECORDS[2]), (4, RECORDS[3])]
    in_parts(tmp_path)
    rest = []
    while new := tail.read():
        rest += new
    assert rest == list(enumerate(RECORDS, 1))[4:]
    assert tail.ended
    assert tail.read() == []


@pytest.mark.parametrize("after", range(13))
def test_a_tail_goes_on_after_what_is_known(tmp_path: Path, after: int) -> None:
    in_parts(tmp_path)
    tail = Tail(tmp_path, WORKER, EPOCH, after=after)
    found = []
    while not tail.ended:
        found += tail.read()
    assert found == list(enumerate(RECORDS, 1))[after:]


def test_a_tail_reads_in_pieces(tmp_path: Path) -> None:
    records = [bytes([65 + number % 26]) * 60_000 for number in range(40)]
    write(tmp_path, 0, segment_bytes(0, 1, records, seal_bytes(41, True)))
    tail = Tail(tmp_path, WORKER, EPOCH)
    pieces = []
    while not tail.ended:
        pieces.append(tail.read(100_000))
    assert [entry for piece in pieces for entry in piece] == list(enumerate(records, 1))
    assert len(pieces) > 10


def test_a_sealed_segment_that_is_not_whole_is_damage_to_its_follower(tmp_path: Path) -> None:
    data = bytearray(segment_bytes(0, 1, RECORDS, seal_bytes(13, True)))
    data[60] ^= 1
    write(tmp_path, 0, bytes(data))
    with pytest.raises(Damaged, match="record 2 is not whole"):
        Tail(tmp_path, WORKER, EPOCH).read()


def test_a_durable_record_that_is_not_whole_is_damage(tmp_path: Path) -> None:
    data = bytearray(segment_bytes(0, 1, RECORDS[:4], bytes(100)))
    data[60] ^= 1
    write(tmp_path, 0, bytes(data))
    write_ring(tmp_path, 4)
    with pytest.raises(Damaged, match="is not whole"):
        Tail(tmp_path, WORKER, EPOCH).read()
