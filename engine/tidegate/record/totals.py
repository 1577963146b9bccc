"""What was settled of each budget, from the records alone: for a machine whose table of limits did not survive.

The last balance says how much it was when it was written, and up to which record of each journal; what later records
have settled is added. Rates and concurrency are not restored: the first has passed with the time, the other has ended.

The log has the records of one journal in their order, but those of different journals only nearly in that of time. So
the search does not stop where the balance is, but where every journal was seen that it names, and a minute before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tidegate.record.index import Positions
from tidegate.record.leaves import decode
from tidegate.record.merkle import TILE_WIDTH
from tidegate.record.records import Aborted, Balance, Outcome, RecordError, Total, Unknown
from tidegate.record.tiles import read_bundle, tile_width

SLACK: Final = 60_000_000_000  # ns by which records of different journals may be out of order


def totals(log: Path, size: int, waiting: Iterable[bytes] = (), slack: int = SLACK) -> list[Total]:
    """By bucket and window, from a log's entries and, the last first, the records that it has not got yet."""
    summing = _Sum(slack)
    for leaf in waiting:
        summing.take(leaf)
    for leaf in _backwards(log, size):
        summing.take(leaf)
        if summing.complete:
            break
    return summing.totals()


class _Sum:
    """Takes records from the last to the first, those of one journal at least in that order."""

    def __init__(self, slack: int) -> None:
        self._slack = slack
        self._past = False  # a record was seen that is certainly older than the balance
        self._settled: dict[tuple[bytes, int], int] = {}
        self._later: list[Outcome | Aborted] = []  # seen before the balance was
        self._parts: dict[int, dict[int, Balance]] = {}
        self._balance: Sequence[Balance] = ()
        self._before: Positions = {}  # up to where each journal is in the balance
        self._missing: set[tuple[int, int]] = set()  # journals of which that record was not seen yet
        self._reached: Positions = {}

    @property
    def complete(self) -> bool:
        """Whether all records that come now are in the balance."""
        return self._past and not self._missing

    def take(self, leaf: bytes) -> None:
        try:
            record = decode(leaf)
        except RecordError:
            return
        if isinstance(record, Unknown):
            return
        key = record.worker, record.epoch
        self._reached[key] = min(record.seq, self._reached.get(key, record.seq))
        if isinstance(record, Outcome | Aborted):
            if self._balance:
                self._add(record)
            else:
                self._later.append(record)
        elif isinstance(record, Balance) and not self._balance:
            self._part(record)
        if record.seq <= self._before.get(key, 0):
            self._missing.discard(key)
        if self._balance:
            self._past |= record.time < self._balance[0].set - self._slack

    def _part(self, balance: Balance) -> None:
        parts = self._parts.setdefault(balance.set, {})
        parts[balance.part] = balance
        if len(parts) < balance.parts:
            return
        self._balance = list(parts.values())
        self._before = {(one.worker, one.epoch): one.seq for each in self._balance for one in each.positions}
        self._missing = {key for key, seq in self._before.items() if seq and self._reached.get(key, seq + 1) > seq}
        for record in self._later:
            self._add(record)
        self._later = []

    def _add(self, record: Outcome | Aborted) -> None:
        if record.seq > self._before.get((record.worker, record.epoch), 0):
            for draw in record.draws:
                if draw.end:
                    name = draw.bucket, draw.end
                    self._settled[name] = self._settled.get(name, 0) + draw.settled

    def totals(self) -> list[Total]:
        """With the balance, if there was one."""
        for record in self._later:
            self._add(record)
        self._later = []
        for each in self._balance:
            for total in each.totals:
                name = total.bucket, total.end
                self._settled[name] = self._settled.get(name, 0) + total.settled
        self._balance = ()
        return [Total(bucket, end, settled) for (bucket, end), settled in sorted(self._settled.items())]


def _backwards(log: Path, size: int) -> Iterator[bytes]:
    for number in reversed(range(-(-size // TILE_WIDTH))):
        yield from reversed(read_bundle(log, number, tile_width("entries", number, size)))
