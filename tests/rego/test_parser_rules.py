"""Modules: their package, imports and rules, in the notation of `notation.py`."""

import pytest

from tests.rego.notation import shown
from tidegate.rego.ast import Module
from tidegate.rego.parser import parse
from tidegate.rego.source import Source


def parsed(text: str) -> Module:
    return parse(Source("a.rego", text))


RULES = [
    ("a constant", "p := 1", "value p := 1"),
    ("a constant with `=`", "p = 1", "value p := 1"),
    ("a constant with operators", "p := 1 + 2", "value p := plus(1, 2)"),
    ("a condition", "p if x", "value p := true if {x}"),
    ("a condition with an operator", "p if x == 1", "value p := true if {equal(x, 1)}"),
    ("a negated condition", "p if not x", "value p := true if {not x}"),
    ("an element as a condition", "p if some x in xs", "value p := true if {some x in xs}"),
    ("every as a condition", "p if every x in xs { x }", "value p := true if {every x in xs {x}}"),
    ("a condition with a modifier", "p if x with input as 1", "value p := true if {x with input as 1}"),
    ("a condition on the next line", "p if\n  x", "value p := true if {x}"),
    ("a body", "p if { x; y }", "value p := true if {x; y}"),
    ("a body on lines", "p if {\n\tx\n\ty\n}", "value p := true if {x; y}"),
    ("a body in the first column", "p if {\nx\ny := z\n}", "value p := true if {x; assign(y, z)}"),
    ("a value and a body", "p := x if { x := 1 }", "value p := x if {assign(x, 1)}"),
    ("a brace on the next line", "p if\n{\n  x\n}", "value p := true if {x}"),
    # braces after `if`
    ("braces around one term are a body", "p if { x }", "value p := true if {x}"),
    ("braces around a union with statements", "p if { x := a | b }", "value p := true if {assign(x, or(a, b))}"),
    ("a set with an operator after it", "p if {1, 2} == x", "value p := true if {equal(<1, 2>, x)}"),
    ("a set of one with an operator after it", "p if {1} & x", "value p := true if {and(<1>, x)}"),
    ("a set and a membership", "p if {1} in x", "value p := true if {internal.member_2(<1>, x)}"),
    ("a set that is assigned", "p if {x} = y", "value p := true if {eq(<x>, y)}"),
    ("a set and a reference", "p if {1, 2}[x]", "value p := true if {<1, 2>[x]}"),
    ("an object", 'p if {"a": x}', 'value p := true if {{"a": x}}'),
    ("the empty object", "p if {}", "value p := true if {{}}"),
    ("an object with an operator after it", 'p if {"a": 1} == x', 'value p := true if {equal({"a": 1}, x)}'),
    ("a set comprehension", "p if {x | y}", "value p := true if {<x | y>}"),
    ("a set comprehension with an operator", "p if {x | y} == z", "value p := true if {equal(<x | y>, z)}"),
    ("an object comprehension", "p if {x: y | z}", "value p := true if {{x: y | z}}"),
    # heads
    ("a dotted head", "p.q.r := 1", 'value p["q"]["r"] := 1'),
    ("a dotted head with a condition", "p.q if x", 'value p["q"] := true if {x}'),
    ("a head with a constant in brackets", 'p["q"] := 1', 'value p["q"] := 1'),
    ("a head with a variable", "p[x] := y if { y := q[x] }", "value p[x] := y if {assign(y, q[x])}"),
    ("a head with a variable and no value", "p[x] if { q[x] }", "value p[x] := true if {q[x]}"),
    ("a head with variables between", "p.q[x].r[y] := 1 if x", 'value p["q"][x]["r"][y] := 1 if {x}'),
    ("a head with a term in brackets", "p[x + 1] if x", "value p[plus(x, 1)] := true if {x}"),
    ("a space before the bracket", "p [x] := 1 if x", "value p[x] := 1 if {x}"),
    ("a set", "p contains 1", "set p contains 1"),
    ("a set with a body", "p contains x if { x := 1 }", "set p contains x if {assign(x, 1)}"),
    ("a set of objects", 'p contains {"a": x} if x', 'set p contains {"a": x} if {x}'),
    ("a set in a document", "p.q[x] contains y if z", 'set p["q"][x] contains y if {z}'),
    ("a set whose member follows directly", 'p contains["a"]', 'set p contains ["a"]'),
    ("a function", "f(x) := y if { y := x }", "func f(x) := y if {assign(y, x)}"),
    ("a function without a body", "f(x) := x + 1", "func f(x) := plus(x, 1)"),
    ("a function that is a condition", "f(x) if x > 1", "func f(x) := true if {gt(x, 1)}"),
    ("a function of several arguments", 'f(x, [y, "a"], {"b": _}) := 1', 'func f(x, [y, "a"], {"b": _}) := 1'),
    ("a function without arguments", "f() := 1", "func f() := 1"),
    ("a function in a document", "p.f(x) := 1", 'func p["f"](x) := 1'),
    ("a space before the arguments", "f (x) := 1", "func f(x) := 1"),
    ("keywords in a head", "if.x := 1", 'value if["x"] := 1'),
    ("keywords at the end of a head", "p.contains contains 1", 'set p["contains"] contains 1'),
    ("a function named by a keyword", "default.not(x) := 1", 'func default["not"](x) := 1'),
    ("a template in a head", 'p[$"{x}"] := 1 if x', "value p[$(x)] := 1 if {x}"),
    # else
    ("else with a value", "p := 1 if x\nelse := 2 if y", "value p := 1 if {x} else value p := 2 if {y}"),
    ("else without a value", "p if x else if y", "value p := true if {x} else value p := true if {y}"),
    ("else without a condition", "p := 1 if x else := 2", "value p := 1 if {x} else value p := 2"),
    ("else after braces", "p := 1 if { x } else := 2 if { y }", "value p := 1 if {x} else value p := 2 if {y}"),
    (
        "several else",
        "p := 1 if x else := 2 if { y } else = 3",
        "value p := 1 if {x} else value p := 2 if {y} else value p := 3",
    ),
    ("else of a function", "f(x) := 1 if x else := 2", "func f(x) := 1 if {x} else func f(x) := 2"),
    ("else of a dotted head", "p.q := 1 if x else := 2", 'value p["q"] := 1 if {x} else value p["q"] := 2'),
    ("a rule that begins with else", "p if x\nelse.y := 1", 'value p := true if {x} | value else["y"] := 1'),
    # several bodies
    ("bodies one after the other", "p if { x } { y }", "value p := true if {x} | value p := true if {y}"),
    ("bodies on lines", "f(x) := 1 if {\n x\n}\n{\n y\n}", "func f(x) := 1 if {x} | func f(x) := 1 if {y}"),
    # defaults
    ("a default", "default p := false", "default value p := false"),
    ("a default with `=`", "default p = 1", "default value p := 1"),
    ("a default of a collection", 'default p := {"a": [1, {2}]}', 'default value p := {"a": [1, <2>]}'),
    ("a default of a dotted name", "default p.q := 1", 'default value p["q"] := 1'),
    ("a default of a function", "default f(_, x) := 1", "default func f(_, x) := 1"),
    ("a default with equal wildcards", "default f(_, _) := 1", "default func f(_, _) := 1"),
    ("a default with a comprehension", "default p := [x | x := q[_]]", "default value p := [x | assign(x, q[_])]"),
    ("a default of a name that begins with a keyword", "default if.x := 1", 'default value if["x"] := 1'),
    # one after the other
    ("rules on lines", "p := 1\nq := 2", "value p := 1 | value q := 2"),
    ("rules on one line", "p := 1 q := 2", "value p := 1 | value q := 2"),
    ("a rule named contains", "p := 1\ncontains := 2", "value p := 1 | value contains := 2"),
    ("comments between", "# a\np := 1 # b\n# c\nq := 2 # d", "value p := 1 | value q := 2"),
    ("carriage returns", "p if {\r\n  x\r\n  y\r\n}\r\n", "value p := true if {x; y}"),
]


@pytest.mark.parametrize(("note", "text", "expected"), RULES, ids=[case[0] for case in RULES])
def test_rules(note: str, text: str, expected: str) -> None:
    assert " | ".join(map(shown, parsed(f"package a\n{text}").rules)) == expected


PACKAGES = [
    ("a name", "package a", ("data", "a")),
    ("a path", "package a.b.c", ("data", "a", "b", "c")),
    ("a string in brackets", 'package a["b c"].d', ("data", "a", "b c", "d")),
    ("keywords", "package if.not.contains", ("data", "if", "not", "contains")),
    ("a keyword alone", "package default", ("data", "default")),
]


@pytest.mark.parametrize(("note", "text", "expected"), PACKAGES, ids=[case[0] for case in PACKAGES])
def test_packages(note: str, text: str, expected: tuple[str, ...]) -> None:
    module = parsed(f"# first\n{text}\np := 1\n")
    assert module.package == expected
    assert module.source.text[: module.package_end].endswith(text)


IMPORTS = [
    ("data", "import data.a.b", ("data", "a", "b"), "b"),
    ("another name", "import data.a.b as c", ("data", "a", "b"), "c"),
    ("all data", "import data as everything", ("data",), "everything"),
    ("input", "import input.request", ("input", "request"), "request"),
    ("all input", "import input", ("input",), "input"),
    ("a string in brackets", 'import data["a b"].c', ("data", "a b", "c"), "c"),
    ("a keyword in the path", "import data.if.x", ("data", "if", "x"), "x"),
    ("a keyword at the end", "import data.a.not as negation", ("data", "a", "not"), "negation"),
    ("version 1", "import rego.v1", ("rego", "v1"), None),
    ("all keywords", "import future.keywords", ("future", "keywords"), None),
    ("one keyword", "import future.keywords.in", ("future", "keywords", "in"), None),
    ("the keyword contains", "import future.keywords.contains", ("future", "keywords", "contains"), None),
]


@pytest.mark.parametrize(("note", "text", "path", "alias"), IMPORTS, ids=[case[0] for case in IMPORTS])
def test_imports(note: str, text: str, path: tuple[str, ...], alias: str | None) -> None:
    module = parsed(f"package a\n{text}\np := 1")
    found = module.imports[0]
    assert (found.path, found.alias) == (path, alias)
    assert module.source.text[found.start : found.end] == text


def test_imports_stand_anywhere() -> None:
    module = parsed("package a\nimport data.b\np := 1\nimport data.c\nq := 2")
    assert [found.alias for found in module.imports] == ["b", "c"]
    assert [shown(rule) for rule in module.rules] == ["value p := 1", "value q := 2"]


def test_a_module_may_be_its_package_alone() -> None:
    module = parsed("package a")
    assert (module.rules, module.imports, module.annotations) == ((), (), ())
