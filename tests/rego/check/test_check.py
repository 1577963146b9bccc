"""The checker as a whole: what it accepts, how it tells what it found, and queries."""

import json

import pytest

from tests.conformance.rego.case import SHARED, needs_suite
from tidegate.rego.builtins import REFUSED
from tidegate.rego.check import Checked, check, check_query
from tidegate.rego.errors import PolicyRefused
from tidegate.rego.parser import parse, parse_body
from tidegate.rego.source import Source


def checked(*texts: str) -> Checked:
    return check([parse(Source(f"{number}.rego", text)) for number, text in enumerate(texts)])


RIGHT = [
    ("values of several types", 'p := 1 if input.x\np := "a" if input.y\nq if p == "a"'),
    ("a field that some of the values have", 'p := {"a": 1} if input.x\np := {"b": 1} if input.y\nq := p.b'),
    ("an operand that may be right", "p := null if input.x\np := input.y\nq := upper(p)"),
    ("an index that varies", 'p := {"a": 1}[input.x]'),
    ("an empty array", "p := concat(``, [])\nq if [] == [x | some x in input.xs]"),
    ("an empty object", "p := {}[input.x]"),
    ("the sets of an operator", "p := {1, 2} - {1}"),
    ("what a set comprehension has", 'p if {x | some x in input.xs} == {"a"}'),
    ("a result as a last operand", 'p := x if split("a,b", ",", x)'),
    ("a function's result as a last operand", "f(x) := x\np := y if f(1, y)"),
    ("one name as a local and as a rule", "x := 1\np := y if {\n\tx := 2\n\ty := x\n}"),
    ("rules below an open rule", 'p[x] := 1 if some x in ["a"]\np.b := 2'),
    ("an open rule below an open rule", 'p[x].r := 1 if some x in ["a"]\np.b[x] := 2 if some x in ["c"]'),
    ("a rule beside a package", "b.c := 1"),
    ("`with` on what would not fit", 'q := 1\np if q == "a" with data.a.q as "a"'),
    ("`with` on a document that is nowhere", "p if data.x.y == 1 with data.x as {`y`: 1}"),
    ("`with` on a function", "f(x) := x\np if f(1) == `a` with f as `a`"),
    ("a rule as the value of `with`", "q if input == 1 with input as p\np := 1"),
    ("a walk", "p contains x if walk(input, [_, x])"),
    ("numbers as keys", "p[1] := 2\nq := p[1]"),
    ("a name of several parts that is asked for in part", "p.q.r := 1\nx := p.q\ny := data.a.p.q.r"),
    ("a template", 'p := $"{input.x}" if $"a" == "a"'),
    ("a function of constants", 'f(1) := "a"\nf("b") := 2\np := f("b")'),
    ("any number of arguments of print", "p if print(1, input.x, `a`)"),
    ("else", "p := 1 if input.x else := `a` if input.y else := null\nq if p == null"),
    ("a default of another type", 'default p := "none"\np := 1 if input.x\nq if p == "none"\nr if p == 1'),
]


@pytest.mark.parametrize("rules", [pytest.param(rules, id=note) for note, rules in RIGHT])
def test_accepts_what_is_right(rules: str) -> None:
    assert list(map(str, checked(f"package a\n{rules}\n").problems)) == []


@needs_suite
def test_accepts_what_opa_accepts() -> None:
    seen = 0
    for path in sorted(SHARED.glob("*.json")):
        for case in json.loads(path.read_text()):
            texts = case.get("modules") or []
            errors = checked(*texts).errors
            seen += 1
            assert not errors or any(name in text for name in REFUSED for text in texts), (case["note"], str(errors[0]))
    assert seen > 1000


def test_problems_of_all_kinds_and_files_come_in_one_run_by_file_and_place() -> None:
    texts = (
        "package a\nimport data.zebra\np if q\nq if p\nr := upper(1)\nr contains 2",
        "package b\np if x > 1\nq := foo(1)\ns := count([], 1, 2)",
    )
    found = [
        (problem.source.name, problem.line, problem.code) for problem in checked(*texts).problems if problem.source
    ]
    assert found == [
        ("0.rego", 2, "rego_compile_error"),
        ("0.rego", 3, "rego_recursion_error"),
        ("0.rego", 5, "rego_type_error"),
        ("0.rego", 6, "rego_type_error"),
        ("1.rego", 2, "rego_unsafe_var_error"),
        ("1.rego", 3, "rego_type_error"),
        ("1.rego", 4, "rego_type_error"),
    ]


def test_warnings_are_no_errors() -> None:
    result = checked("package a\np if x := 1")
    assert [problem.warning for problem in result.problems] == [True]
    assert result.errors == []


def test_a_rule_that_cannot_be_resolved_says_nothing_of_types() -> None:
    result = checked("package a\np := y if {\n\ty := zebra + 1\n\tz := upper(1)\n}")
    assert [problem.code for problem in result.problems] == ["rego_unsafe_var_error"]


def test_rules_may_need_each_other_in_a_long_chain() -> None:
    rules = [f"p{number} := p{number + 1} + 1" for number in range(3000)]
    assert checked("\n".join(["package a", *rules, "p3000 := 1"])).problems == ()
    result = checked("\n".join(["package a", *rules, "p3000 := p0"]))
    assert [problem.code for problem in result.problems] == ["rego_recursion_error"]


def test_types_pass_through_a_long_chain_of_rules() -> None:
    rules = [f"p{number} := p{number + 1}" for number in range(3000)]
    result = checked("\n".join(["package a", "q := upper(p0)", *rules, "p3000 := 1"]))
    assert [problem.message for problem in result.problems] == ["upper: operand 1 must be string but got number"]


@pytest.mark.parametrize("nested", ["[{}]", "{{{}}}", "[{0}, {0}]", '{{"a": {0}, "b": {0}}}', "[x | x := {}]"])
def test_types_may_nest_without_end(nested: str) -> None:
    rules = [f"p{number + 1} := {nested.format(f'p{number}')}" for number in range(2000)]
    last = f"q if p2000 == {nested.format('p2000')}"
    assert checked("\n".join(["package a", "p0 := 1", *rules, last])).problems == ()


def test_a_large_table_keeps_its_fields() -> None:
    table = ", ".join(f'"field_{number}": [{number}]' for number in range(300))
    result = checked(f"package a\np := {{{table}}}\nq := p.field_7\nr := p.field_300")
    assert [problem.message for problem in result.problems] == ["undefined ref: `p.field_300`"]


WRONG_QUERIES = [
    ("data.a.p == x", "rego_unsafe_var_error"),
    ("x := foo(1)", "rego_type_error"),
    ("x := upper(1)", "rego_type_error"),
    ("x := count(1, 2, 3)", "rego_type_error"),
    ('data.a.p == "x"', "rego_type_error"),
    ("data.a.p.q", "rego_type_error"),
]


@pytest.mark.parametrize(("query", "code"), WRONG_QUERIES)
def test_refuses_a_wrong_query(query: str, code: str) -> None:
    source = Source("query", query)
    with pytest.raises(PolicyRefused) as refusal:
        check_query(checked("package a\np := 1"), parse_body(source), source)
    assert [problem.code for problem in refusal.value.problems] == [code]
    assert "query:1:" in str(refusal.value)


@pytest.mark.parametrize("query", ["data.a.p = x", "x := data.a.p; y := x + 1", "data[x][y]", "input.x", "data"])
def test_accepts_a_right_query(query: str) -> None:
    source = Source("query", query)
    assert check_query(checked("package a\np := 1"), parse_body(source), source)
