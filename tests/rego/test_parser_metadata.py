"""METADATA comments: what they say, and what they belong to."""

from typing import Any

import pytest

from tidegate.rego.ast import Module
from tidegate.rego.parser import parse
from tidegate.rego.source import Source


def parsed(text: str) -> Module:
    return parse(Source("a.rego", text))


def of_rule(*lines: str) -> dict[str, Any]:
    """What these lines of YAML say of a rule."""
    comment = "".join(f"# {line}\n" for line in ("METADATA", *lines))
    (annotation,) = parsed(f"package a\n{comment}p := 1").rules[0].annotations
    return annotation.document


FIELDS = [
    ("a title", ["title: A rule"], {"title": "A rule"}),
    ("a title that looks like a number", ["title: 1.10"], {"title": "1.10"}),
    ("a title that looks like a date", ["title: 2024-01-31"], {"title": "2024-01-31"}),
    ("a description of lines", ["description: |", "  one", "  two"], {"description": "one\ntwo\n"}),
    ("an empty title", ["title:", "description: x"], {"description": "x"}),
    ("organizations", ["organizations: [a, b]"], {"organizations": ["a", "b"]}),
    ("an author", ["authors:", "- Ann Lee"], {"authors": [{"name": "Ann Lee"}]}),
    (
        "authors with addresses",
        ["authors:", "- Ann  Lee <ann@example.com>", "- <b@example.com>", "- {name: C, email: c@example.com}"],
        {
            "authors": [
                {"name": "Ann Lee", "email": "ann@example.com"},
                {"email": "b@example.com"},
                {"name": "C", "email": "c@example.com"},
            ]
        },
    ),
    (
        "related resources",
        ["related_resources:", "- https://example.com/a", "- ref: https://example.com/b", "  description: b"],
        {
            "related_resources": [
                {"ref": "https://example.com/a"},
                {"ref": "https://example.com/b", "description": "b"},
            ]
        },
    ),
    (
        "schemas",
        ["schemas:", "- input: schema.request", "- data.acl: {type: object}"],
        {
            "schemas": [
                {"path": ["input"], "schema": ["schema", "request"]},
                {"path": ["data", "acl"], "definition": {"type": "object"}},
            ]
        },
    ),
    (
        "custom fields",
        ["custom:", "  a: 1", "  b: [1.5, true, null, ~, yes, 'x', \"y\", 2024-01-31, 1e3]", "  c: {d: -3}"],
        {
            "custom": {
                "a": 1,
                "b": [1.5, True, None, None, "yes", "x", "y", "2024-01-31", 1000],
                "c": {"d": -3},
            }
        },
    ),
    ("an entrypoint", ["entrypoint: true"], {"entrypoint": True, "scope": "document"}),
    ("no entrypoint", ["entrypoint: false"], {}),
    ("a scope", ["scope: document"], {"scope": "document"}),
    ("a field that is not known", ["titel: a"], {"titel": "a"}),
]


@pytest.mark.parametrize(("note", "lines", "expected"), FIELDS, ids=[case[0] for case in FIELDS])
def test_fields(note: str, lines: list[str], expected: dict[str, Any]) -> None:
    assert of_rule(*lines) == {"scope": "rule", **expected}


def test_annotations_belong_to_what_follows() -> None:
    module = parsed(
        """\
# METADATA
# title: package
package a
# METADATA
# title: one
# scope: document

# METADATA
# title: two

# about p
p := 1

q := 2 # METADATA
# title: three
r := 3
"""
    )
    titles = [[(each.scope, each.document["title"]) for each in rule.annotations] for rule in module.rules]
    assert titles == [[("document", "one"), ("rule", "two")], [], [("rule", "three")]]
    assert [(each.scope, each.document["title"]) for each in module.annotations] == [("package", "package")]


def test_subpackages() -> None:
    module = parsed("# METADATA\n# scope: subpackages\n# title: a\npackage a")
    assert module.annotations[0].scope == "subpackages"


def test_a_block_ends_where_its_comments_do() -> None:
    text = "package a\n# METADATA\n# title: a\n  # no part of it\np := 1\n# METADATA\n# title: b\n\n# title: c\nq := 1"
    module = parsed(text)
    spans = [text[each.start : each.end] for rule in module.rules for each in rule.annotations]
    assert spans == ["# METADATA\n# title: a", "# METADATA\n# title: b"]


def test_only_comments_are_metadata() -> None:
    module = parsed(
        'package a\np := `\n# METADATA\n# title: [\n`\nq := "# METADATA"\n# no METADATA\n# title: [\nr := 1'
    )
    assert [rule.annotations for rule in module.rules] == [(), (), ()]


def test_only_the_first_of_several_bodies_has_the_annotations() -> None:
    module = parsed("package a\n# METADATA\n# title: a\np if { x } { y }")
    assert [len(rule.annotations) for rule in module.rules] == [1, 0]


def test_windows_lines() -> None:
    module = parsed("package a\r\n# METADATA\r\n# title: a\r\n# custom:\r\n#   b: c\r\np := 1\r\n")
    assert module.rules[0].annotations[0].document == {"scope": "rule", "title": "a", "custom": {"b": "c"}}
