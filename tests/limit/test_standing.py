"""The compiled lines about a call's limits are those of plain Python, for any buckets, states and times."""

import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.limit.standing import standing
from tidegate.limit._draw import Bucket
from tidegate.limit._standing import lines
from tidegate.limit.headers import Form
from tidegate.limit.limits import Limits
from tidegate.model import Limit

S = 1_000_000_000
NOON = 1_795_262_400 * S  # 2026-11-21T12:00:00Z
FORMS = st.sampled_from(["openai", "anthropic"])

measures = st.sampled_from(["requests", "tokens", "usd"])
sizes = st.integers(0, 9) | st.integers(0, 10**15) | st.floats(0, 1e9)
periods = st.sampled_from(["1s", "7s", "1m", "1h", "30d", "366d", "day", "week", "month", "total"])


@st.composite
def any_limit(draw: st.DrawFn) -> Limit:
    name, key = draw(st.sampled_from("ab")), (draw(st.integers(0, 2)),)
    if draw(st.integers(0, 5)) == 0:
        return Limit(name=name, key=key, measure="concurrent", max=draw(sizes))
    period: Any = draw(periods)
    zone = draw(st.sampled_from([None, "Asia/Kathmandu"])) if period[0].isalpha() else None
    burst = draw(st.none() | sizes) if zone is None and not period[0].isalpha() else None
    exceed: Any = draw(st.sampled_from(["block", "warn"]))
    measure = draw(measures)
    return Limit(name=name, key=key, measure=measure, max=draw(sizes), per=period, tz=zone, burst=burst, exceed=exceed)


def by_headers(limits: Limits, form: Form, buckets: list[Bucket], now: int) -> bytes:
    return standing(form, [(bucket, limits.state(bucket)) for bucket in buckets], now)


@settings(max_examples=500, deadline=None)
@given(
    FORMS,
    st.lists(st.tuples(any_limit(), st.integers(0, 12) | st.integers(0, 10**12)), max_size=6),
    st.integers(0, 4 * 10**18) | st.integers(0, 50_000).map(lambda days: days * 86_400 * S),
    st.integers(0, 10**10) | st.integers(0, 40 * 86_400 * S),
)
def test_they_are_the_same(form: Form, drawn: list[tuple[Limit, int]], wall: int, later: int) -> None:
    limits = Limits(slots=64)
    limits.table.set_clock(S, wall)
    buckets = [limits.prepare(limit) for limit, _ in drawn]
    for bucket, (_, amount) in zip(buckets, drawn, strict=True):
        limits.acquire([(bucket, amount)])
    limits.table.set_clock(S + later, wall + later)
    expected = by_headers(limits, form, buckets, wall + later)
    assert lines(form, buckets) == lines(form, tuple(buckets)) == expected


@given(st.integers(0, 80_000), st.integers(0, 86_399))
def test_every_day_until_the_year_2189_has_its_date(day: int, second: int) -> None:
    limits = Limits(slots=64)
    at = day * 86_400 + second
    limits.table.set_clock(S, at * S)
    bucket = limits.prepare(Limit(name="a", measure="requests", max=1, per="1s"))
    said = datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    assert lines("anthropic", [bucket]).endswith(b"requests-reset: %b\r\n" % said)


def test_a_budget_begins_anew_to_the_second_whatever_the_clock_says_in_between() -> None:
    limits = Limits(slots=64)  # with the machine's clocks, of which the windows' is a coarse one
    bucket = limits.prepare(Limit(name="a", measure="tokens", max=1, per="day"))
    for _ in range(2000):
        assert lines("anthropic", [bucket]).endswith(b"T00:00:00Z\r\n")


def test_a_window_that_ends_meanwhile_is_left() -> None:
    limits = Limits(slots=64)
    limits.table.set_clock(S, NOON)
    bucket = limits.prepare(Limit(name="a", measure="tokens", max=100, per="day"))
    assert limits.acquire([(bucket, 60)])
    assert b"remaining-tokens: 40\r\n" in lines("openai", [bucket])
    limits.table.set_clock(S, NOON + 43_200 * S)
    assert b"remaining-tokens: 100\r\n" in lines("openai", [bucket])
    assert b"reset-tokens: 24h0m0s\r\n" in lines("openai", [bucket])


def test_what_is_no_bucket_or_no_form_is_refused() -> None:
    bucket = Limits(slots=64).prepare(Limit(name="a", measure="requests", max=1, per="1s"))
    with pytest.raises(ValueError, match="no form `gemini`"):
        lines("gemini", [bucket])
    wrong: Any = "x"
    with pytest.raises(TypeError):
        lines("openai", [wrong])
