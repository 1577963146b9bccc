"""Journals of workers that have ended, or were cut off, written byte by byte; and ledgers to take them in."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tidegate.record import segments
from tidegate.record.layout import Layout, create
from tidegate.record.leaves import decode, encode
from tidegate.record.records import Aborted, Intent, Outcome, Record, Unknown
from tidegate.record.segments import Header, Name
from tidegate.record.sequencer import Sequencer
from tidegate.record.tiles import read_bundle, tile_width

ORIGIN = "example.org/ledger"


def ledger(folder: Path) -> Layout:
    return create(folder / "ledger", ORIGIN)


def run(number: int) -> bytes:
    return number.to_bytes(13, "big")


def records(worker: int, epoch: int, count: int, first: int = 1) -> list[bytes]:
    """Intents and outcomes in turn, of runs that no other worker or epoch has."""
    made: list[Record] = []
    for seq in range(first, first + count):
        kind: type[Intent] | type[Outcome] = Intent if seq % 2 else Outcome
        of = run((worker << 64) + (epoch << 32) + (seq + 1) // 2)
        made.append(kind(worker=worker, epoch=epoch, seq=seq, time=seq, run=of))
    return [encode(each) for each in made]


def write(
    journal: Path, worker: int, epoch: int, entries: Sequence[bytes], *, per_segment: int = 1000, end: bool = True
) -> list[Path]:
    """An epoch in segments of so many records; without `end` its last segment has no seal."""
    key, seq, paths = segments.key_of(worker, epoch), 1, []
    parts = [entries[at : at + per_segment] for at in range(0, len(entries), per_segment)] or [[]]
    for number, part in enumerate(parts):
        data = bytearray(bytes(Header(worker, epoch, number, seq)))
        for each in part:
            data += segments.entry(key, seq, each)
            seq += 1
        last = number == len(parts) - 1
        if not last or end:
            data += segments.seal(key, seq, last)
        paths.append(journal / str(Name(worker, epoch, number)))
        paths[-1].write_bytes(data)
    return paths


def leaves(layout: Layout, size: int) -> Iterator[bytes]:
    for number in range(-(-size // 256)):
        yield from read_bundle(layout.log, number, tile_width("entries", number, size))


def said(layout: Layout, size: int) -> list[Record | Unknown]:
    return [decode(leaf) for leaf in leaves(layout, size)]


def of_journals(layout: Layout, size: int) -> dict[tuple[int, int], list[int]]:
    """The seqs of each worker's epoch in the order of the log."""
    found: dict[tuple[int, int], list[int]] = {}
    for each in said(layout, size):
        found.setdefault((each.worker, each.epoch), []).append(each.seq)
    return found


def sequenced(layout: Layout, **options: object) -> int:
    """Takes in all there is, and returns the log's size."""
    sequencer = Sequencer(layout, **options)  # type: ignore[arg-type]
    try:
        while sequencer.turn() or sequencer.turn():  # one that sets a file aside appends nothing
            pass
        sequencer.checkpoint()
        while not sequencer.catch_up():
            pass
        return sequencer.log.size
    finally:
        sequencer.close()


def without_stamp(record: bytes) -> object:
    found = decode(record)
    assert not isinstance(found, Unknown | Aborted)
    return msgspec.structs.replace(found, worker=0, epoch=0, seq=0, time=0)
