"""Strings, white space and case as in Go, template strings, and the bounds of what they can grow to."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import equal, set_of

RESULTS = [
    ("contained", "contains", ("haystack", "st"), True),
    ("the empty string is in every one", "contains", ("", ""), True),
    ("a prefix", "startswith", ("prefix", "pre"), True),
    ("no suffix", "endswith", ("suffix", "Fix"), False),
    ("one prefix of several", "strings.any_prefix_match", (["x", "abc"], set_of(["z", "ab"])), True),
    ("no prefix at all", "strings.any_prefix_match", ("abc", []), False),
    ("a suffix of one", "strings.any_suffix_match", ("abc", "bc"), True),
    ("counted", "strings.count", ("banana", "an"), 2),
    ("the empty string is between all characters", "strings.count", ("abc", ""), 4),
    ("places count characters", "indexof", ("añb", "b"), 2),
    ("no place", "indexof", ("abc", "z"), -1),
    ("places that overlap", "indexof_n", ("aaa", "aa"), [0, 1]),
    ("lower", "lower", ("ÀB",), "àb"),
    ("a final sigma is lowered like others", "lower", ("ΟΔΟΣ",), "οδοσ"),
    ("a capital with a dot is one character", "lower", ("İx",), "ix"),
    ("upper", "upper", ("àb",), "ÀB"),
    ("what has no capital stays", "upper", ("straße ŉ",), "STRAßE ŉ"),
    ("iota below", "upper", ("ᾳ",), "ᾼ"),
    ("a part", "substring", ("añbc", 1, 2), "ñb"),
    ("to the end", "substring", ("abc", 1, -1), "bc"),
    ("beyond the end", "substring", ("abc", 7, 2), ""),
    ("split", "split", ("a,,b", ","), ["a", "", "b"]),
    ("split into characters", "split", ("añ", ""), ["a", "ñ"]),
    ("nothing split into characters", "split", ("", ""), []),
    ("nothing split", "split", ("", ","), [""]),
    ("trimmed", "trim", ("xyaxy", "yx"), "a"),
    ("trimmed of nothing", "trim", (" a ", ""), " a "),
    ("trimmed at the left", "trim_left", ("xxax", "x"), "ax"),
    ("trimmed at the right", "trim_right", ("xaxx", "x"), "xa"),
    ("a prefix taken away once", "trim_prefix", ("aab", "a"), "ab"),
    ("a suffix taken away once", "trim_suffix", ("abb", "b"), "ab"),
    ("white space", "trim_space", ("\u2003\t a\u00a0\n",), "a"),
    ("a control character is no white space", "trim_space", ("\x1fa\x1f",), "\x1fa\x1f"),
    ("reversed", "strings.reverse", ("añb",), "bña"),
    ("joined", "concat", (", ", ["b", "a"]), "b, a"),
    ("a set is joined in order", "concat", ("", set_of("cab")), "abc"),
    ("replaced", "replace", ("aXbX", "X", "--"), "a--b--"),
    ("nothing replaced by something", "replace", ("ab", "", "-"), "-a-b-"),
    ("many replaced", "strings.replace_n", ({"<": "&lt;", ">": "&gt;"}, "<b>"), "&lt;b&gt;"),
    ("new text is not replaced again", "strings.replace_n", ({"a": "b", "b": "c"}, "ab"), "bc"),
    ("the first in order", "strings.replace_n", ({"ab": "2", "a": "1"}, "ab"), "1b"),
    ("the empty pattern", "strings.replace_n", ({"": "X", "a": "b"}, "a"), "XbX"),
    ("no patterns", "strings.replace_n", ({}, "a"), "a"),
    ("a template", "internal.template_string", (["a ", set_of(["b"]), " ", set_of([[1, "c"]])],), 'a b [1, "c"]'),
    ("a template with a hole", "internal.template_string", (["x: ", set_of([])],), "x: <undefined>"),
    ("an empty set in a template", "internal.template_string", ([set_of([set_of([])])],), "set()"),
    ("a text in a text", "internal.template_string", ([set_of([['"\n']])],), r'["\"\n"]'),
    ("printing has no effect", "internal.print", ([set_of([1])],), True),
    ("nor has tracing", "trace", ("here",), True),
]


@pytest.mark.parametrize(("note", "name", "operands", "expected"), RESULTS, ids=[row[0] for row in RESULTS])
def test_results(note: str, name: str, operands: tuple[Any, ...], expected: Any) -> None:
    assert equal(call(name, *operands), expected)


PROBLEMS = [
    ("lower", (1,), "type", "operand 1 must be string but got number"),
    ("contains", ("a", None), "type", "operand 2 must be string but got null"),
    ("startswith", ([], "a"), "type", "operand 1 must be string but got array"),
    ("replace", ("a", "b", {}), "type", "operand 3 must be string but got object"),
    ("indexof", ("abc", ""), "builtin", "empty search character"),
    ("indexof_n", ("abc", ""), "builtin", "empty search character"),
    ("substring", ("abc", -1, 2), "builtin", "negative offset"),
    ("concat", (",", [1]), "type", "operand 2 must be array of strings but got array containing number"),
    ("concat", (",", "a"), "type", "operand 2 must be one of {array, set} but got string"),
    ("strings.any_prefix_match", (1, "a"), "type", "operand 1 must be one of {string, set, array} but got number"),
    (
        "strings.any_suffix_match",
        ("a", [1]),
        "type",
        "operand 2 must be array of strings but got array containing number",
    ),
    ("strings.replace_n", ({1: "a"}, "x"), "type", "operand 1 non-string key found in pattern object"),
    ("strings.replace_n", ({"a": 1}, "x"), "type", "operand 1 non-string value found in pattern object"),
    (
        "internal.template_string",
        ([set_of([1, 2])],),
        "builtin",
        "an expression of a template string has several values",
    ),
]


@pytest.mark.parametrize(("name", "operands", "kind", "message"), PROBLEMS)
def test_problems(name: str, operands: tuple[Any, ...], kind: str, message: str) -> None:
    assert problem(name, *operands) == f"eval_{kind}_error: {name}: {message}"


GROWING = [
    ("replace", ("a" * 10_000, "a", "b" * 10_000)),
    ("replace", ("a" * 10_000, "", "b" * 10_000)),
    ("strings.replace_n", ({"a": "b" * 10_000}, "a" * 10_000)),
    ("concat", ("b" * 10_000, ["a"] * 10_000)),
    ("regex.replace", ("a" * 10_000, "a", "b" * 10_000)),
    ("regex.replace", ("a" * 10_000, "(a+)", "$1" * 10_000)),
    ("sprintf", ("%900000d" * 1000, [1] * 1000)),
    ("sprintf", ("%*d" * 1000, [900_000, 1] * 1000)),
    ("sprintf", ("%.900000f" * 1000, [1.5] * 1000)),
    ("json.marshal_with_options", ([1] * 10_000, {"prefix": "b" * 10_000})),
]


@pytest.mark.parametrize(("name", "operands"), GROWING)
def test_what_grows_too_long_ends_in_the_budget(name: str, operands: tuple[Any, ...]) -> None:
    with pytest.raises(BudgetExhausted):
        call(name, *operands, evaluation=Evaluation(budget=1_000_000))
