"""rego.parse_module: OPA's JSON of a syntax tree."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem


def parsed(text: str) -> dict[str, Any]:
    return dict(call("rego.parse_module", "a.rego", f"package a.b\n\n{text}"))


def var(name: str) -> dict[str, Any]:
    return {"type": "var", "value": name}


def of(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "value": value}


def ref(name: str, *steps: Any) -> dict[str, Any]:
    return of("ref", [var(name), *(of("string", step) if isinstance(step, str) else step for step in steps)])


def term(text: str) -> Any:
    """The tree of one term, as the value of a rule."""
    return parsed(f"x := {text}")["rules"][0]["head"]["value"]


def body(text: str) -> Any:
    return parsed(f"x if {{ {text} }}")["rules"][0]["body"]


def test_package_and_imports() -> None:
    assert parsed("import rego.v1\nimport data.c.d as e\nimport input.f") == {
        "package": {"path": [var("data"), of("string", "a"), of("string", "b")]},
        "imports": [
            {"path": ref("rego", "v1")},
            {"path": ref("data", "c", "d"), "alias": "e"},
            {"path": ref("input", "f")},
        ],
    }


TRUE = [{"index": 0, "terms": of("boolean", True)}]
HEADS = [
    ("x := 1", {"name": "x", "ref": [var("x")], "value": of("number", 1), "assign": True}),
    ("x = 1", {"name": "x", "ref": [var("x")], "value": of("number", 1)}),
    ("x if true", {"name": "x", "ref": [var("x")], "value": of("boolean", True)}),
    ("x contains 1", {"name": "x", "ref": [var("x")], "key": of("number", 1)}),
    ("x.y.z := 1", {"ref": ref("x", "y", "z")["value"], "value": of("number", 1), "assign": True}),
    (
        "f(a, 2) := a",
        {"name": "f", "ref": [var("f")], "args": [var("a"), of("number", 2)], "value": var("a"), "assign": True},
    ),
]


@pytest.mark.parametrize(("text", "expected"), HEADS)
def test_heads(text: str, expected: dict[str, Any]) -> None:
    assert parsed(text)["rules"] == [{"head": expected, "body": TRUE}]


def test_default_and_else() -> None:
    first, second = parsed("default x := 1\nx := 2 if false else := 3")["rules"]
    assert first["default"] is True
    assert second["else"]["head"]["value"] == of("number", 3)
    assert second["body"] == [{"index": 0, "terms": of("boolean", False)}]


TERMS = [
    ("null", of("null", {})),
    ("1.5", of("number", 1.5)),
    ('"a"', of("string", "a")),
    ("[y, 1]", of("array", [var("y"), of("number", 1)])),
    ('{"b": 1, "a": 2}', of("object", [[of("string", "a"), of("number", 2)], [of("string", "b"), of("number", 1)]])),
    ('{"a", 2, null}', of("set", [of("null", {}), of("number", 2), of("string", "a")])),
    ("input", ref("input")),
    ("data.a[y]", ref("data", "a", var("y"))),
    ("count(y)", of("call", [ref("count"), var("y")])),
    ("io.jwt.decode(y)", of("call", [ref("io", "jwt", "decode"), var("y")])),
    ("1 + 2", of("call", [ref("plus"), of("number", 1), of("number", 2)])),
    (
        "[y | y := 1]",
        of(
            "arraycomprehension",
            {"term": var("y"), "body": [{"index": 0, "terms": [ref("assign"), var("y"), of("number", 1)]}]},
        ),
    ),
    ("{y | true}", of("setcomprehension", {"term": var("y"), "body": TRUE})),
    ("{y: z | true}", of("objectcomprehension", {"key": var("y"), "value": var("z"), "body": TRUE})),
]


@pytest.mark.parametrize(("text", "expected"), TERMS)
def test_terms(text: str, expected: dict[str, Any]) -> None:
    assert term(text) == expected


MEMBER = ref("internal", "member_2")
STATEMENTS = [
    ("some y, z", {"terms": {"symbols": [var("y"), var("z")]}}),
    ("some y in z", {"terms": {"symbols": [of("call", [MEMBER, var("y"), var("z")])]}}),
    (
        "some k, y in z",
        {"terms": {"symbols": [of("call", [ref("internal", "member_3"), var("k"), var("y"), var("z")])]}},
    ),
    ("y in z", {"terms": [MEMBER, var("y"), var("z")]}),
    ("not y", {"terms": var("y"), "negated": True}),
    ("every y in z { true }", {"terms": {"key": None, "value": var("y"), "domain": var("z"), "body": TRUE}}),
    ("y with input.a as 1", {"terms": var("y"), "with": [{"target": ref("input", "a"), "value": of("number", 1)}]}),
]


@pytest.mark.parametrize(("text", "expected"), STATEMENTS)
def test_statements(text: str, expected: dict[str, Any]) -> None:
    assert body(text) == [{"index": 0, **expected}]


def test_wildcards_are_numbered() -> None:
    assert body("y[_]; z[_]")[1] == {"index": 1, "terms": ref("z", var("$1"))}


def test_a_problem_is_an_error_with_its_place() -> None:
    said = problem("rego.parse_module", "a.rego", "package a\n\nx := [")
    assert said.startswith("eval_builtin_error: a.rego:3: rego_parse_error: ")
    expected = "eval_type_error: rego.parse_module: operand 2 must be string but got number"
    assert problem("rego.parse_module", "a.rego", 1) == expected


def test_a_template_string_has_no_tree() -> None:
    said = problem("rego.parse_module", "a.rego", 'package a\n\nx := $"{input.y}"')
    assert said == "eval_builtin_error: the syntax tree of a template string is not shown"
