"""What a call draws from its limits, as the gateway holds, settles and records it."""

import pytest
from msgspec.structs import replace

from tests.limit.test_limits import NOON, SECOND, fixed, limit
from tidegate import Limits
from tidegate.limit.hold import Held, Holder
from tidegate.limit.refusal import Refusal
from tidegate.model import Limit

DAY = 86_400
ASKED = (
    limit("requests", 2, "10s", name="requests"),
    limit("tokens", 100, "10s", name="tokens"),
    limit("concurrent", 5, None, name="concurrent"),
    limit("usd", 1, "day", name="budget"),
)
ENDS = NOON // SECOND + DAY // 2


@pytest.fixture
def limits() -> Limits:
    made = Limits(slots=256)
    fixed(made)
    return made


@pytest.fixture
def holder(limits: Limits) -> Holder:
    return Holder(limits)


def taken(holder: Holder, tokens: int, cost: int, asked: tuple[Limit, ...] = ASKED) -> Held:
    held = holder.take(holder.buckets(asked, "acme"), tokens, cost)
    assert isinstance(held, Held)
    return held


def drawn(held: Held) -> list[tuple[str, int, int, int]]:
    return [(measure, amount, used, end) for _, measure, amount, used, end in held]


def test_a_call_draws_of_each_measure_what_it_is(holder: Holder) -> None:
    held = taken(holder, 60, 700)
    assert drawn(held) == [("requests", 1, 0, 0), ("tokens", 60, 0, 0), ("concurrent", 1, 0, 0), ("usd", 700, 0, ENDS)]
    assert [key for key, *_ in held] == [bucket.key for bucket in held.buckets.all]


def test_what_was_used_takes_the_place_of_what_was_held(limits: Limits, holder: Holder) -> None:
    held = taken(holder, 60, 700)
    held.use(50, 600)
    said = [("requests", 1, 1, 0), ("tokens", 60, 50, 0), ("concurrent", 1, 0, 0), ("usd", 700, 600, ENDS)]
    assert drawn(held) == said
    assert not held.overdraft
    held.recorded(7)
    assert drawn(held) == said
    assert [bucket.used for bucket in held.buckets.all] == [1, 50, 0, 600]
    assert limits.open == 0


@pytest.mark.parametrize(("tokens", "cost"), [(61, 700), (60, 701)], ids=["of tokens", "of cost"])
def test_more_than_was_held_is_an_overdraft_and_is_charged(holder: Holder, tokens: int, cost: int) -> None:
    held = taken(holder, 60, 700)
    held.use(tokens, cost)
    assert held.overdraft
    held.recorded(7)
    assert [bucket.used for bucket in held.buckets.all] == [1, tokens, 0, cost]


def test_a_call_that_never_left_used_nothing(holder: Holder) -> None:
    held = taken(holder, 60, 700)
    held.use_nothing()
    said = [("requests", 1, 0, 0), ("tokens", 60, 0, 0), ("concurrent", 1, 0, 0), ("usd", 700, 0, ENDS)]
    assert drawn(held) == said
    held.recorded(7)
    assert drawn(held) == said
    assert [bucket.used for bucket in held.buckets.all] == [0, 0, 0, 0]


def test_what_no_record_speaks_of_is_given_back_without_one(limits: Limits, holder: Holder) -> None:
    held = taken(holder, 60, 700)
    held.release()
    assert [bucket.used for bucket in held.buckets.all] == [0, 0, 0, 0]
    assert limits.open == 0


def test_a_refusal_names_the_limit_and_leaves_all_as_it_was(limits: Limits, holder: Holder) -> None:
    buckets = holder.buckets(ASKED, "acme")
    refusal = holder.take(buckets, 101, 700)
    assert isinstance(refusal, Refusal)
    assert [each.limit.name for each in refusal.exceeded] == ["tokens"]
    assert [bucket.used for bucket in buckets.all] == [0, 0, 0, 0]
    assert limits.open == 0


def test_an_amount_that_is_none_is_refused(limits: Limits, holder: Holder) -> None:
    with pytest.raises(ValueError, match="an amount is a whole number from 0"):
        holder.take(holder.buckets(ASKED, "acme"), -1, 0)
    assert limits.open == 0


@pytest.mark.parametrize(("tokens", "cost"), [(2**53 + 1, 1), (1, 2**53 + 1), (2**60, 2**62)])
@pytest.mark.parametrize("most", [100, 1e15], ids=["limits", "limits without end"])
def test_more_than_anybody_draws_is_refused(
    limits: Limits, holder: Holder, tokens: int, cost: int, most: float
) -> None:
    asked = tuple(replace(each, max=most) for each in ASKED)
    refusal = holder.take(holder.buckets(asked, "acme"), tokens, cost)
    assert isinstance(refusal, Refusal)
    assert {each.limit.measure for each in refusal.exceeded} <= {"tokens", "usd"}
    assert refusal.exceeded[0].never
    assert limits.open == 0
    warning = tuple(replace(each, exceed="warn") for each in ASKED)
    held = holder.take(holder.buckets(warning, "acme"), tokens, cost)
    assert isinstance(held, Held)
    assert held.warned


@pytest.mark.parametrize("amount", [2**53 + 1, 2**62])
def test_more_than_anybody_draws_is_charged_where_a_provider_reports_it(
    limits: Limits, holder: Holder, amount: int
) -> None:
    for _ in range(3):
        warning = tuple(replace(each, exceed="warn") for each in ASKED)
        held = holder.take(holder.buckets(warning, "acme"), 1, 1)
        assert isinstance(held, Held)
        held.use(amount, amount)
        assert held.overdraft
        held.recorded(7)
        assert limits.open == 0
    assert held.buckets.all[3].used == min(3 * amount, 2**63 - 1)
    assert isinstance(holder.take(holder.buckets(ASKED, "acme"), 1, 1), Refusal)


def test_records_name_the_window_that_was_drawn_in_also_when_it_is_over(limits: Limits, holder: Holder) -> None:
    held = taken(holder, 60, 700)
    budget = held.buckets.all[3]
    today = budget.key
    fixed(limits, DAY)
    late = taken(holder, 60, 700)
    assert budget.key != today
    held.use(50, 600)
    assert list(held)[3] == (today, "usd", 700, 600, ENDS)
    assert list(late)[3] == (budget.key, "usd", 700, 0, ENDS + DAY)


def test_a_policy_is_told_of_a_bucket_what_it_holds(limits: Limits, holder: Holder) -> None:
    taken(holder, 60, 700)
    for each in ASKED:
        bucket = holder.bucket(each, "acme")
        used, remaining, reset = bucket.standing()
        assert bucket is limits.prepare(each, "acme")
        assert (used, remaining, reset or None) == (bucket.used, bucket.state()[0], bucket.state()[1])


def test_every_tenant_has_its_own_buckets_of_the_same_limits_however_many_there_are(limits: Limits) -> None:
    """Also where two of them are looked for in the same place, and where a name comes as another object."""
    holder = Holder(limits)
    tenants = [f"tenant-{number}" for number in range(600)]
    sets = [(each,) for each in ASKED]
    first = {(at, tenant): holder.buckets(asked, tenant) for at, asked in enumerate(sets) for tenant in tenants}
    for (at, tenant), buckets in reversed(first.items()):
        for name in (tenant, "".join(list(tenant))):
            assert holder.buckets(sets[at], name).all == buckets.all
            assert holder.bucket(ASKED[at], name) is buckets.all[0]
    assert len({id(buckets.all[0]) for buckets in first.values()}) == len(first)


def test_a_call_that_draws_from_many_limits_says_each(holder: Holder) -> None:
    asked = tuple([limit("tokens", 1000 + number, "10s", name=f"limit-{number}") for number in range(12)])
    held = taken(holder, 60, 0, asked)
    assert drawn(held) == [("tokens", 60, 0, 0)] * 12
    held.use(70, 0)
    assert drawn(held) == [("tokens", 60, 70, 0)] * 12
    assert held.overdraft
    held.recorded(7)
    assert [bucket.used for bucket in held.buckets.all] == [70] * 12


def test_what_a_stream_holds_in_addition_is_said_too(holder: Holder) -> None:
    held = taken(holder, 60, 700)
    assert held.grow(70, 800) is None
    grown = [("requests", 1, 0, 0), ("tokens", 70, 0, 0), ("concurrent", 1, 0, 0), ("usd", 800, 0, ENDS)]
    assert drawn(held) == grown
    assert isinstance(held.grow(101, 900), Refusal)
    assert drawn(held) == grown


def test_a_limit_that_only_warns_is_told_of(holder: Holder) -> None:
    asked = (limit("tokens", 100, "10s", name="soft", exceed="warn"), ASKED[0])
    assert not taken(holder, 100, 0, asked).warned
    held = taken(holder, 1, 0, asked)
    assert (held.warned, [each.name for each in held.exceeded]) == (True, ["soft"])


def test_holds_are_open_until_each_is_settled_in_whatever_order(limits: Limits, holder: Holder) -> None:
    """More of them than there is room for at first; those that are dropped without an end stay open, and expire."""
    asked = (limit("concurrent", 1000, None, name="many"),)
    holds = [taken(holder, 0, 0, asked) for _ in range(300)]
    assert limits.open == 300
    for held in holds[::3] + holds[1::3][::-1]:
        held.recorded(1)
    assert limits.open == 100
    assert holder.buckets(asked, "acme").all[0].held() == 100
    del holds, held
    assert limits.open == 100
    fixed(limits, 61)
    assert limits.expire() == 100
    assert (limits.open, holder.buckets(asked, "acme").all[0].held()) == (0, 0)
