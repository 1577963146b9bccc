"""Days, weeks and months of a time zone follow one another without a gap and never return."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.limit.windows import FOREVER, SECOND, Window, window

ZONES = [None, "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Havana", "Asia/Kathmandu",
         "Pacific/Apia", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut"]  # fmt: skip


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("note", "per", "tz", "now", "name", "end"),
    [
        ("no zone is UTC", "day", None, "2026-11-21T23:59:59", "2026-11-21", "2026-11-22T00:00"),
        ("its first instant", "day", "UTC", "2026-11-22T00:00:00", "2026-11-22", "2026-11-23T00:00"),
        ("ahead of UTC", "day", "Europe/Berlin", "2026-11-21T23:00", "2026-11-22", "2026-11-22T23:00"),
        ("behind UTC", "day", "America/New_York", "2026-11-22T04:59", "2026-11-21", "2026-11-22T05:00"),
        ("a day of 23 hours", "day", "Europe/Berlin", "2026-03-29T10:00", "2026-03-29", "2026-03-29T22:00"),
        ("a day of 25 hours", "day", "Europe/Berlin", "2026-10-25T10:00", "2026-10-25", "2026-10-25T23:00"),
        ("midnight twice: the first", "day", "America/Havana", "2026-11-01T04:30", "2026-11-01", "2026-11-02T05:00"),
        ("midnight twice: the second", "day", "America/Havana", "2026-11-01T05:30", "2026-11-01", "2026-11-02T05:00"),
        ("back over midnight", "day", "America/St_Johns", "2010-11-07T02:31", "2010-11-07", "2010-11-08T03:30"),
        ("a date left out", "day", "Pacific/Apia", "2011-12-30T10:00", "2011-12-31", "2011-12-31T10:00"),
        ("a week begins on Monday", "week", "UTC", "2026-11-22T23:59", "2026-11-16", "2026-11-23T00:00"),
        ("a month", "month", "Europe/Berlin", "2026-11-30T22:59", "2026-11-01", "2026-11-30T23:00"),
        ("a short month", "month", "UTC", "2028-02-29T12:00", "2028-02-01", "2028-03-01T00:00"),
        ("a year's end", "month", "UTC", "2026-12-31T23:59", "2026-12-01", "2027-01-01T00:00"),
    ],
)
def test_windows(note: str, per: str, tz: str | None, now: str, name: str, end: str) -> None:
    assert window(per, tz, at(now)) == Window(name, at(end)), note


def test_a_total_has_one_window() -> None:
    assert window("total", None, 0) == window("total", "UTC", at("2026-01-01")) == Window("total", FOREVER)


@given(
    st.sampled_from(["day", "week", "month"]),
    st.sampled_from(ZONES),
    st.integers(at("1971-01-01"), at("2037-12-01")),
    st.integers(0, 40 * 86_400 * SECOND),
)
def test_windows_follow_one_another(per: str, tz: str | None, now: int, later: int) -> None:
    first = window(per, tz, now)
    assert now < first.end
    assert window(per, tz, first.end - 1) == first
    following = window(per, tz, first.end)
    assert following.name > first.name
    assert following.end > first.end
    other = window(per, tz, now + later)
    assert (other == first) == (now + later < first.end)
    assert other.name >= first.name
    longest = {"day": 1, "week": 7, "month": 31}[per]
    assert first.end - now <= timedelta(days=longest, hours=25).total_seconds() * SECOND
