"""base64, hex, URLs, JSON and YAML."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import equal, key, number, set_of

RESULTS = [
    ("base64", "base64.encode", ("añ",), "YcOx"),
    ("base64 with padding", "base64.encode", ("a",), "YQ=="),
    ("from base64", "base64.decode", ("YcOx",), "añ"),
    ("line ends in base64", "base64.decode", ("Yc\r\nOx\n",), "añ"),
    ("octets that are no text", "base64.decode", ("4oL/",), "\N{REPLACEMENT CHARACTER}" * 3),
    ("valid base64", "base64.is_valid", ("YQ==",), True),
    ("without its padding", "base64.is_valid", ("YQ",), False),
    ("other characters", "base64.is_valid", ("YQ-_",), False),
    ("base64 for URLs", "base64url.encode", ("?>?a",), "Pz4_YQ=="),
    ("base64 for URLs without padding", "base64url.encode_no_pad", ("?>?a",), "Pz4_YQ"),
    ("from base64 for URLs", "base64url.decode", ("Pz4_YQ==",), "?>?a"),
    ("from base64 for URLs without padding", "base64url.decode", ("Pz4_YQ",), "?>?a"),
    ("hex", "hex.encode", ("añ",), "61c3b1"),
    ("from hex", "hex.decode", ("61C3b1",), "añ"),
    ("a query", "urlquery.encode", ("a b&ñ~/",), "a+b%26%C3%B1~%2F"),
    ("from a query", "urlquery.decode", ("a+b%26%c3%B1",), "a b&ñ"),
    (
        "a query of an object",
        "urlquery.encode_object",
        ({"b": set_of("yx"), "a": "1 2", "c": []},),
        "a=1+2&b=x&b=y",
    ),
    ("an object of a query", "urlquery.decode_object", ("a=1&b=2&a=3&c&&",), {"a": ["1", "3"], "b": ["2"], "c": [""]}),
    ("JSON", "json.marshal", ({"b": [1, 1.5, None], "a": set_of([True])},), '{"a":[true],"b":[1,1.5,null]}'),
    ("JSON for pages", "json.marshal", ("<a & b>\u2028",), r'"\u003ca \u0026 b\u003e\u2028"'),
    ("keys that are no strings", "json.marshal", ({key([1]): 1, 2: 2},), '{"2":2,"[1]":1}'),
    ("long numbers", "json.marshal", ([2**70, number("1e400")],), f"[{2**70},1e+400]"),
    ("on one line", "json.marshal_with_options", ([1], {}), "[1]"),
    (
        "on several lines",
        "json.marshal_with_options",
        ({"a": [1, {}]}, {"pretty": True}),
        '{\n\t"a": [\n\t\t1,\n\t\t{}\n\t]\n}',
    ),
    ("with a prefix", "json.marshal_with_options", ([1], {"prefix": "> ", "indent": " "}), "> [\n>  1\n> ]"),
    ("an indent that is not wanted", "json.marshal_with_options", ([1], {"pretty": False, "indent": " "}), "[1]"),
    ("from JSON", "json.unmarshal", ('{"a": [1.0, 1.5, "\\u00e9"]}',), {"a": [1, 1.5, "é"]}),
    ("valid JSON", "json.is_valid", ("[1]",), True),
    ("two documents", "json.is_valid", ("1 2",), False),
    ("no number of JSON", "json.is_valid", ("NaN",), False),
    ("no string is no JSON", "json.is_valid", (None,), False),
    ("YAML", "yaml.marshal", ({"b": [1, "x"], "a": {"c": None}},), "a:\n  c: null\nb:\n- 1\n- x\n"),
    (
        "YAML of what looks like something else",
        "yaml.marshal",
        (["yes", "1", "2001-01-01", ""],),
        '- "yes"\n- "1"\n- "2001-01-01"\n- ""\n',
    ),
    ("YAML of several lines", "yaml.marshal", ("a\nb\n",), "|\n  a\n  b\n"),
    ("YAML of a scalar", "yaml.marshal", (1.5,), "1.5\n"),
    ("from YAML", "yaml.unmarshal", ("a: [1, 2.5, x]\nb: ~\n",), {"a": [1, 2.5, "x"], "b": None}),
    ("booleans of YAML", "yaml.unmarshal", ("[yes, off, true, 'yes']",), [True, False, True, "yes"]),
    (
        "numbers of YAML",
        "yaml.unmarshal",
        ("[0x1F, 0o17, 017, 0b11, 1_000, 1e3, -.5]",),
        [31, 15, 15, 3, 1000, 1000, -0.5],
    ),
    ("times stay text", "yaml.unmarshal", ("[2001-01-01, 12:30]",), ["2001-01-01", "12:30"]),
    ("keys become strings", "yaml.unmarshal", ("{1: a, true: b, 1.5: c}",), {"1": "a", "true": "b", "1.5": "c"}),
    ("aliases", "yaml.unmarshal", ("a: &x [1]\nb: *x",), {"a": [1], "b": [1]}),
    (
        "merged",
        "yaml.unmarshal",
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}",),
        {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}},
    ),
    ("the first document", "yaml.unmarshal", ("a\n---\nb",), "a"),
    ("no document", "yaml.unmarshal", ("",), None),
    ("a tag", "yaml.unmarshal", ("[!!str 1, !!binary aGk=]",), ["1", "hi"]),
    ("valid YAML", "yaml.is_valid", ("a: b",), True),
    ("not valid YAML", "yaml.is_valid", ("[a",), False),
    ("no string is no YAML", "yaml.is_valid", (1,), False),
]


@pytest.mark.parametrize(("note", "name", "operands", "expected"), RESULTS, ids=[row[0] for row in RESULTS])
def test_results(note: str, name: str, operands: tuple[Any, ...], expected: Any) -> None:
    assert equal(call(name, *operands), expected)


PROBLEMS = [
    ("base64.decode", ("YQ",), "builtin", "illegal base64 data"),
    ("base64url.decode", ("YQ+/",), "builtin", "illegal base64 data"),
    ("hex.decode", ("abc",), "builtin", "not a hexadecimal string of even length"),
    ("urlquery.decode", ("100%",), "builtin", 'invalid URL escape "%"'),
    ("urlquery.decode", ("a%zz",), "builtin", 'invalid URL escape "%zz"'),
    ("urlquery.decode_object", ("a=1;b=2",), "builtin", "invalid semicolon separator in query"),
    (
        "urlquery.encode_object",
        ({"a": 1},),
        "type",
        "operand 1 must have strings, arrays or sets as values but got number",
    ),
    (
        "urlquery.encode_object",
        ({"a": [1]},),
        "type",
        "operand 1 must be array of strings but got array containing number",
    ),
    ("json.marshal_with_options", ([], {"x": 1}), "type", 'object contained unknown key "x"'),
    (
        "json.unmarshal",
        ("{",),
        "builtin",
        "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    ("yaml.unmarshal", ("[a",), "builtin", "yaml: line 1: did not find expected ',' or ']'"),
    ("yaml.unmarshal", ("{[a]: b}",), "builtin", "yaml: a key must be a string, a number or a boolean"),
    ("yaml.unmarshal", ("*x",), "builtin", "yaml: unknown anchor `x` referenced"),
    ("yaml.unmarshal", (".inf",), "builtin", "yaml: `.inf` is not JSON"),
    ("yaml.unmarshal", ("[" * 200 + "]" * 200,), "builtin", "yaml: nested too deep"),
]


@pytest.mark.parametrize(("name", "operands", "kind", "message"), PROBLEMS)
def test_problems(name: str, operands: tuple[Any, ...], kind: str, message: str) -> None:
    assert problem(name, *operands) == f"eval_{kind}_error: {name}: {message}"


def test_aliases_of_aliases_are_paid_for() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    with pytest.raises(BudgetExhausted):
        call("yaml.unmarshal", "\n".join(lines), evaluation=Evaluation(budget=1_000_000))


@pytest.mark.parametrize("name", ["json.marshal", "yaml.marshal"])
def test_shared_parts_are_paid_for_as_often_as_they_are_written(name: str) -> None:
    part: list[Any] = [1]
    for _ in range(60):
        part = [part, part]
    with pytest.raises(BudgetExhausted):
        call(name, part)


def test_what_json_writes_yaml_reads() -> None:
    document = {"a": [1, -2.5, None, True, 'x"y', "é\n"], "b": {"c": {}, "d": []}}
    assert equal(call("yaml.unmarshal", call("json.marshal", document)), document)
    assert equal(call("yaml.unmarshal", call("yaml.marshal", document)), document)
