"""What a refusal says: the error, its words, what is left, and whether and when to come again."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import BudgetExceeded, LimitExceeded, LimitReached, LimitThrottled
from tidegate.limit.limits import Limits
from tidegate.limit.refusal import Exceeded, Refusal
from tidegate.limit.refused import dollars, exceeded, reached
from tidegate.model import Limit
from tidegate.wire import openai
from tidegate.wire.reply import told, whole

MS = 1_000_000
S = 1_000_000_000
NOON = 1_795_262_400 * S  # 2026-11-21T12:00:00Z

PACE = Limit(name="pace", measure="requests", max=600, per="1m", exceed="throttle")
TOKENS = Limit(name="tokens", measure="tokens", max=150_000, per="1m")
SPEND = Limit(name="spend", measure="usd", max=0.5, per="1h")
BUDGET = Limit(name="budget", measure="usd", max=20.0, per="day")
TOTAL = Limit(name="allowance", measure="tokens", max=1e6, per="total")
PLACES = Limit(name="at once", measure="concurrent", max=8, exceed="throttle")
CALLS = Limit(name="calls", measure="requests", max=9, per="total", exceed="throttle")
SLOW = Limit(name="slow", measure="requests", max=1, per="30d", exceed="throttle")


@pytest.mark.parametrize(
    ("refused", "kind", "message", "remaining", "retry", "lines"),
    [
        (
            [Exceeded(PACE, 0, 1500 * MS + 1)],
            LimitThrottled,
            "the limit `pace` of 600 calls per 1m does not let this call pass: 0 calls left, enough in 1.501s",
            0,
            True,
            b"retry-after: 2\r\nretry-after-ms: 1501\r\n",
        ),
        (
            [Exceeded(TOKENS, 1, 12 * S + 1)],
            LimitExceeded,
            "the limit `tokens` of 150000 tokens per 1m does not let this call pass: 1 token left, enough in 13s",
            1,
            False,
            b"retry-after: 13\r\nretry-after-ms: 12001\r\n",
        ),
        (
            [Exceeded(TOKENS, 150_000, None, never=True)],
            LimitExceeded,
            "the limit `tokens` of 150000 tokens per 1m never lets as much through at once as is asked for",
            150_000,
            False,
            b"",
        ),
        (
            [Exceeded(SPEND, 1_230_000, 5 * S)],
            LimitExceeded,
            "the limit `spend` of $0.5 per 1h does not let this call pass: $0.0123 left, enough in 5s",
            "0.0123",
            False,
            b"retry-after: 5\r\nretry-after-ms: 5000\r\n",
        ),
        (
            [Exceeded(BUDGET, 0, 25_925 * S - 1)],
            BudgetExceeded,
            "the budget `budget` of $20 per day does not let this call pass: $0 left, anew in 7h12m5s",
            "0",
            False,
            b"retry-after: 25925\r\nretry-after-ms: 25925000\r\n",
        ),
        (
            [Exceeded(TOTAL, 999, None)],
            BudgetExceeded,
            "the budget `allowance` of 1000000 tokens in total does not let this call pass: 999 tokens left",
            999,
            False,
            b"",
        ),
        (
            [Exceeded(PLACES, 0, None)],
            LimitThrottled,
            "the limit `at once` of 8 calls at once does not let this call pass: 0 calls left, more as soon as other"
            " calls end",
            0,
            True,
            b"",
        ),
        (
            [Exceeded(SLOW, 0, 61 * S)],
            LimitThrottled,
            "the limit `slow` of 1 call per 30d does not let this call pass: 0 calls left, enough in 1m1s",
            0,
            False,  # longer than every client waits
            b"retry-after: 61\r\nretry-after-ms: 61000\r\n",
        ),
        (
            [Exceeded(CALLS, 0, None)],
            LimitThrottled,
            "the budget `calls` of 9 calls in total does not let this call pass: 0 calls left",
            0,
            False,  # it never begins anew
            b"",
        ),
        (
            [Exceeded(PLACES, 0, None), Exceeded(SLOW, 0, 61 * S)],
            LimitThrottled,
            "the limit `at once` of 8 calls at once does not let this call pass: 0 calls left, more as soon as other"
            " calls end; the limit `slow` of 1 call per 30d does not let this call pass: 0 calls left, enough in 1m1s",
            0,
            False,
            b"",
        ),
        (
            [Exceeded(TOTAL, 0, None), Exceeded(PACE, 0, S)],
            BudgetExceeded,
            "the budget `allowance` of 1000000 tokens in total does not let this call pass: 0 tokens left; the limit"
            " `pace` of 600 calls per 1m does not let this call pass: 0 calls left, enough in 1s",
            0,
            False,
            b"",
        ),
    ],
)
def test_what_a_call_is_told(
    refused: list[Exceeded], kind: type[LimitExceeded], message: str, remaining: Any, retry: bool, lines: bytes
) -> None:
    error = exceeded(Refusal(tuple(refused)))
    assert type(error) is kind
    assert (error.message, error.rule, error.measure) == (message, refused[0].limit.name, refused[0].limit.measure)
    assert (error.remaining, error.retry, error.lines) == (remaining, retry, lines)
    assert (error.status, error.side) == (429, "caller")


def test_a_stream_that_cannot_draw_more_is_told_so_without_header_lines() -> None:
    error = reached(Refusal((Exceeded(BUDGET, 5_000_000, S),)))
    assert type(error) is LimitReached
    assert error.message == "the budget `budget` of $20 per day does not let this answer go on: $0.05 left, anew in 1s"
    assert (error.rule, error.remaining, error.retry, error.lines) == ("budget", "0.05", False, b"")


def test_the_lines_of_the_limits_come_with_those_of_the_refusal() -> None:
    assert exceeded(Refusal((Exceeded(PACE, 0, S),)), b"x: 1\r\n").lines == (
        b"retry-after: 1\r\nretry-after-ms: 1000\r\nx: 1\r\n"
    )


def test_a_call_that_comes_again_when_it_is_told_passes() -> None:
    limits = Limits(slots=64)
    limits.table.set_clock(S, NOON)
    pace = limits.prepare(Limit(name="pace", measure="requests", max=7, per="1m", burst=1, exceed="throttle"))
    assert limits.acquire([(pace, 1)])
    refusal = limits.acquire([(pace, 1)])
    assert isinstance(refusal, Refusal)
    error = exceeded(refusal)
    wait = int(error.lines.rpartition(b": ")[2])
    assert isinstance(error, LimitThrottled)
    limits.table.set_clock(S + (wait - 1) * MS, NOON)
    assert not limits.acquire([(pace, 1)])  # exact to the millisecond
    limits.table.set_clock(S + wait * MS, NOON)
    assert limits.acquire([(pace, 1)])


@given(st.integers(0, 2**62))
def test_money_is_told_exactly_and_plainly(micro_cents: int) -> None:
    told = dollars(micro_cents)
    assert Decimal(told) * 100_000_000 == micro_cents
    assert told == told.strip("+ ").lower()
    assert "e" not in told
    assert "." not in told or not told.endswith("0")


def test_the_answer_in_the_documents_is_the_one_that_a_caller_gets() -> None:
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    [shown] = re.findall(r"```console\n(HTTP/1.1 .*?)\n```", page, re.S)
    error = exceeded(Refusal((Exceeded(BUDGET, 1_230_000, 25_925 * S),)))
    run = b"01a1fe6b68f50000009d130576"
    answer = whole(429, told(error), run, openai.DIALECT.error(error, run), False)
    assert answer.decode().replace("\r\n", "\n") == shown
