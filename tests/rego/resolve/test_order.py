"""The order in which statements can run."""

import pytest

from tests.rego.resolve.resolved import bodies, resolved, rules

ORDERS = [
    ("as written", "p if { x := 1; y := x; y }", "assign(x~1, 1); assign(y~2, x~1); y~2"),
    ("a comparison waits", "p if { x > y; y = 2; x = 1 }", "eq(y, 2); eq(x, 1); gt(x, y)"),
    ("only what must wait does", "p if { not x; input.a; x = 1; input.b }", 'input["a"]; eq(x, 1); input["b"]; not x'),
    ("a reference binds", "p if { not i; input[i] }", "input[i]; not i"),
    ("a reference of a variable waits", "p if { x[i]; x = input.y }", 'eq(x, input["y"]); x[i]'),
    (
        "references inside of references",
        "p if { i > j; input.a[data.b[i]][j] }",
        'input["a"][data["b"][i]][j]; gt(i, j)',
    ),
    ("a reference of a call", "p if { not i; f([1])[i] }\nf(x) := x", "data.a.f([1])[i]; not i"),
    ("patterns in brackets", "p if { not y; input.pairs[[1, y]] }", 'input["pairs"][[1, y]]; not y'),
    ("unification to the left", "p if { x > 1; x = input.a }", 'eq(x, input["a"]); gt(x, 1)'),
    ("unification to the right", "p if { x > 1; input.a = x }", 'eq(input["a"], x); gt(x, 1)'),
    ("of arrays", "p if { [x, 1] = [2, y]; x > y }", "eq([x, 1], [2, y]); gt(x, y)"),
    ("of objects", 'p if { x > 1; {"k": x} = {"k": 1} }', 'eq({"k": x}, {"k": 1}); gt(x, 1)'),
    ("of parts with each other", "p if { [x, y] = [y, 1]; x }", "eq([x, y], [y, 1]); x"),
    ("of a variable and a pattern", "p if { x; x = [y]; y = 1 }", "eq(y, 1); eq(x, [y]); x"),
    ("an operand too many is the result", 'p if { x > 1; count("ab", x) }', 'count("ab", x); gt(x, 1)'),
    ("of a function of the policy", "p if { x > 1; f(1, [x, _]) }\nf(x) := x", "data.a.f(1, [x, _~1]); gt(x, 1)"),
    ("of a relation", "p if { v > 1; walk(input, [path, v]) }", "walk(input, [path, v]); gt(v, 1)"),
    ("`some in` waits for its domain", "p if { some x in y; y = [1]; x }", "eq(y, [1]); some x~1 in y; x~1"),
    ("`every` waits for its domain", "p if { every x in y { x }; y = [1] }", "eq(y, [1]); every x~1 in y {x~1}"),
    (
        "`every` waits for what is inside",
        "p if { every x in [1] { x < y }; y = 2 }",
        "eq(y, 2); every x~1 in [1] {lt(x~1, y)}",
    ),
    ("a comprehension waits", "p if { z = [x | x = y]; y = 2; z }", "eq(y, 2); eq(z, [x | eq(x, y)]); z"),
    ("so does one inside of another", "p if { [[1 | y] | true]; y = 2 }", "eq(y, 2); [[1 | y] | true]"),
    ("a body in a body", "p if { y := 1; [x | x > y; x = 2] }", "assign(y~1, 1); [x | eq(x, 2); gt(x, y~1)]"),
    ("the body of `every`", "p if { every x in [1] { y > x; y = 2 } }", "every x~1 in [1] {eq(y, 2); gt(y, x~1)}"),
    ("a value in `with` waits", "p if { input with input as x; x = 1 }", "eq(x, 1); input with input as x"),
    ("a template waits", 'p if { $"{x}"; x = 1 }', "eq(x, 1); $(x)"),
]


@pytest.mark.parametrize(("note", "text", "expected"), ORDERS, ids=[case[0] for case in ORDERS])
def test_statements_stand_where_they_can_run(note: str, text: str, expected: str) -> None:
    assert bodies(text)[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "p contains input.xs[i]",
        "p[input.xs[i]] := i",
        "p := [input.xs[i] | true]",
        "p := {k: data.xs[k] | true}",
        "f([x, y]) := z if z = x + y",
        "f({x}) := x if x = 1",
        "f({x: y}) := [x, y] if x = input.key",
        "f(input.xs[i]) := i",
        "p if { x = [y | y = input.z]; z = x }",
        'p if print("x", input.y)',
        'p if { x := input; y := {"a": b | b = x.c}; y }',
    ],
)
def test_is_safe(text: str) -> None:
    assert [problem.message for problem in resolved(text).problems] == []


def test_each_else_has_an_order_of_its_own() -> None:
    [rule] = rules("p := 1 if { x > 1; x = input.a } else := 2 if { x > 2; x = input.b }")
    assert rule == (
        'value data["a"]["p"] := 1 if {eq(x, input["a"]); gt(x, 1)} '
        'else value data["a"]["p"] := 2 if {eq(x, input["b"]); gt(x, 2)}'
    )
