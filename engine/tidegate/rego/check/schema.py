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

PLAIN: Final = {"null": NULL, "boolean": BOOLEAN, "number": NUMBER, "integer": NUMBER, "string": STRING}


def from_schema(schema: Mapping[str, Any]) -> Type:
    """The type of the documents that a JSON schema describes."""
    return _Reader(schema).type(schema)


class _Reader:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.referenced: dict[str, Type] = {}

    def type(self, schema: Any) -> Type:
        if not isinstance(schema, Mapping):
            return ANY
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        if "enum" in schema or "const" in schema:
            return one_of(map(of_value, schema["enum"] if "enum" in schema else [schema["const"]]))
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                return one_of(self.type(each) for each in schema[choice])
        kind = schema.get("type")
        kinds = kind if isinstance(kind, list) else [kind]
        return one_of(self._of_kind(each, schema) for each in kinds)

    def _of_kind(self, kind: Any, schema: Mapping[str, Any]) -> Type:
        if kind in PLAIN:
            return PLAIN[kind]
        if kind == "array":
            return self._array(schema)
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema)
        return ANY

    def _array(self, schema: Mapping[str, Any]) -> Type:
        first = tuple(self.type(each) for each in schema.get("prefixItems", ()))
        rest = schema.get("items", True)
        return ArrayOf(first, None if rest is False else self.type(rest))

    def _object(self, schema: Mapping[str, Any]) -> Type:
        others = schema.get("additionalProperties", "properties" not in schema)
        if "properties" not in schema and others is True:
            return ANY_OBJECT
        fields = tuple((name, self.type(each)) for name, each in schema.get("properties", {}).items())
        return ObjectOf(fields, None if others is False else (STRING, self.type(others)))

    def _reference(self, reference: str) -> Type:
        """What refers to itself is any there, since a type has an end."""
        if reference not in self.referenced:
            self.referenced[reference] = ANY
            self.referenced[reference] = self.type(self._found(reference))
        return self.referenced[reference]

    def _found(self, reference: str) -> Any:
        found: Any = self.root
        for part in reference.removeprefix("#").strip("/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if reference.startswith("#/") else self.root if reference == "#" else None
