"""What the parser says of modules that it cannot read."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.rego.notation import shown
from tidegate.rego.errors import PolicyRefused
from tidegate.rego.parser import parse
from tidegate.rego.source import Source


class Wrong(Struct):
    """A case of wrong_syntax.txt."""

    note: str
    text: str
    expected: str


def wrong_syntax() -> Iterator[Wrong]:
    """The cases of wrong_syntax.txt; its own first lines say how they are written."""
    text = Path(__file__).with_name("wrong_syntax.txt").read_text()
    for case in re.split("^== ", text, flags=re.MULTILINE)[1:]:
        note, rest = case.split("\n", 1)
        module, expected = rest.split("\n---\n")
        yield Wrong(note, module, expected.strip("\n"))


def refused(text: str) -> PolicyRefused:
    with pytest.raises(PolicyRefused) as refusal:
        parse(Source("a.rego", text))
    return refusal.value


@pytest.mark.parametrize("case", list(wrong_syntax()), ids=lambda case: case.note)
def test_says_what_is_wrong_and_where(case: Wrong) -> None:
    said = re.sub(" +$", "", str(refused(case.text)), flags=re.MULTILINE)
    assert said == case.expected


def test_problems_come_in_the_order_of_the_text() -> None:
    problems = refused("package a\np := 1s\nq { x }\nr == 1\nt := 'a'").problems
    assert [problem.line for problem in problems] == [2, 3, 4, 5]
    assert {problem.code for problem in problems} == {"rego_parse_error"}
    assert not any(problem.warning for problem in problems)


def test_the_v1_form_of_a_v0_rule_is_right() -> None:
    old = [
        "allow { input.x }",
        'deny[msg] { msg := "no" }',
        "f(x) = y { y := x }",
        "sizes[n] = s { s := n }",
        'deny["a"]',
    ]
    hints = [problem.hint for problem in refused("\n".join(["package a", *old])).problems]
    new = [hint.removeprefix("in Rego v1: `").removesuffix("`") for hint in hints if hint is not None]
    assert [shown(rule) for rule in parse(Source("a.rego", "\n".join(["package a", *new]))).rules] == [
        'value allow := true if {input["x"]}',
        'set deny contains msg if {assign(msg, "no")}',
        "func f(x) := y if {assign(y, x)}",
        "value sizes[n] := s if {assign(s, n)}",
        'set deny contains "a"',
    ]


def test_tells_of_a_hundred_problems_at_most() -> None:
    assert len(refused("package a\n" + "p == 1\n" * 1000).problems) == 100


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("[", "]"), ("{", "}"), ("(", ")"), ("x[", "]"), ("f(", ")"), ("[x | ", "]"), ('$"{', '}"')],
)
def test_brackets_are_nested_fifty_deep(opening: str, closing: str) -> None:
    parse(Source("a.rego", f"package a\np := {opening * 50}x{closing * 50}"))
    problem = refused(f"package a\np := {opening * 51}x{closing * 51}").problems[0]
    assert problem.message == "brackets in brackets, more than 50 deep"
    assert refused(f"package a\np := {opening * 50_000}").problems


DEEP = [
    ("a chain of operators", "p := " + "x + " * 10_000 + "x"),
    ("chains in brackets", "p := " + "(" * 20 + "x" + " + x * x | x)" * 20 + " + x" * 300),
    ("stronger and stronger operators in brackets", "p := " + "[x in x == x | x & x + x * " * 51 + "x" + "]" * 51),
    ("comprehensions", "p := " + "[x | x := " * 60 + "x" + "]" * 60),
    ("every in every", "p if " + "every x in y { " * 60 + "x" + " }" * 60),
    ("else", "p := 1 if x" + " else := 2 if x" * 200),
]


@pytest.mark.parametrize(("note", "text"), DEEP, ids=[case[0] for case in DEEP])
def test_deep_trees_are_problems(note: str, text: str) -> None:
    assert len(refused(f"package a\n{text}").problems) == 1


@pytest.mark.parametrize("text", ["p := " + "x + " * 150 + "x", "p := 1 if x" + " else := 2 if x" * 100])
def test_long_rules_are_none(text: str) -> None:
    parse(Source("a.rego", f"package a\n{text}"))


def test_a_text_has_two_million_characters_at_most() -> None:
    problem = refused("package a\n" + "#" * 2_000_000).problems[0]
    assert problem.message == "the text has more than 2,000,000 characters"
