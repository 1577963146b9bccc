"""What policies mean, from their text to their results: each case is about one way in which plans are made."""

from typing import Any

import pytest

from tests.rego.lower.planned import results
from tidegate.rego.errors import Conflict

UNDEFINED: list[Any] = []

# note, rules of package t, input, the value of data.t.p (a set is a sorted list), base documents
CASES: list[tuple[Any, ...]] = [
    # the order of binding
    ("each side of `=` binds a part of the other", "p := [x, y] if { [x, 2] = [1, y] }", {}, [1, 2]),
    ("a part is bound by a later one", "p := [x, y] if { [x, y] = [y, 1] }", {}, [1, 1]),
    (
        "a reference binds the variable before it",
        'd := {"a": "a", "b": "c"}\np contains x if { x == d[x] }',
        {},
        ["a"],
    ),
    (
        "a reference binds a variable of its array",
        'd := {"a": 1, "b": 2}\np contains y if { y := [k, d[k]] }',
        {},
        [["a", 1], ["b", 2]],
    ),
    (
        "a reference in a call's operand binds another's variable",
        "p contains y if { y := sum([i, input.xs[i]]) }",
        {"xs": [5, 7]},
        [5, 8],
    ),
    (
        "a reference in a reference's path binds",
        "p contains [i, v] if { v := input.a[input.b[i]] }",
        {"a": [10, 20, 30], "b": [2, 0]},
        [[0, 30], [1, 10]],
    ),
    (
        "a function's result is found before its pattern",
        "f(x) := [x, 2]\np := y if { [_, y] = f(1) }",
        {},
        2,
    ),
    ("a parameter needs what the body binds", 'f($"{x}!") := x if { x = "a" }\np := f("a!")', {}, "a"),
    # patterns
    ("an array is taken apart", "p := [x, y] if { [x, [_, y]] = input.a }", {"a": [1, [2, 3]]}, [1, 3]),
    ("an array of another length", "p := x if { [x, _] = input.a }", {"a": [1]}, UNDEFINED),
    ("an array that is none", "p := x if { [x, _] = input.a }", {"a": {"0": 1, "1": 2}}, UNDEFINED),
    ("an object is taken apart", 'p := [x, y] if { {"a": x, "b": [y, _]} = input }', {"a": 1, "b": [2, 3]}, [1, 2]),
    ("an object with more keys", 'p := x if { {"a": x} = input }', {"a": 1, "b": 2}, UNDEFINED),
    ("two object literals", 'p := [x, y] if { {"a": x, "b": 2} = {"a": 1, "b": y} }', {}, [1, 2]),
    (
        "an object whose key is a variable",
        'p := v if { k := input.k; {k: v} = {"a": 1} }',
        {"k": "a"},
        1,
    ),
    ("a variable twice in a pattern", "p contains x if { [x, x] = input.xs[_] }", {"xs": [[1, 2], [3, 3]]}, [3]),
    ("sets are compared", "p if { {1, 2} = {x | some x in input.xs} }", {"xs": [2, 1, 1]}, True),
    ("members of a set that match", "s := {[1, 2], [1, 3], [2, 4]}\np contains y if { s[[1, y]] }", {}, [2, 3]),
    ("a pattern in `some in`", "p contains [k, a] if { some k, [a, 1] in input }", [[5, 1], [6, 2]], [[0, 5]]),
    ("a constant in `some in`", 'p if { some "b" in input }', ["a", "b"], True),
    (
        "function heads are patterns",
        'f([x, 1]) := x\nf({"a": x}) := x\nf("s") := "t"\np := [f([5, 1]), f({"a": 6}), f("s")]',
        {},
        [5, 6, "t"],
    ),
    # references
    ("two references share a variable", "p contains i if { input.a[i]; input.b[i] }", {"a": [0, 1], "b": [1]}, [0]),
    ("into a constant", 'p := {"a": [1, 2]}.a[1]', {}, 2),
    ("what is false is found", "p contains k if { input[k] == false }", {"a": False, "b": True}, ["a"]),
    ("false is not true", "p if input.a", {"a": False}, UNDEFINED),
    ("null and zero are not false", "p if { input.a; input.b }", {"a": None, "b": 0}, True),
    ("the whole input", "p := input", {"a": 1}, {"a": 1}),
    ("an operand without brackets", "f(x) := x + 1\np := y if { f(1, y) }", {}, 2),
    ("a builtin's result as an operand", "p := z if { plus(1, 2, z) }", {}, 3),
    (
        "walk has many results",
        "p contains [path, v] if { walk(input, [path, v]); is_number(v) }",
        {"a": [1, {"b": 2}]},
        [[["a", 0], 1], [["a", 1, "b"], 2]],
    ),
    ("walk in an assignment", "p := count([v | [_, v] := walk(input)])", {"a": [1]}, 3),
    # complete rules
    ("rules may agree", "p := 1 if input.a\np := 1 if input.b", {"a": 1, "b": 1}, 1),
    ("rules may not disagree", "p := 1 if input.a\np := 2 if input.b", {"a": 1, "b": 1}, Conflict),
    ("nor may the rounds of one", "p := x if some x in input", [1, 2], Conflict),
    ("rounds may agree", "p := x if some x in input", [2, 2], 2),
    ("a constant from a scan", "p := 1 if { some x in input.a; x > 1 }\ndefault p := 0", {"a": [1, 2, 3]}, 1),
    ("a default behind a scan", "p := 1 if { some x in input.a; x > 1 }\ndefault p := 0", {"a": [1]}, 0),
    (
        "the second of two scans",
        "p if { some x in input.a; x > 1 }\np if { some x in input.b; x > 1 }\ndefault p := false",
        {"a": [1], "b": [2]},
        True,
    ),
    ("a default that is a comprehension", "default p := [x | some x in [1, 2]]\np := 0 if input.a", {}, [1, 2]),
    ("a function's default", "f(x) := 1 if x > 1\ndefault f(_) := 0\np := [f(1), f(2)]", {}, [0, 1]),
    ("only a default", "default p := 7", {}, 7),
    # else
    ("the first else", "p := 1 if { input.a } else := 2 if { input.b } else := 3", {"b": 1}, 2),
    ("the last else", "p := 1 if { input.a } else := 2 if { input.b } else := 3", {}, 3),
    ("no else", "p := 1 if { input.a } else := 2 if { input.b }", {}, UNDEFINED),
    (
        "an else behind a scan that found something",
        "p := x if { some x in input; x > 5 } else := 0",
        [1, 7],
        7,
    ),
    (
        "an else behind a scan that found nothing",
        "p := x if { some x in input; x > 5 } else := y if { some y in input; y < 0 } else := 0",
        [1, -7],
        -7,
    ),
    (
        "a scan before an else that disagrees with itself",
        "p := x if { some x in input; x > 5 } else := 0",
        [6, 7],
        Conflict,
    ),
    ("an else beside another rule", "p := 1 if { input.a } else := 2\np := 2 if input.b", {"b": 1}, 2),
    ("an else against another rule", "p := 1 if { input.a } else := 2\np := 1 if input.b", {"b": 1}, Conflict),
    ("a function's else", "f(x) := 1 if { x > 5 } else := x\np := [f(9), f(2)]", {}, [1, 2]),
    (
        "an else that binds the same names",
        'f(a) := x if { x := a.b } else := x if { x := a.c }\np := f({"c": 2})',
        {},
        2,
    ),
    # sets and objects
    (
        "a set of several rules",
        "p contains 1\np contains 2 if input.a\np contains x if some x in input.xs",
        {"xs": [3]},
        [1, 3],
    ),
    ("an empty set", "p contains 1 if input.a", {}, []),
    ("an object", "p[k] := v if some k, v in input", {"a": 1, "b": 2}, {"a": 1, "b": 2}),
    ("an object's keys conflict", "p[k] := v if some v, k in input", ["a", "a"], Conflict),
    ("an object's keys agree", "p[k] := 1 if some k in input", ["a", "a"], {"a": 1}),
    (
        "names that go on with variables and with constants",
        "p[x].r := v if some x, v in input\np.z.s := 7",
        {"a": 1},
        {"a": {"r": 1}, "z": {"s": 7}},
    ),
    ("a deep name against a whole value", "p.a.b := 1\np[k] := v if some k, v in input", {"a": 2}, Conflict),
    ("a deep name and an equal value", "p.a.b := 1\np[k] := v if some k, v in input", {"a": {"b": 1}}, {"a": {"b": 1}}),
    (
        "sets under variable names",
        "p[k] contains v if { some k in input.ks; some v in input.vs }\np.a contains 0",
        {"ks": ["a", "b"], "vs": [1]},
        {"a": [0, 1], "b": [1]},
    ),
    ("a number as the name's end", "p[1] := 2\np[x] := 3 if x := 4", {}, {"1": 2, "4": 3}),
    (
        "an else beside a name that goes on with a variable",
        'p.a := 1 if { input.a } else := 2\np[x] := 3 if x := "b"',
        {},
        {"a": 2, "b": 3},
    ),
    (
        "a default beside a name that goes on with a variable",
        'default p.a := 1\np.a := 0 if input.a\np[x] := 2 if x := "b"',
        {},
        {"a": 1, "b": 2},
    ),
    (
        "a default that is not needed beside such a name",
        'default p.a := 1\np.a := 0 if input.a\np[x] := 2 if x := "b"',
        {"a": 1},
        {"a": 0, "b": 2},
    ),
    # not, every
    ("not of what is undefined", "p if not input.a", {}, True),
    ("not of what is false", "p if not input.a", {"a": False}, True),
    ("not of what holds", "p if not input.a", {"a": 1}, UNDEFINED),
    ("not of a constant", "p if not false", {}, True),
    ("not of an equation", "p if { x := 1; not x = 2 }", {}, True),
    ("every member", "p if every x in input { x > 0 }", [1, 2], True),
    ("not every member", "p if every x in input { x > 0 }", [1, -2], UNDEFINED),
    ("every of no member", "p if every x in input { x > 0 }", [], True),
    ("every of what is no collection", "p if every x in input { x > 0 }", 1, UNDEFINED),
    ("every of an undefined domain", "p if every x in input.a { x > 0 }", {}, UNDEFINED),
    ("every with keys", "p if every k, v in input { k != v }", {"a": "b"}, True),
    ("every in every", "p if every x in input { every y in x { y > 0 } }", [[1], [], [2, 3]], True),
    ("every in every fails", "p if every x in input { every y in x { y > 0 } }", [[1], [0]], UNDEFINED),
    ("a scan in every", "p if every x in input.a { some y in input.b; y == x }", {"a": [1, 2], "b": [2, 3, 1]}, True),
    (
        "a scan in every fails",
        "p if every x in input.a { some y in input.b; y == x }",
        {"a": [1, 2], "b": [1]},
        UNDEFINED,
    ),
    ("what follows every", "p contains y if { every x in input { x > 0 }; some y in input }", [1, 2], [1, 2]),
    # comprehensions, templates
    ("a comprehension sees what is bound", "p := [y | some y in input; y > x] if x := 1", [1, 2, 3], [2, 3]),
    ("comprehensions keep their names to themselves", "p := [[x | some x in input], {x | x := 0}]", [1], [[1], [0]]),
    (
        "an undefined comprehension is empty",
        "p := [{x | x := input.a}, {k: 1 | k := input.a}, [x | x := input.a]]",
        {},
        [[], {}, []],
    ),
    ("an object comprehension's keys conflict", "p := {1: x | some x in input}", [1, 2], Conflict),
    ("a template", 'p := $"a {input.x} {input.y} {1 + 1}"', {"x": [1, "q"]}, 'a [1, "q"] <undefined> 2'),
    ("a template with another input", 'q := input.a\np := $"{q with input.a as 2}{q}"', {"a": 1}, "21"),
    # with
    ("the input", "q := input\np := [a, input] if { a := q with input as 3 }", {"k": 1}, [3, {"k": 1}]),
    ("a part of the input", "q := input\np := x if { x := q with input.a.b as 3 }", {"k": 1}, {"k": 1, "a": {"b": 3}}),
    (
        "what follows a scan under `with` sees the input again",
        "q contains x if some x in input\np contains [x, n] if { q[x] with input as [7, 8]; n := count(input) }",
        [1, 2, 3],
        [[7, 3], [8, 3]],
    ),
    ("not under with", "q if input.a\np if { not q with input as {}; q }", {"a": 1}, True),
    ("some in under with", "p contains x if { some x in input.xs with input.xs as [1, 2] }", {"xs": [9]}, [1, 2]),
    ("every under with", "p if { every x in input { x == 1 } with input as [1, 1] }", {}, True),
    (
        "with in with",
        "a := input.x\nb := x if { x := a with input.x as 2 }\np := [a, b, c] if { c := b with input.x as 3 }",
        {"x": 1},
        [1, 2, 2],
    ),
    ("a rule's value", "q := 1\nr := q + 1\np := [a, r] if { a := r with data.t.q as 5 }", {}, [6, 2]),
    ("a base document", "p := x if { x := data.xs[_] with data.xs as [9] }", {}, 9, {"xs": [1]}),
    ("an undefined value", "p if { true with input as input.a }", {}, UNDEFINED),
    ("a function by a function", "f(x) := x\ng(x) := f(x) + 100\np := y if { y := f(1) with f as g }", {}, 101),
    ("a builtin by a builtin", 'p := y if { y := upper("Abc") with upper as lower }', {}, "abc"),
    (
        "a builtin by a function, indirectly",
        "f(_) := 7\nq := count([1])\np := [a, q] if { a := q with count as f }",
        {},
        [7, 1],
    ),
    (
        "a function by values",
        "f(x) := x\nq := f(3)\np contains y if { some v in [10, 20]; y := q with f as v }",
        {},
        [10, 20],
    ),
    (
        "values of two levels",
        'p if { v := 3; m with count as v }\nm if { n with sprintf as "x" }\n'
        'n if { count("") == 3; sprintf("", []) == "x" }',
        {},
        True,
    ),
    (
        "a replaced function's operands must be defined",
        "f(x) := x\np := y if { y := f(input.a) with f as 1 }",
        {},
        UNDEFINED,
    ),
]


@pytest.mark.parametrize(("note", "rules", "input", "expected", "data"), [(*case, None)[:5] for case in CASES])
def test_meaning(note: str, rules: str, input: Any, expected: Any, data: Any) -> None:
    module = f"package t\n{rules}"
    if expected is Conflict:
        with pytest.raises(Conflict):
            results(module, query="data.t.p = x", input=input, data=data)
        return
    wanted = [{"x": expected}] if expected is not UNDEFINED else []
    assert results(module, query="data.t.p = x", input=input, data=data) == wanted


RULES = (
    "package rules.a\nallow := 1\ndeny contains x if some x in [1, 2]",
    "package rules.b\nallow := 2 if input.b",
    "package rules.c.deep\nallow := 3",
    "package rules.empty",
)
BASE = {"rules": {"a": {"base": 0}, "d": {"allow": 4, "deny": ["z"]}, "c": {"other": 5}}}

DOCUMENTS = [
    ("a rule", "data.rules.a.allow", 1),
    ("a base document beside rules", "data.rules.a.base", 0),
    ("a base document", "data.rules.d.deny[0]", "z"),
    ("a package", "data.rules.a", {"allow": 1, "base": 0, "deny": [1, 2]}),
    ("a package whose rules are undefined", "data.rules.b", {}),
    ("a package of packages", "data.rules.c", {"deep": {"allow": 3}, "other": 5}),
    ("a package without rules", "data.rules.empty", {}),
    ("nothing", "data.rules.none", UNDEFINED),
    ("a name known when it is reached", "{data.rules[n].allow | some n in input.names}", [1, 4]),
    ("names of several depths", "{data.rules[n].deep | some n in input.names}", [{"allow": 3}]),
    ("a name that is not a string", "{data.rules[n] | n := [1, null, true, {}][_]}", []),
    ("a name known beforehand", '[x | n := "a"; x := data.rules[n].allow]', [1]),
    ("every name", "{[n, v] | v := data.rules[n].allow}", [["a", 1], ["d", 4]]),
    ("every name, below a rule", "{[n, v] | v := data.rules[n].deny[_]}", [["a", 1], ["a", 2], ["d", "z"]]),
    (
        "every name of two",
        "{[n, m] | data.rules[n][m]}",
        [["a", "allow"], ["a", "base"], ["a", "deny"], ["c", "deep"], ["c", "other"], ["d", "allow"], ["d", "deny"]],
    ),
    ("one name in two places", "{n | data.rules[n][n]}", []),
    (
        "a name bound before and one bound here",
        "{m | n := input.names[_]; data.rules[n][m]}",
        ["allow", "base", "deep", "deny", "other"],
    ),
    ("a pattern for a value", "[n | data.rules[n].allow = 4]", ["d"]),
]


@pytest.mark.parametrize(("note", "query", "expected"), DOCUMENTS)
def test_documents_are_made_of_rules_and_data(note: str, query: str, expected: Any) -> None:
    wanted = [{"x": expected}] if expected is not UNDEFINED else []
    found = results(*RULES, query=f"x := {query}", data=BASE, input={"names": ["a", "b", "c", "d", "x", 1]})
    assert found == wanted


def test_a_replaced_package_hides_its_rules() -> None:
    modules = (
        'package t\np := [data.u, data.u.w] if input\nq := x if { x := p with data.u as {"w": 5} }',
        "package u\nv := 1\nw := 2",
    )
    assert results(*modules, query="x := data.t.q", input=1) == [{"x": [{"w": 5}, 5]}]
    assert results(*modules, query="x := data.t.p", input=1) == [{"x": [{"v": 1, "w": 2}, 2]}]


def test_a_query_gives_the_bindings_of_its_variables() -> None:
    found = results("package t", query="some i; x := input[i]; y := x + 1; x != 2; _ = input[_]", input=[1, 2])
    assert {frozenset(result) for result in found} <= {frozenset({"x", "y", "i"}), frozenset({"x", "y"})}
    assert [(result["x"], result["y"]) for result in found] == [(1, 2), (1, 2)]
