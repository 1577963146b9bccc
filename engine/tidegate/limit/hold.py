"""What a call draws from its limits: a hold before it leaves, more of it while a stream goes on, and what was used.

Limits have one of four measures, and a call draws from all of a measure the same: one request, one place, so many
tokens, so many micro-cents. What is held for the tokens of the answer is the most that it was asked for, or a reserve.
"""

from typing import Final

from tidegate.limit._draw import Bucket, Hold
from tidegate.limit.limits import Limits, strictest
from tidegate.limit.refusal import Refusal
from tidegate.model import Limit

REMEMBERED: Final = 4096  # sets of limits, by tenant; policies say the same over and over
GROWING: Final = frozenset(("tokens", "usd"))  # what a stream may take more of as it goes on
Drawn = tuple[bytes, str, int, int, int]  # bucket, measure, held, settled, end of its window in seconds or 0


class Buckets:
    """Those of one set of limits, for one tenant."""

    def __init__(self, asked: tuple[Limit, ...], tenant: str, limits: Limits) -> None:
        self.asked = asked  # kept, so that its id stays its own
        each = strictest(asked)
        self.all = tuple([limits.prepare(limit, tenant) for limit in each])
        self.stops = any(limit.exceed != "warn" and limit.measure in GROWING for limit in each)

    def amounts(self, tokens: int, cost: int) -> list[int]:
        """What a call of so many tokens draws of each."""
        drawn = {"tokens": tokens, "usd": cost}
        return [drawn.get(bucket.limit.measure, 1) for bucket in self.all]


class Holder:
    """Takes what decisions ask for out of a process's limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._holds = limits.holds
        self._known: dict[tuple[int, str], Buckets] = {}
        self._bucket: dict[tuple[int, str], tuple[Limit, Bucket]] = {}

    def bucket(self, limit: Limit, tenant: str) -> Bucket:
        """The bucket of one limit, which nothing may be drawn from."""
        key = id(limit), tenant
        found = self._bucket.get(key)
        if found is None:
            if len(self._bucket) >= REMEMBERED:
                self._bucket.clear()
            bucket = self.limits.prepare(limit, tenant)
            found = self._bucket[key] = limit, bucket  # the limit is kept too, so that its id stays its own
        return found[1]

    def buckets(self, asked: tuple[Limit, ...], tenant: str) -> Buckets:
        """The buckets of a decision's limits; its tenant has the places in the table."""
        key = id(asked), tenant
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[key] = Buckets(asked, tenant, self.limits)
        return found

    def take(self, buckets: Buckets, tokens: int, cost: int) -> "Held | Refusal":
        """All of it, or nothing and why."""
        hold = self._holds.take(buckets.all, tokens, cost)
        return Held(buckets, hold) if type(hold) is Hold else hold


class Held:
    """What one call holds."""

    def __init__(self, buckets: Buckets, hold: Hold) -> None:
        self.buckets = buckets
        self.overdraft = False
        self._hold = hold
        self._tokens = self._cost = 0
        self._left = True
        self._drawn: tuple[Drawn, ...] | None = None  # at the end

    @property
    def exceeded(self) -> tuple[Limit, ...]:
        """The limits that only warn, and were exceeded."""
        return self._hold.exceeded

    def grow(self, tokens: int, cost: int) -> Refusal | None:
        """Draws until so much is held; None, or why not, and then everything is as it was."""
        return self._hold.grow(self.buckets.amounts(tokens, cost))

    def use(self, tokens: int, cost: int) -> None:
        """What was really used; `settle` charges it when that is on record."""
        self._tokens, self._cost = tokens, cost
        self._drawn = self._hold.told(True, tokens, cost)
        self.overdraft = self._hold.exceeds(tokens, cost)

    def use_nothing(self) -> None:
        """The call never left; `settle` gives everything back when that is on record."""
        self._left = False
        self._drawn = self._hold.told(False, 0, 0)

    def settle(self, seq: int) -> None:
        """What was used takes the place of what was held, in full. The record of this number says so."""
        if self._left:
            self._hold.charge(self._tokens, self._cost, seq)
        else:
            self._hold.settle([0] * len(self.buckets.all), seq)

    def release(self) -> None:
        """Nothing was used, and no record speaks of it."""
        self._hold.release()

    def renew(self) -> None:
        """The call lives."""
        self._hold.renew()

    def drawn(self) -> tuple[Drawn, ...]:
        """What is held of each bucket, and what was used once that is known; places of calls are not used up."""
        return self._hold.told(False, 0, 0) if self._drawn is None else self._drawn
