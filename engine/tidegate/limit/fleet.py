"""Limits that several nodes share, exact together, on Redis or Valkey: the interface of `Limits`, spent from leases.

    fleet = Fleet("redis://limits.internal", nodes=4)
    bucket = fleet.prepare(limit)
    taken = fleet.acquire([(bucket, 1)])        # a Hold, or a Refusal; local, never waits
    if isinstance(taken, Waiting):              # no lease is here yet: ask again when it is
        fleet.fetch(taken, lambda: ...)

What is promised, with `nodes` nodes and a lease of L (`leases.terms`; at least the largest single draw):

* a budget: what all nodes draw never exceeds `max`; what a node has leased and not spent, at most L, cannot be drawn
  elsewhere until it is given back: after some seconds without a call, at shutdown, not after a crash
* a rate: what all nodes draw in any window w is at most burst + max * w / per + nodes * L
* a refusal is at most a tenth of a second old: what others gave back in the meantime is seen afterwards
* `concurrent`: the calls under way are at most `max`; the places of a node that was not heard for `silence` are free,
  also when it goes on cut off
* while the server is away a node draws its share: one in `nodes` of what it last knew to be left, and of what a rate
  brings. Such holds are marked `shared`, for the record. Each cut-off node may add its share to the bounds above; it
  is told to the server when that is back, also to one that has lost its memory.

Every node must be told the same number of nodes. A node is one process; one thread calls these methods. Time and
windows are the server's; the server must not evict keys (`maxmemory-policy noeviction`).
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from tidegate.limit.leases import DAY_MS, IDLE_MS, MICROSECOND, SECOND, Lease, Terms, terms
from tidegate.limit.lessor import Answer, Lessor, Question, Server
from tidegate.limit.refusal import STRENGTH, Exceeded, Refusal, State
from tidegate.limit.windows import FOREVER, window
from tidegate.model import CALENDAR, Limit

IDLE: Final = 5 * SECOND  # a lease that nobody draws from goes back after so long
TURN: Final = SECOND  # how often idle leases are looked for
REMEMBERED: Final = 65_536  # prepared buckets; then all are forgotten, and prepared again
LONG: Final = 3600 * SECOND  # and is forgotten after so long; what calls still hold is told again
SOON: Final = SECOND // 100  # when a lease that is on its way will be here, to who does not wait for it


class Bucket:
    """A limit of the fleet, prepared. `until` is when its lease is that of an older window."""

    __slots__ = ("burst", "clock", "identity", "lease", "limit", "max", "terms", "until")

    def __init__(self, limit: Limit, terms: Terms, identity: str) -> None:
        self.limit = limit
        self.terms = terms
        self.max = terms.max
        self.burst = terms.burst
        self.identity = identity
        self.lease: Lease | None = None
        self.until = 0
        self.clock = 0


class Waiting(Refusal, frozen=True):
    """A lease that is needed is not here yet. Nothing was refused; who cannot wait may say so all the same."""

    leases: tuple[Lease, ...] = ()


Drawn = tuple[Bucket, Lease, int]


class Hold:
    """What was drawn for one call, in the order in which it was asked for. To say a thing twice is to say it once."""

    __slots__ = ("_drawn", "_fleet", "_over", "exceeded", "shared")

    def __init__(self, fleet: "Fleet", drawn: list[Drawn], exceeded: tuple[Limit, ...]) -> None:
        self._fleet = fleet
        self._drawn = drawn
        self._over: tuple[int, ...] | None = None
        self.exceeded = exceeded  # the limits that only warn
        self.shared = fleet.away is True  # the server was away: for the record

    @property
    def amounts(self) -> tuple[int, ...]:
        """What is held, in the order of the buckets."""
        return tuple(amount for _, _, amount in self._drawn)

    @property
    def open(self) -> bool:
        """Whether it is neither settled nor released."""
        return self._over is None

    def grow(self, totals: Sequence[int]) -> Refusal | None:
        """Draws until so much is held of every bucket; None, or a Refusal, and then everything is as it was."""
        if self._over is not None:
            return None
        more = [
            (bucket, lease, 0 if lease.terms.kind == "concurrent" else max(0, total - amount))
            for (bucket, lease, amount), total in zip(self._drawn, totals, strict=True)
        ]
        exceeded = self._fleet._draw(more, time.monotonic_ns())
        if isinstance(exceeded, Refusal):
            return exceeded
        self.exceeded += tuple(limit for limit in exceeded if limit not in self.exceeded)
        self.shared = self.shared or self._fleet.away is True
        self._drawn = [
            (bucket, lease, amount + step)
            for (bucket, lease, amount), (_, _, step) in zip(self._drawn, more, strict=True)
        ]
        return None

    def settle(self, actual: Sequence[int]) -> tuple[int, ...]:
        """What was really used takes the place of what was held; returns how much more it was, `()` where it was not.

        A place among `concurrent` calls is given back, whatever was used.
        """
        if self._over is None:
            over = []
            for (_, lease, amount), used in zip(self._drawn, actual, strict=True):
                more = (0 if lease.terms.kind == "concurrent" else used) - amount
                over.append(max(0, more))
                self._fleet._settle(lease, more)
            self._over = tuple(over) if any(over) else ()
        return self._over

    def release(self) -> None:
        """Gives everything back: nothing was used."""
        self.settle([0] * len(self._drawn))

    def renew(self) -> None:
        """The call lives. Nothing to do: what a node holds lives as long as the node does."""


class Fleet:
    """One node's part of the limits of a fleet.

    `lease` is in how many seconds a lease of a rate is spent, `silence` after how many without a word from a node its
    places are free. A program with a loop gives its `call_soon_threadsafe` as `wake`, and what waits goes on there.
    """

    def __init__(
        self, url: str, *, nodes: int, prefix: str = "tidegate", secret: bytes = b"", lease: float = 0.1,
        timeout: float = 0.5, silence: float = 10.0, wake: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:  # fmt: skip
        if nodes < 1:
            raise ValueError(f"`nodes` must be at least 1, found `{nodes}`")
        self.nodes = nodes
        self.away: bool | None = None  # None: not known yet
        self._seconds = lease
        self._silence = int(silence * 1_000_000)
        self._secret = blake2b(secret).digest()
        self._wake = wake
        self._news = threading.Event()
        self._wall = time.time_ns() - time.monotonic_ns()
        self._latest = 0
        self._clock = 0  # of buckets: how often the server's time was learnt when they chose a window
        self._era = ""
        self._leases: dict[str, Lease] = {}
        self._serial = 0
        self._buckets: dict[bytes, Bucket] = {}
        self._arrived: deque[Answer | Server] = deque()
        self._callers: list[tuple[tuple[Lease, ...], Callable[[], None]]] = []
        self._next = 0
        # one hash tag, so that a cluster keeps the fleet and its buckets together
        self._lessor = Lessor(
            url, f"{{{prefix}}}:", os.urandom(8).hex(), timeout=timeout, beat=min(1.0, silence / 4), told=self._told
        )
        self._lessor.start()

    # what Limits has

    def prepare(self, limit: Limit, owner: str = "") -> Bucket:
        """The bucket of a limit. `owner` means nothing here: the server has no quota of places."""
        name = msgspec.msgpack.encode(limit)  # equal limits may differ to Python: 1 and true
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= REMEMBERED:
                self._buckets.clear()
            bucket = self._buckets[name] = Bucket(limit, terms(limit, self.nodes, self._seconds), self._identity(limit))
        return bucket

    def acquire(self, draws: Sequence[tuple[Bucket, int]]) -> Hold | Refusal:
        """Draws every (bucket, amount), or nothing. Never waits: a `Waiting` says that asking again will help."""
        now = time.monotonic_ns()
        if self._arrived or now >= self._next:
            self.turn()
        drawn = [(bucket, self._of(bucket, now), amount) for bucket, amount in draws]
        exceeded = self._draw(drawn, now)
        if isinstance(exceeded, Refusal):
            return exceeded
        for _, lease, _ in drawn:
            lease.holds += 1
            lease.drawn_at = now
        return Hold(self, drawn, exceeded)

    def state(self, bucket: Bucket) -> State:
        """What this node could draw as far as it knows, and when the bucket has all of it again."""
        if self._arrived:
            self.turn()
        now = time.monotonic_ns()
        lease = self._of(bucket, now)
        remaining = max(0, min(lease.remaining(now), bucket.burst))
        flow = bucket.terms.flow
        if flow:
            return State(remaining, -int(-(bucket.burst - remaining) / flow // 1))
        return State(remaining, max(0, lease.until - self._time(now)) if lease.until < FOREVER else 0)

    @property
    def calls(self) -> int:
        """How often the server was asked for this node."""
        return self._lessor.calls

    # waiting

    def fetch(self, waiting: Refusal, then: Callable[[], None]) -> None:
        """Calls `then` once, when the leases have come or will not come now; acquire is to be asked again."""
        self._callers.append((waiting.leases if isinstance(waiting, Waiting) else (), then))
        if self._wake is not None:
            self._wake(self.turn)

    def wait(self, waiting: Refusal, timeout: float) -> None:
        """The same for a program without a loop: returns when asking again may help, or after `timeout` seconds."""
        until = time.monotonic() + timeout
        arrived: list[None] = []
        self.fetch(waiting, lambda: arrived.append(None))
        self.turn()
        while not arrived and (left := until - time.monotonic()) > 0:
            self._news.clear()
            if not self._arrived:
                self._news.wait(left)
            self.turn()

    def turn(self) -> None:
        """Takes in what has arrived, and gives back what lies idle. For a loop's clock; acquire does it as well."""
        now = time.monotonic_ns()
        while self._arrived:
            news = self._arrived.popleft()
            if isinstance(news, Answer):
                self._answered(news, now)
            elif news.now is None:
                self._cut_off(now)
            else:
                self._connected(news.now, news.era, now)
        if now >= self._next:
            self._next = now + TURN
            for lease in list(self._leases.values()):
                self._tidy(lease, now)
        if self._callers:
            callers, self._callers = self._callers, []
            for leases, then in callers:
                if self.away is None or any(lease.sent for lease in leases):
                    self._callers.append((leases, then))
                else:
                    then()

    def close(self) -> None:
        """Tells the server all that was spent, so that the rest is free, and ends.

        A server that is away stays without it: open holds are to be settled, and shares told, before.
        """
        self.turn()
        now = time.monotonic_ns()
        for lease in self._leases.values():
            self._ask(lease, now, keep=False, last=True)
        self._lessor.close()

    # drawing

    def _draw(self, drawn: list[Drawn], now: int) -> tuple[Limit, ...] | Refusal:
        """Draws all, or says why not; what comes back else are limits that are exceeded and only warn."""
        for place, (bucket, lease, amount) in enumerate(drawn):
            if lease.terms is not bucket.terms:
                lease.terms, lease.not_before = bucket.terms, 0
            if amount > bucket.burst or not lease.take(amount, now):
                for _, taken, given in drawn[:place]:
                    taken.spend(-given)
                return self._short(drawn, now)
            if lease.low and not lease.sent and now >= lease.not_before:
                self._ask(lease, now)
        return ()

    def _short(self, drawn: list[Drawn], now: int) -> tuple[Limit, ...] | Refusal:
        """The same once more, when it is known that not all can be had."""
        taken: list[Drawn] = []
        coming: list[Lease] = []
        exceeded: list[Exceeded] = []
        for bucket, lease, amount in drawn:
            if amount <= bucket.burst and lease.take(amount, now):
                taken.append((bucket, lease, amount))
                continue
            if amount <= bucket.burst and self._comes(lease, amount, now):
                coming.append(lease)
            exceeded.append(self._exceeded(bucket, lease, amount, now))
        refusing = [one for one in exceeded if one.limit.exceed != "warn"]
        if not coming and not refusing:
            for bucket, lease, amount in drawn:
                if (bucket, lease, amount) not in taken:
                    lease.spend(amount)
            return tuple(one.limit for one in exceeded)
        for _, lease, amount in taken:
            lease.spend(-amount)
        if coming and len(coming) == len(exceeded):
            return Waiting(strongest(exceeded), tuple(coming))
        return Refusal(strongest(refusing)) if refusing else Waiting(strongest(exceeded), tuple(coming))

    def _comes(self, lease: Lease, wanted: int, now: int) -> bool:
        """Is more on its way?"""
        if lease.share is None and not lease.sent and not lease.hopeless(wanted, now):
            self._ask(lease, now, wanted=wanted)
        return lease.sent > 0

    def _exceeded(self, bucket: Bucket, lease: Lease, amount: int, now: int) -> Exceeded:
        remaining = max(0, lease.remaining(now))
        if amount > bucket.burst:
            return Exceeded(bucket.limit, remaining, None, never=True)
        retry: int | None
        if lease.sent:
            retry = SOON
        elif lease.share is not None:
            retry = lease.share.wait(amount)
        elif bucket.terms.kind == "rate":
            retry = max(lease.not_before - now, -int(-(amount - remaining) / bucket.terms.flow // 1), 1)
        else:
            retry = lease.until - self._time(now) if lease.until < FOREVER else None
        return Exceeded(bucket.limit, remaining, retry)

    def _settle(self, lease: Lease, more: int) -> None:
        """A hold is over; it used so much more, or less, than it held."""
        lease.spend(more)
        lease.holds -= 1
        if (lease.plenty or lease.in_debt) and not lease.sent and lease.share is None:
            self._ask(lease, time.monotonic_ns())

    # leases

    def _of(self, bucket: Bucket, now: int) -> Lease:
        """The lease that a bucket has now."""
        lease = bucket.lease
        if lease is not None and not lease.dropped and now < bucket.until and bucket.clock == self._clock:
            return lease
        until, key = FOREVER, bucket.identity
        bucket.until, bucket.clock = FOREVER, self._clock
        if bucket.limit.per in CALENDAR:
            wall = self._time(now)
            current = window(str(bucket.limit.per), bucket.limit.tz, wall)
            key, until = f"{key}:{current.name}", current.end
            bucket.until = now + until - wall
        lease = self._leases.get(key)
        if lease is None:
            self._serial += 1
            lease = self._leases[key] = Lease(key, self._serial, bucket.terms, until)
            lease.drawn_at = now
            if self.away:
                lease.cut_off(now)
        bucket.lease = lease
        return lease

    def _ask(self, lease: Lease, now: int, *, wanted: int = 0, keep: bool = True, last: bool = False) -> None:
        kind, until = lease.terms.kind, lease.until
        remembered = IDLE_MS if kind == "rate" else DAY_MS
        if kind == "budget":
            remembered = DAY_MS + (until - self._time(now)) // 1_000_000 if until < FOREVER else 0
        arguments = [
            *lease.request(now, wanted=wanted, keep=keep),
            self._silence,
            max(remembered, 0),
            int(last),
            lease.serial,
        ]
        self._lessor.ask(Question(lease, arguments))

    def _tidy(self, lease: Lease, now: int) -> None:
        """Gives back what nobody has drawn from for a while, and forgets it after a long while."""
        if lease.sent or lease.share is not None:
            return
        idle = now - lease.drawn_at
        if idle > LONG and not lease.holds:
            self._ask(lease, now, keep=False, last=True)
            lease.dropped = True
            del self._leases[lease.key]
        elif (lease.available > 0 and idle > IDLE) or (lease.own and now - lease.seen > LONG):
            self._ask(lease, now, keep=False)

    # what the lessor's thread has to tell

    def _told(self, news: Answer | Server) -> None:
        self._arrived.append(news)
        self._news.set()
        if self._wake is not None:
            self._wake(self.turn)

    def _answered(self, answer: Answer, now: int) -> None:
        lease, grant = answer
        if grant is None:
            lease.sent = 0
            return
        lease.answered(grant, now)
        if str(grant.era) != self._era:
            self._connected(grant.now, str(grant.era), now)
        if (lease.in_debt or (lease.plenty and not grant.grant)) and not lease.sent:  # a grant is for who waits
            self._ask(lease, now)

    def _connected(self, server: int, era: str, now: int) -> None:
        """The server is there. One whose memory began anew is told of everything, not only of what is owed to it."""
        self.away = False
        self._wall = server * MICROSECOND - now
        self._clock += 1
        anew, self._era = era not in (self._era, ""), era
        for lease in self._leases.values():
            lease.connected()
            if not lease.sent and (lease.in_debt or (anew and lease.era not in ("", era))):
                self._ask(lease, now)

    def _cut_off(self, now: int) -> None:
        self.away = True
        for lease in self._leases.values():
            lease.cut_off(now)

    def _time(self, now: int) -> int:
        """Unix time as the server has it, and never earlier than it was."""
        self._latest = max(self._latest, now + self._wall) if self._era else now + self._wall
        return self._latest

    def _identity(self, limit: Limit) -> str:
        """The name of a bucket in the server: who reads its keys learns nothing about callers."""
        words = msgspec.json.encode([limit.name, limit.key, limit.measure, limit.per])
        return blake2b(words, key=self._secret, digest_size=16).hexdigest()


def strongest(exceeded: Sequence[Exceeded]) -> tuple[Exceeded, ...]:
    """The limits that refused, those that block first."""
    return tuple(sorted(exceeded, key=lambda one: (not one.never, STRENGTH[one.limit.exceed])))
