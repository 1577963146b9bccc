"""The header lines about limits say what OpenAI's and Anthropic's clients expect."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.limit.standing import instant, standing
from tidegate.limit._standing import lines as compiled
from tidegate.limit.headers import Form, again, duration, refusal
from tidegate.limit.limits import Limits
from tidegate.limit.refusal import Exceeded, Refusal, State
from tidegate.model import Limit

MS = 1_000_000
S = 1_000_000_000
NOON = 1_795_262_400 * S  # 2026-11-21T12:00:00Z


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, b"0s"),
        (1, b"1ms"),  # never earlier than it is true
        (12 * MS, b"12ms"),
        (999 * MS + 1, b"1s"),
        (S, b"1s"),
        (1500 * MS, b"1.5s"),
        (8640 * MS, b"8.64s"),
        (60 * S, b"1m0s"),
        (86_400 * MS + 1, b"1m26.401s"),
        (360 * S, b"6m0s"),
        (3600 * S, b"1h0m0s"),
        (30 * 86_400 * S + 61 * S + 5 * MS, b"720h1m1.005s"),
    ],
)
def test_a_duration_is_written_as_go_writes_it(nanoseconds: int, text: bytes) -> None:
    assert duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(NOON, b"2026-11-21T12:00:00Z"), (NOON + 1, b"2026-11-21T12:00:01Z"), (0, b"1970-01-01T00:00:00Z")],
)
def test_an_instant_is_written_as_rfc_3339_says(nanoseconds: int, text: bytes) -> None:
    assert instant(nanoseconds) == text


def bucket(measure: Any, most: int) -> Any:
    per = None if measure == "concurrent" else "1m"
    return SimpleNamespace(limit=Limit(name=measure, measure=measure, max=most, per=per), max=most)


def lines(block: bytes) -> dict[str, str]:
    """A block of header lines as a client sees it."""
    assert not block or block.endswith(b"\r\n")
    pairs = [line.split(b": ") for line in block.split(b"\r\n")[:-1]]
    assert all(len(pair) == 2 for pair in pairs)
    return {name.decode(): value.decode() for name, value in pairs}


def test_openai_s_lines() -> None:
    block = standing("openai", [(bucket("requests", 60), State(59, S)), (bucket("tokens", 150_000), State(149_984, 6))])
    assert lines(block) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "1ms",
    }


def test_anthropic_s_lines() -> None:
    block = standing("anthropic", [(bucket("tokens", 9), State(0, 5 * S)), (bucket("requests", 5), State(5, 0))], NOON)
    assert lines(block) == {
        "anthropic-ratelimit-requests-limit": "5",
        "anthropic-ratelimit-requests-remaining": "5",
        "anthropic-ratelimit-requests-reset": "2026-11-21T12:00:00Z",
        "anthropic-ratelimit-tokens-limit": "9",
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": "2026-11-21T12:00:05Z",
    }


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_of_several_buckets_the_lines_tell_of_the_one_nearest_to_its_end(form: Form) -> None:
    wide, narrow, later = bucket("requests", 1000), bucket("requests", 10), bucket("requests", 70)
    told = lines(standing(form, [(wide, State(500, S)), (narrow, State(3, S)), (later, State(3, 9 * S))], NOON))
    assert list(told.values())[:2] == ["70", "3"]


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_what_is_used_of_a_total_comes_back_at_no_time(form: Form) -> None:
    limits = Limits(slots=64)
    total = limits.prepare(Limit(name="all", measure="requests", max=9, per="total"))
    assert limits.acquire([(total, 2)])
    assert list(lines(compiled(form, [total])).values()) == ["9", "7"]


@pytest.mark.parametrize("form", ["openai", "anthropic"])
def test_money_and_concurrent_calls_have_no_lines(form: Form) -> None:
    assert standing(form, [(bucket("usd", 5), State(1, 1)), (bucket("concurrent", 5), State(1, 0))]) == b""
    assert standing(form, []) == b""


def test_what_is_overdrawn_has_nothing_left() -> None:
    assert b"remaining-tokens: 0\r\n" in standing("openai", [(bucket("tokens", 5), State(-3, 1))])


def refused(*exceeded: tuple[Any, int | None, bool]) -> Refusal:
    return Refusal(
        tuple(
            Exceeded(Limit(name="a", measure="requests", max=1, per="1m", exceed=exceed), 0, retry, never)
            for exceed, retry, never in exceeded
        )
    )


@pytest.mark.parametrize(
    ("refused", "helps", "told"),
    [
        (refused(("throttle", 1500 * MS + 1, False)), True, {"retry-after": "2", "retry-after-ms": "1501"}),
        (
            refused(("throttle", 5 * S, False), ("throttle", 7 * S, False)),  # both must have room
            True,
            {"retry-after": "7", "retry-after-ms": "7000"},
        ),
        (
            refused(("throttle", 60 * S, False)),  # the longest that every client waits
            True,
            {"retry-after": "60", "retry-after-ms": "60000"},
        ),
        (refused(("throttle", 60 * S + 1, False)), False, {"retry-after": "61", "retry-after-ms": "60001"}),
        (
            refused(("block", 5 * S, False), ("throttle", S, False)),
            False,
            {"retry-after": "5", "retry-after-ms": "5000"},
        ),
        (Refusal((Exceeded(Limit(name="a", measure="concurrent", max=1, exceed="throttle"), 0, None),)), True, {}),
        (refused(("throttle", None, False)), False, {}),  # a total: no time is known, for there is none
        (refused(("throttle", None, True)), False, {}),
        (refused(("block", None, True), ("throttle", S, False)), False, {}),
    ],
)
def test_a_refusal_says_whether_and_when_to_come_again(refused: Refusal, helps: bool, told: dict[str, str]) -> None:
    assert again(refused) is helps
    assert lines(refusal(refused)) == told
