"""Any sequence of operations does to the shared table what it does to a few plain numbers.

The reference knows no table, no words and no processes: a budget is two numbers, a rate is a list of what was admitted
when. Its rates are judged by the promise itself, not by the rule that is used to keep it.
"""

from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tidegate import Limit, Limits
from tidegate.limit._draw import Bucket, Hold
from tidegate.limit.units import SECOND

DAY = 86_400 * SECOND
START = 1_795_262_400 * SECOND + DAY // 2
SPAN = 60 * SECOND

LIMITS = [
    Limit(name="total", measure="tokens", max=100, per="total"),
    Limit(name="total", measure="tokens", max=60, per="total"),  # the same bucket
    Limit(name="money", measure="usd", max=0.000001, per="day"),
    Limit(name="watched", measure="tokens", max=50, per="day", exceed="warn"),
    Limit(name="calls", measure="concurrent", max=3),
    Limit(name="rate", measure="tokens", max=30, per="10s"),
    Limit(name="slow", measure="requests", max=3, per="1m", burst=7),
    Limit(name="odd", measure="tokens", max=7, per="1s", burst=20),
]
BUDGETS = [i for i, each in enumerate(LIMITS) if each.measure != "concurrent" and each.seconds is None]
RATES = [i for i, each in enumerate(LIMITS) if each.seconds is not None]
amounts = st.integers(0, 40) | st.integers(0, 4) | st.sampled_from([101, 10**6])


class Call:
    """One hold in the reference: of each limit what is held, and the window that it is held in."""

    def __init__(self, hold: Hold, parts: list[tuple[int, int, object]], deadline: int) -> None:
        self.hold = hold
        self.parts = parts
        self.deadline = deadline
        self.state = "open"


class LimitsMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.limits = Limits(slots=64, deadline=SPAN / SECOND)
        self.now, self.wall, self.seen = 10**13, START, 0
        self.calls: list[Call] = []
        self.settled: dict[object, int] = {}
        self.admitted: dict[int, list[list[int]]] = {i: [] for i in RATES}  # [when, how much] and corrections
        self.clock()
        self.buckets: list[Bucket] = [self.limits.prepare(each) for each in LIMITS]

    def clock(self) -> None:
        self.limits.table.set_clock(self.now, self.wall)

    def where(self, i: int) -> object:
        """The bucket that a limit draws from now."""
        limit = LIMITS[i]
        if limit.per != "day":
            return limit.name
        self.seen = max(self.seen, self.wall)
        return limit.name, self.seen // DAY

    def held(self, place: object) -> int:
        return sum(
            amount
            for call in self.calls
            for i, amount, there in call.parts
            if there == place and (call.state == "open" or (call.state == "lost" and i in BUDGETS))
        )

    def fits(self, i: int, amount: int) -> bool:
        """For all but rates."""
        place = self.where(i)
        return self.settled.get(place, 0) + self.held(place) + amount <= self.buckets[i].max

    # what a program does

    @rule(asked=st.lists(st.tuples(st.integers(0, len(LIMITS) - 1), amounts), max_size=6, unique_by=lambda one: one[0]))
    def acquire(self, asked: list[tuple[int, int]]) -> None:
        self.draw(asked)

    def draw(self, asked: list[tuple[int, int]]) -> None:
        asked = [(i, 1 if LIMITS[i].measure == "concurrent" else n) for i, n in asked]
        if {0, 1} <= {i for i, _ in asked}:
            asked = [one for one in asked if one[0] != 1]
        self.now += 1  # a draw takes time
        self.clock()
        before = self.reading()
        got = self.limits.acquire([(self.buckets[i], n) for i, n in asked])
        refusing = [i for i, n in asked if i not in RATES and not self.fits(i, n) and LIMITS[i].exceed != "warn"]
        if not isinstance(got, Hold):
            names = {each.limit.name for each in got.exceeded}
            assert {LIMITS[i].name for i in refusing} <= names
            assert names <= {LIMITS[i].name for i, _ in asked if i in refusing or i in RATES}
            assert self.reading() == before
            for each in got.exceeded:
                [(i, n)] = [one for one in asked if LIMITS[one[0]] == each.limit]
                assert each.never == (n > (self.buckets[i].burst if i in RATES else self.buckets[i].max))
            return
        assert not refusing
        warned = [LIMITS[i] for i, n in asked if LIMITS[i].exceed == "warn" and not self.fits(i, n)]
        assert list(got.exceeded) == warned
        self.calls.append(Call(got, [(i, n, self.where(i)) for i, n in asked], self.now + SPAN))
        for i, n in asked:
            if i in RATES:
                self.admitted[i].append([self.now, n])

    @rule(i=st.sampled_from(RATES))
    def drain(self, i: int) -> None:
        """Takes all that is left: what passes is as much as may."""
        self.draw([(i, self.limits.state(self.buckets[i]).remaining)])

    @rule(data=st.data())
    def grow(self, data: st.DataObject) -> None:
        if not (call := self.pick(data)):
            return
        totals = [data.draw(amounts) for _ in call.parts]
        before = self.reading()
        refusal = call.hold.grow(totals)
        if refusal is not None or call.state != "open":
            assert self.reading() == before
            return
        for at, (total, (i, amount, place)) in enumerate(zip(totals, call.parts, strict=True)):
            if total > amount and LIMITS[i].measure != "concurrent":
                if i in RATES:
                    self.admitted[i].append([self.now, total - amount])
                elif LIMITS[i].exceed != "warn":
                    assert self.settled.get(place, 0) + self.held(place) + total - amount <= self.buckets[i].max
                call.parts[at] = (i, total, place)

    @rule(data=st.data(), again=st.booleans())
    def settle(self, data: st.DataObject, again: bool) -> None:
        if not (call := self.pick(data)):
            return
        actual = [data.draw(amounts) for _ in call.parts]
        overdraft = call.hold.settle(actual)
        if again:
            assert call.hold.settle([n + 1 for n in actual]) == ()
        if call.state == "done":
            assert overdraft == ()
            return
        for at, (used, (i, amount, place)) in enumerate(zip(actual, call.parts, strict=True)):
            counted = LIMITS[i].measure != "concurrent"
            excess = max(used - amount, 0) if counted else 0
            assert (overdraft[at] if overdraft else 0) == excess
            if i in BUDGETS:
                self.settled[place] = self.settled.get(place, 0) + used
        for i in {i for i, _, _ in call.parts} & set(RATES):
            self.admitted[i].clear()  # the promise is about draws; with corrections it is started anew
        call.state = "done"

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if call := self.pick(data):
            call.hold.release()
            if call.state != "done":
                call.state = "done"
                for i in {i for i, _, _ in call.parts} & set(RATES):
                    self.admitted[i].clear()

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        if call := self.pick(data):
            call.hold.renew()
            call.deadline = self.now + SPAN

    def pick(self, data: st.DataObject) -> Call | None:
        return data.draw(st.sampled_from(self.calls)) if self.calls else None

    # what happens to it

    @rule(nanoseconds=st.integers(0, 3 * SECOND) | st.sampled_from([30 * SECOND, 61 * SECOND, DAY // 3]))
    def time_passes(self, nanoseconds: int) -> None:
        self.now += nanoseconds
        self.wall += nanoseconds
        self.clock()

    @rule(seconds=st.sampled_from([-86_400, -50_000, -5, 5, 20_000]))
    def the_wall_clock_is_set(self, seconds: int) -> None:
        self.wall += seconds * SECOND
        self.clock()

    @rule()
    def expire(self) -> None:
        overdue = [
            call
            for call in self.calls
            if call.state == "open" and call.deadline <= self.now and any(i not in RATES for i, _, _ in call.parts)
        ]
        assert self.limits.expire() == len(overdue)
        for call in overdue:
            call.state = "lost"

    def charge(self, call: Call) -> None:
        for i, amount, place in call.parts:
            if i in BUDGETS:
                self.settled[place] = self.settled.get(place, 0) + amount

    @rule()
    def reclaim(self) -> None:
        self.limits.reclaim()

    @rule()
    def the_worker_dies(self) -> None:
        for call in self.calls:
            if call.state != "done":
                self.charge(call)
            call.state = "done"
        assert self.limits.reap(0)
        assert not self.limits.reap(0)
        self.limits.join(0)

    # what must hold

    def reading(self) -> list[tuple[int, int, int]]:
        return [
            (self.limits.state(each).remaining, each.held(), each.settled())
            for each in self.buckets
            if each.kind != "rate"
        ]

    @invariant()
    def everything_adds_up(self) -> None:
        for i, bucket in enumerate(self.buckets):
            if i in RATES:
                continue
            place = self.where(i)
            held, settled = self.held(place), self.settled.get(place, 0)
            assert (bucket.held(), bucket.settled()) == (held, settled), LIMITS[i].name
            assert self.limits.state(bucket).remaining == max(bucket.max - held - settled, 0)

    @invariant()
    def holds_say_what_they_hold(self) -> None:
        for call in self.calls:
            if call.state == "open":
                assert call.hold.amounts == tuple(amount for _, amount, _ in call.parts)

    @invariant()
    def no_window_admits_more_than_it_may(self) -> None:
        for i, admitted in self.admitted.items():
            limit, bucket = LIMITS[i], self.buckets[i]
            pace = Fraction(bucket.max, (limit.seconds or 0) * SECOND)
            for at, (begin, _) in enumerate(admitted):
                total = 0
                for when, amount in admitted[at:]:
                    total += amount
                    assert total <= bucket.burst + (when - begin + 1) * pace

    @invariant()
    def what_is_said_to_remain_can_be_drawn(self) -> None:
        for bucket in self.buckets:
            remaining = self.limits.state(bucket).remaining
            if remaining:
                assert bucket.missing(remaining) is None
            if not bucket.warns:
                missing = bucket.missing(remaining + 1)
                assert missing is not None
                assert missing[0] == remaining

    @invariant()
    def the_time_to_retry_is_exact(self) -> None:
        for i in RATES:
            missing = self.buckets[i].missing(self.buckets[i].burst)
            if missing is not None:
                _, retry, never = missing
                assert not never
                assert retry is not None
                self.limits.table.set_clock(self.now + retry - 1, self.wall)
                assert self.buckets[i].missing(self.buckets[i].burst) is not None
                self.limits.table.set_clock(self.now + retry, self.wall)
                assert self.buckets[i].missing(self.buckets[i].burst) is None
                self.clock()


TestLimits = LimitsMachine.TestCase
TestLimits.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


@pytest.mark.long
def test_long() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        LimitsMachine, settings=settings(max_examples=2000, stateful_step_count=100, deadline=None)
    )
