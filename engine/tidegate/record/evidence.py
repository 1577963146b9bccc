"""A worker's side of the ledger: records go into its journal, and who waits for one is told when it is durable.

    evidence.write(make, new)       -> the record's number; `make` gets what stands at its head
    evidence.wait(seq, waiting)     whether `waiting` has to wait: its `release` or `lost` is called later
    evidence.of(caller, then)       the pseudonyms of a caller, at once or when its keys have come
    evidence.refused(code)          a request that nobody is known for

Nothing here waits. The writer of the journal is woken once a turn of the loop, and only for somebody who waits. When a
commit fails, or takes too long, all who wait are told that there is no record; none of them may go on as if there were.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, TypedDict

from msgspec.msgpack import decode, encode
from msgspec.structs import replace

from tidegate.clock import Watched
from tidegate.errors import TidegateError
from tidegate.model import Caller
from tidegate.record._journal import Journal
from tidegate.record._open import Begun, OpenRuns
from tidegate.record._subject import Subject
from tidegate.record.leaves import encode as leaf_of
from tidegate.record.leaves import raw_digest, refusals
from tidegate.record.records import Gap, PolicyLoaded, Record, Who
from tidegate.record.subjects import REMEMBERED, Kind, Subjects
from tidegate.record.unrecorded import Unrecorded

INTERVAL: Final = 10.0  # seconds that the refusals of callers nobody knows are counted together
MOST_LATE: Final = 10_000  # ends of runs that wait for room
CODES: Final = 64  # different ones, counted apart


class Stamp(TypedDict):
    """What stands at the head of a record."""

    worker: int
    epoch: int
    seq: int
    time: int


class Waiting(Protocol):
    """Who waits for a record."""

    def release(self) -> None:
        """It is durable."""
        ...

    def lost(self, error: TidegateError) -> None:
        """It is not, and nobody knows whether it will be."""
        ...


class Loop(Protocol):
    """As much of an event loop as is needed here."""

    def call_soon(self, callback: Callable[[], None], /) -> object:
        """Calls back at the end of this turn."""
        ...

    def add_reader(self, fd: int, callback: Callable[[], None], /) -> object:
        """Calls back whenever there is something to read."""
        ...

    def remove_reader(self, fd: int, /) -> object:
        """No longer."""
        ...


class Ticks(Protocol):
    """As much of a clock."""

    @property
    def now(self) -> float: ...

    def watch(self, thing: Watched, /) -> None:
        """Has its `check` called about once a second."""
        ...


class Known:
    """A caller in pseudonyms, as a record has them, and the subject whose key its records go through."""

    def __init__(self, who: Who, about: Subject, since: int) -> None:
        self.said = encode(who)
        self.about = about
        self.since = since  # so many keys were destroyed before; with one more it says nothing

    @property
    def who(self) -> Who:
        """The pseudonyms."""
        return decode(self.said, type=Who)

    def within(self, session: str | None, parent: str | None) -> "Known":
        """The same caller in a session, or with a run that this one came from."""
        who = self.who
        about = self.about
        return Known(
            Who(who.tenant, who.key, who.user, about.session(session or ""), about.parent(parent or "")),
            about,
            self.since,
        )


class Evidence:
    """The journal of one worker."""

    def __init__(
        self,
        journal: Journal,
        subjects: Subjects,
        worker: int,
        epoch: int,
        loop: Loop,
        clock: Ticks,
    ) -> None:
        self.worker = worker
        self.epoch = epoch
        self.lost = 0  # answers that were held and could not be recorded
        self._journal = journal
        self._subjects = subjects
        self._known: dict[tuple[str, str | None, str | None], Known] = {}  # callers met, without session and parent
        self._destroyed = subjects.destroyed
        self._loop = loop
        self._waiting: deque[tuple[int, Waiting]] = deque()
        self._failures = journal.failures
        self._turning = False
        self._closed = False
        self._open = OpenRuns()
        self._late: deque[tuple[Begun | None, Callable[[Stamp], Record], Callable[[int], None]]] = deque()
        self._refused: dict[str, int] = {}
        self._policies = ["", ""]
        self._vanished = 0  # ends of runs that nothing else is known of
        self._dropped = 0  # records that the ledger says are missing: so many of those that vanished or were dropped
        self._since = time.time_ns()
        self._next = clock.now + INTERVAL
        loop.add_reader(journal.fileno(), self._acknowledged)
        clock.watch(self)

    # records

    def write(self, make: Callable[[Stamp], Record], new: bool = False) -> int:
        """Takes a record: no kill of this process loses it. Raises Unrecorded where it cannot be kept."""
        journal = self._journal
        self._rouse()
        seq = journal.appended + 1
        at: Stamp = {"worker": self.worker, "epoch": self.epoch, "seq": seq, "time": time.time_ns()}
        return journal.append(leaf_of(make(at)), new)

    def begun(self, run: Begun, seq: int) -> None:
        """A run has an intent; of several the last counts."""
        self._open.begin(run, seq)

    def ended(self, run: Begun | None) -> None:
        """It has an outcome."""
        self._open.end(run)

    def later(self, run: Begun | None, make: Callable[[Stamp], Record], then: Callable[[int], None]) -> None:
        """The end of a run that finds no room now is recorded as soon as there is some."""
        if len(self._late) < MOST_LATE:
            self._late.append((run, make, then))
        elif run is None:  # one with an intent is recorded as aborted when this worker ends
            self._vanished += 1

    def _say_late(self) -> None:
        while self._late:
            run, make, then = self._late[0]
            try:
                seq = self.write(make)
            except Unrecorded:
                return
            self._late.popleft()
            then(seq)
            self.ended(run)

    def policies(self, digests: tuple[str, str]) -> None:
        """Records which policies are in force, where others were before."""
        for place, (role, now) in enumerate(zip(("enforced", "shadow"), digests, strict=True)):
            before = self._policies[place]
            if now == before:
                continue
            try:
                self.write(partial(_loaded, role, raw_digest(now), raw_digest(before)))
            except Unrecorded:
                continue  # it is said when the journal is well again
            self._policies[place] = now

    def refused(self, code: str) -> None:
        """Counts a request that was refused before a caller was known: one record an interval says how many."""
        if code not in self._refused and len(self._refused) >= CODES:
            code = "other"
        self._refused[code] = self._refused.get(code, 0) + 1

    # waiting

    def wait(self, seq: int, waiting: Waiting) -> bool:
        """Whether the record is still to become durable; then `release` or `lost` follows, in a later callback."""
        if not seq or self._journal.want(seq):  # without a number it was dropped, as best effort may
            return False
        self._waiting.append((seq, waiting))
        self._soon()
        return True

    def behind(self) -> int:
        """The record for which new calls had better wait, as the disk is late; 0 when it is not."""
        return self._journal.appended if self._journal.crowded() else 0

    def _rouse(self) -> None:
        """A record comes. Who waits for others may have to be told, and a writer that has gone to sleep be woken; one
        that is awake, or sleeps only until others ride along, finds it by itself.
        """
        if self._waiting or self._journal.idle():
            self._soon()

    def _soon(self) -> None:
        """At the end of this turn of the loop the journal's writer is woken, if it has reason to."""
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        if self._closed:
            return  # a turn that was to come when the last record was written
        if not self._journal.turn():
            self._lose()
        elif self._waiting:
            self._release(self._journal.durable)  # what rode along while this turn went on, of which nobody tells

    def _acknowledged(self) -> None:
        self._release(self._journal.acknowledge())
        if self._journal.failures != self._failures:
            self._failures = self._journal.failures
            self._lose()
        elif self._waiting:
            self._soon()

    def _release(self, durable: int) -> None:
        """Who waits for records up to this one goes on; the others keep their order."""
        waiting = self._waiting
        for _ in range(len(waiting)):
            each = waiting.popleft()
            if each[0] <= durable:
                each[1].release()
            else:
                waiting.append(each)

    def _lose(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        self.lost += len(waiting)
        error = Unrecorded(self._journal.trouble or "the record of this call could not be kept")
        for _, each in waiting:
            each.lost(error)

    def check(self, now: float) -> bool:
        """The clock's question: has a commit become too old, and is it time to say who was refused?"""
        self._turn()
        self._say_late()
        self._journal.keep(self._open.first or self._journal.appended + 1)
        if now >= self._next:
            self._next = now + INTERVAL
            self.say_refused()
        self._say_dropped()
        return True

    def _say_dropped(self) -> None:
        """What found no room is not forgotten: the ledger says how much is missing."""
        count = self._journal.dropped + self._vanished - self._dropped
        if not count:
            return
        try:
            said = self.write(partial(_missing, count))
        except Unrecorded:
            return  # it is said when there is room
        self._dropped += count if said else 1  # that was dropped itself: it is said again, and is not missing

    def say_refused(self) -> None:
        """Records the refusals that were counted so far."""
        if not self._refused:
            return
        counts, since = self._refused, self._since
        try:
            self.write(lambda at: refusals(counts, since, **at))
        except Unrecorded:
            return  # they stay counted, and are said when the journal is well again
        self._refused = {}
        self._since = time.time_ns()

    # callers

    def at_hand(self, caller: Caller, before: Known | None = None) -> Known | None:
        """The caller's pseudonyms, if all its keys are at hand; `before` is what was said of the same caller last."""
        destroyed = self._subjects.destroyed
        if before is not None and before.since == destroyed:
            return before
        if self._destroyed != destroyed or len(self._known) >= REMEMBERED:
            self._known.clear()
            self._destroyed = destroyed
        name = caller.tenant, caller.key, caller.user
        known = self._known.get(name)
        if known is None:
            found: list[Subject] = []
            for each in _names(caller):
                subject = self._subjects.known(*each)
                if subject is None:
                    return None
                found.append(subject)
            known = self._known[name] = _known(caller, found, destroyed)
        if caller.session or caller.parent:
            return known.within(caller.session, caller.parent)
        return known

    def of(self, caller: Caller, then: Callable[[Known | None], None]) -> None:
        """Calls `then` with the caller's pseudonyms, at once where its keys are at hand; with None where they cannot be
        had, and the call must not go on.
        """
        names = _names(caller)
        found: list[Subject] = []

        def next_one() -> None:
            if len(found) == len(names):
                then(_known(caller, found, self._subjects.destroyed).within(caller.session, caller.parent))
            else:
                self._subjects.find(met, *names[len(found)])

        def met(subject: Subject | None) -> None:
            if subject is None:
                then(None)
            else:
                found.append(subject)
                next_one()

        next_one()

    def close(self) -> None:
        """Nothing is recorded any more."""
        self._loop.remove_reader(self._journal.fileno())
        self._say_late()
        self.say_refused()
        self._say_dropped()
        self._lose_none()
        self._closed = True

    def _lose_none(self) -> None:
        """Who still waits is released by what the journal made durable as it closed, or told."""
        self._journal.drain(1.0)
        durable = self._journal.durable
        waiting, self._waiting = self._waiting, deque()
        for seq, each in waiting:
            if seq <= durable:
                each.release()
            else:
                each.lost(Unrecorded("the record of this call could not be kept"))


def _loaded(role: str, now: bytes, before: bytes, at: Stamp) -> Record:
    return PolicyLoaded(**at, role=role, policy=now, before=before)


def _missing(count: int, at: Stamp) -> Record:
    return Gap(**at, of_worker=at["worker"], of_epoch=at["epoch"], first=0, count=count, reason="dropped")


def _names(caller: Caller) -> list[tuple[str, Kind, str]]:
    names: list[tuple[str, Kind, str]] = [(caller.tenant, "tenant", "")]
    if caller.key:
        names.append((caller.tenant, "key", caller.key))
    if caller.user:
        names.append((caller.tenant, "user", caller.user))
    return names


def _known(caller: Caller, found: list[Subject], destroyed: int) -> Known:
    tenant, about = found[0], found[-1]
    key = found[1].pseudonym if caller.key else b""
    user = about.pseudonym if caller.user else b""
    return Known(Who(tenant.pseudonym, key, user), about, destroyed)


def stamped(record: Record, at: Stamp) -> Record:
    """The record with what stands at its head."""
    return replace(record, **at)
