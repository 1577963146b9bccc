"""The table as a program sees it: limits become buckets, and what goes wrong is said in words.

A bucket is known by (name, key, measure, per), and a budget's also by its window. The table holds a keyed hash of that,
nothing in clear.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from tidegate.errors import Overloaded, StartError
from tidegate.limit import mapping, units
from tidegate.limit._draw import Bucket, Hold, Holds
from tidegate.limit._table import Table
from tidegate.limit.refusal import STRENGTH, Exceeded, Refusal, State
from tidegate.limit.windows import FOREVER, Window, window
from tidegate.model import Limit

REMEMBERED: Final = 48 * 2**20  # bytes of prepared buckets, about; then all are forgotten, and found again where needed
NOBODY: Final = bytes(16)


class LimitsFull(Overloaded):
    """A limit needs a place in the table and there is none, for its tenant or at all: the call cannot be metered."""

    code = "limits_full"


class Total(NamedTuple):
    """What was settled of a budget in a window, known from outside the table; `ends` is Unix time in nanoseconds."""

    key: bytes
    ends: int
    settled: int


class Left(NamedTuple):
    """What a dead worker left in one bucket: what it held, and the last record of its journal that is settled there."""

    key: bytes
    kind: Literal["budget", "concurrent"]
    held: int
    seq: int


class Charge(NamedTuple):
    """What a record of a dead worker's journal says was used of a bucket; without one, of seq 0, of what was held."""

    key: bytes
    seq: int
    amount: int


Journal = Callable[[int, int, Sequence[Left]], Iterable[Charge]]


def charge_all(worker: int, journal: int, left: Sequence[Left]) -> Iterable[Charge]:
    """Where no journal knows about a dead worker's calls, all that they held was spent."""
    return [Charge(each.key, 0, each.held) for each in left]


class Limits:
    """Limits that all processes of a machine keep together: exact, without a lock, and nothing spent is forgotten.

    >>> from tidegate import Limit, Limits
    >>> limits = Limits()
    >>> budget = limits.prepare(Limit(name="budget", key=("acme",), measure="tokens", max=1000, per="total"))
    >>> hold = limits.acquire([(budget, 600)])
    >>> limits.state(budget).remaining
    400
    >>> refusal = limits.acquire([(budget, 500)])
    >>> refusal.action, refusal.exceeded[0].remaining
    ('block', 400)
    >>> hold.settle([250])
    ()
    >>> limits.state(budget).remaining
    750

    Without a `path` the table belongs to this process and to those that it forks, which `join` as workers of their own.
    With one it is a file that any process of the machine may open with the same numbers; `worker` is its place, and
    None is for who only supervises. `made` tells why the table is a new one; None: it was there.

    `journal` says what a dead worker's calls are charged, and returns when that is durable; it is asked again should
    that be interrupted. `totals` gives what was settled before there was this table, under keys that were made with
    the same `seed`.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        workers: int = 1,
        worker: int | None = 0,
        slots: int = 65_536,
        quota: int = 16_384,
        deadline: float = 60.0,
        seed: bytes | None = None,
        journal: Journal = charge_all,
        totals: Callable[[], Iterable[Total]] = tuple,
    ) -> None:
        self.path = None if path is None else Path(path)
        self._journal = journal
        self._span = int(deadline * units.SECOND)
        self._retired = False
        self._life = (0, 0)  # of this process: as which worker, and which of its lives
        slots = 1 << (slots - 1).bit_length()
        self.made: str | None = "there was none"
        with mapping.alone(self.path):
            if self.path is None:
                self.table = mapping.anonymous(slots, workers, quota, seed)
                restore(self.table, totals())
            else:
                self.table, self.made = mapping.opened(
                    self.path, slots, workers, quota, seed, lambda table: restore(table, totals())
                )
            self._begin()
            if worker is not None:
                self._join(worker)

    def _begin(self) -> None:
        self._seed = self.table.seed
        self._prepared: dict[bytes, Bucket] = {}
        self._known: dict[int, tuple[Limit, str, Bucket]] = {}
        self._remembered = 0  # bytes of both
        self._windows: dict[tuple[str, str | None], Window] = {}
        self.holds = Holds(self.table, self._span, self._refusal)
        self.acquire: Callable[[Sequence[tuple[Bucket, int]]], Hold | Refusal] = self.holds.acquire

    # drawing; `acquire` is the compiled one

    def prepare(self, limit: Limit, owner: str = "") -> Bucket:
        """The bucket of a limit; `owner` is the tenant in whose quota of the table it takes its place."""
        known = self._known.get(id(limit))  # a policy often asks with the same object
        if known is not None and known[1] == owner:
            return known[2]
        name = msgspec.msgpack.encode((limit, owner))  # equal limits may differ to Python: 1 and true
        if self._remembered > REMEMBERED:
            self._prepared.clear()
            self._known.clear()
            self._remembered = 0
        bucket = self._prepared.get(name)
        if bucket is None:
            bucket = self._prepared[name] = self._new(limit, owner)
            self._remembered += 300 + 2 * len(name)
        self._known[id(limit)] = (limit, owner, bucket)  # the limit is kept too, so that its id stays its own
        self._remembered += 300 + 2 * len(name)
        return bucket

    def _new(self, limit: Limit, owner: str) -> Bucket:
        kind: Literal["rate", "budget", "concurrent"] = "budget"
        rate = units.Rate(1, 1, 0)
        if limit.measure == "concurrent":
            kind = "concurrent"
        elif limit.seconds is not None:
            kind, rate = "rate", units.rate(limit)
        bucket = Bucket(
            self.table,
            limit,
            kind,
            units.whole(limit.measure, limit.max),
            units.whole(limit.measure, limit.max if limit.burst is None else limit.burst),
            (rate.ahead, rate.units, rate.depth),
            self._key(["owner", owner]) if owner else NOBODY,
            limit.exceed == "warn",
            self._roll,
            self._full,
        )
        self._roll(bucket)
        return bucket

    def _roll(self, bucket: Bucket) -> None:
        """Aims a bucket at the window of now."""
        limit = bucket.limit
        identity = [limit.name, limit.key, limit.measure, limit.per]
        if bucket.kind != "budget":
            bucket.aim(self._key(identity), FOREVER)
            return
        assert limit.per is not None
        now = self._window(limit.per, limit.tz)
        bucket.aim(self._key([*identity, now.name]), now.end)

    def _window(self, per: str, tz: str | None) -> Window:
        """The window of now, or a later one that some process has reached: none is ever returned to."""
        wall = self.table.wall_time()
        known = self._windows.get((per, tz))
        if known is None or wall >= known.end:
            known = self._windows[per, tz] = window(per, tz, wall)
            self.table.window_chosen(wall)
        return known

    def _key(self, identity: Sequence[object]) -> bytes:
        return blake2b(msgspec.msgpack.encode(identity), digest_size=16, key=self._seed).digest()

    def _full(self, bucket: Bucket, table: bool) -> None:
        limit = bucket.limit
        which = "the table of limits is full" if table else "the tenant has too many limits in use"
        raise LimitsFull(f"{which}: no place for `{limit.name}`")

    def _refusal(self, pairs: Sequence[tuple[Bucket, int]], refused: int) -> Refusal:
        """All that stands in the way of these draws now, or at least the bucket that did a moment ago."""
        exceeded = []
        for bucket, amount in pairs:
            missing = None if bucket.warns else bucket.missing(amount)
            if missing is not None:
                exceeded.append(Exceeded(bucket.limit, *missing))
        if not exceeded:
            bucket = pairs[refused][0]
            exceeded.append(Exceeded(bucket.limit, bucket.state()[0], 0))
        exceeded.sort(key=lambda each: (not each.never, STRENGTH[each.limit.exceed], -(each.retry or 0)))
        return Refusal(tuple(exceeded))

    def state(self, bucket: Bucket) -> State:
        """What could be drawn now, and when all of it is there again (0: that is not a question of time)."""
        remaining, reset = bucket.state()
        return State(remaining, reset or 0)

    # the calls of this process

    def expire(self) -> int:
        """Gives up the holds whose calls did not renew them; every one is a bug somewhere, and is counted.

        Their places among concurrent calls are free. What they hold of budgets stays held until this process ends.
        """
        return self.holds.expire()

    @property
    def open(self) -> int:
        """How many holds of this process are neither settled nor released."""
        return len(self.holds)

    @property
    def holding(self) -> bool:
        """Whether this process still holds something of a budget or a place among concurrent calls."""
        return any(held for _, _, held, _ in self.table.left(*self._life) or ())

    def turn(self) -> None:
        """Called once a loop turn, or now and then: nothing of this process is halfway."""
        self.table.turn()

    def join(self, worker: int, journal: int = 0) -> None:
        """Makes this process that worker, also after a fork; a dead one before it is reaped.

        `journal` is the epoch of the journal that will record what it settles.
        """
        with mapping.alone(self.path):
            self._join(worker, journal)

    def _join(self, worker: int, journal: int = 0) -> None:
        self.holds.forget()
        epoch, joined, pid, born = self.table.life(worker)
        if joined:
            if mapping.born(pid) == born:
                raise StartError(f"worker {worker} of the limits is process {pid}, which lives")
            self._reap(worker, epoch)
        pid = os.getpid()
        new = self.table.join(worker, pid, mapping.born(pid) or 0, journal)
        if new is None:
            raise StartError(f"worker {worker} of the limits was joined by another process")
        self._life = worker, new

    # the supervisor's part

    def reap(self, worker: int, epoch: int | None = None) -> bool:
        """Settles what a worker that is dead held; False where that was done. Its death must be certain."""
        with mapping.alone(self.path):  # a successor may be about to do the same
            now, joined, _, _ = self.table.life(worker)
            return joined and self._reap(worker, now if epoch is None else epoch)

    def _reap(self, worker: int, epoch: int) -> bool:
        """Killed anywhere in it, it is done again from its beginning: no charge is added twice."""
        left = self.table.left(worker, epoch)
        if left is None:
            return False
        charges: dict[bytes, list[tuple[int, int]]] = {key: [] for key, _, held, _ in left if held}
        for key, seq, amount in self._journal(worker, self.table.journal(worker), [Left(*each) for each in left]):
            charges.setdefault(key, []).append((seq, amount))
        for key, parts in charges.items():
            self.table.charge(worker, epoch, key, parts)
        self.table.free(worker, epoch)
        return True

    def recover(self) -> int:
        """Reaps every worker whose process is gone; returns how many."""
        reaped = 0
        for worker in range(self.table.workers):
            epoch, joined, pid, born = self.table.life(worker)
            if joined and mapping.born(pid) != born:
                reaped += self.reap(worker, epoch)
        return reaped

    def reclaim(self, wait: float = 1.0) -> int:
        """Frees the places that were idle, once every worker has passed a turn.

        When one did not within `wait`, nothing is freed, and the next call goes on from there.
        """
        if not self._retired:
            self.table.retire()
            self._retired = True
        if self.table.joined:
            self.table.turn()
        until = time.monotonic() + wait
        while not self.table.turned():
            if time.monotonic() >= until:
                return 0
            time.sleep(0.001)
        self._retired = False
        return self.table.clear()

    def counters(self) -> dict[str, int]:
        """What happened since the table was made, over all workers, and how full it is."""
        return self.table.counters() | {"used": self.table.used(), "slots": self.table.slots}


def restore(table: Table, totals: Iterable[Total]) -> None:
    """Begins a new table with these. Raises LimitsFull where they have no place."""
    for each in totals:
        if not table.restore(*each):
            raise LimitsFull(f"the table of limits has {table.slots} places, too few for the budgets in use")


def strictest(limits: Iterable[Limit]) -> list[Limit]:
    """One limit for each (name, key, measure, per): the one with the lowest `max`, then `burst`, then the strongest."""
    lowest: dict[tuple[object, ...], Limit] = {}
    for limit in limits:
        identity = (limit.name, limit.key, tuple(map(type, limit.key)), limit.measure, limit.per)
        other = lowest.get(identity)
        if other is None or _rank(limit) < _rank(other):
            lowest[identity] = limit
    return list(lowest.values())


def _rank(limit: Limit) -> tuple[float, float, int]:
    return limit.max, limit.max if limit.burst is None else limit.burst, STRENGTH[limit.exceed]
