"""Calendar windows: which day, week or month of a time zone an instant belongs to, and when that one is over.

A window is known by the date it begins with. It begins at the first instant that is midnight there, and lasts until the
next one begins: so windows follow one another without a gap or a return, also on days that are 23 or 25 hours long,
where midnight comes twice, and where a day is left out.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from tidegate.model import zone

SECOND = 1_000_000_000
DAY = timedelta(days=1)
FOREVER = 2**62


class Window(NamedTuple):
    """`name` is part of the bucket's key; `end` is Unix time in nanoseconds."""

    name: str
    end: int


def window(per: str, tz: str | None, now: int) -> Window:
    """The window of a calendar period (`day`, `week`, `month`, `total`) at `now`, Unix time in nanoseconds."""
    if per == "total":
        return Window("total", FOREVER)
    place = UTC if tz is None else zone(tz)
    # the local date may be a day ahead of its own window, where a clock change leads back over midnight
    first = _first(per, datetime.fromtimestamp(now // SECOND, place).date() + DAY)
    while _begin(first, place) > now:
        first = _first(per, first - DAY)
    following = _following(per, first)
    while (end := _begin(following, place)) <= now:  # a window of no length: a date that a place left out
        first, following = following, _following(per, following)
    return Window(first.isoformat(), end)


def _begin(day: date, place: tzinfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=place).timestamp()) * SECOND


def _first(per: str, day: date) -> date:
    """The first day of the period that `day` is in."""
    if per == "month":
        return day.replace(day=1)
    return day - DAY * day.weekday() if per == "week" else day


def _following(per: str, first: date) -> date:
    return _first(per, first + 31 * DAY) if per == "month" else first + DAY * (7 if per == "week" else 1)
