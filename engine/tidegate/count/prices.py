"""What a call costs, in whole micro-cents: a dollar is 100,000,000 of them.

The prices in force are a table (`prices_table.py`), what the operator states over it, and what holds for a model that
neither knows. A call is charged once, by all that it used, and rounded up once. Prices never say 0 because something is
unknown: a model without a price raises PriceUnknown, or costs what the operator stated for such models; tokens of a
kind without a rate of its own cost what those around them do; and where a provider counts a token as two kinds at
once, it is charged as both.

What providers sell besides tokens, web searches and requests (storage, pages, minutes) is not known here.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from hashlib import sha256
from re import match as begins
from typing import Final

import msgspec
from msgspec.structs import astuple

from tidegate.count.prices_names import Names
from tidegate.count.prices_table import MILLION, Match, Model, Period, Rates, Table, micro_cents, shipped
from tidegate.errors import PriceUnknown
from tidegate.model import Usage

DENY: Final = "deny"
REMEMBERED: Final = 4096  # callers write the names of models, so that there is no end of them
FEES: Final = ("web_search", "request")  # stated in dollars each; tokens are stated in dollars a million
LIMITS: Final = ("context", "max_output")
DAY: Final = 86_400

Filled = tuple[int, ...]
Steps = tuple["Row", ...]  # falling; the last is above -1, so that one always fits
Schedule = tuple[tuple[int, int, Steps], ...]  # (since, second of the day, rates), falling


class Row:
    """What a call with more than `above` input tokens costs. Where amounts and rates are no larger than they ever are,
    this is reckoned in the machine's integers; elsewhere in Python's.
    """

    def __init__(self, above: int, rates: Filled) -> None:
        self.above = above
        self.rates = rates
        tokens, (searches, request) = rates[:10], rates[10:]
        self.small = max(tokens) < 1 << 36 and searches < 1 << 42 and request < 1 << 60
        (
            self._input,
            self._cached,
            self._write,
            self._write_1h,
            self._heard,
            self._seen,
            self._output,
            self._thought,
            self._spoken,
            self._drawn,
            self._search,
            self._request,
        ) = rates if self.small else (0,) * len(rates)

    def cost(self, usage: Usage) -> int:
        """What all that a call used costs, in micro-cents, rounded up."""
        read, said, searches = usage.input_tokens, usage.output_tokens, usage.web_searches
        cached, wrote, kept = usage.cached_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens
        heard, seen, thought = usage.input_audio_tokens, usage.input_image_tokens, usage.reasoning_tokens
        spoken, drawn = usage.output_audio_tokens, usage.output_image_tokens
        # at most ten products below 2**59 and one request: less than 2**63
        if not self.small or (
            (read | said | cached | wrote | kept | heard | seen | thought | spoken | drawn) >> 23 or searches >> 17
        ):
            return _exactly(self.rates, usage)
        written = max(wrote - kept, 0)
        total = max(read - cached - written - kept - heard - seen, 0) * self._input
        total += max(said - thought - spoken - drawn, 0) * self._output + self._request
        total += cached * self._cached + written * self._write + kept * self._write_1h
        total += heard * self._heard + seen * self._seen + searches * self._search
        total += thought * self._thought + spoken * self._spoken + drawn * self._drawn
        return (total + 999_999) // 1_000_000

    def texts(self, read: int, said: int) -> int:
        """What so many tokens cost that are neither cached, nor heard, nor thought; in micro-cents, rounded up."""
        if not self.small or (read | said) >> 23:
            return -(-(read * self.rates[0] + said * self.rates[6] + self.rates[11]) // MILLION)
        return (read * self._input + said * self._output + self._request + 999_999) // 1_000_000


def _exactly(rates: Filled, usage: Usage) -> int:
    """What all that a call used costs, however much that is."""
    read, said, _, cached, wrote, kept, heard, seen, thought, spoken, drawn, searches, _ = astuple(usage)
    written = max(wrote - kept, 0)
    whole = max(read - cached - written - kept - heard - seen, 0), max(said - thought - spoken - drawn, 0)
    used = (whole[0], cached, written, kept, heard, seen, whole[1], thought, spoken, drawn, searches, 1)
    total: int = sum(amount * rate for amount, rate in zip(used, rates, strict=True))
    return -(-total // MILLION)


class Price:
    """What one model costs, and how much it reads and writes; None where that is unknown."""

    def __init__(self, model: Model, source: str) -> None:
        self.model = model.id
        self.provider = model.provider
        self.source = source  # `table`, `settings`, or `unknown` for a model that only has the stated maximum
        self.context = model.context
        self.max_output = model.max_output
        self._schedules = {service: _schedule(periods) for service, periods in model.prices.items()}
        self.writes = -1 if model.max_output is None else min(model.max_output, 1 << 31)  # the same, for reckoning
        self._standard = self._schedules[""]
        self._always = self._standard[0][2] if len(self._standard) == 1 else None
        self.steady = self._always is not None  # the standard rates are the same at any time

    def cost(self, usage: Usage, at: float) -> int:
        """What a call of Unix time `at` costs, in micro-cents, rounded up. A service that the model has no price for
        costs what the standard one does.
        """
        service, read = usage.service, usage.input_tokens
        if service and service in self._schedules:
            row = _row(_rows(self._schedules[service], at), read)
        else:
            row = _row(self._always or _rows(self._standard, at), read)
        return row.cost(usage)

    def standard(self, read: int, said: int, at: float) -> int:
        """What so many input and output tokens of Unix time `at` cost at the standard rates, if they are nothing else
        besides: neither cached, nor heard, nor thought. In micro-cents, rounded up.
        """
        return _row(self._always or _rows(self._standard, at), read).texts(read, said)

    @property
    def services(self) -> tuple[str, ...]:
        """The services that are priced in their own way; the first is the standard one, empty."""
        return tuple(self._schedules)

    def steps(self, service: str, at: float) -> tuple[int, ...]:
        """The counts of input tokens above which other rates hold at a time; the first is 0."""
        schedule = self._schedules.get(service, self._standard)
        return tuple(max(row.above, 0) for row in reversed(_rows(schedule, at)))

    def rates(self, service: str, at: float, read: int = 0) -> Rates:
        """The rates in force, every one of them filled in."""
        row = _row(_rows(self._schedules.get(service, self._standard), at), read)
        return Rates(**dict(zip(Rates.__struct_fields__, row.rates, strict=True)))


def _row(steps: Steps, read: int) -> Row:
    for row in steps:
        if read > row.above:
            return row
    return steps[-1]  # nothing reads fewer tokens than none


def _rows(schedule: Schedule, at: float) -> Steps:
    for since, second, steps in schedule:
        if at >= since and (second == 0 or at % DAY >= second):
            return steps
    return schedule[-1][2]  # before 1970


def _schedule(periods: tuple[Period, ...]) -> Schedule:
    return tuple((_unix(period), period.at, _steps(period)) for period in reversed(periods))


def _unix(period: Period) -> int:
    since = period.since
    return int(datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp()) if since else 0


def _steps(period: Period) -> Steps:
    steps = [Row(step.above, filled(step.rates)) for step in reversed(period.steps)]
    return (*steps, Row(-1, filled(period.rates)))


def filled(rates: Rates) -> Filled:
    """The rates in the order of their fields, those that are absent taken from what they are a part of."""

    def rate(own: int | None, whole: int) -> int:
        return whole if own is None else own

    write = rate(rates.cache_write, rates.input)
    return (
        rates.input,
        rate(rates.cached, rates.input),
        write,
        rate(rates.cache_write_1h, write),
        rate(rates.input_audio, rates.input),
        rate(rates.input_image, rates.input),
        rates.output,
        rate(rates.reasoning, rates.output),
        rate(rates.output_audio, rates.output),
        rate(rates.output_image, rates.output),
        rates.web_search,
        rates.request,
    )


class Prices:
    """The prices in force: of a table, of the operator's own words over it, and of everything else.

    `unknown` and the values of `override` are texts such as `input=2.50 cached=1.25 output=10`, dollars a million
    tokens; `unknown` may be `deny`. A name of `override` is a model's, or a beginning of names that ends in `*`; the
    longest that fits counts, over every provider's price. `digest` tells two sets of prices apart.
    """

    def __init__(self, table: Table, override: Mapping[str, str] | None = None, unknown: str = DENY) -> None:
        self.table = table
        override = override or {}
        said = msgspec.json.encode([table.digest, sorted(override.items()), unknown])
        self.digest = sha256(said).hexdigest()
        self._names = Names(table)
        self._override = {name.lower(): _stated(name, text) for name, text in override.items()}
        self._unknown = None if unknown == DENY else stated(unknown, "unknown")
        self._found: dict[tuple[str, str], Price | None] = {}

    def of(self, model: str, provider: str = "") -> Price:
        """The price of a provider's model; without a provider, of the one that is known for the name. Raises
        PriceUnknown.
        """
        key = provider, model
        price = self._found.get(key)
        if price is None:
            price = self._find(key)
            if price is None:
                one = "`prices.override` or `prices.unknown` in the gateway's settings can give it one"
                raise PriceUnknown(f"the model `{model[:100]}` has no price, and models without one are refused; {one}")
        return price

    def cost(self, model: str, usage: Usage, provider: str = "", at: float | None = None) -> int:
        """What a call costs, in micro-cents; `at` is its Unix time, without it now. Raises PriceUnknown."""
        price = self._found.get((provider, model))
        if price is None:
            price = self.of(model, provider)
        return price.cost(usage, time.time() if at is None else at)

    @property
    def remembered(self) -> int:
        """How many names are remembered, at most REMEMBERED."""
        return len(self._found)

    def provider(self, base_url: str) -> str:
        """The provider whose base URL this is; empty where it is nobody's that the table knows."""
        return next((each.id for each in self.table.head.providers if begins(each.url, base_url)), "")

    def _find(self, key: tuple[str, str]) -> Price | None:
        if key in self._found:
            return self._found[key]  # known to be unknown
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        price = self._found[key] = self._look_up(*key)
        return price

    def _look_up(self, provider: str, name: str) -> Price | None:
        listed = self._names.find(provider, name)
        own = self._overriding(name.lower())
        if own is None:
            return Price(listed, "table") if listed else self._unknown
        if listed:  # what the operator does not state of the limits is as it was
            limits = {limit: getattr(own, limit) or getattr(listed, limit) for limit in LIMITS}
            own = msgspec.structs.replace(own, provider=listed.provider, id=listed.id, **limits)
        return Price(own, "settings")

    def _overriding(self, name: str) -> Model | None:
        if name in self._override:
            return self._override[name]
        fitting = [each for each in self._override if each.endswith("*") and name.startswith(each[:-1])]
        return self._override[max(fitting, key=len)] if fitting else None


def stated(text: str, source: str) -> Price:
    """A price in an operator's words, of no model in particular."""
    return Price(_stated("", text), source)


def _stated(name: str, text: str) -> Model:
    """What an operator's words say of a model; ValueError for words that cannot be meant."""
    words = dict(word.split("=", 1) for word in text.split())
    limits = {limit: int(words.pop(limit)) for limit in LIMITS if limit in words}
    rates = {rate: micro_cents(Decimal(amount) * (MILLION if rate in FEES else 1)) for rate, amount in words.items()}
    return Model(
        provider="", id=name, match=Match(), prices={"": (Period(rates=msgspec.convert(rates, Rates)),)}, **limits
    )


@cache
def _shipped() -> Prices:
    return Prices(shipped())


def cost(
    model: str,
    input_tokens: int,
    output_tokens: int = 0,
    *,
    cached_tokens: int = 0,
    cache_write_tokens: int = 0,
    reasoning_tokens: int = 0,
    service: str = "",
    provider: str = "",
    at: float | None = None,
) -> int:
    """What a call costs by the prices that came with this version, in micro-cents: 100,000,000 are a dollar.

    Cached tokens and those written to a cache are a part of `input_tokens`, reasoning is one of `output_tokens`.
    `service` is `flex`, `priority`, `fast` or `batch`; `provider` says whose price is meant where several sell the
    model; `at` is the Unix time of the call, without it now. Raises PriceUnknown for a model without a price.

        >>> cost("gpt-4o", input_tokens=1000, output_tokens=500)
        750000
    """
    usage = Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        kind="estimated",
        cached_tokens=cached_tokens,
        cache_write_tokens=cache_write_tokens,
        reasoning_tokens=reasoning_tokens,
        service=service,
    )
    return _shipped().cost(model, usage, provider, at)
