"""Moments as nanoseconds since 1970, in time zones, and lengths of time.

A moment is a number, or an array of the number and a time zone. Time stands still while a policy runs.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.layouts import NAMED, WEEKDAYS, read, write
from tidegate.rego.builtins.operands import NAMES, integer, string
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import Value

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = 1_000_000_000
_MOMENT: Final = "any<number, array<number, string>>"


def _within(moment: int) -> int:
    if -(2**63) <= moment < 2**63:
        return moment
    raise BuiltinError("time outside of valid range")


def _nanoseconds(moment: datetime, nanosecond: int) -> int:
    """Of a moment whose fraction of a second is given apart."""
    since = moment - _EPOCH
    return _within((since.days * 86400 + since.seconds) * _SECOND + nanosecond)


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC", "Local"):  # the machine's own zone must not change a decision
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BuiltinError(f"unknown time zone {name}") from None


def _moment(name: str, operand: Value, position: int = 1) -> tuple[datetime, int, list[Value]]:
    """The second in its time zone, its fraction in nanoseconds, and what else an array had."""
    parts = operand if type(operand) is list and operand else [operand]
    if (type(operand) is list and not operand) or type(parts[0]) not in (int, float, Decimal):
        wanted = "either number (ns) or [number (ns), string (tz)]"
        raise OperandError(f"{name}: operand {position} must be {wanted} but got {NAMES[type(operand)]}")
    nanoseconds = parts[0]
    if type(nanoseconds) is not int or not -(2**63) <= nanoseconds < 2**63:
        raise BuiltinError(f"{name}: timestamp too big")
    zone = string(name, position, parts[1]) if len(parts) > 1 else ""
    seconds, nanosecond = divmod(nanoseconds, _SECOND)
    return _local(seconds, zone), nanosecond, parts[2:]


@lru_cache(maxsize=256)  # a policy asks for the date, the clock and the weekday of one moment
def _local(seconds: int, zone: str) -> datetime:
    return (_EPOCH + timedelta(seconds=seconds)).astimezone(_zone(zone))


@builtin("time.now_ns", "-> now: number", evaluation=True, pure=False)
def now_ns(evaluation: Evaluation) -> int:
    return evaluation.time_ns


@builtin("time.date", f"x: {_MOMENT} -> date: array<number, number, number>")
def date(x: Value) -> list[int]:
    moment, _, _ = _moment("time.date", x)
    return [moment.year, moment.month, moment.day]


@builtin("time.clock", f"x: {_MOMENT} -> output: array<number, number, number>")
def clock(x: Value) -> list[int]:
    moment, _, _ = _moment("time.clock", x)
    return [moment.hour, moment.minute, moment.second]


@builtin("time.weekday", f"x: {_MOMENT} -> day: string")
def weekday(x: Value) -> str:
    moment, _, _ = _moment("time.weekday", x)
    return WEEKDAYS[moment.weekday()]


@builtin(
    "time.format",
    "x: any<number, array<number, string>, array<number, string, string>> -> formatted timestamp: string",
)
def format_(x: Value) -> str:
    """In the layout that stands behind the time zone, else as RFC 3339 has it."""
    moment, nanosecond, rest = _moment("time.format", x)
    layout = string("time.format", 1, rest[0]) if rest else "RFC3339Nano"
    return write(moment, nanosecond, NAMED.get(layout, layout))


@builtin("time.parse_ns", "layout: string, value: string -> ns: number")
def parse_ns(layout: Value, value: Value) -> int:
    written = string("time.parse_ns", 1, layout)
    return _nanoseconds(*read(string("time.parse_ns", 2, value), NAMED.get(written, written)))


@builtin("time.parse_rfc3339_ns", "value: string -> ns: number")
def parse_rfc3339_ns(value: Value) -> int:
    return _nanoseconds(*read(string("time.parse_rfc3339_ns", 1, value), NAMED["RFC3339"]))


@builtin("time.add_date", "ns: number, years: number, months: number, days: number -> output: number")
def add_date(ns: Value, years: Value, months: Value, days: Value) -> int:
    """What overflows goes on in the next field: the 31st of April is the 1st of May."""
    name = "time.add_date"
    moment, nanosecond, _ = _moment(name, ns)
    months_since_0 = (moment.year + integer(name, 2, years)) * 12 + moment.month - 1 + integer(name, 3, months)
    year, month = divmod(months_since_0, 12)
    try:
        first = moment.replace(year=year, month=month + 1, day=1)
        return _nanoseconds(first + timedelta(days=moment.day - 1 + integer(name, 4, days)), nanosecond)
    except (ValueError, OverflowError):
        raise BuiltinError("time outside of valid range") from None


@builtin(
    "time.diff",
    f"ns1: {_MOMENT}, ns2: {_MOMENT} -> output: array<number, number, number, number, number, number>",
)
def diff(ns1: Value, ns2: Value) -> list[int]:
    """Years, months, days, hours, minutes and seconds between two moments, seen in the time zone of the first."""
    one, one_nanosecond, _ = _moment("time.diff", ns1)
    other, other_nanosecond, _ = _moment("time.diff", ns2, 2)
    other = other.astimezone(one.tzinfo)
    (first, _), (last, _) = sorted(
        ((one, one_nanosecond), (other, other_nanosecond)), key=lambda pair: _nanoseconds(*pair)
    )
    fields = [a - b for a, b in zip(last.timetuple()[:6], first.timetuple()[:6], strict=True)]
    next_month = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1, day=1, tzinfo=UTC)
    days = (next_month - timedelta(days=1)).day
    for at, size in ((5, 60), (4, 60), (3, 24), (2, days), (1, 12)):
        if fields[at] < 0:
            fields[at] += size
            fields[at - 1] -= 1
    return fields


_UNITS: Final = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 1_000_000,
    "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND,
}  # fmt: skip
_LENGTH: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


@builtin("time.parse_duration_ns", "duration: string -> ns: number")
def parse_duration_ns(duration: Value) -> int:
    """`1h30m`, `-1.5s`, `0`."""
    written = string("time.parse_duration_ns", 1, duration)
    text = written[1:] if written[:1] in ("-", "+") else written
    total = 0
    at = 0
    while at < len(text) and text != "0":
        found = _LENGTH.match(text, at)
        if found is None or len(found[1]) > 40:
            break
        total += int(Decimal(found[1]) * _UNITS[found[2]])
        at = found.end()
    if (text != "0" and (at < len(text) or not text)) or total > 2**63 - (not written.startswith("-")):
        raise BuiltinError(f'time: invalid duration "{written}"')
    return -total if written.startswith("-") else total
