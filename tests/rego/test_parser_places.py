"""Where each node of the tree stands in the text."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.rego.notation import MIXED, shown
from tidegate.rego import ast
from tidegate.rego.parser import parse
from tidegate.rego.source import Source

PLACES = [
    ('p["q"]["x"]', 'p.q["x"]'),
    ('"q"', "q"),
    ("count(y)", "count(y)"),
    ("plus(count(y), mul(2, minus(z, 1)))", "count(y) + 2 * (z - 1)"),
    ("mul(2, minus(z, 1))", "2 * (z - 1)"),
    ("minus(z, 1)", "z - 1"),
    ('some k, v in input["xs"] with input["a"] as 1', "some k, v in input.xs with input.a as 1"),
    ('input["xs"]', "input.xs"),
    ('not equal(["a", -1, "r"][k], {"m": f(v)})', 'not ["a", -1, `r`][k] == { "m": f(v) }'),
    ('equal(["a", -1, "r"][k], {"m": f(v)})', '["a", -1, `r`][k] == { "m": f(v) }'),
    ('["a", -1, "r"][k]', '["a", -1, `r`][k]'),
    ('["a", -1, "r"]', '["a", -1, `r`]'),
    ("-1", "-1"),
    ('"r"', "`r`"),
    ('{"m": f(v)}', '{ "m": f(v) }'),
    (
        'every e in [t | assign(t, <1, 2>[_])] {e; $(e, " ", x with input as e)}',
        'every e in [t | t := {1, 2}[_]] { e; $"{e} {x with input as e}" }',
    ),
    ("[t | assign(t, <1, 2>[_])]", "[t | t := {1, 2}[_]]"),
    ("assign(t, <1, 2>[_])", "t := {1, 2}[_]"),
    ("<1, 2>[_]", "{1, 2}[_]"),
    ('$(e, " ", x with input as e)', '$"{e} {x with input as e}"'),
    ("x with input as e", "x with input as e"),
    ("$(k)", "$`{k}`"),
    ('value p["q"]["x"] := $(k)', "else := $`{k}`"),
    ("internal.member_2(x, y)", "x in y"),
    ("set s contains internal.member_2(x, y)", "s contains (x in y)"),
    ("func f(a, _) := true", "f(a, _)"),
    ("func f(a, _) := true if {b}", "{ b }"),
    ("default value h := <1>", "default h := { 1 }"),
    ("<1>", "{ 1 }"),
]


def nodes(tree: Any) -> Iterator[ast.Node]:
    if isinstance(tree, tuple):
        for each in tree:
            yield from nodes(each)
    elif isinstance(tree, ast.Node):
        yield tree
        for name in tree.__struct_fields__:
            yield from nodes(getattr(tree, name))


MODULE = parse(Source("a.rego", MIXED))
FOUND = {
    shown(node): MIXED[node.start : node.end]
    for node in nodes(MODULE.rules)
    if not isinstance(node, ast.With | ast.Annotation)
}


@pytest.mark.parametrize(("tree", "text"), PLACES, ids=[tree for tree, _ in PLACES])
def test_places(tree: str, text: str) -> None:
    assert FOUND[tree] == text


def test_rules_span_all_of_their_text() -> None:
    spans = [MIXED[rule.start : rule.end] for rule in MODULE.rules]
    assert [(span.split("\n")[0], span.split("\n")[-1]) for span in spans] == [
        ('p.q["x"] := count(y) + 2 * (z - 1) if {', "} else := $`{k}` if g"),
        ("s contains (x in y) if x", "s contains (x in y) if x"),
        ("f(a, _) if { a }", "f(a, _) if { a }"),
        ("{ b }", "{ b }"),
        ("default h := { 1 }", "default h := { 1 }"),
    ]


def test_children_stand_within_their_parents() -> None:
    """Save for heads, which an `else` and further bodies take from the first."""
    for node in nodes(MODULE.rules):
        if isinstance(node, ast.Head | ast.Rule):
            continue
        for name in node.__struct_fields__:
            for child in nodes(getattr(node, name)):
                assert node.start <= child.start <= child.end <= node.end


def test_modifiers_and_imports() -> None:
    modifiers = [node for node in nodes(MODULE.rules) if isinstance(node, ast.With)]
    assert [MIXED[each.start : each.end] for each in modifiers] == ["with input.a as 1", "with input as e"]
    assert [MIXED[each.start : each.end] for each in MODULE.imports] == ["import data.c as d"]
    assert MIXED[: MODULE.package_end] == "package a.b"
    assert (MODULE.start, MODULE.end) == (0, len(MIXED))


def test_the_name_of_a_call() -> None:
    module = parse(Source("a.rego", "package a\np := time.now_ns( ) + 1"))
    calls = [node for node in nodes(module.rules) if isinstance(node, ast.Call)]
    text = module.source.text
    assert [text[call.start : call.name_end] for call in calls] == ["", "time.now_ns"]
