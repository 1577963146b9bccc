"""sprintf as Go's fmt has it; what is expected is what Go prints."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rego.builtins.calls import call, problem
from tidegate.rego.values import set_of

WRITTEN = [
    ("no verbs", "plain", [], "plain"),
    ("a string", "hello %s", ["you"], "hello you"),
    ("a whole number", "%d", [42], "42"),
    ("any value", "%v %v %v", ["a", 1, 1.5], "a 1 1.5"),
    ("a percent sign", "100%%", [], "100%"),
    ("composites are their Rego text", "%v", [[1, "a", {"b": None}]], '[1, "a", {"b": null}]'),
    ("sets", "%v %s", [set_of([2, 1]), set_of([])], "{1, 2} set()"),
    ("booleans are strings", "%v %s", [True, None], "true null"),
    ("a boolean verb has no boolean", "%t", [True], "%!t(string=true)"),
    ("quotes inside a composite", "%v", [['say "hi"\n']], r'["say \"hi\"\n"]'),
    ("width to the right", "%5d|", [42], "   42|"),
    ("width to the left", "%-5d|", [42], "42   |"),
    ("zeros", "%05d", [-42], "-0042"),
    ("zeros and a sign", "%+05d", [42], "+0042"),
    ("a blank for the sign", "% d", [42], " 42"),
    ("left and zeros", "%-05d|", [42], "42   |"),
    ("precision of a whole number", "%.4d", [42], "0042"),
    ("precision takes the zeros away", "%08.4d", [42], "    0042"),
    ("no digits of nothing", "%.0d|", [0], "|"),
    ("hexadecimal", "%x %X %#x", [255, 255, 255], "ff FF 0xff"),
    ("octal and binary", "%o %#o %O %b", [8, 8, 8, 5], "10 010 0o10 101"),
    ("zeros behind a prefix", "%#08x", [255], "0x000000ff"),
    ("a character", "%c", [0x1F642], "🙂"),
    ("no character", "%c", [-1], "\N{REPLACEMENT CHARACTER}"),
    ("a quoted character", "%q", [39], r"'\''"),
    ("a code point", "%U %#U", [0x20AC, 0x20AC], "U+20AC U+20AC '€'"),
    ("big numbers", "%d %s %v", [2**70, 2**70, 2**70], f"{2**70} {2**70} {2**70}"),
    ("a small number is no string", "%s", [1], "%!s(int=1)"),
    ("a verb that big numbers have not", "%c", [2**70], f"%!c(*big.Int={2**70})"),
    ("fixed", "%f %.2f", [3.14159, 3.14159], "3.141590 3.14"),
    ("fixed with width", "%8.3f|%-8.1f|%08.3f", [3.14159, 3.14159, -3.14159], "   3.142|3.1     |-003.142"),
    ("a whole number is no float", "%.2f", [3], "%!f(int=03)"),
    ("a float is no whole number", "%d", [1.5], "%!d(float64=1.5)"),
    ("exponents", "%e %E %.1e", [1234.5, 1234.5, 1234.5], "1.234500e+03 1.234500E+03 1.2e+03"),
    ("the shortest form", "%v %g %G", [1234567.5, 0.00001, 1e-7], "1.2345675e+06 1e-05 1E-07"),
    ("digits of the shortest form", "%.3g %.3g", [1234.5, 0.5], "1.23e+03 0.5"),
    ("a point at all events", "%#g %#.3g", [1.5, 0.5], "1.50000 0.500"),
    ("hexadecimal floats", "%x %.1x", [1.5, 1.03125], "0x1.8p+00 0x1.0p+00"),
    ("binary floats", "%b", [1.5], "6755399441055744p-52"),
    ("a sign", "%+.1f % .1f", [1.25, 1.25], "+1.2  1.2"),
    ("a decimal of many digits is a float", "%v", [Decimal("0.10000000000000000001")], "0.1"),
    ("a number too large for a float is text", "%s", [Decimal("1e400")], "1e+400"),
    ("width of a string counts characters", "%5s|%-5s|", ["añ", "añ"], "   añ|añ   |"),
    ("zeros before a string", "%05s", ["ab"], "000ab"),
    ("precision of a string", "%.2s|%5.1s|", ["añb", "xyz"], "añ|    x|"),
    ("a string is no number", "%d", ["x"], "%!d(string=x)"),
    ("quoted", "%q %#q %+q", ["a\tb", "ab", "é"], r'"a\tb" `ab` "\u00e9"'),
    ("quoted for Go", "%#v", ["a"], '"a"'),
    ("octets", "%x %X % x %# x", ["hé", "hé", "hi", "hi"], "68c3a9 68C3A9 68 69 0x68 0x69"),
    ("types", "%T %T %T %T", [1, "a", 1.5, 2**70], "int string float64 *big.Int"),
    ("an unknown verb", "%z", [1], "%!z(int=1)"),
    ("an unknown verb of a string", "%!", ["a"], "%!!(string=a)"),
    ("too few", "%d %s", [1], "1 %!s(MISSING)"),
    ("too many", "%d", [1, "a", 1.5], "1%!(EXTRA string=a, float64=1.5)"),
    ("no verb", "50%", [], "50%!(NOVERB)"),
    ("an index", "%[2]s %[1]s", ["a", "b"], "b a"),
    ("an index goes on from there", "%[2]s %s", ["a", "b", "c"], "b c"),
    ("an index leaves no extra ones", "%[1]s", ["a", "b"], "a"),
    ("an index that is not there", "%[3]s", ["a"], "%!s(BADINDEX)"),
    ("no index", "%[x]s", ["a"], "%!s(BADINDEX)"),
    ("an open index", "%[1s", ["a"], "%!s(BADINDEX)"),
    ("width from the values", "%*d|", [5, 42], "   42|"),
    ("negative width from the values", "%*d|", [-5, 42], "42   |"),
    ("precision from the values", "%.*f", [1, 1.25], "1.2"),
    ("no width", "%*d", ["x", 42], "%!(BADWIDTH)42"),
    ("too wide", "%*d", [10_000_000, 42], "%!(BADWIDTH)42"),
    ("no precision", "%.*f", [-1, 1.5], "%!(BADPREC)1.500000"),
    ("width by index", "%[2]*[1]d", [42, 5], "   42"),
    ("a number behind an index", "%[1]5d", [42], "%!d(BADINDEX)"),
]


@pytest.mark.parametrize(("note", "form", "values", "expected"), WRITTEN, ids=[row[0] for row in WRITTEN])
def test_what_is_written(note: str, form: str, values: list[Any], expected: str) -> None:
    assert call("sprintf", form, values) == expected


@given(
    st.text("-+ 0", max_size=2) | st.just(""),
    st.sampled_from(["", "5", "12", ".2", "5.0", "12.3"]),
    st.sampled_from("vsdxXofFeEq"),
    st.integers() | st.floats(-1e9, 1e9).filter(lambda value: not value.is_integer()) | st.text(max_size=4),
)
def test_an_index_that_says_nothing_changes_nothing(flags: str, size: str, verb: str, value: Any) -> None:
    assert call("sprintf", f"%{flags}{size}{verb}", [value]) == call("sprintf", f"%{flags}{size}[1]{verb}", [value])


def test_problems() -> None:
    assert problem("sprintf", 1, []) == "eval_type_error: sprintf: operand 1 must be string but got number"
    assert problem("sprintf", "a", set_of([])) == "eval_type_error: sprintf: operand 2 must be array but got set"
