"""What was settled of each budget, from the records alone: for a machine whose table of limits did not survive.

The log is one sequence, and its `balance` leaves say what all leaves before them have settled: each can be made again
from those before it, and says nothing new. So the totals are those of the last balance, and what the leaves behind it
settled, and the records of journals that the log has not got yet; the balance says how far each journal was in it.

Rates and concurrency are not restored: the first has passed with the time, the other has ended.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tidegate.record import segments
from tidegate.record._leaf import Beginning, drawn, head
from tidegate.record.checkpoints import parse_checkpoint
from tidegate.record.leaves import decode
from tidegate.record.merkle import TILE_WIDTH
from tidegate.record.places import Places
from tidegate.record.records import (
    SEQUENCER,
    UNREAD,
    Aborted,
    Balance,
    Draw,
    Gap,
    Outcome,
    RecordError,
    Total,
)
from tidegate.record.segments import Damaged, epoch_entries
from tidegate.record.tiles import read_bundle, tile_width

MOST: Final = 1 << 62  # in which every total ends, so that it fits into a record and into the table of limits
DAY: Final = 86_400  # seconds for which windows that are over are kept: a clock may have been wrong by so much
ENDS: Final = frozenset({"outcome", "aborted"})

Positions = dict[tuple[int, int], int]  # by worker and epoch: the last record that was taken


def _draws_of(kind: type[Outcome | Aborted]) -> type[msgspec.Struct]:
    """A record of this kind, read no further than its draws, and nothing else of it."""
    names = kind.__struct_fields__
    before = [(name, msgspec.Raw) for name in names[: names.index("draws")]]
    tag = str(kind.__struct_config__.tag)
    return msgspec.defstruct(tag, [*before, ("draws", tuple[Draw, ...], ())], array_like=True, tag=tag, frozen=True)


_ends = msgspec.msgpack.Decoder(_draws_of(Outcome) | _draws_of(Aborted))


def draws_of(leaf: bytes) -> tuple[Draw, ...]:
    """What the outcome of a call, or the record that it was aborted, says was drawn. Raises only RecordError."""
    try:
        found: tuple[Draw, ...] = _ends.decode(leaf).draws
    except (ValueError, RecursionError):
        raise RecordError("the draws of a call cannot be read") from None
    return found


class Totals:
    """What the records that were taken so far have settled of each budget."""

    def __init__(self, stated: Sequence[Balance] = ()) -> None:
        """Begins with what a balance says, given all its parts."""
        totals = [total for each in stated for total in each.totals]
        places = [place for each in stated for place in each.positions]
        self._settled = {(each.bucket, each.end): each.settled for each in totals}
        self._newest = max((each.time for each in stated), default=0)
        self.positions: Positions = {(each.worker, each.epoch): each.seq for each in places}

    def take(self, leaf: bytes, found: Beginning | None = None) -> None:
        """One record more, which was not taken before; `found` is its head, where that was read already."""
        try:
            found = found or head(leaf)
            self._newest = max(self._newest, found.time)
            self.positions[found.worker, found.epoch] = found.seq
            if found.kind in ENDS:
                for bucket, end, settled in drawn(leaf):
                    name = bucket, end
                    self._settled[name] = min(self._settled.get(name, 0) + settled, MOST)
            elif found.kind == "gap":
                self._pass(decode(leaf))
        except RecordError:
            pass  # it says nothing that could be counted; `fsck` names it

    def _pass(self, gap: object) -> None:
        if isinstance(gap, Gap) and gap.reason in UNREAD:
            self.positions[gap.of_worker, gap.of_epoch] = gap.first + gap.count - 1

    def current(self) -> list[Total]:
        """Those of windows that are not long over, by the records' own time; the others are forgotten."""
        over = self._newest // 10**9 - DAY
        self._settled = {name: settled for name, settled in self._settled.items() if name[1] > over}
        return [Total(bucket, end, settled) for (bucket, end), settled in sorted(self._settled.items())]


def of_log(log: Path, size: int) -> tuple[Totals, int]:
    """By the first `size` entries of a log, and the entry that the last balance begins with, 0 where there is none."""
    stated, begin = _last_balance(log, size)
    totals = Totals(stated)
    for number in range(begin // TILE_WIDTH, -(-size // TILE_WIDTH)):
        skip = max(0, begin - number * TILE_WIDTH)
        for leaf in _bundle(log, number, size)[skip:]:
            totals.take(leaf)
    return totals, begin


def of_ledger(ledger: Places, say: Callable[[str], None]) -> Totals:
    """By all records there are, while nobody writes. Raises TidegateError or OSError where the log cannot be read.

    Of a journal that is damaged what stands before the damage counts, and it is said.
    """
    text = (ledger.log / "checkpoint").read_bytes().partition(b"\n\n")[0] + b"\n"
    totals, _ = of_log(ledger.log, parse_checkpoint(text).size)
    for key in sorted({(name.worker, name.epoch) for name, _ in segments.listing(ledger.journal)}):
        after = totals.positions.get(key, 0)
        try:
            for seq, record in epoch_entries(ledger.journal, *key):
                if seq > after:
                    totals.take(record)
        except Damaged as error:
            say(error.message)
    return totals


def _last_balance(log: Path, size: int) -> tuple[list[Balance], int]:
    parts: dict[tuple[int, int], list[Balance]] = {}
    for number in reversed(range(-(-size // TILE_WIDTH))):
        bundle = _bundle(log, number, size)
        for at in reversed(range(len(bundle))):
            found = _balance(bundle[at])
            if found is not None:
                some = parts.setdefault((found.epoch, found.set), [])
                some.append(found)
                if len(some) == found.parts:
                    return some, number * TILE_WIDTH + at
    return [], 0


def _balance(leaf: bytes) -> Balance | None:
    try:
        found = head(leaf)
        if found.kind != "balance" or found.worker != SEQUENCER:
            return None
        record = decode(leaf)
    except RecordError:
        return None
    return record if isinstance(record, Balance) else None


def _bundle(log: Path, number: int, size: int) -> list[bytes]:
    return read_bundle(log, number, tile_width("entries", number, size))
