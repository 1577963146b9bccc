"""A limit's numbers in whole numbers: exact as they are written, and never rounded in the caller's favour."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.limit.units import MOST, SECOND, micro_cents, rate, whole
from tidegate.model import Limit


@pytest.mark.parametrize(
    ("note", "usd", "expected"),
    [
        ("a dollar", 1, 100_000_000),
        ("a tenth, which no binary fraction is", 0.1, 10_000_000),
        ("the smallest", 1e-8, 1),
        ("less than that costs that", 1e-12, 1),
        ("nothing", 0, 0),
    ],
)
def test_dollars_are_micro_cents(note: str, usd: float, expected: int) -> None:
    assert micro_cents(usd) == expected, note


def test_a_limit_is_rounded_down_and_ends_somewhere() -> None:
    assert whole("usd", 0.1 + 0.2) == 30_000_000  # 0.30000000000000004 as it is written
    assert whole("usd", 1e-9) == 0
    assert whole("tokens", 2.9) == 2
    assert whole("usd", 1e15) == MOST


@given(
    st.sampled_from(["requests", "tokens", "usd"]),
    st.integers(1, 10**15) | st.floats(1e-9, 1e15),
    st.sampled_from(["1s", "7s", "10s", "1m", "1h", "30d", "366d"]),
    st.none() | st.integers(0, 10**15),
)
def test_a_rate_is_never_faster_than_it_says_and_hardly_slower(
    measure: str, most: float, per: str, burst: int | None
) -> None:
    limit = Limit(name="l", measure=measure, max=most, per=per, burst=burst)  # type: ignore[arg-type]
    numbers = rate(limit)
    assert limit.seconds is not None
    scale = 100_000_000 if measure == "usd" else 1
    true = limit.seconds * SECOND / (Fraction(str(most)) * scale)  # ns for each unit
    ours = Fraction(numbers.ahead, numbers.units)
    assert ours >= true or numbers.ahead == MOST
    assert ours <= true * (1 + Fraction(2, 10**6))
    assert 0 <= numbers.depth <= MOST
    assert max(numbers.ahead, numbers.units) <= MOST
    depth = whole(limit.measure, most if burst is None else burst) * ours
    assert numbers.depth == min(-(-depth.numerator // depth.denominator), MOST)


def test_a_rate_of_nothing_is_as_slow_as_can_be() -> None:
    assert rate(Limit(name="l", measure="tokens", max=0, per="1s")).depth == 0
