"""What names become."""

import pytest

from tests.rego.notation import shown
from tests.rego.resolve.resolved import bodies, resolved, rules
from tidegate.rego.errors import PolicyRefused
from tidegate.rego.parser import parse_body
from tidegate.rego.source import Source

HEADS = [
    ("a value", "p := 1", 'value data["a"]["p"] := 1'),
    ("a set", "p contains 1", 'set data["a"]["p"] contains 1'),
    ("a name with parts", "p.q := 1", 'value data["a"]["p"]["q"] := 1'),
    ("a name with a variable", "p[x] := 1 if x := 2", 'value data["a"]["p"][x~1] := 1 if {assign(x~1, 2)}'),
    ("a function", "f(x) := x", 'func data["a"]["f"](x~1) := x~1'),
    (
        "patterns as arguments",
        'f([x, _], {"k": y}) := [x, y]',
        'func data["a"]["f"]([x~1, _~3], {"k": y~2}) := [x~1, y~2]',
    ),
    ("a default", "default p := 1", 'default value data["a"]["p"] := 1'),
    (
        "an else sees the arguments",
        "f(x) := 1 if x else := x",
        'func data["a"]["f"](x~1) := 1 if {x~1} else func data["a"]["f"](x~2) := x~2',
    ),
]


@pytest.mark.parametrize(("note", "text", "expected"), HEADS, ids=[case[0] for case in HEADS])
def test_heads_are_whole_paths(note: str, text: str, expected: str) -> None:
    assert rules(text) == [expected]


BODIES = [
    ("a rule", "p if q\nq := 1", 'data["a"]["q"]'),
    ("a rule and what follows", "p if q.r[0]\nq := 1", 'data["a"]["q"]["r"][0]'),
    ("a rule called like a builtin", "p if count\ncount := 1", 'data["a"]["count"]'),
    ("an import", "import data.b.c\np if c.d", 'data["b"]["c"]["d"]'),
    ("an import with a name", "import input.user as u\np if u.name", 'input["user"]["name"]'),
    ("an import of everything", "import data as d\np if d.x", 'data["x"]'),
    ("an import hides a rule", "import data.b.q\np if q\nq := 1", 'data["b"]["q"]'),
    ("documents", "p if { input; data.x }", 'input; data["x"]'),
    ("a function", "p if f(1)\nf(x) := x", "data.a.f(1)"),
    ("a function by its path", "p if data.a.f(1)\nf(x) := x", "data.a.f(1)"),
    ("a function called like an operator", "p if plus(1, 2 + 3)\nplus(x, y) := 1", "data.a.plus(1, plus(2, 3))"),
    ("a builtin", 'p if json.is_valid("1")', 'json.is_valid("1")'),
    ("wildcards are different", "p if input[_] == data[_]", "equal(input[_~1], data[_~2])"),
    ("a name that nobody declares", "p if { x = 1; x }", "eq(x, 1); x"),
    ("an assignment", "p if { x := 1; x }", "assign(x~1, 1); x~1"),
    ("a pattern", 'p if { [x, {"k": y}] := input; x; y }', 'assign([x~1, {"k": y~2}], input); x~1; y~2'),
    ("a declaration", "p if { some x; input[x] }", "input[x~1]"),
    ("`some in` declares", "p if { some k, v in input; k; v }", "some k~1, v~2 in input; k~1; v~2"),
    ("`some in` looks for what its domain has", "p if { x := 1; some x in [x] }", "assign(x~1, 1); some x~1 in [x~1]"),
    ("`every` declares", "p if every k, v in input { k > v }", "every k~1, v~2 in input {gt(k~1, v~2)}"),
    ("`every` hides", "p if { x := 1; every x in [x] { x } }", "assign(x~1, 1); every x~2 in [x~1] {x~2}"),
    ("a variable hides a rule", "p if { q := 1; q }\nq := 2", "assign(q~1, 1); q~1"),
    ("a variable hides an import", "import data.b.q\np if { q := 1; q }", "assign(q~1, 1); q~1"),
    ("an inner variable hides", "p if { x := 1; [x | x := 2] }", "assign(x~1, 1); [x~2 | assign(x~2, 2)]"),
    ("an inner variable is inside only", "p if { [x | x := 1]; x = 2 }", "[x~1 | assign(x~1, 1)]; eq(x, 2)"),
    ("an outer variable is seen", "p if { x := 1; [y | y := x] }", "assign(x~1, 1); [y~2 | assign(y~2, x~1)]"),
    (
        "a template",
        'p if { x := 1; $"a{x}{input.y with input as x}" }',
        'assign(x~1, 1); $("a", x~1, input["y"] with input as x~1)',
    ),
    (
        "`with` of documents",
        "p if q with input.x as 1 with data.y as q\nq := 1",
        'data["a"]["q"] with input["x"] as 1 with data["y"] as data["a"]["q"]',
    ),
    ("`with` of an import", "import input.user\np if user with user as 1", 'input["user"] with input["user"] as 1'),
    (
        "`with` of a function",
        "p if f(1) with f as g\nf(x) := 1\ng(x) := 2",
        'data.a.f(1) with data["a"]["f"] as data["a"]["g"]',
    ),
    ("`with` of a builtin", "p if count([]) with count as sum", "count([]) with count as sum"),
    ("a builtin's value", "p if time.now_ns() with time.now_ns as 1", 'time.now_ns() with time["now_ns"] as 1'),
]


@pytest.mark.parametrize(("note", "text", "expected"), BODIES, ids=[case[0] for case in BODIES])
def test_names_in_bodies(note: str, text: str, expected: str) -> None:
    assert bodies(text)[0] == expected


def test_rules_of_all_modules_of_a_package_are_known() -> None:
    assert bodies("p if { q; f(1) }", "q := 1\nf(x) := x") == ['data["a"]["q"]; data.a.f(1)']


def test_functions_of_other_packages() -> None:
    lib = "package lib.text\nshort(x) := count(x) < 3\nin.part(x) := x"
    assert bodies('import data.lib.text\np if text.short("a")', lib) == ['data.lib.text.short("a")']
    assert bodies('import data.lib\np if lib.text.short("a")', lib) == ['data.lib.text.short("a")']
    assert bodies('import data.lib.text.short as brief\np if brief("a")', lib) == ['data.lib.text.short("a")']
    assert bodies("p if data.lib.text.in.part(1)", lib) == ["data.lib.text.in.part(1)"]


def test_nodes_keep_their_places() -> None:
    found = resolved("import data.b.list\np if {\n\tx := list[_]\n\tcount(x) > 1\n}")
    [rule] = found.modules[0].rules
    [first, second] = rule.body
    text = found.modules[0].source.text
    assert text[first.start : first.end] == "x := list[_]"
    assert text[first.term.args[1].head.start : first.term.args[1].head.end] == "list"
    assert text[second.term.args[0].start : second.term.args[0].name_end] == "count"
    assert text[rule.head.path.start : rule.head.path.end] == "p"


def test_modules_given_are_left_as_they_are() -> None:
    source = Source("q", "y == 2; y := [x | x == z; x := 1]")
    body = parse_body(source)
    before = shown(body)
    with pytest.raises(PolicyRefused):
        resolved("p := 1").query(body, source)
    assert shown(body) == before


def test_a_query_knows_documents_only() -> None:
    source = Source("query", "data.a.f(1) = x; y := x")
    assert shown(resolved("f(x) := x").query(parse_body(source), source)) == "eq(data.a.f(1), x); assign(y~1, x)"
    source = Source("query", "p; f(1)")
    with pytest.raises(PolicyRefused) as refusal:
        resolved("f(x) := x\np := 1").query(parse_body(source), source)
    assert [problem.message for problem in refusal.value.problems] == ["var `p` is unsafe", "undefined function `f`"]
