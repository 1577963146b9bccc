"""A call that had begun when its worker died has an end in the ledger too: the record that it was aborted.

What the call is charged is what the table of limits shows its worker still held, and where there is no table any more,
all that its intent says. With every record that a worker settles by, the table keeps the record's number in each
bucket: so it is known which records were not settled yet when the worker died, and what is held for those is theirs.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tidegate.record._leaf import head
from tidegate.record.leaves import decode, encode
from tidegate.record.records import Aborted, Draw, Intent, RecordError
from tidegate.record.segments import Entry
from tidegate.record.totals import ENDS, draws_of

WORKER_DIED: Final = "worker_died"
CLOSED: Final = "closed"


class Left(Struct, frozen=True):
    """What a dead worker left in the table of limits, by bucket."""

    held: Mapping[bytes, int]
    settled: Mapping[bytes, int]  # the last record of its journal that is settled; where there is none, none was

    def unsettled(self, seq: int, leaf: bytes) -> Iterator[Draw]:
        """What a record says of budgets, and was not done yet in the table."""
        for draw in draws_of(leaf):
            if draw.end and seq > self.settled.get(draw.bucket, 0):
                yield draw


def abort(
    worker: int, epoch: int, reason: str = WORKER_DIED, left: Left | None = None
) -> Callable[[Iterator[Entry]], Iterable[bytes]]:
    """What `recovery.recover` asks for: for each intent without an end among the entries, a record that ends it."""

    def records(entries: Iterator[Entry]) -> Iterable[bytes]:
        last, begun, held = _unended(entries, left)
        charged = [all_of_it(intent) for intent in begun] if left is None else shares(begun, held)
        now = time.time_ns()
        for seq, (intent, draws) in enumerate(zip(begun, charged, strict=True), last + 1):
            yield encode(
                Aborted(worker=worker, epoch=epoch, seq=seq, time=now, run=intent.run, reason=reason, draws=draws)
            )

    return records


def unsettled(entries: Iterable[Entry], left: Left) -> Iterator[tuple[bytes, int, int]]:
    """(bucket, seq, amount) of all that the records say was used and that was not settled yet."""
    for seq, leaf in entries:
        try:
            if head(leaf).kind in ENDS:
                for draw in left.unsettled(seq, leaf):
                    yield draw.bucket, seq, draw.settled
        except RecordError:
            continue  # the sequencer states it


def shares(intents: Sequence[Intent], held: Mapping[bytes, int]) -> list[tuple[Draw, ...]]:
    """What each of these calls is charged: of what is held of a bucket, as much as it had begun with of all of it.

    Together they are charged what was held. A rate keeps what was drawn; calls that ran at once do so no more.
    """
    drawn = [draw for intent in intents for draw in intent.draws]
    whole: dict[bytes, int] = {}
    for draw in drawn:
        whole[draw.bucket] = whole.get(draw.bucket, 0) + draw.held
    count = {bucket: sum(draw.bucket == bucket for draw in drawn) for bucket, total in whole.items() if not total}
    reached: dict[bytes, int] = {}

    def share(draw: Draw) -> int:
        amount, of = held.get(draw.bucket, 0), whole[draw.bucket] or count[draw.bucket]
        before = reached.get(draw.bucket, 0)
        after = reached[draw.bucket] = before + (draw.held if whole[draw.bucket] else 1)
        return amount * after // of - amount * before // of

    return [
        tuple([replace(draw, settled=share(draw)) if draw.end else _whole(draw) for draw in intent.draws])
        for intent in intents
    ]


def all_of_it(intent: Intent) -> tuple[Draw, ...]:
    """What a call held is charged whole, where nobody knows better."""
    return tuple([_whole(draw) for draw in intent.draws])


def _whole(draw: Draw) -> Draw:
    return replace(draw, settled=0 if draw.measure == "concurrent" else draw.held)


def _unended(entries: Iterable[Entry], left: Left | None) -> tuple[int, list[Intent], dict[bytes, int]]:
    """The number of the last entry; the intents that none of those behind them ends; and what is held for them."""
    begun: dict[bytes, bytes] = {}
    held = {} if left is None else dict(left.held)
    last = 0
    for seq, leaf in entries:
        last = seq
        try:
            found = head(leaf)
            run = found.run
            if run is None:
                continue
            if found.kind not in ENDS:
                begun[run] = leaf
                continue
            begun.pop(run, None)
            if left is not None:
                for draw in left.unsettled(seq, leaf):
                    held[draw.bucket] = max(0, held.get(draw.bucket, 0) - draw.held)
        except RecordError:
            continue  # the sequencer states it
    return last, [intent for intent in map(_intent, begun.values()) if intent is not None], held


def _intent(leaf: bytes) -> Intent | None:
    try:
        found = decode(leaf)
    except RecordError:
        return None
    return found if isinstance(found, Intent) else None
