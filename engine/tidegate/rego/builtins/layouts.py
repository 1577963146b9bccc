"""Go's layouts for time: a text that shows how `Mon Jan 2 15:04:05 MST 2006` would be written.

A layout is cut into words of that moment and the text between them; the words say how to write and read a field.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final

from tidegate.rego.errors import BuiltinError

NAMED: Final = {
    "ANSIC": "Mon Jan _2 15:04:05 2006",
    "UnixDate": "Mon Jan _2 15:04:05 MST 2006",
    "RubyDate": "Mon Jan 02 15:04:05 -0700 2006",
    "RFC822": "02 Jan 06 15:04 MST",
    "RFC822Z": "02 Jan 06 15:04 -0700",
    "RFC850": "Monday, 02-Jan-06 15:04:05 MST",
    "RFC1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "RFC1123Z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "RFC3339": "2006-01-02T15:04:05Z07:00",
    "RFC3339Nano": "2006-01-02T15:04:05.999999999Z07:00",
}
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_LONGEST: Final = 1000
# The longer word first where one begins with another. "Jan" is no word in "January", nor before another small letter.
_WORD: Final = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|002|_2(?!006)|01|02|03|04|05|06|15|PM|pm"
    r"|Z070000|Z07:00:00|Z0700|Z07:00|Z07|-070000|-07:00:00|-0700|-07:00|-07"
    r"|[.,](?:0+|9+)(?![0-9])|1|2|3|4|5"
)


@lru_cache(maxsize=256)
def words(layout: str) -> tuple[tuple[str, str], ...]:
    """The layout as pairs: the text before a word, and the word. The last word is empty."""
    if len(layout) > _LONGEST:
        raise BuiltinError(f"a layout of more than {_LONGEST} characters")
    pairs = []
    at = 0
    for found in _WORD.finditer(layout):
        pairs.append((layout[at : found.start()], found[0]))
        at = found.end()
    return (*pairs, (layout[at:], ""))


def write(moment: datetime, nanosecond: int, layout: str) -> str:
    """A moment in its own time zone; `nanosecond` is the whole fraction of its second."""
    parts = []
    for text, word in words(layout):
        parts += [text, _written(moment, nanosecond, word)]
    return "".join(parts)


def _written(moment: datetime, nanosecond: int, word: str) -> str:
    form = _WRITTEN.get(word)
    if form is not None:
        return form(moment)
    if word[:1] in (".", ","):
        digits = f"{nanosecond:09d}"[: len(word) - 1].ljust(len(word) - 1, "0")
        if word[1] == "9":
            digits = digits.rstrip("0")
        return word[0] + digits if digits else ""
    return _offset(moment, word) if word else ""


_WRITTEN: Final[dict[str, Callable[[datetime], str]]] = {
    "January": lambda t: MONTHS[t.month - 1],
    "Jan": lambda t: MONTHS[t.month - 1][:3],
    "1": lambda t: str(t.month),
    "01": lambda t: f"{t.month:02d}",
    "Monday": lambda t: WEEKDAYS[t.weekday()],
    "Mon": lambda t: WEEKDAYS[t.weekday()][:3],
    "2": lambda t: str(t.day),
    "_2": lambda t: f"{t.day:2d}",
    "02": lambda t: f"{t.day:02d}",
    "__2": lambda t: f"{t.timetuple().tm_yday:3d}",
    "002": lambda t: f"{t.timetuple().tm_yday:03d}",
    "15": lambda t: f"{t.hour:02d}",
    "3": lambda t: str(t.hour % 12 or 12),
    "03": lambda t: f"{t.hour % 12 or 12:02d}",
    "4": lambda t: str(t.minute),
    "04": lambda t: f"{t.minute:02d}",
    "5": lambda t: str(t.second),
    "05": lambda t: f"{t.second:02d}",
    "2006": lambda t: f"{t.year:04d}",
    "06": lambda t: f"{t.year % 100:02d}",
    "PM": lambda t: "PM" if t.hour >= 12 else "AM",
    "pm": lambda t: "pm" if t.hour >= 12 else "am",
    "MST": lambda t: t.tzname() or "UTC",
}


def _offset(moment: datetime, word: str) -> str:
    seconds = round((moment.utcoffset() or timedelta()).total_seconds())
    if word[0] == "Z" and seconds == 0:
        return "Z"
    hours, rest = divmod(abs(seconds), 3600)
    fields = [f"{hours:02d}", f"{rest // 60:02d}", f"{rest % 60:02d}"]
    between = ":" if ":" in word else ""
    return ("-" if seconds < 0 else "+") + between.join(fields[: (len(word.replace(":", "")) - 1) // 2])


# reading

# Every quantifier is possessive: Go takes as many digits as there are and never goes back.


def _one_of(names: Iterable[str]) -> str:
    return f"(?i:{'|'.join(names)})"


_READ: Final = {
    "January": ("month_name", _one_of(MONTHS)),
    "Jan": ("month_name", _one_of(name[:3] for name in MONTHS)),
    "1": ("month", r"\d{1,2}+"),
    "01": ("month", r"\d{2}"),
    "Monday": ("weekday", _one_of(WEEKDAYS)),
    "Mon": ("weekday", _one_of(name[:3] for name in WEEKDAYS)),
    "2": ("day", r"\d{1,2}+"),
    "_2": ("day", r" ?+\d{1,2}+"),
    "02": ("day", r"\d{2}"),
    "__2": ("year_day", r" {0,2}+\d{1,3}+"),
    "002": ("year_day", r"\d{3}"),
    "15": ("hour", r"\d{1,2}+"),
    "3": ("hour12", r"\d{1,2}+"),
    "03": ("hour12", r"\d{2}"),
    "4": ("minute", r"\d{1,2}+"),
    "04": ("minute", r"\d{2}"),
    "5": ("second", r"\d{1,2}+"),
    "05": ("second", r"\d{2}"),
    "2006": ("year", r"\d{4}"),
    "06": ("short_year", r"\d{2}"),
    "PM": ("half", "AM|PM"),
    "pm": ("half", "am|pm"),
    "MST": ("zone", r"[A-Z]{3,5}+(?:[+-]\d{1,2}+)?+"),
}


@lru_cache(maxsize=256)
def _expression(layout: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """An expression for the texts of a layout, and the field of each of its groups."""
    pieces, fields = [], []
    pairs = words(layout)
    for at, (text, word) in enumerate(pairs):
        pieces.append(re.escape(text))
        if not word:
            continue
        field, pattern = _READ.get(word) or _read_other(word)
        pieces.append(f"({pattern})")
        fields.append(field)
        if word in ("5", "05") and pairs[at + 1][1][:1] not in (".", ","):
            # A fraction may stand behind the seconds though the layout has none.
            pieces.append(r"([.,]\d++)?+")
            fields.append("fraction")
    return re.compile("".join(pieces), re.ASCII), tuple(fields)


def _read_other(word: str) -> tuple[str, str]:
    if word[0] in ".,":
        digits = len(word) - 1
        return "fraction", rf"[.,]\d{{{digits}}}" if word[1] == "0" else r"(?:[.,]\d++)?+"
    count = (len(word.replace(":", "")) - 1) // 2
    numbers = (":" if ":" in word else "").join([r"\d{2}"] * count)
    return "offset", ("Z|" if word[0] == "Z" else "") + f"[+-]{numbers}"


def read(text: str, layout: str) -> tuple[datetime, int]:
    """The moment, in the time zone that the text names, and its nanoseconds."""
    expression, names = _expression(layout)
    found = expression.fullmatch(text)
    if found is None:
        raise BuiltinError(f'parsing time "{text}" as "{layout}": it is not written like that')
    fields = {name: value for name, value in zip(names, found.groups(), strict=True) if value}
    try:
        return _moment(fields), int(fields.get("fraction", ".0")[1:10].ljust(9, "0"))
    except ValueError as error:
        raise BuiltinError(f'parsing time "{text}": {error}') from None


def _moment(fields: dict[str, str]) -> datetime:
    year = int(fields.get("year", "0"))
    if "short_year" in fields:
        short = int(fields["short_year"])
        year = short + (1900 if short >= 69 else 2000)
    if year == 0:
        raise ValueError("time outside of valid range")
    month, day = _month(fields), int(fields.get("day", "1"))
    if "year_day" in fields:
        date = datetime(year, 1, 1) + timedelta(int(fields["year_day"]) - 1)
        month, day = date.month, date.day
    hour = int(fields.get("hour", fields.get("hour12", "0")))
    if "half" in fields:
        hour = hour % 12 + (12 if fields["half"].upper() == "PM" else 0)
    minute, second = int(fields.get("minute", "0")), int(fields.get("second", "0"))
    return datetime(year, month, day, hour, minute, second, tzinfo=_zone(fields))


def _month(fields: dict[str, str]) -> int:
    if "month_name" in fields:
        begins = fields["month_name"].capitalize()
        return next(at for at, name in enumerate(MONTHS, 1) if name.startswith(begins))
    return int(fields.get("month", "1"))


def _zone(fields: dict[str, str]) -> tzinfo:
    """An abbreviation says nothing of the offset unless it is `GMT+3`; Go takes it for UTC."""
    offset = fields.get("offset", "Z")
    zone = fields.get("zone", "")
    if offset == "Z" and zone.startswith("GMT") and len(zone) > 3:
        return timezone(timedelta(hours=int(zone[3:])))
    if offset == "Z":
        return UTC
    digits = offset[1:].replace(":", "").ljust(6, "0")
    distance = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:6]))
    return timezone(-distance if offset[0] == "-" else distance)
