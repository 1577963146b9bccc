"""Moments, time zones, Go's layouts, and lengths of time."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import equal

SECOND = 1_000_000_000
NOON = 1_517_832_000 * SECOND  # Monday the 5th of February 2018, 12:00 UTC
MOMENT = 1_136_239_445_123_456_789  # the moment of Go's layouts, 22:04:05 UTC

RESULTS = [
    ("a date", "time.date", (NOON,), [2018, 2, 5]),
    ("a date in a zone", "time.date", ([NOON, "Pacific/Auckland"],), [2018, 2, 6]),
    ("a date before 1970", "time.date", (-1,), [1969, 12, 31]),
    ("a clock", "time.clock", (NOON + 61 * SECOND,), [12, 1, 1]),
    ("a clock in a zone", "time.clock", ([NOON, "America/New_York"],), [7, 0, 0]),
    ("a clock in summer", "time.clock", ([NOON + 150 * 86400 * SECOND, "America/New_York"],), [8, 0, 0]),
    ("no zone is UTC", "time.clock", ([NOON, ""],), [12, 0, 0]),
    ("the machine's zone does not count", "time.clock", ([NOON, "Local"],), [12, 0, 0]),
    ("a weekday", "time.weekday", (NOON,), "Monday"),
    ("a weekday in a zone", "time.weekday", ([NOON, "Pacific/Auckland"],), "Tuesday"),
    ("years, months and days on", "time.add_date", (NOON, 1, 13, 30), 1_586_001_600 * SECOND),
    (
        "the 31st of April",
        "time.add_date",
        (call("time.parse_ns", "2006-01-02", "2021-03-31"), 0, 1, 0),
        call("time.parse_ns", "2006-01-02", "2021-05-01"),
    ),
    (
        "back over a new year",
        "time.add_date",
        (call("time.parse_ns", "2006-01-02", "2021-01-15"), 0, -2, 0),
        call("time.parse_ns", "2006-01-02", "2020-11-15"),
    ),
    (
        "the 29th of February, a year on",
        "time.add_date",
        (call("time.parse_ns", "2006-01-02", "2020-02-29"), 1, 0, 0),
        call("time.parse_ns", "2006-01-02", "2021-03-01"),
    ),
    ("nanoseconds stay", "time.add_date", (MOMENT, 0, 0, 1), MOMENT + 86400 * SECOND),
    ("as RFC 3339", "time.format", (MOMENT,), "2006-01-02T22:04:05.123456789Z"),
    ("as RFC 3339 in a zone", "time.format", ([NOON, "America/New_York"],), "2018-02-05T07:00:00-05:00"),
    (
        "in a layout",
        "time.format",
        ([MOMENT, "UTC", "Mon, _2 January 06 03:04PM .000 -07"],),
        "Mon,  2 January 06 10:04PM .123 +00",
    ),
    (
        "in a layout with a name",
        "time.format",
        ([NOON, "America/New_York", "RFC1123"],),
        "Mon, 05 Feb 2018 07:00:00 EST",
    ),
    ("the day of the year", "time.format", ([NOON, "UTC", "2006.002|__2"],), "2018.036| 36"),
    ("words inside of words", "time.format", ([NOON, "UTC", "Janx Monx Janet"],), "Janx Monx Janet"),
    ("nines without zeros", "time.format", ([NOON, "UTC", "05.999"],), "00"),
    ("offsets", "time.format", ([NOON, "Asia/Kolkata", "-0700 -07:00 Z07:00 Z0700"],), "+0530 +05:30 +05:30 +0530"),
    ("from RFC 3339", "time.parse_rfc3339_ns", ("2018-02-05T12:00:00Z",), NOON),
    ("from RFC 3339 with an offset", "time.parse_rfc3339_ns", ("2018-02-05T07:00:00.5-05:00",), NOON + SECOND // 2),
    ("from a layout", "time.parse_ns", ("2 Jan 2006 3:04pm", "5 feb 2018 12:00pm"), NOON),
    ("midnight of a half day", "time.parse_ns", ("2006-01-02 03PM", "2018-02-05 12AM"), NOON - 12 * 3600 * SECOND),
    ("from a layout with a name", "time.parse_ns", ("RFC1123Z", "Mon, 05 Feb 2018 12:00:00 +0000"), NOON),
    ("a year of two digits", "time.parse_ns", ("06-01-02", "70-01-01"), 0),
    (
        "a fraction that the layout has not",
        "time.parse_ns",
        ("2006-01-02 15:04:05", "1970-01-01 00:00:00.25"),
        SECOND // 4,
    ),
    ("the last moment", "time.parse_rfc3339_ns", ("2262-04-11T23:47:16.854775807Z",), 2**63 - 1),
    ("the first moment", "time.parse_rfc3339_ns", ("1677-09-21T00:12:43.145224192Z",), -(2**63)),
    ("a length", "time.parse_duration_ns", ("1h15m30.918s",), 4530_918_000_000),
    ("a negative length", "time.parse_duration_ns", ("-1.5h",), -5400 * SECOND),
    ("nothing", "time.parse_duration_ns", ("0",), 0),
    ("short units", "time.parse_duration_ns", ("1ms2us3µs4ns",), 1_005_004),
    ("a difference", "time.diff", (NOON + 3661 * SECOND, NOON), [0, 0, 0, 1, 1, 1]),
    (
        "a difference over months",
        "time.diff",
        (call("time.parse_ns", "2006-01-02", "2020-01-31"), call("time.parse_ns", "2006-01-02", "2021-03-01")),
        [1, 1, 1, 0, 0, 0],
    ),
    ("zones of one moment", "time.diff", ([NOON, "Asia/Tokyo"], NOON), [0, 0, 0, 0, 0, 0]),
]


@pytest.mark.parametrize(("note", "name", "operands", "expected"), RESULTS, ids=[row[0] for row in RESULTS])
def test_results(note: str, name: str, operands: tuple[Any, ...], expected: Any) -> None:
    assert equal(call(name, *operands), expected)


PROBLEMS = [
    ("time.date", (2**63,), "builtin", "time.date: timestamp too big"),
    ("time.date", (1.5,), "builtin", "time.date: timestamp too big"),
    ("time.clock", ([NOON, "Mars/Olympus"],), "builtin", "unknown time zone Mars/Olympus"),
    ("time.clock", ([NOON, "../../etc/passwd"],), "builtin", "unknown time zone ../../etc/passwd"),
    (
        "time.weekday",
        ("x",),
        "type",
        "time.weekday: operand 1 must be either number (ns) or [number (ns), string (tz)] but got string",
    ),
    ("time.add_date", (0, 2262, 1, 1), "builtin", "time outside of valid range"),
    ("time.add_date", (0, 10**30, 0, 0), "builtin", "time outside of valid range"),
    ("time.add_date", (0, 300, 0, 0), "builtin", "time outside of valid range"),
    ("time.parse_rfc3339_ns", ("2262-04-11T23:47:16.854775808Z",), "builtin", "time outside of valid range"),
    (
        "time.parse_rfc3339_ns",
        ("2018-02-05",),
        "builtin",
        'parsing time "2018-02-05" as "2006-01-02T15:04:05Z07:00": it is not written like that',
    ),
    (
        "time.parse_ns",
        ("2006-01-02", "2018-02-30"),
        "builtin",
        'parsing time "2018-02-30": day is out of range for month',
    ),
    ("time.parse_ns", ("1" * 2000, "1"), "builtin", "a layout of more than 1000 characters"),
    ("time.parse_duration_ns", ("1x",), "builtin", 'time: invalid duration "1x"'),
    ("time.parse_duration_ns", ("",), "builtin", 'time: invalid duration ""'),
    ("time.parse_duration_ns", ("9223372037s",), "builtin", 'time: invalid duration "9223372037s"'),
]


@pytest.mark.parametrize(("name", "operands", "kind", "message"), PROBLEMS)
def test_problems(name: str, operands: tuple[Any, ...], kind: str, message: str) -> None:
    assert problem(name, *operands) == f"eval_{kind}_error: {message}"


def test_time_stands_still_in_an_evaluation() -> None:
    assert call("time.now_ns", evaluation=Evaluation(time_ns=NOON)) == NOON


def test_a_layout_of_digits_does_not_go_back_and_forth() -> None:
    assert problem("time.parse_ns", "1" * 60, "1" * 59 + "x").startswith("eval_builtin_error: parsing time")
