"""`tidegate prices`: what models cost, where that comes from, and a newer table.

`update` needs the packages that know prices; `show` and `diff` with a file do not. A table is written whole or not at
all, so that a gateway never reads a half of one.
"""

import os
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import msgspec

from tidegate.configuration import unchecked
from tidegate.configuration.keys import meant
from tidegate.count.prices import FEES, Price, Prices
from tidegate.count.prices_source import compiled
from tidegate.count.prices_table import DOLLAR, MILLION, Model, Rates, Table, parsed, read, written
from tidegate.errors import SettingsError
from tidegate.serve.tables import prices_of


def in_force(config: Path | None, environ: Mapping[str, str]) -> Prices:
    """The prices that the settings ask for."""
    return prices_of(unchecked(config, environ, but="prices"))


def show(model: str, provider: str, config: Path | None, environ: Mapping[str, str]) -> str:
    """What a model costs now, or without one what the prices in force are."""
    prices = in_force(config, environ)
    sellers = [each.id for each in prices.table.head.providers]
    if provider and provider not in sellers:
        raise SettingsError(f"--provider: the prices have no provider `{provider[:63]}`{meant(provider, sellers)}")
    return "\n".join(_price(prices.of(model, provider)) if model else _summary(prices))


def _summary(prices: Prices) -> Iterator[str]:
    head = prices.table.head
    yield f"models    {len(prices.table.models)} of {len(head.providers)} providers"
    yield f"made of   {', '.join(f'{package} {version}' for package, version in head.made_of.items())}"
    yield f"table     {prices.table.digest}"
    yield f"in force  {prices.digest}"


def _price(price: Price) -> Iterator[str]:
    yield f"{price.model or 'unknown model'}{f' of {price.provider}' if price.provider else ''} ({price.source})"
    yield f"  context     {price.context or 'unknown'}"
    yield f"  max_output  {price.max_output or 'unknown'}"
    now = time.time()
    for service in price.services:
        for above in price.steps(service, now):
            yield f"  {service or 'standard'}{f', more than {above} input tokens' if above else ''}"
            rates = price.rates(service, now, above + 1)
            yield from (f"    {name:<15} {_dollars(name, rate)}" for name, rate in _shown(rates))


def _shown(rates: Rates) -> Iterator[tuple[str, int]]:
    """The rates that are not those of what they are a part of."""
    whole = {"cached": "input", "cache_write": "input", "cache_write_1h": "cache_write", "input_audio": "input"}
    whole |= {"input_image": "input", "reasoning": "output", "output_audio": "output", "output_image": "output"}
    found = msgspec.structs.asdict(rates)
    for name, rate in found.items():
        if rate != (found[whole[name]] if name in whole else 0) or name in ("input", "output"):
            yield name, rate


def _dollars(name: str, rate: int) -> str:
    amount = Decimal(rate) / DOLLAR / (MILLION if name in FEES else 1)
    return f"${amount.normalize():f}{' each' if name in FEES else ' a million'}"


def diff(file: Path | None, config: Path | None, environ: Mapping[str, str]) -> tuple[str, bool]:
    """How another table, or what the installed packages say, differs from the one in force; and whether it does."""
    old = in_force(config, environ).table
    new = read(file) if file else parsed(written(*compiled()), "the installed packages")
    lines = list(_differences(old, new))
    if not lines:
        return "no differences", False
    return "\n".join([*lines, f"{len(lines)} difference{'s' if len(lines) > 1 else ''}"]), True


def _differences(old: Table, new: Table) -> Iterator[str]:
    before, after = ({(model.provider, model.id): model for model in table.models} for table in (old, new))
    for key in sorted(before.keys() | after.keys()):
        name = "/".join(key)
        if key not in after:
            yield f"- {name}"
        elif key not in before:
            yield f"+ {name}: {_now(after[key])}"
        elif before[key] != after[key]:
            was, becomes = _now(before[key]), _now(after[key])
            yield f"~ {name}: {f'{was} -> {becomes}' if was != becomes else 'names, limits, dates or other services'}"
    if old.head.providers != new.head.providers:
        yield "~ providers: names or addresses"


def _now(model: Model) -> str:
    rates = Price(model, "table").rates("", time.time())
    return f"input {_dollars('', rates.input)}, output {_dollars('', rates.output)}"


def update(output: Path | None, config: Path | None, environ: Mapping[str, str]) -> str:
    """Write the table of the installed packages to a file, or to the one that the settings name."""
    path = output or _configured(config, environ)
    if path.is_dir():
        raise SettingsError(f"{path}: is a folder; say which file in it")
    head, models = compiled()
    text = written(head, models)
    table = parsed(text, str(path))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(text)
        beside.replace(path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {(error.strerror or 'unknown').lower()}") from None
    made_of = ", ".join(f"{package} {version}" for package, version in head.made_of.items())
    return f"{path}: {len(table.models)} models from {made_of}, digest {table.digest}"


def _configured(config: Path | None, environ: Mapping[str, str]) -> Path:
    file = unchecked(config, environ).prices.file
    if not file:
        raise SettingsError("`prices.file` is not set: say where the table should be with --output")
    return Path(file)
