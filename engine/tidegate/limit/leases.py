"""What one node may spend of a bucket that a fleet shares, without asking: its lease.

A lease is debited before it is spent, so what the nodes spend together never exceeds what was granted. Two numbers say
it all: `own`, what this node has taken of the bucket, and `spent`, what its calls have taken of that. `lease.lua` adds
up the `own` of all nodes; each is written by its node alone.

While the server is away a node may spend its share beyond that: a part, one for each node, of what it last knew to be
left, and of what a rate brings since. It is told to the server afterwards as everything spent is, so that neither the
way out nor the way back is a burst.

Nothing here waits or reads a clock. Times are nanoseconds.
"""

from fractions import Fraction
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from tidegate.limit import units
from tidegate.model import Limit

Kind = Literal["rate", "budget", "concurrent"]

MOST: Final = 2**52  # the server's numbers are exact to 2**53; of money this is 45 million dollars
MICROSECOND: Final = 1_000
SECOND: Final = 1_000_000_000
DAY_MS: Final = 86_400_000
IDLE_MS: Final = 60_000  # a rate's bucket that is full again is forgotten after so long
BUDGET_PARTS: Final = 32  # what all nodes together keep of a budget while it is far from its end: one in so many
PLACE_PARTS: Final = 4
AGAIN: Final = (
    SECOND // 10
)  # a bucket that had nothing to give is asked again after so long: a lease may have come back


class Terms(Struct, frozen=True):
    """A limit as the server reckons it, and how it is leased among so many nodes."""

    kind: Kind
    max: int
    period: float  # us; of a rate: `max` for every `period`
    burst: int  # of a rate; else `max`
    size: int  # of a lease
    least: int  # of a grant: near a rate's limit it is better to wait than to ask for each call
    part: int
    nodes: int

    @property
    def keeps(self) -> int:
        """What a node keeps in store: nothing where there is so little that it is taken call by call."""
        return self.size if self.size > 1 else 0

    @property
    def flow(self) -> Fraction:
        """What a rate brings to all nodes in a nanosecond."""
        if self.kind != "rate" or not self.period:
            return Fraction(0)
        return Fraction(self.max) / (Fraction(self.period) * MICROSECOND)


def terms(limit: Limit, nodes: int, lease: float) -> Terms:
    """How a limit is leased to nodes that each spend a lease of a rate in about `lease` seconds."""
    most = min(units.whole(limit.measure, limit.max), MOST)
    if limit.measure == "concurrent":
        return Terms("concurrent", most, 0.0, most, max(1, most // (PLACE_PARTS * nodes)), 1, 2 * nodes, nodes)
    if limit.seconds is None:
        return Terms("budget", most, 0.0, most, max(1, most // (BUDGET_PARTS * nodes)), 1, 2 * nodes, nodes)
    rate = units.rate(limit)
    burst = most if limit.burst is None else min(units.whole(limit.measure, limit.burst), MOST)
    size = max(1, min(burst // (2 * nodes), int(lease * SECOND * rate.units / rate.ahead / nodes)))
    return Terms("rate", rate.units, rate.ahead / MICROSECOND, burst, size, max(1, size // 4), 1, nodes)


class Grant(NamedTuple):
    """What the server answers. `room` is what is left for others, `used` how far the bucket is used (us of a rate)."""

    era: int
    now: int
    grant: int
    room: int
    used: int
    wait: int  # us


class Share:
    """What a node may spend while the server is away: no more than `cap` at once, and `flow` in a nanosecond."""

    def __init__(self, level: Fraction, cap: int, flow: Fraction, now: int) -> None:
        self._level = level
        self._cap = cap
        self._flow = flow
        self._at = now

    def left(self, now: int) -> int:
        """What may be spent now."""
        level = self._level + self._flow * (now - self._at)
        self._level, self._at = min(level, Fraction(self._cap)), now
        return int(self._level)

    def take(self, amount: int) -> None:
        """Spends what `left` has offered."""
        self._level -= amount

    def wait(self, amount: int) -> int | None:
        """When so much will be there; None: not while the server is away."""
        if not self._flow or amount > self._cap:
            return None
        return max(0, -int(-(amount - self._level) / self._flow // 1))


class Lease:
    """One bucket, in one window, on one node."""

    __slots__ = (
        "_used", "base", "drawn_at", "dropped", "era", "holds", "key", "not_before", "own", "refused", "room", "seen",
        "sent", "serial", "share", "spent", "terms", "turn", "until",
    )  # fmt: skip

    def __init__(self, key: str, serial: int, terms: Terms, until: int) -> None:
        self.key = key
        self.serial = serial  # a later lease of the same bucket has a number of its own to tell
        self.terms = terms
        self.holds = 0
        self.drawn_at = 0  # when somebody drew from it
        self.dropped = False  # no longer this node's lease of the bucket
        self.until = until  # the end of its window, in Unix time
        self.own = 0
        self.spent = 0
        self.base = 0  # `own` when the server answered last
        self.turn = 0
        self.sent = 0  # when it was asked; 0: no answer is awaited
        self.not_before = 0  # asking earlier is of no use to who needs `refused` or more
        self.refused = 0
        self.era = ""  # of the server's memory, when it answered last
        self.room: int | None = None
        self.seen = 0  # when it answered last
        self.share: Share | None = None  # while the server is away
        self._used = 0

    @property
    def available(self) -> int:
        """What may be spent without asking."""
        return self.own - self.spent

    def take(self, amount: int, now: int) -> bool:
        """Spends from the lease, then from the share; says whether there was enough."""
        if self.own - self.spent >= amount or not amount:
            self.spent += amount
            return True
        beyond = self._beyond(amount)
        if self.share is None or self.share.left(now) < beyond:
            return False
        self.spend(amount)
        return True

    def spend(self, amount: int) -> None:
        """Spends whether there is enough or not; less than nothing is given back."""
        if self.share is not None:
            self.share.take(self._beyond(amount))
        self.spent += amount

    def _beyond(self, amount: int) -> int:
        """How much of it is not in the lease."""
        return max(0, self.spent + amount - self.own) - max(0, self.spent - self.own)

    @property
    def low(self) -> bool:
        """Is it time to ask for more? Early, so that the answer is here before the rest is spent."""
        return 2 * (self.own - self.spent) < self.terms.keeps

    def hopeless(self, wanted: int, now: int) -> bool:
        """Would asking for so much be of no use yet?"""
        return now < self.not_before and wanted - (self.own - self.spent) >= self.refused

    @property
    def in_debt(self) -> bool:
        """Has more been spent than was granted?"""
        return self.spent > self.own

    @property
    def plenty(self) -> bool:
        """Is more here than a lease? What calls gave back belongs to the fleet."""
        return self.own - self.spent > 2 * self.terms.keeps

    def remaining(self, now: int) -> int:
        """The most that this node could take, as far as it knows."""
        here = self.own - self.spent
        if self.share is not None:
            return max(0, here) + self.share.left(now)
        return max(0, here + self._room(now))

    def request(self, now: int, *, wanted: int = 0, keep: bool = True) -> list[str | int | float]:
        """The arguments of the next question. Somebody wants to draw so much; without `keep` what is left goes back."""
        terms, before = self.terms, self.own
        if self.spent > self.own or not keep:
            self.own = max(0, self.spent)
        elif self.plenty:
            self.own = self.spent + self.terms.keeps
        if self.room is not None:
            self.room += before - self.own
        here = self.own - self.spent
        need = max(0, wanted - here)
        ask = max(need, self.terms.keeps - here) if keep else 0
        self.turn += 1
        self.sent = now or 1
        return [
            self.era, terms.kind, self.turn, self.base, self.own, need, ask, terms.least, terms.part,
            terms.max, terms.period, terms.burst, self._known(now),
        ]  # fmt: skip

    def answered(self, answer: Grant, now: int) -> None:
        """A lease has come, or what there is to know instead."""
        self.own += answer.grant
        self.base = self.own
        self.era = str(answer.era)
        self.room, self._used, self.seen = answer.room, answer.used, now
        self.sent = 0
        self.not_before = 0 if answer.grant else now + (answer.wait * MICROSECOND or AGAIN)
        self.refused = 0 if answer.wait else answer.room + 1

    def cut_off(self, now: int) -> None:
        """The server is away: the node's share begins."""
        self.sent = 0
        if self.share is not None:
            return
        terms = self.terms
        part = terms.burst // terms.nodes
        if terms.kind == "concurrent":
            level = Fraction(max(0, part - self.own))
        else:
            level = Fraction(part if self.room is None else min(part, self._room(now) // terms.nodes))
        self.share = Share(level - max(0, self.spent - self.own), part, terms.flow / terms.nodes, now)

    def connected(self) -> None:
        """The server is back: it is told what was spent, and grants again."""
        self.share = None
        self.not_before = 0

    def _room(self, now: int) -> int:
        """What was left for others, with what a rate has brought since."""
        if self.room is None:
            return max(0, self.terms.burst - self.own) if self.terms.kind != "rate" else self.terms.burst
        if self.terms.kind != "rate":
            return self.room
        return min(self.terms.burst, self.room + int(self.terms.flow * (now - self.seen)))

    def _known(self, now: int) -> int:
        """How far the bucket is used as this node knows it: what a server that lost its memory starts from."""
        if self.terms.kind != "rate":
            return self._used
        return max(0, self._used - (now - self.seen) // MICROSECOND) if self.seen else 0
