"""What the Structs of a document say about it: in words where a value does not fit, and as a JSON schema."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import fields

from tidegate.rego.suggest import did_you_mean

KEPT: Final = ("description", "type", "enum", "minimum", "maximum")  # what a schema says beside its structure


def flaws(hint: Any, value: object, place: str) -> Iterator[str]:
    """Everything in which a value is not of a type; nothing where it is. A Struct wants an object with its fields."""
    kind = bare(inspect.type_info(hint))
    if isinstance(kind, inspect.StructType) and type(value) is dict:
        yield from _flaws_of_object(kind.cls, value, place)
    elif isinstance(kind, inspect.ListType) and isinstance(value, list | tuple) and _struct(kind.item_type):
        for index, item in enumerate(value):
            yield from flaws(_struct(kind.item_type), item, f"{place}[{index}]")
    elif isinstance(kind, inspect.DictType) and type(value) is dict and _struct(kind.value_type):
        for name, item in value.items():
            yield from flaws(_struct(kind.value_type), item, f"{place}.{name}")
    elif not _fits(value, hint):
        yield f"`{place}` must be {takes(inspect.type_info(hint))}, found {shown(value)}"


def _flaws_of_object(struct: type[Struct], value: dict[Any, object], place: str) -> Iterator[str]:
    known = {field.encode_name: field for field in fields(struct)}
    flawed = False
    for name, held in value.items():
        for flaw in (
            flaws(known[name].type, held, f"{place}.{name}") if name in known else [unknown(name, known, place)]
        ):
            flawed = True
            yield flaw
    for name, field in known.items():
        if field.required and name not in value:
            flawed = True
            yield f"`{place}.{name}` is missing: it must be {takes(inspect.type_info(field.type))}"
    if not flawed:
        try:
            msgspec.convert(value, struct)
        except msgspec.ValidationError as error:  # what the fields must be together
            yield f"`{place}`: {error}"


def unknown(name: object, known: Mapping[str, object], place: str) -> str:
    """The words for a field that does not exist."""
    return f"`{place}` has no field {shown(name)}: {meant(str(name), known)}"


def meant(name: str, known: Mapping[str, object]) -> str:
    """What a misspelt name could have been, or else all there are."""
    return did_you_mean(name, known) or f"its fields are {', '.join(f'`{each}`' for each in known)}"


def _fits(value: object, hint: Any) -> bool:
    if isinstance(value, dict) and type(value) is not dict:  # a set of Rego's
        return False
    try:
        msgspec.convert(value, hint)
    except (msgspec.ValidationError, RecursionError):
        return False
    return True


def bare(kind: inspect.Type) -> inspect.Type:
    """A type without what is said about it."""
    return bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _struct(kind: inspect.Type) -> type[Struct] | None:
    kind = bare(kind)
    return kind.cls if isinstance(kind, inspect.StructType) else None


def takes(kind: inspect.Type) -> str:
    """What a type takes, in words."""
    match kind:
        case inspect.Metadata(extra={"takes": str(words)}):
            return words
        case inspect.Metadata():
            return takes(kind.type)
        case inspect.UnionType():
            kinds = list(dict.fromkeys(takes(member) for member in kind.types))
            if "a number" in kinds:
                kinds.remove("a whole number")
            return " or ".join(sorted(kinds, key="null".__eq__))
        case inspect.LiteralType():
            values = [f"`{value}`" for value in kind.values]
            return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
        case inspect.ListType() | inspect.VarTupleType():
            return "an array"
        case inspect.DictType() | inspect.StructType():
            return "an object"
    return WORDS.get(type(kind), "a value")


WORDS: Final[dict[type, str]] = {
    inspect.StrType: "a string",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "a boolean",
    inspect.NoneType: "null",
}


def shown(value: object) -> str:
    """A value as it can stand in a message."""
    match value:
        case None:
            return "null"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            text = repr(value)[1:-1]
            return f"`{text if len(text) <= 60 else text[:60] + '...'}`"
        case list() | tuple():
            return "an array"
        case dict():
            return "an object" if type(value) is dict else "a set"
        case set() | frozenset():
            return "a set"
    text = str(value)
    return f"`{text}`" if len(text) <= 60 else "a number"


def schema(struct: type[Struct]) -> dict[str, Any]:
    """The JSON schema of the complete document: every field required, no other allowed, no references."""
    made = msgspec.json.schema(struct)
    return _inlined(made, made.get("$defs", {}))


def _inlined(node: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        node = {**definitions[node["$ref"].rpartition("/")[2]], **node}
    result: dict[str, Any] = {name: node[name] for name in KEPT if name in node}
    if "properties" in node:
        result["properties"] = {name: _inlined(inner, definitions) for name, inner in node["properties"].items()}
        result["required"] = list(node["properties"])
        result["additionalProperties"] = False
    elif isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _inlined(node["additionalProperties"], definitions)
    if "items" in node:
        result["items"] = _inlined(node["items"], definitions)
    if "anyOf" in node:
        result["anyOf"] = [_inlined(inner, definitions) for inner in node["anyOf"]]
    return result
