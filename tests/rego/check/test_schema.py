"""JSON schemas as types."""

from typing import Any

import pytest

from tidegate.rego import types
from tidegate.rego.check.schema import from_schema

BRANCH = {"$ref": "#/$defs/Tree"}
TREE = {**BRANCH, "$defs": {"Tree": {"properties": {"left": BRANCH, "right": BRANCH}}}}

SCHEMAS: list[tuple[str, dict[str, Any], str]] = [
    ("nothing said", {}, "any"),
    ("a scalar", {"type": "string"}, "string"),
    ("an integer", {"type": "integer"}, "number"),
    ("several types", {"type": ["string", "null"]}, "any<string, null>"),
    ("an array", {"type": "array", "items": {"type": "string"}}, "array[string]"),
    ("an array of anything", {"type": "array"}, "array[any]"),
    ("a tuple", {"type": "array", "prefixItems": [{"type": "null"}], "items": False}, "array<null>"),
    ("an object", {"type": "object"}, "object[any: any]"),
    ("properties", {"type": "object", "properties": {"a": {"type": "null"}}}, "object<a: null>"),
    ("properties alone", {"properties": {"a": {"type": "null"}}}, "object<a: null>"),
    ("no properties", {"type": "object", "properties": {}}, "object<>"),
    ("others", {"type": "object", "additionalProperties": {"type": "null"}}, "object[string: null]"),
    ("any others", {"properties": {"a": {}}, "additionalProperties": True}, "object<a: any>[string: any]"),
    ("no others", {"properties": {"a": {}}, "additionalProperties": False}, "object<a: any>"),
    ("one of some", {"anyOf": [{"type": "null"}, {"type": "number"}]}, "any<null, number>"),
    ("exactly one of some", {"oneOf": [{"type": "null"}, {"type": "number"}]}, "any<null, number>"),
    ("values", {"enum": ["a", "b", None]}, "any<string, null>"),
    ("a value", {"const": 1}, "number"),
    ("a reference", {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "number"}}}, "number"),
    ("a reference to nothing", {"$ref": "#/$defs/x"}, "any"),
    ("a reference elsewhere", {"$ref": "https://example.com/x"}, "any"),
    ("what is not known here", {"allOf": [{"type": "string"}]}, "any"),
]


@pytest.mark.parametrize(("schema", "expected"), [pytest.param(*case[1:], id=case[0]) for case in SCHEMAS])
def test_a_schema_is_a_type(schema: dict[str, Any], expected: str) -> None:
    assert types.text(from_schema(schema)) == expected


def test_a_schema_may_refer_to_itself() -> None:
    assert types.text(from_schema(TREE)) == "object<left: any, right: any>"
