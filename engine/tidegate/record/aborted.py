"""A call that had begun when its worker died has an end in the ledger too: the record that it was aborted."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from tidegate.record.leaves import decode, encode
from tidegate.record.records import Aborted, Draw, Intent, Outcome, RecordError
from tidegate.record.segments import Entry

WORKER_DIED: Final = "worker_died"
CLOSED: Final = "closed"

Charge = Callable[[Intent], tuple[Draw, ...]]


def all_of_it(intent: Intent) -> tuple[Draw, ...]:
    """What a call held is charged whole, where nobody knows better."""
    return tuple([replace(each, settled=each.held) for each in intent.draws])


def abort(
    worker: int, epoch: int, reason: str = WORKER_DIED, charge: Charge = all_of_it
) -> Callable[[Iterator[Entry]], Iterable[bytes]]:
    """What `recovery.recover` asks for: for each intent without an end among the entries, a record that ends it."""

    def records(entries: Iterator[Entry]) -> Iterable[bytes]:
        last, begun = unended(entries)
        now = time.time_ns()
        for seq, intent in enumerate(begun, last + 1):
            yield encode(
                Aborted(
                    worker=worker,
                    epoch=epoch,
                    seq=seq,
                    time=now,
                    run=intent.run,
                    reason=reason,
                    draws=charge(intent),
                )
            )

    return records


def unended(entries: Iterable[Entry]) -> tuple[int, list[Intent]]:
    """The number of the last entry, and the intents that none of those behind them ends, in their order."""
    begun: dict[bytes, Intent] = {}
    last = 0
    for seq, record in entries:
        last = seq
        try:
            found = decode(record)
        except RecordError:
            continue  # the sequencer states it
        if isinstance(found, Intent):
            begun[found.run] = found
        elif isinstance(found, Outcome | Aborted):
            begun.pop(found.run, None)
    return last, list(begun.values())
