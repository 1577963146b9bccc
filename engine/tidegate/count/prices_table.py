"""The price table as a file: JSON lines, a head and then a model a line, so that a change of prices can be reviewed.

Money is whole micro-cents (a dollar is 100,000,000 of them), and a rate is the price of a million: of tokens, of web
searches, of requests. A rate that is absent is the one of what it is a part of: cached tokens cost what input does.

The steps of a period are whole-request thresholds, as all providers have them: a call with more input tokens than
`above` pays that step's rates for everything. Of the periods the last one that has begun counts, by the date and, as
some providers have cheaper hours, by the second of the day; both in UTC.

The table is made by `prices_source.py`, beforehand; serving reads it and nothing else.
"""

import re
from collections.abc import Iterable
from datetime import date
from decimal import ROUND_CEILING, Decimal
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tidegate.errors import SettingsError

FORMAT: Final = 1
DOLLAR: Final = 100_000_000
MILLION: Final = 1_000_000
# what is finer than a ten-billionth of a dollar is noise of the floats that a price once went through
FINEST: Final = Decimal("1e-10")
SHIPPED: Final = "data/prices.jsonl"


class Rates(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What a million costs. None is the rate of what it is a part of; a rate of 0 is free."""

    input: int = 0
    cached: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    input_image: int | None = None
    output: int = 0
    reasoning: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    web_search: int = 0
    request: int = 0


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """The rates of calls with more input tokens than `above`."""

    above: int
    rates: Rates


class Period(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """The rates from a day on, and from a second of each day on."""

    rates: Rates
    steps: tuple[Step, ...] = ()  # by `above`, rising
    since: date | None = None  # None: ever
    at: int = 0


class Match(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Which names mean a model, in lower case: those that fit any of these."""

    equals: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    regex: tuple[str, ...] = ()
    every: tuple[tuple["Match", ...], ...] = ()  # each is a list of which all must fit

    def fits(self, name: str) -> bool:
        return (
            name in self.equals
            or name.startswith(self.starts)
            or name.endswith(self.ends)
            or any(part in name for part in self.contains)
            or any(re.search(regex, name) for regex in self.regex)
            or any(all(match.fits(name) for match in matches) for matches in self.every)
        )


class Model(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """One model of one provider."""

    provider: str
    id: str
    match: Match
    context: int | None = None  # the most tokens that it reads
    max_output: int | None = None  # the most that it writes
    prices: dict[str, tuple[Period, ...]]  # by service; empty: the standard one, which is always there


class Provider(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Who sells models, and how that shows."""

    id: str
    url: str  # a regex that the beginning of its base URLs fits
    models: Match | None = None  # which names of models mean this provider where no other is named
    fallbacks: tuple[str, ...] = ()  # providers whose models it sells at their prices


class Head(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first line of the file."""

    format: int
    made_of: dict[str, str]  # the packages and their versions
    providers: tuple[Provider, ...]


class Table(Struct, frozen=True, eq=False, kw_only=True):
    """The whole file; `digest` is the SHA-256 of its bytes."""

    head: Head
    models: tuple[Model, ...]
    digest: str


def shipped() -> Table:
    """The table that came with this version."""
    return parsed(files("tidegate.count").joinpath(SHIPPED).read_bytes(), SHIPPED)


def read(path: Path) -> Table:
    """A table that the operator keeps; raises SettingsError."""
    try:
        return parsed(path.read_bytes(), str(path))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {(error.strerror or type(error).__name__).lower()}") from None


def parsed(text: bytes, name: str) -> Table:
    """The table of a file's bytes; raises SettingsError."""
    head, _, models = text.partition(b"\n")
    try:
        version = msgspec.json.decode(head, type=dict[str, msgspec.Raw]).get("format")
        if version is None or bytes(version) != b"%d" % FORMAT:
            raise SettingsError(f"{name}: is not a price table of format {FORMAT}; `tidegate prices update` makes one")
        return Table(
            head=msgspec.json.decode(head, type=Head),
            models=tuple(msgspec.json.Decoder(Model).decode_lines(models)),
            digest=sha256(text).hexdigest(),
        )
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name}: is not a price table: {str(error)[:1].lower()}{str(error)[1:]}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: is not a price table: {error}") from None


def written(head: Head, models: Iterable[Model]) -> bytes:
    """A table as a file's bytes; equal tables have equal bytes."""
    lines = map(msgspec.json.Encoder(order="deterministic").encode, (head, *models))
    return b"".join(line + b"\n" for line in lines)


def micro_cents(dollars: Decimal) -> int:
    """Dollars as micro-cents, rounded up."""
    return int((dollars.quantize(FINEST) * DOLLAR).to_integral_value(ROUND_CEILING))
