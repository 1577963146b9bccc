"""What all workers have written becomes one log: the only writer of the tree, its checkpoints and the index.

Every turn reads what has become durable in the journals and appends it to the tree. A checkpoint follows at most a
second later; only then are entries promised by the log as they were by their journal, and only then are the segments
that held them dropped.

No record enters twice and none is left out, however often this is killed: how far each journal is in the log is not
kept anywhere, but read from the log itself, where every entry says which record of which journal it is (the index
remembers it and is checked against the log). What was appended after the last checkpoint is forgotten by a crash, and
read from the journals again.

A record that is not there, or that is not what its journal says, is stated in the log by a `gap` in its place, so that
everybody sees that something is missing. A segment that cannot be read on is kept aside.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from tidegate.record import ring, segments
from tidegate.record._leaf import head
from tidegate.record.index import Index, Positions
from tidegate.record.layout import Layout
from tidegate.record.leaves import balances, encode
from tidegate.record.records import SEQUENCER, Checkpoint, Erasure, Gap, Position, Record, RecordError
from tidegate.record.segments import Damaged, Entry, Name, Tail
from tidegate.record.totals import of_log

INTERVAL: Final = 1.0  # seconds between checkpoints, at most
REMADE: Final = 1_000_000  # entries that take so long to index that somebody may wonder
STATED: Final = 65_536  # entries after which the totals of budgets are stated anew; reading so many takes 0.2 s
SET_ASIDE: Final = ".damaged"  # how the name of a segment ends that could not be read on

Say = Callable[[str], None]
Key = tuple[int, int]  # worker and epoch


class Sequencer:
    """Owns the log from `__init__` to `close`; a second one is refused by the log's lock.

    An error of `turn` or `checkpoint` leaves it unusable: close it and make another, which goes on where the log is.
    """

    def __init__(self, layout: Layout, memory: Path | None = None, say: Say = lambda words: None) -> None:
        self._journal = layout.journal
        self._memory = memory or layout.journal
        self._say = say
        self._tails: dict[Key, Tail] = {}
        self._stuck: dict[Key, tuple[str, float]] = {}  # journals that cannot be read on: why, and until when
        self._index: Index | None = None
        self.log = layout.open()
        try:
            self.index = self._indexed(layout)
            self._totals, self._stated = of_log(layout.log, self.log.size)
            self.positions = (
                self.index.positions() | self._totals.positions
            )  # of journals that go on the log knows best
            self._epoch = 1 + max((epoch for worker, epoch in self.positions if worker == SEQUENCER), default=0)
            self._seq = 0
            self._next = 0.0
            signed = self.log.signed
            self._state(Checkpoint(size=signed.size, root=signed.root))
        except BaseException:
            self.close()
            raise

    def _indexed(self, layout: Layout) -> Index:
        """The index, with all that the log has: only then it can say how far the journals are."""
        self._index = Index(layout.index, layout.log, self.log.size)
        missing = self.log.size - self._index.size
        if missing > REMADE:
            self._say(f"the index is made for {missing} entries")
        while not self._index.catch_up(self.log.size):
            pass
        return self._index

    # a turn

    def turn(self) -> int:
        """Appends what became durable in all journals since the last turn; returns how many records."""
        before = self.log.size
        there = segments.listing(self._journal)
        self._follow({(name.worker, name.epoch) for name, _ in there})
        for key, tail in list(self._tails.items()):
            self._read(key, tail, [name for name, _ in there if (name.worker, name.epoch) == key])
        if self.log.size - self._stated >= STATED:
            self._balance({(name.worker, name.epoch) for name, _ in there})
        return self.log.size - before

    @property
    def behind(self) -> bool:
        """Whether the last turn left something that it could have taken."""
        return any(tail.more for tail in self._tails.values())

    @property
    def followed(self) -> Positions:
        """How far the journals are in the tree that have not ended, or whose end is not signed yet."""
        return {key: self.positions.get(key, 0) for key in self._tails}

    def _follow(self, there: set[Key]) -> None:
        """Begins to read the epochs that are new in the folder."""
        for key in there - self._tails.keys():
            if self._stuck.get(key, ("", 0.0))[1] <= time.monotonic():
                after = self.positions.get(key, 0)
                self._tails[key] = Tail(self._journal, *key, memory=self._memory, after=after)

    def _read(self, key: Key, tail: Tail, there: Sequence[Name]) -> None:
        try:
            entries = tail.read()
            if not entries and not tail.ended and tail.path is not None:
                _check_following(tail.path, there)
        except Damaged as error:
            self._pass_over(key, error)
            return
        if entries:
            self._append(key, entries)

    def _append(self, key: Key, entries: Sequence[Entry]) -> None:
        """Each record as it is, if it says of itself what its journal says of it."""
        worker, epoch = key
        good: list[bytes] = []
        for seq, record in entries:
            try:
                found = head(record)
                right = found.seq == seq and found.epoch == epoch and found.worker == worker
            except RecordError:
                right = False
            if right:
                good.append(record)
                self._totals.take(record, found)
            else:
                self.log.append(good)
                good = []
                self._miss(key, seq, seq, "unreadable")
        self.log.append(good)
        self.positions[key] = entries[-1].seq

    def _pass_over(self, key: Key, error: Damaged) -> None:
        """Takes what stands whole before the damage, and goes on in the next segment that can be read.

        Where there is none yet it looks again after a while: nothing is called missing that may still come.
        """
        self._tails.pop(key).close()
        known = self.positions.get(key, 0)
        following = self._segment_after(key, known, error.path)
        if following is None:
            if self._stuck.get(key, ("", 0.0))[0] != error.message:
                self._say(error.message)
            self._stuck[key] = error.message, time.monotonic() + INTERVAL
            return
        self._say(error.message)
        for salvaged in _salvaged(error.path, key, known, following):
            if salvaged[0].seq > known + 1:
                self._miss(key, known + 1, salvaged[0].seq - 1, "missing")
            self._append(key, salvaged)
            known = salvaged[-1].seq
        if following > known + 1:
            self._miss(key, known + 1, following - 1, "missing")
            self.positions[key] = following - 1
        if error.path.is_file():
            error.path.rename(error.path.with_name(error.path.name + SET_ASIDE))

    def _segment_after(self, key: Key, known: int, damaged: Path) -> int | None:
        """The first record of the first other segment that begins behind this record."""
        for _, path in segments.listing(self._journal, *key):
            try:
                first = segments.read_header(path).first
            except Damaged:
                continue
            if first > known and path != damaged:
                return first
        return None

    def _miss(self, key: Key, first: int, last: int, reason: str) -> None:
        self._say(f"records {first} to {last} of worker {key[0]}, epoch {key[1]}, are {reason}")
        self._state(Gap(of_worker=key[0], of_epoch=key[1], first=first, count=last - first + 1, reason=reason))

    def _state(self, record: Record) -> None:
        """Says something itself."""
        self._seq += 1
        stamped = replace(record, worker=SEQUENCER, epoch=self._epoch, seq=self._seq, time=time.time_ns())
        self.log.append([encode(stamped)])
        self.positions[SEQUENCER, self._epoch] = self._seq

    def _balance(self, journals: set[Key]) -> None:
        """States what everything before it has settled of budgets: a reader of totals begins there."""
        self._stated = self.log.size
        places = [Position(*key, seq) for key, seq in sorted(self.positions.items()) if key in journals]
        stamp = {"worker": SEQUENCER, "epoch": self._epoch, "seq": self._seq + 1, "time": time.time_ns()}
        leaves = [encode(part) for part in balances(self._totals.current(), places, **stamp)]
        self._seq += len(leaves)
        self.log.append(leaves)
        self.positions[SEQUENCER, self._epoch] = self._seq

    def erased(self, erasures: Sequence[tuple[int, bytes]]) -> None:
        """States erasures of subjects' keys."""
        for number, subject in erasures:
            self._state(Erasure(number=number, subject=subject))

    # a checkpoint

    @property
    def due(self) -> bool:
        """Whether there is something to sign, and time to."""
        return self.log.size > self.log.signed.size and time.monotonic() >= self._next

    def checkpoint(self) -> None:
        """Signs and publishes what was appended, and drops the segments that nobody needs any more."""
        self.log.checkpoint(int(time.time()))
        self._next = time.monotonic() + INTERVAL
        for key, tail in list(self._tails.items()):
            self._drop(key, tail)

    def _drop(self, key: Key, tail: Tail) -> None:
        """Deletes the segments of an epoch that are in the log and that recovering it would not need.

        All that was read has just been signed: a checkpoint comes between two turns. Of an epoch that has ended the
        last one stays as long as its ring: whoever ended it reads it again, should that have been interrupted.
        """
        found = segments.listing(self._journal, *key)
        said = ring.read(ring.path_of(self._memory, *key))
        if not tail.ended and said is None:
            return
        keep = tail.seq + 1 if said is None else min(said.keep, tail.seq + 1)
        for (_, path), (_, follower) in pairwise(found):
            if segments.read_header(follower).first > keep:
                return
            path.unlink()
        if tail.ended and said is None:
            for _, path in found[-1:]:
                path.unlink(missing_ok=True)
            ring.path_of(self._memory, *key).unlink(missing_ok=True)  # of another boot
            self._tails.pop(key).close()

    def catch_up(self) -> bool:
        """Indexes some of what was signed; True when all of it is."""
        return self.index.catch_up(self.log.signed.size)

    def close(self) -> None:
        """Lets go of everything; what was appended after the last checkpoint is read again by the next."""
        for tail in self._tails.values():
            tail.close()
        if self._index is not None:
            self._index.close()
        self.log.close()


def _check_following(path: Path, there: Sequence[Name]) -> None:
    """Segments come in their order, so one that is not there while a later one is will not come."""
    read = segments.name_of(path)
    later = [name.number for name in there if read is not None and name.number > read.number]
    if read is not None and later and min(later) > read.number + 1:
        missing = Name(read.worker, read.epoch, read.number + 1)
        raise Damaged(path.with_name(str(missing)), 0, "it is not there, and a later one is")


def _salvaged(path: Path, key: Key, known: int, following: int) -> Iterator[list[Entry]]:
    """The records that stand whole before the damage of a segment and behind it, in rows; also of one that was set
    aside before its turn. An entry whose record was changed still says where the next one is.
    """
    aside = path.with_name(path.name + SET_ASIDE)
    try:
        data = (path if path.is_file() else aside).read_bytes()
        seq = segments.header(data, path).first
    except OSError:
        return
    except Damaged:
        seq = known + 1  # if it is not, no checksum will hold
    at = segments.HEADER.size
    while seq < following:
        found = segments.scan(data, at, seq, segments.key_of(*key), 0, following - 1)
        row = [Entry(number, record) for number, record in enumerate(found.records, seq) if number > known]
        if row:
            yield row
        if found.stop != "invalid":
            return
        at = found.end if any(data[found.end : found.end + 4]) else found.end + -found.end % segments.BLOCK
        at += segments.ENTRY.size + int.from_bytes(data[at : at + 4], "little")
        seq += len(found.records) + 1
