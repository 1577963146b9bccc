"""What it costs to know what a call cost: our table against genai-prices' own calculation, by turns in one run.

`lines` measures; `python -m bench.prices` prints. Both are asked for models they have been asked for before, as in a
gateway; the results are compared first.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter_ns

import genai_prices

from bench.report import Line, ratio_line
from tidegate.count.prices import Prices
from tidegate.count.prices_table import DOLLAR, shipped
from tidegate.model import Usage

ROUNDS = 12
CALLS = {"tidegate": 20_000, "genai-prices": 200}
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODELS = (("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"))  # the second has steps and four input rates
GOAL, GATE = 1 / 100, 1 / 50


def nanoseconds(work: Callable[[], object], calls: int) -> float:
    """Of one call."""
    start = perf_counter_ns()
    for _ in range(calls):
        work()
    return (perf_counter_ns() - start) / calls


def lines(rounds: int = ROUNDS) -> list[Line]:
    """A line for each model."""
    return [_line(provider, model, rounds) for provider, model in MODELS]


def _line(provider: str, model: str, rounds: int) -> Line:
    prices, at = Prices(shipped()), NOW.timestamp()
    usage = Usage(1200, 300, "provider", cached_tokens=1000)
    theirs = genai_prices.Usage(input_tokens=1200, output_tokens=300, cache_read_tokens=1000)

    def ours() -> int:
        return prices.cost(model, usage, provider, at)

    def genai() -> Decimal:
        found = genai_prices.calc_price(theirs, model, provider_id=provider, genai_request_timestamp=NOW)
        return found.total_price * DOLLAR

    if ours() != genai():
        raise SystemExit(f"{model}: {ours()} micro-cents against {genai()}")
    pairs = [(nanoseconds(ours, CALLS["tidegate"]), nanoseconds(genai, CALLS["genai-prices"])) for _ in range(rounds)]
    return ratio_line(f"cost_{model.replace('-', '_')}", pairs, unit="ns", goal=GOAL, gate=GATE)


if __name__ == "__main__":
    found = lines()
    for line in found:
        print(line, *(f"  {detail}" for detail in line.details), sep="\n")
    sys.exit(0 if all(line.holds for line in found) else 1)
