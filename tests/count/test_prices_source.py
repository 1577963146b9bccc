"""The shipped table is what genai-prices says: every name, every service, any usage at any time."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, localcontext
from functools import cache
from typing import Any

import pytest

from tidegate.count.prices import Prices
from tidegate.count.prices_source import PACKAGES, SERVICES, compiled
from tidegate.count.prices_table import DOLLAR, SHIPPED, parsed, shipped, written
from tidegate.errors import PriceUnknown
from tidegate.model import Usage

genai = pytest.importorskip("genai_prices.types", reason="genai-prices is absent")
SNAPSHOT = pytest.importorskip("genai_prices.data_snapshot").get_snapshot()
PRICES = Prices(shipped())
PROVIDERS = [provider.id for provider in SNAPSHOT.providers]
# what a usage of ours is to genai-prices; what is named twice there is not told apart here, and is none
PARTS = {
    "cached_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "input_image_tokens": "input_image_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "output_image_tokens": "output_image_tokens",
}
NONE = {f"cache_{kind}_{way}_tokens": 0 for kind in ("text", "audio", "image", "video") for way in ("read", "write")}


def test_the_shipped_table_is_made_of_the_installed_packages() -> None:
    from importlib.metadata import version

    assert shipped().head.made_of == {package: version(package) for package in PACKAGES}, (
        "run `tidegate prices update --output engine/tidegate/count/data/prices.jsonl`"
    )
    table = parsed(written(*compiled()), SHIPPED)
    assert table.digest == shipped().digest


@cache
def names(provider: str) -> list[str]:
    """Names that may mean a model of a provider, and some that nearly do."""
    [sold] = [each for each in SNAPSHOT.providers if each.id == provider]
    written_names = [name for model in sold.models for name in (model.id, *texts(model.match))]
    return sorted({*written_names, *(name + "-20251114" for name in written_names), *(n[:-1] for n in written_names)})


def texts(clause: Any) -> Iterator[str]:
    """The texts inside a clause."""
    for value in vars(clause).values():
        if isinstance(value, str):
            yield value.strip("^$").replace("\\d{8}", "20260102")
        else:
            for inner in value:
                yield from texts(inner)


def theirs(provider: str, name: str) -> Any:
    try:
        return SNAPSHOT.find_provider_model(name, None, provider or None, None)[1]
    except LookupError:
        return None


def ours(provider: str, name: str) -> Any:
    try:
        return PRICES.of(name, provider)
    except PriceUnknown:
        return None


RESOLD = [("azure", "gpt-4o", "batch"), ("azure", "gpt-5", "flex"), ("google", "claude-opus-4-1", "batch")]


@pytest.mark.parametrize(("provider", "name", "service"), RESOLD)
def test_a_reseller_s_services_cost_what_they_do_by_genai_prices(provider: str, name: str, service: str) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 100}
    cost = PRICES.cost(name, Usage(kind="provider", service=service, **usage), provider, 1.9e9)
    assert cost == their_cost(provider, name, usage, service, 1.9e9)


def has_token_price(model: Any) -> bool:
    prices = model.prices if isinstance(model.prices, list) else [model]
    return all({"input_mtok", "output_mtok"} & vars(each.prices).keys() for each in prices)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_name_means_the_model_that_it_means_to_genai_prices(provider: str) -> None:
    assert names(provider)
    for name in names(provider):
        model, price = theirs(provider, name), ours(provider, name)
        if model is not None and has_token_price(model):
            assert price is not None, name
            assert price.model == model.id, name


def test_a_name_alone_means_the_provider_that_it_means_to_genai_prices() -> None:
    checked = 0
    for name in {name for provider in PROVIDERS for name in names(provider)}:
        model = theirs("", name) if name else None
        if model is not None and has_token_price(model) and (price := ours("", name)):
            assert price.model == model.id, name
            checked += 1
    assert checked > 500


def usages(chance: random.Random) -> Iterator[dict[str, int]]:
    """Parts within their wholes, large and small, around the steps too."""
    read = chance.choice([chance.randrange(2000), chance.randrange(2_000_000), 128_000, 200_000, 200_001, 272_001])
    wrote = chance.choice([0, chance.randrange(500), chance.randrange(200_000)])
    chosen = dict.fromkeys(PARTS, 0)
    for part in chance.sample(list(PARTS), chance.randrange(4)):
        left = wrote if part.startswith(("output", "reasoning")) else read
        taken = sum(v for k, v in chosen.items() if k.startswith(("output", "reasoning")) == (left is wrote))
        chosen[part] = chance.randrange(max(left - taken, 0) + 1)
    kept = chance.choice([0, chance.randrange(chosen["cache_write_tokens"] + 1)])
    yield {"input_tokens": read, "output_tokens": wrote, **chosen, "cache_write_1h_tokens": kept}


def their_cost(provider: str, name: str, usage: dict[str, int], service: str, at: float) -> Decimal:
    """In micro-cents, not rounded."""
    reported = {PARTS.get(part, part): amount for part, amount in usage.items()}
    found = SNAPSHOT.calc(
        genai.Usage(**reported, **NONE),
        name,
        provider,
        None,
        datetime.fromtimestamp(at, UTC),
        dict(SERVICES[service]) or None,
    )
    return found.total_price * DOLLAR


def test_calls_cost_what_they_do_by_genai_prices() -> None:
    chance = random.Random(5)
    listed = [(model.provider, model.id) for model in shipped().models]
    checked = equal = 0
    with localcontext() as context:
        context.prec = 60
        for provider, name in listed:
            model = theirs(provider, name)
            if model is None or model.id != name:
                continue  # its own id means another model, or none
            for usage in usages(chance):
                service, at = chance.choice(list(SERVICES)), chance.uniform(1.5e9, 1.9e9)
                exact = their_cost(provider, name, usage, service, at)
                cost = PRICES.cost(name, Usage(kind="provider", service=service, **usage), provider, at)
                # a rate that is no whole number of micro-cents is rounded up by itself
                slack = 1 + sum(usage.values()) // 1_000_000
                charged = exact.to_integral_value(ROUND_CEILING)
                assert charged - 1 <= cost <= charged + slack, (provider, name, usage, service, at)
                checked += 1
                equal += cost == charged
    assert checked > 1500
    assert equal / checked > 0.95
