"""docs/policy-input.md, made of the Structs of the input document."""

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import FieldInfo, fields

from tidegate.decide.input import PHASES, VERSION, Admission, Response, Situation, Stream, Time, document, policy_schema
from tidegate.decide.shapes import bare, takes

INTRODUCTION = f"""\
# The input of policies

What a policy finds in `input`, version {VERSION}. This page is printed by `tidegate policy input`; with `--schema` it
is a JSON schema. Policies are checked against it: reading a field that does not exist is an error.

Every field is always there, so none can be undefined. What a call does not have is null; a list or a map of which it
has nothing is empty. In Rego null is less than any number: `input.request.max_tokens > 100` does not hold for null.

There are three phases and a package for each; `input.phase` says which one it is:
"""

EXAMPLE_NS: Final = 1_795_246_200_000_000_000


def markdown() -> str:
    """The whole page."""
    example = msgspec.json.encode(document(Admission(time=Time.at(EXAMPLE_NS))))
    lines = [INTRODUCTION, *(f"* {struct.__doc__}" for struct in PHASES.values())]
    lines += _section("input", "`input`", Situation)
    lines += _section("input.output", "`input.output` in `tidegate.stream`", _output(Stream))
    lines += _section("input.output", "`input.output` in `tidegate.response`", _output(Response))
    lines += ["", "## A call of which nothing is known", "", "```json"]
    return "\n".join([*lines, msgspec.json.format(example, indent=2).decode(), "```"])


def schema_text() -> str:
    """The JSON schema that policies are checked with."""
    return msgspec.json.format(msgspec.json.encode(policy_schema()), indent=2).decode()


def _output(struct: type[Situation]) -> type[Struct]:
    return next(held for field in fields(struct) if field.name == "output" and (held := _held(field)))


def _section(place: str, title: str, struct: type[Struct]) -> Iterator[str]:
    """The fields of an object, and then those of the objects in it."""
    yield from ("", f"## {title}", "", struct.__doc__ or "", "", "| field | holds | what |", "|---|---|---|")
    for field in fields(struct):
        yield f"| `{field.name}` | {_holds(field)} | {_about(field)} |"
    for field in fields(struct):
        held = _held(field)
        if held is not None:
            where = f"{place}.{field.name}{INDEX.get(type(_kind(field)), '')}"
            yield from _section(where, f"`{where}`", held)


INDEX: Final = {inspect.ListType: "[i]", inspect.DictType: "[name]"}


def _kind(field: FieldInfo) -> inspect.Type:
    return bare(inspect.type_info(field.type))


def _about(field: FieldInfo) -> str:
    kind = inspect.type_info(field.type)
    return str((kind.extra_json_schema or {}).get("description", "")) if isinstance(kind, inspect.Metadata) else ""


def _held(field: FieldInfo) -> type[Struct] | None:
    """The Struct of a field's object, or of the objects in its array or map."""
    kind = _kind(field)
    kind = bare(kind.item_type if isinstance(kind, inspect.ListType) else kind)
    kind = bare(kind.value_type if isinstance(kind, inspect.DictType) else kind)
    return kind.cls if isinstance(kind, inspect.StructType) else None


def _holds(field: FieldInfo) -> str:
    kind = _kind(field)
    if isinstance(kind, inspect.ListType):
        return "an array of strings" if _held(field) is None else "an array of objects"
    if isinstance(kind, inspect.DictType):
        return "an object" if _held(field) is None else "objects by name"
    return takes(inspect.type_info(field.type)).replace("|", "\\|")
