"""What a program sees of limits: draws, refusals, settling, windows, changes, quotas."""

import doctest
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import tidegate.limit.limits
from tidegate import Limit, Limits
from tidegate.errors import StartError, TidegateError
from tidegate.limit._draw import Hold
from tidegate.limit.limits import LimitsFull, strictest
from tidegate.limit.refusal import Refusal

SECOND = 1_000_000_000
NOON = 1_795_262_400 * SECOND  # 2026-11-21 12:00 UTC


def fixed(limits: Limits, seconds: float = 0.0, wall: float | None = None) -> None:
    """Stands still so long after the start."""
    limits.table.set_clock(int((1000 + seconds) * SECOND), NOON + int((seconds if wall is None else wall) * SECOND))


@pytest.fixture
def limits() -> Limits:
    made = Limits(slots=256)
    fixed(made)
    return made


def limit(measure: str = "tokens", most: float = 100, per: str | None = "10s", **more: Any) -> Limit:
    return Limit(name=more.pop("name", "l"), measure=measure, max=most, per=per, **more)  # type: ignore[arg-type]


def held(got: Hold | Refusal) -> Hold:
    assert isinstance(got, Hold), got
    return got


def refused(got: Hold | Refusal) -> Refusal:
    assert isinstance(got, Refusal), got
    return got


def test_the_docstring_s_example() -> None:
    assert doctest.testmod(tidegate.limit.limits).attempted > 5
    assert doctest.testmod(tidegate.limit.limits).failed == 0


# what is remembered


@pytest.mark.parametrize("users", [10, 100_000], ids=["said again and again", "never said again"])
def test_what_is_prepared_is_bounded_in_bytes(limits: Limits, monkeypatch: pytest.MonkeyPatch, users: int) -> None:
    monkeypatch.setattr(tidegate.limit.limits, "REMEMBERED", 2**20)
    tracemalloc.start()
    try:
        for number in range(20_000):
            limits.prepare(limit(key=(f"{number % users}" + "\U0001f600" * 200,)))
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


# rates


def test_a_rate_gives_its_burst_and_then_its_rate(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="10s"))
    for _ in range(4):
        held(limits.acquire([(bucket, 25)]))
    assert limits.state(bucket).remaining == 0
    assert limits.state(bucket).reset == 10 * SECOND
    refusal = refused(limits.acquire([(bucket, 25)]))
    assert refusal.retry == 2_500_000_000
    fixed(limits, 2.4999)
    assert not limits.acquire([(bucket, 25)])
    fixed(limits, 2.5)
    held(limits.acquire([(bucket, 25)]))


@pytest.mark.parametrize(
    ("most", "burst", "amount", "admitted"),
    [
        (3, None, 1, 3),  # periods that do not divide evenly
        (7, 2, 1, 2),
        (7, 2, 2, 1),
        (1_000_000_007, None, 1_000_000_007, 1),
        (100, 1000, 100, 10),
        (100, 0, 1, 0),
        (0, None, 1, 0),
        (0.5, None, 1, 0),  # less than one never comes at once
        (0.5, 1, 1, 1),
    ],
)
def test_a_burst_is_exact(limits: Limits, most: float, burst: int | None, amount: int, admitted: int) -> None:
    bucket = limits.prepare(limit(most=most, burst=burst, per="1s"))
    assert sum(bool(limits.acquire([(bucket, amount)])) for _ in range(admitted + 3)) == admitted


def test_more_than_the_burst_is_never_admitted(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, burst=10, exceed="throttle"))
    refusal = refused(limits.acquire([(bucket, 11)]))
    [exceeded] = refusal.exceeded
    assert exceeded.never
    assert exceeded.retry is None
    assert refusal.action == "block"
    assert exceeded.remaining == 10


def test_an_estimate_is_settled_by_the_difference(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="10s"))
    hold = held(limits.acquire([(bucket, 80)]))
    assert hold.settle([30]) == ()
    assert limits.state(bucket).remaining == 70
    more = held(limits.acquire([(bucket, 10)]))
    assert more.settle([110]) == (100,)
    assert limits.state(bucket).remaining == 0
    assert limits.state(bucket).reset == 14 * SECOND
    assert refused(limits.acquire([(bucket, 0)])).retry == 4 * SECOND  # overdrawn: nothing passes


def test_a_refund_never_goes_to_before_now(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="10s"))
    hold = held(limits.acquire([(bucket, 100)]))
    fixed(limits, 9)
    hold.release()
    for _ in range(2):
        assert limits.state(bucket).remaining == 100
        held(limits.acquire([(bucket, 100)])).release()
    held(limits.acquire([(bucket, 100)]))
    assert not limits.acquire([(bucket, 1)])


# budgets


def test_a_budget_counts_what_is_held_and_what_is_settled(limits: Limits) -> None:
    bucket = limits.prepare(limit("usd", 10.5, "day"))
    assert bucket.max == 1_050_000_000
    first = held(limits.acquire([(bucket, 600_000_000)]))
    second = held(limits.acquire([(bucket, 450_000_000)]))
    assert refused(limits.acquire([(bucket, 1)])).exceeded[0].remaining == 0
    assert first.settle([100_000_000]) == ()
    assert (bucket.settled(), bucket.held()) == (100_000_000, 450_000_000)
    second.release()
    assert (bucket.settled(), bucket.held()) == (100_000_000, 0)
    assert limits.state(bucket).remaining == 950_000_000


def test_settling_is_never_clipped_and_blocks_the_next(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="total"))
    assert held(limits.acquire([(bucket, 60)])).settle([250]) == (190,)
    assert bucket.settled() == 250
    assert limits.state(bucket).remaining == 0
    assert not limits.acquire([(bucket, 0)])
    assert limits.counters()["overdrawn"] == 1


def test_ends_of_a_hold_are_idempotent(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="total"))
    hold = held(limits.acquire([(bucket, 50)]))
    for _ in range(3):
        assert hold.grow([70]) is None
        assert hold.amounts == (70,)
    for _ in range(3):
        hold.settle([60])
        hold.release()
        hold.grow([90])
        assert (bucket.settled(), bucket.held(), limits.open) == (60, 0, 0)
    other = held(limits.acquire([(bucket, 40)]))
    other.release()
    assert other.settle([40]) == ()
    assert bucket.settled() == 60


def test_a_refused_growth_changes_nothing(limits: Limits) -> None:
    tokens = limits.prepare(limit(most=100, per="total"))
    rate = limits.prepare(limit(most=50, per="10s"))
    hold = held(limits.acquire([(tokens, 10), (rate, 10)]))
    refusal = hold.grow([90, 60])
    assert refusal is not None
    assert [each.limit.per for each in refusal.exceeded] == ["10s"]
    assert hold.amounts == (10, 10)
    assert (limits.state(tokens).remaining, limits.state(rate).remaining) == (90, 40)
    assert hold.open


def test_a_budget_s_refusal_tells_when_its_window_ends(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="day", tz="Europe/Berlin"))
    held(limits.acquire([(bucket, 100)]))
    assert refused(limits.acquire([(bucket, 1)])).retry == 11 * 3600 * SECOND
    fixed(limits, 11 * 3600 - 0.001)
    assert not limits.acquire([(bucket, 1)])
    fixed(limits, 11 * 3600)
    held(limits.acquire([(bucket, 100)]))


def test_a_total_has_no_time_to_retry(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="total"))
    held(limits.acquire([(bucket, 100)]))
    assert refused(limits.acquire([(bucket, 1)])).retry is None


def test_a_clock_set_back_over_midnight_does_not_bring_the_old_window_back(limits: Limits) -> None:
    """Neither for a bucket that was there nor for a new one, nor in another process."""
    bucket = limits.prepare(limit(most=100, per="day"))
    held(limits.acquire([(bucket, 100)])).settle([100])
    fixed(limits, 12 * 3600 + 5)
    held(limits.acquire([(bucket, 60)])).settle([60])
    for back in (12 * 3600 - 10, 0.0, -86_400.0):
        fixed(limits, 12 * 3600 + 6, wall=back)
        assert limits.state(bucket).remaining == 40
        anew = Limit(name="l", measure="tokens", max=99, per="day")
        limits._windows.clear()
        assert limits.state(limits.prepare(anew)).remaining == 39
    fixed(limits, 12 * 3600 + 86_400)
    assert limits.state(bucket).remaining == 100


def test_a_hold_is_settled_in_the_window_it_was_drawn_from(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="day"))
    hold = held(limits.acquire([(bucket, 90)]))
    fixed(limits, 13 * 3600)
    held(limits.acquire([(bucket, 30)]))
    hold.settle([90])
    assert (bucket.settled(), bucket.held()) == (0, 30)


# concurrency


def test_concurrency_is_held_until_the_call_ends(limits: Limits) -> None:
    bucket = limits.prepare(limit("concurrent", 2, None))
    first, second = held(limits.acquire([(bucket, 1)])), held(limits.acquire([(bucket, 1)]))
    assert refused(limits.acquire([(bucket, 1)])).retry is None
    first.settle([1])
    third = held(limits.acquire([(bucket, 1)]))
    second.release()
    third.release()
    assert limits.state(bucket).remaining == 2
    assert bucket.settled() == 0


# several at once


def test_all_or_nothing_and_every_limit_that_refuses_is_told(limits: Limits) -> None:
    calls = limits.prepare(limit("requests", 5, "1m", name="calls", exceed="throttle"))
    tokens = limits.prepare(limit("tokens", 100, "1m", name="tokens", exceed="throttle"))
    money = limits.prepare(limit("usd", 1, "total", name="money"))
    at_once = limits.prepare(limit("concurrent", 3, None, name="at once"))
    pairs = [(calls, 1), (tokens, 100), (money, 60_000_000), (at_once, 1)]
    held(limits.acquire(pairs))
    before = [limits.state(bucket) for bucket, _ in pairs]
    refusal = refused(limits.acquire(pairs))
    assert [each.limit.name for each in refusal.exceeded] == ["money", "tokens"]
    assert [each.remaining for each in refusal.exceeded] == [40_000_000, 0]
    assert refusal.action == "block"
    assert [limits.state(bucket) for bucket, _ in pairs] == before


def test_more_than_four_buckets(limits: Limits) -> None:
    buckets = [limits.prepare(limit(most=10, per="total", name=f"n{i}")) for i in range(20)]
    hold = held(limits.acquire([(bucket, 7) for bucket in buckets]))
    assert not limits.acquire([(bucket, 4) for bucket in buckets])
    hold.settle([5] * 20)
    assert {(bucket.settled(), bucket.held()) for bucket in buckets} == {(5, 0)}


def test_nothing_asked_for_is_a_hold(limits: Limits) -> None:
    assert held(limits.acquire([])).settle([]) == ()


def test_warn_lets_pass_and_draws_all_the_same(limits: Limits) -> None:
    warning = limits.prepare(limit(most=10, per="total", name="w", exceed="warn"))
    rate = limits.prepare(limit(most=10, per="10s", name="r", exceed="warn"))
    assert held(limits.acquire([(warning, 8), (rate, 8)])).exceeded == ()
    hold = held(limits.acquire([(warning, 8), (rate, 8)]))
    assert [each.name for each in hold.exceeded] == ["w", "r"]
    assert warning.held() == 16
    assert limits.state(rate).reset == 16 * SECOND
    held(limits.acquire([(warning, 10**9), (rate, 10**9)])).release()
    assert warning.held() == 16
    assert limits.state(rate).reset == 16 * SECOND


def test_the_lowest_of_equal_limits_wins() -> None:
    low, high = limit(most=5, per="1s"), limit(most=9, per="1s")
    burst = limit(most=5, burst=2, per="1s")
    other = limit(most=50, per="1m")
    truth, one = limit(key=(True,)), limit(key=(1,))
    assert strictest([high, low, other]) == [low, other]
    assert strictest([low, burst, high]) == [burst]
    assert strictest([limit(exceed="warn"), limit(exceed="throttle"), limit()]) == [limit()]
    assert len(strictest([truth, one])) == 2


def test_keys_that_python_mixes_up_are_different_buckets(limits: Limits) -> None:
    keys = [(1,), (True,), ("1",), (None,), (), ("1", ""), ("", "1"), (0,), (False,)]
    buckets = [limits.prepare(limit(most=10, per="total", key=key)) for key in keys]
    for bucket in buckets:
        held(limits.acquire([(bucket, 10)]))


@pytest.mark.parametrize("kind", ["total", "10s"])
def test_a_limit_can_change_while_calls_are_under_way(limits: Limits, kind: str) -> None:
    first = limits.prepare(limit(most=100, per=kind))
    hold = held(limits.acquire([(first, 50)]))
    lower, higher = limits.prepare(limit(most=40, per=kind)), limits.prepare(limit(most=200, per=kind))
    if kind == "total":  # an amount stays an amount
        assert [limits.state(each).remaining for each in (lower, higher)] == [0, 150]
    else:  # a rate's use stays the time that it takes
        assert [limits.state(each).remaining for each in (lower, higher)] == [20, 100]
    hold.settle([50])
    assert bool(limits.acquire([(lower, 30)])) is False
    assert bool(limits.acquire([(higher, 100)])) is True


# amounts and misuse


@pytest.mark.parametrize("amount", [-1, 2**53 + 1, 2**80, 1.5, "1", None])
def test_an_amount_is_a_whole_number(limits: Limits, amount: Any) -> None:
    other = limits.prepare(limit(most=100, per="total", name="other"))
    bucket = limits.prepare(limit(most=100, per="total"))
    with pytest.raises((ValueError, TypeError, OverflowError)):
        limits.acquire([(other, 10), (bucket, amount)])
    assert (other.held(), limits.open) == (0, 0)
    hold = held(limits.acquire([(other, 10), (bucket, 1)]))
    for method in (hold.settle, hold.grow):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            method([10, amount])
    assert hold.open
    assert other.held() == 10


def test_totals_beyond_all_numbers_stay_at_their_end(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=1e15, per="total"))
    for _ in range(1100):
        hold = limits.acquire([(bucket, 0)])
        if hold:
            held(hold).settle([2**53])
    assert limits.state(bucket).remaining == 0
    warns = limits.prepare(limit(most=1, per="total", name="w", exceed="warn"))
    for _ in range(1100):
        held(limits.acquire([(warns, 2**53)])).settle([2**53])
    assert warns.settled() == 2**63 - 1
    assert held(limits.acquire([(warns, 1)])).exceeded


def test_only_a_worker_draws() -> None:
    supervisor = Limits(slots=64, worker=None)
    bucket = supervisor.prepare(limit())
    assert supervisor.state(bucket).remaining == 100
    with pytest.raises(RuntimeError, match="joined"):
        supervisor.acquire([(bucket, 1)])


def test_a_place_is_one_process_s() -> None:
    limits = Limits(slots=64)
    with pytest.raises(StartError, match=f"worker 0 of the limits is process {os.getpid()}, which lives"):
        limits.join(0)


# what records say


def test_a_hold_names_what_was_drawn_in_the_window_it_was_drawn_in(limits: Limits) -> None:
    daily = limits.prepare(limit("usd", 1, "day", name="daily"))
    others = (limit("usd", 1, "total"), limit(), limit("concurrent", per=None))
    total, rate, calls = (limits.prepare(each) for each in others)
    keys = [each.key for each in (daily, total, rate, calls)]
    assert len({*keys}) == 4
    assert {len(key) for key in keys} == {16}
    hold = held(limits.acquire([(daily, 3), (total, 4), (rate, 5), (calls, 1)]))
    ends = NOON // SECOND + 43_200
    expected = [("usd", 3, ends), ("usd", 4, 2**62 // SECOND), ("tokens", 5, 0), ("concurrent", 1, 0)]
    assert hold.drawn == tuple((key, *rest) for key, rest in zip(keys, expected, strict=True))
    fixed(limits, 86_400)
    tomorrow = held(limits.acquire([(daily, 1)]))
    assert daily.key != keys[0]
    assert tomorrow.drawn == ((daily.key, "usd", 1, ends + 86_400),)
    hold.grow([9, 4, 5, 1])
    assert hold.drawn[0] == (keys[0], "usd", 9, ends)
    assert hold.settle([2, 4, 5, 1], 7) == ()
    assert sorted(limits.table.left(0, 1) or ()) == sorted(
        [(keys[0], "budget", 0, 7), (daily.key, "budget", 1, 0), (keys[1], "budget", 0, 7)]
    )


# deadlines


def test_what_an_expired_hold_holds_of_a_budget_stays_held_until_its_call_ends_or_its_process(limits: Limits) -> None:
    money = limits.prepare(limit("usd", 1, "total", name="money"))
    calls = limits.prepare(limit("concurrent", 2, None, name="calls"))
    forgotten, alive = [held(limits.acquire([(money, 30), (calls, 1)])) for _ in range(2)]
    fixed(limits, 50)
    alive.renew()
    fixed(limits, 61)
    assert limits.expire() == 1
    assert (money.settled(), money.held(), calls.held(), limits.open) == (0, 60, 1, 1)
    assert limits.counters()["expired"] == 1
    assert forgotten.grow([40, 1]) is None
    assert (money.held(), forgotten.open) == (60, False)
    assert forgotten.settle([45, 1]) == (15, 0)
    assert forgotten.settle([45, 1]) == ()
    assert (money.settled(), money.held(), calls.held()) == (45, 30, 1)
    alive.settle([10, 1])
    assert (money.settled(), money.held()) == (55, 0)


def test_a_dropped_hold_is_found(limits: Limits) -> None:
    money = limits.prepare(limit("usd", 1, "total"))
    held(limits.acquire([(money, 30)]))  # whoever should have released it forgot
    assert limits.open == 1
    fixed(limits, 3600)
    assert limits.expire() == 1
    assert (money.settled(), money.held()) == (0, 30)
    assert limits.reap(0)
    assert (money.settled(), money.held()) == (30, 0)


# places


def test_reading_takes_no_place_and_draws_nothing(limits: Limits) -> None:
    used = limits.counters()["used"]
    for i in range(300):
        assert limits.state(limits.prepare(limit(name=f"n{i}"))).remaining == 100
    assert limits.counters()["used"] == used


def test_a_full_table_is_an_error_that_is_counted() -> None:
    limits = Limits(slots=16)
    kept = limits.prepare(limit(most=100, per="total", name="kept"))
    held(limits.acquire([(kept, 1)]))
    others = [limits.prepare(limit(most=100, per="total", name=f"n{i}")) for i in range(16)]
    for bucket in others[:15]:
        held(limits.acquire([(kept, 1), (bucket, 1)]))
    with pytest.raises(LimitsFull, match="the table of limits is full: no place for `n15`") as caught:
        limits.acquire([(kept, 1), (others[15], 1)])
    assert isinstance(caught.value, TidegateError)
    assert (caught.value.status, caught.value.code) == (503, "limits_full")
    assert kept.held() == 16  # the last draw was given back
    held(limits.acquire([(kept, 1)]))
    assert limits.counters()["full"] == 1
    assert limits.counters()["used"] == 16


def test_a_tenant_s_quota_leaves_places_for_others() -> None:
    limits = Limits(slots=256, quota=20)
    for i in range(20):
        held(limits.acquire([(limits.prepare(limit("concurrent", 9, None, key=("a", i)), "a"), 1)]))
    with pytest.raises(LimitsFull, match="the tenant has too many limits in use: no place for `l`"):
        limits.acquire([(limits.prepare(limit("concurrent", 9, None, key=("a", 20)), "a"), 1)])
    held(limits.acquire([(limits.prepare(limit("concurrent", 9, None, key=("b", 0)), "b"), 1)]))
    assert limits.counters()["quota"] == 1


def test_idle_places_are_reclaimed_and_the_quota_with_them() -> None:
    limits = Limits(slots=256, quota=20)
    fixed(limits)
    holds = [
        held(limits.acquire([(limits.prepare(limit(measure, 9, per, key=(i,)), "a"), 1)]))
        for i, (measure, per) in enumerate(
            [("concurrent", None), ("tokens", "1s"), ("tokens", "day"), ("usd", "total")] * 5
        )
    ]
    assert limits.reclaim() == 0
    for hold in holds:
        hold.settle([1])
    assert limits.reclaim() == 5  # the concurrent ones
    fixed(limits, 10)
    assert limits.reclaim() == 5  # the rates
    fixed(limits, 86_400)
    assert limits.reclaim() == 5  # the windows that are over
    assert limits.counters()["used"] == 6  # totals stay, and their owner
    for i in range(15):
        held(limits.acquire([(limits.prepare(limit("concurrent", 9, None, key=("new", i)), "a"), 1)]))
    with pytest.raises(LimitsFull):
        limits.acquire([(limits.prepare(limit("concurrent", 9, None, key=("new", 15)), "a"), 1)])


def test_nothing_is_freed_before_every_worker_passed_a_turn() -> None:
    limits = Limits(slots=64, workers=2)
    fixed(limits)
    held(limits.acquire([(limits.prepare(limit("concurrent", 1, None)), 1)])).release()
    read, write = os.pipe()
    told, tell = os.pipe()
    if (child := os.fork()) == 0:
        os.close(write)  # so that it ends with its parent
        limits.join(1)
        os.write(tell, b"1")
        os.read(read, 1)
        limits.turn()
        os.write(tell, b"2")
        os.read(read, 1)
        os._exit(0)
    os.read(told, 1)
    assert limits.reclaim(0.01) == 0
    assert limits.reclaim(0.01) == 0
    os.write(write, b"1")
    os.read(told, 1)
    assert limits.reclaim(0.0) == 1
    os.write(write, b"2")
    assert os.waitpid(child, 0)[1] == 0


def test_a_bucket_whose_place_was_reclaimed_takes_another() -> None:
    limits = Limits(slots=128)
    first, second = (limits.prepare(limit("concurrent", 1, None, name=name)) for name in "ab")
    held(limits.acquire([(first, 1)])).release()
    assert limits.reclaim() == 1
    for i in range(127):
        held(limits.acquire([(limits.prepare(limit("concurrent", 1, None, key=(i,))), 1)]))
    one = held(limits.acquire([(first, 1)]))
    assert not limits.acquire([(first, 1)])
    with pytest.raises(LimitsFull):
        limits.acquire([(second, 1)])
    one.release()
    limits.reclaim()
    held(limits.acquire([(second, 1)]))
    with pytest.raises(LimitsFull):
        limits.acquire([(first, 1)])


def test_an_excess_on_a_reclaimed_rate_is_not_forgotten(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="10s"))
    hold = held(limits.acquire([(bucket, 10)]))
    fixed(limits, 100)
    assert limits.reclaim() == 1
    assert hold.settle([90]) == (80,)
    assert limits.state(bucket).remaining == 20


def test_what_is_retired_lives_again_when_it_is_needed(limits: Limits) -> None:
    bucket = limits.prepare(limit(most=100, per="10s"))
    held(limits.acquire([(bucket, 10)]))
    fixed(limits, 100)
    limits.table.retire()
    hold = held(limits.acquire([(bucket, 50)]))
    assert limits.table.clear() == 0
    hold.settle([60])
    assert limits.state(bucket).remaining == 40


def test_the_program_of_the_documentation_runs() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "limits.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["budget"].settled() == 1_210_000
    assert names["limits"].state(names["calls"]).remaining == 599
