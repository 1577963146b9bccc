"""A JSON schema as a type.

An object with properties has those and no others, unless it says what the others are: `input` is checked against the
document that will be there, not against all that a schema lets pass. What is not understood here is any.
"""

from collections.abc import Mapping
from typing import Any, Final

from tidegate.rego.types import (
    ANY,
    ANY_OBJECT,
    BOOLEAN,
    NULL,
    NUMBER,
    STRING,
    ArrayOf,
    ObjectOf,
    Type,
    of_value,
    one_of,
)

DEPTH: Final = 40  # of references in references: a schema may describe trees
PLAIN: Final = {"null": NULL, "boolean": BOOLEAN, "number": NUMBER, "integer": NUMBER, "string": STRING}


def from_schema(schema: Mapping[str, Any]) -> Type:
    """The type of the documents that a JSON schema describes."""
    return _Reader(schema).type(schema, 0)


class _Reader:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root

    def type(self, schema: Any, depth: int) -> Type:
        if not isinstance(schema, Mapping) or depth > DEPTH:
            return ANY
        if "$ref" in schema:
            return self.type(self._referenced(schema["$ref"]), depth + 1)
        if "enum" in schema or "const" in schema:
            return one_of(map(of_value, schema["enum"] if "enum" in schema else [schema["const"]]))
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return one_of(self.type(each, depth + 1) for each in schema[choice])
        kind = schema.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        return one_of(self._of_kind(each, schema, depth) for each in kinds)

    def _of_kind(self, kind: Any, schema: Mapping[str, Any], depth: int) -> Type:
        if kind in PLAIN:
            return PLAIN[kind]
        if kind == "array":
            return self._array(schema, depth)
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        return ANY

    def _array(self, schema: Mapping[str, Any], depth: int) -> Type:
        first = tuple(self.type(each, depth + 1) for each in schema.get("prefixItems", ()))
        rest = schema.get("items", True)
        return ArrayOf(first, None if rest is False else self.type(rest, depth + 1))

    def _object(self, schema: Mapping[str, Any], depth: int) -> Type:
        others = schema.get("additionalProperties", "properties" not in schema)
        if "properties" not in schema and others is True:
            return ANY_OBJECT
        fields = tuple((name, self.type(each, depth + 1)) for name, each in schema.get("properties", {}).items())
        return ObjectOf(fields, None if others is False else (STRING, self.type(others, depth + 1)))

    def _referenced(self, reference: str) -> Any:
        found: Any = self.root
        for part in reference.removeprefix("#").strip("/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if reference.startswith("#/") else self.root if reference == "#" else None
