"""What is recorded, as it is recorded: followed by somebody who only reads.

Journals have a record first, as soon as it is durable; the log has it a second later, and then its segment may go. So
both are read: journals for speed, the log for completeness. Whatever a journal's reader missed (its segment was dropped
while nobody looked, a worker lived and died between two looks, a segment is damaged) comes from the log, late and not
lost. Nothing is locked and nothing written: a writer cannot tell that it is followed.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tidegate.record import ring, segments
from tidegate.record._leaf import head
from tidegate.record.checkpoints import parse_checkpoint
from tidegate.record.index import IndexUnusable, Positions, Reader
from tidegate.record.leaves import decode
from tidegate.record.notes import split_note
from tidegate.record.places import Places
from tidegate.record.records import SEQUENCER, UNREAD, Gap, Record, RecordError, Unknown
from tidegate.record.segments import Damaged, Tail
from tidegate.record.statements import leaves_of

LOOK_BACK: Final = 100_000  # entries of the log, for what is wanted of the past

Wanted = Callable[[Record | Unknown], bool]


def log_size(log: Path) -> int:
    """How many entries the published checkpoint has; nobody's signature is checked."""
    return parse_checkpoint(split_note((log / "checkpoint").read_text())[0]).size


class Follower:
    """Follows a ledger from now on. `memory` is where the rings of its journals are, where they are elsewhere."""

    def __init__(self, places: Places, memory: Path | None = None) -> None:
        self.memory = memory
        self._places = places
        self._tails: dict[tuple[int, int], Tail] = {}
        self._seen, self._size = _known(places)
        self._begun = self._size

    def past(self, count: int, wanted: Wanted) -> list[Record | Unknown]:
        """The last entries of the log that are wanted, at most so many, in their order; to be asked for first."""
        found: deque[Record | Unknown] = deque()
        for record in _backwards(self._places.log, self._begun):
            if len(found) >= count:
                break
            if wanted(record):
                found.appendleft(record)
        return list(found)

    def new(self) -> Iterator[Record | Unknown]:
        """What has come since the last call; each record once, those of one journal in their order."""
        for worker, epoch in self._epochs():
            yield from self._journal(worker, epoch)
        size = log_size(self._places.log)
        if size > self._size:
            for _, leaf in leaves_of(self._places.log, size, self._size):
                yield from self._leaf(leaf)
            self._size = size

    def _epochs(self) -> list[tuple[int, int]]:
        """The journals that are there; the readers of others are let go."""
        there = {(name.worker, name.epoch) for name, _ in segments.listing(self._places.journal)}
        for key in self._tails.keys() - there:
            self._tails.pop(key).close()
        return sorted(there)

    def _journal(self, worker: int, epoch: int) -> Iterator[Record | Unknown]:
        key = worker, epoch
        after = self._seen.get(key, 0)
        tail = self._tails.get(key)
        if tail is None or tail.seq < after:  # the log was faster
            if tail is not None:
                tail.close()
            memory = self.memory
            if memory is not None and not ring.path_of(memory, worker, epoch).exists():
                memory = None
            tail = self._tails[key] = Tail(self._places.journal, worker, epoch, memory=memory, after=after)
        try:
            while entries := tail.read():
                for seq, leaf in entries:
                    self._seen[key] = seq
                    yield from _decoded(leaf)
        except (Damaged, OSError):  # it comes from the log, or a later look finds it whole
            self._tails.pop(key).close()

    def _leaf(self, leaf: bytes) -> Iterator[Record | Unknown]:
        try:
            found = head(leaf)
        except RecordError:
            return
        key = found.worker, found.epoch
        if found.worker == SEQUENCER:
            yield from _decoded(leaf)
        elif found.seq > self._seen.get(key, 0):
            self._seen[key] = found.seq
            yield from _decoded(leaf)

    def close(self) -> None:
        """Lets go of the journals."""
        for tail in self._tails.values():
            tail.close()


def waiting(places: Places, memory: Path | None = None) -> Iterator[Record | Unknown]:
    """What journals hold at this moment that the log may not have yet: what is durable, then what is only in shared
    memory. A segment that goes meanwhile is in the log by then.
    """
    for worker, epoch in sorted({(name.worker, name.epoch) for name, _ in segments.listing(places.journal)}):
        after, memories = _in_memory(places, memory, worker, epoch)  # before segments: what becomes durable is in both
        last = 0
        for _, path in segments.listing(places.journal, worker, epoch):
            try:
                found = segments.read(path)
            except (Damaged, OSError):
                continue
            for seq, leaf in enumerate(found.entries, found.first):
                if seq > last:
                    last = seq
                    yield from _decoded(leaf)
        for seq, leaf in enumerate(memories, after + 1):
            if seq > last:
                yield from _decoded(leaf)


def _in_memory(places: Places, memory: Path | None, worker: int, epoch: int) -> tuple[int, Sequence[bytes]]:
    """What a journal's ring has that is not durable, and the last record that is."""
    for folder in (memory, places.journal):
        path = ring.path_of(folder, worker, epoch) if folder is not None else None
        if path is None:
            continue
        try:
            said = ring.read(path)
            data = ring.entries(path, said) if said is not None else b""
        except OSError:
            continue
        if said is not None:  # what moved on meanwhile is no entry
            return said.durable, segments.scan(data, 0, said.durable + 1, segments.key_of(worker, epoch)).records
    return 0, ()


def _known(places: Places) -> tuple[Positions, int]:
    """How far each journal is in the log, and how long that is."""
    positions: Positions = {}
    indexed = 0
    try:
        reader = Reader(places.index)
        try:
            with reader.still():
                positions, indexed = reader.positions(), reader.size
        finally:
            reader.close()
    except IndexUnusable:
        pass
    size = log_size(places.log)  # asked after the index, which is never ahead of it
    for _, leaf in leaves_of(places.log, size, max(indexed, size - LOOK_BACK)):
        try:
            found = head(leaf)
        except RecordError:
            continue
        positions[found.worker, found.epoch] = found.seq
        if found.kind == "gap":
            gap = decode(leaf)
            if isinstance(gap, Gap) and gap.reason in UNREAD:
                positions[gap.of_worker, gap.of_epoch] = gap.first + gap.count - 1
    return positions, size


def _backwards(log: Path, size: int) -> Iterator[Record | Unknown]:
    """The entries of a log from its last on, at most `LOOK_BACK`."""
    end = size
    while end > max(0, size - LOOK_BACK):
        first = (end - 1) // 256 * 256
        for _, leaf in reversed(list(leaves_of(log, end, first))):
            yield from _decoded(leaf)
        end = first


def _decoded(leaf: bytes) -> Iterator[Record | Unknown]:
    try:
        yield decode(leaf)
    except RecordError:
        pass  # `fsck` names it
