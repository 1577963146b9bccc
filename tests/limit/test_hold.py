"""What a call draws from its limits, as the gateway holds, settles and records it."""

import pytest

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


@pytest.mark.parametrize("tokens", [-1, 2**53 + 1])
def test_an_amount_that_is_none_is_refused(limits: Limits, holder: Holder, tokens: int) -> None:
    with pytest.raises(ValueError, match="an amount is a whole number from 0"):
        holder.take(holder.buckets(ASKED, "acme"), tokens, 0)
    assert limits.open == 0


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
