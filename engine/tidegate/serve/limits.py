"""The table of limits of a gateway: where it is, and how the lives of dead workers are brought to their end in it.

A worker's life in the table and an epoch of its journal begin and end together; the table knows the epoch. Whatever is
settled is recorded first, and the table keeps with it the number of the record. So a life that is over is ended by the
records alone: the journal is sealed, with a record for each call that has no end; what they all say, and what the table
has not got yet by their numbers, is added; what was held is freed; then the epoch's ring goes, which has kept the
records there. Killed anywhere in it, the supervisor's successor does all of it again, and nothing is added twice.

What no intent speaks of has not left the gateway, and is freed.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import Final

from tidegate.errors import StartError, TidegateError
from tidegate.limit import mapping
from tidegate.limit.limits import Charge, Left, Limits, Total, charge_all
from tidegate.record import aborted, durable
from tidegate.record.aborted import abort, unsettled
from tidegate.record.places import Places
from tidegate.record.recovery import ending, recover, unended
from tidegate.record.segments import Damaged
from tidegate.serve.ledger import memory_of
from tidegate.settings import Settings

SECOND: Final = 1_000_000_000
RECLAIM: Final = 5.0  # seconds after which places that nobody uses are looked for
NAME: Final = "limits"  # of the table's file

Say = Callable[[str], None]


class Lives:
    """Ends the lives of dead workers, in their journals and in the table."""

    def __init__(self, ledger: Places, say: Say, shared: bool = True) -> None:
        """The rings of the journals are in shared memory, or else beside the segments."""
        self._ledger = ledger
        self._memory = memory_of(ledger) if shared else None
        self._say = say

    def end(self, limits: Limits, worker: int) -> bool:
        """Ends what a worker that is certainly dead has begun. False: its place is not free; it is to be tried again.

        Also for one that has ended well, and for one whose end was interrupted.
        """
        try:
            limits.reap(worker)
        except (OSError, TidegateError) as error:
            self._say(f"what worker {worker} held of limits cannot be settled yet: {_words(error)}")
            return False
        self.end_journals(worker)
        return True

    def end_journals(self, worker: int | None = None) -> None:
        """Ends epochs that no life in the table has, of one worker or of all, and clears away what kept them."""
        try:
            found = unended(self._ledger.journal, self._memory)
        except OSError as error:
            self._say(f"the journals cannot be looked through: {_words(error)}")
            return
        for who, epoch in found:
            if worker is None or who == worker:
                try:
                    recover(self._ledger.journal, who, epoch, abort(who, epoch), memory=self._memory, bereft=True)
                except (OSError, TidegateError) as error:
                    self._say(f"the journal of worker {who}, epoch {epoch}, could not be ended: {_words(error)}")

    def charges(self, worker: int, epoch: int, left: Sequence[Left]) -> Iterable[Charge]:
        """What a dead worker's calls are charged, by records that are durable when this returns."""
        folder, memory = self._ledger.journal, self._memory
        if (worker, epoch) not in unended(folder, memory):  # whoever wrote it has ended it, and settled everything
            if any(each.held for each in left):
                self._say(f"worker {worker} is charged all that it held of limits: its journal does not know of it")
            return charge_all(worker, epoch, left)
        known = aborted.Left({each.key: each.held for each in left}, {each.key: each.seq for each in left})
        try:
            recover(folder, worker, epoch, abort(worker, epoch, left=known), memory=memory, clear=False)
            return [Charge(*each) for each in unsettled(ending(folder, worker, epoch, memory), known)]
        except Damaged as error:
            self._say(f"{error.message}: worker {worker} is charged all that it held, without a record")
            return charge_all(worker, epoch, left)


def open_limits(settings: Settings, ledger: Places, workers: int, say: Say, rings_shared: bool = True) -> Limits:
    """The table, with all lives from before ended; for a supervisor before it starts anybody. Raises StartError.

    One of this boot goes on as it was. A new one begins with what the records say was settled of budgets.
    """
    lives = Lives(ledger, say, rings_shared)
    section = settings.limits
    shared, aside = memory_of(ledger), Path(settings.data).absolute() / NAME
    places = [aside] if shared is None or mapping.numbers(aside) else [shared / NAME, aside]
    try:
        seed = _seed(Path(settings.data).absolute() / "limits.seed")
        _end_all(places[0], lives)
        lives.end_journals()
        for place in places:
            try:
                return Limits(
                    place,
                    workers=workers,
                    worker=None,
                    slots=section.slots,
                    quota=section.quota,
                    deadline=section.deadline,
                    seed=seed,
                    journal=lives.charges,
                    totals=lambda: _totals(ledger, say),
                )
            except OSError as error:
                if error.errno != ENOSPC or place is places[-1]:
                    raise
    except (OSError, TidegateError) as error:
        raise StartError(f"the table of limits cannot be used: {_words(error)}") from None
    raise AssertionError


def join(limits: Limits, worker: int, epoch: int) -> None:
    """Makes this process, forked from the supervisor, that worker of the table. Raises StartError."""
    if limits.table.life(worker)[1]:
        raise StartError(f"the place of worker {worker} in the limits was not freed")
    limits.join(worker, epoch)


def let_go(limits: Limits) -> None:
    """The table goes with the gateway, if nobody works on it and nothing is in it."""
    if any(limits.table.life(worker)[1] for worker in range(limits.table.workers)):
        return
    limits.reclaim(0.0)
    if limits.path is not None and not limits.counters()["used"]:
        for path in (limits.path, limits.path.with_name(limits.path.name + ".lock")):
            path.unlink(missing_ok=True)


class Upkeep:
    """The supervisor's part while the gateway runs."""

    def __init__(self, limits: Limits, say: Say) -> None:
        self._limits = limits
        self._say = say
        self._next = 0.0
        self._expired = limits.table.counters()["expired"]

    def check(self, now: float) -> None:
        """Frees places that nobody uses, and says what went wrong; never waits."""
        if now < self._next:
            return
        self._next = now + RECLAIM
        self._limits.reclaim(0.0)
        expired = self._limits.table.counters()["expired"]
        if expired > self._expired:
            self._say(f"{expired - self._expired} calls were lost while they held limits; this is a bug")
            self._expired = expired


class Turns:
    """A worker's part, once a second on its clock."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def check(self, now: float) -> bool:
        """Nothing of this worker is halfway; holds that nobody renewed are given up."""
        self._limits.turn()
        self._limits.expire()
        return True


def _end_all(place: Path, lives: Lives) -> None:
    """Ends all lives of a table of this boot, whatever numbers it was made with."""
    found = mapping.numbers(place)
    if found is None:
        return
    slots, workers = found
    old = Limits(place, slots=slots, workers=workers, worker=None, journal=lives.charges)
    for worker in range(workers):
        if old.table.life(worker)[1]:
            old.reap(worker)


def _totals(ledger: Places, say: Say) -> list[Total]:
    from tidegate.record.totals import of_ledger  # here, where it is needed: once a boot

    return [Total(each.bucket, each.end * SECOND, each.settled) for each in of_ledger(ledger, say).current()]


def _seed(path: Path) -> bytes:
    """What the keys of buckets are made with: the same for ever, because records name buckets by them."""
    try:
        seed = path.read_bytes()
    except FileNotFoundError:
        new = path.with_name(path.name + durable.UNFINISHED)
        new.unlink(missing_ok=True)
        durable.create(new, os.urandom(16), 0o600)
        new.rename(path)
        durable.flush_folder(path.parent)
        seed = path.read_bytes()
    if len(seed) != 16:
        raise StartError(f"`{path}` is not what it should be: it has {len(seed)} bytes, not 16")
    return seed


def _words(error: OSError | TidegateError) -> str:
    return error.message if isinstance(error, TidegateError) else f"{error.strerror or error} (`{error.filename}`)"
