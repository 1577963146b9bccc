"""What tools, and schemas for the answer, add to a prompt of OpenAI's dialect.

The formula is that of OpenAI's cookbook. A function is 7 tokens (10 with older models) and `name:description`; its
properties are 3, and for each of them 3 and `name:type:description`; a list of values is 3 less, and each value 3 and
its own; all tools together are 12 more. A function that must be called is 7 and its name, `none` is 1.

What the cookbook leaves out is counted so: the properties of a property like its siblings, and a schema for the answer
as it is written.
"""

from collections.abc import Iterator
from types import NoneType
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from tidegate.count.tally import Tally
from tidegate.wire.openai import Choice, Format, Function, Tool

PROPERTY: Final = 3
VALUE: Final = 3
TOOLS: Final = 12
CHOICE: Final = 7
NO_CHOICE: Final = 1


class Schema(Struct, frozen=True):
    """A JSON schema, as far as models are told of it."""

    type: str | list[str] | None = None
    description: str | None = None
    enum: list[str | int | float | bool | None] | None = None
    properties: "dict[str, Schema] | None" = None
    items: "Schema | bool | None" = None
    additional: "Schema | bool | None" = field(default=None, name="additionalProperties")
    any_of: "list[Schema] | None" = field(default=None, name="anyOf")
    one_of: "list[Schema] | None" = field(default=None, name="oneOf")
    all_of: "list[Schema] | None" = field(default=None, name="allOf")
    defs: "dict[str, Schema] | None" = field(default=None, name="$defs")
    definitions: "dict[str, Schema] | None" = None
    default: Raw | UnsetType = UNSET
    const: Raw | UnsetType = UNSET
    examples: Raw | UnsetType = UNSET


_LIST: Final = msgspec.json.Decoder(list[Raw])
_TOOL: Final = msgspec.json.Decoder(Tool)
_FUNCTION: Final = msgspec.json.Decoder(Function)
_SCHEMA: Final = msgspec.json.Decoder(Schema)
_CHOICE: Final = msgspec.json.Decoder(str | Choice | None)
_FORMAT: Final = msgspec.json.Decoder(Format | NoneType)


def tools(tally: Tally, tools: Raw) -> None:
    """The tools on offer; what the provider's own tools tell the model is not known."""
    for each in _offered(tally, tools):
        tool = tally.read(each, _TOOL)
        if tool is None:
            continue
        if tool.function is not None:
            _function(tally, tool.function)
        elif tool.type == "function":
            _function(tally, Function(tool.name, tool.description, tool.parameters))
        else:
            tally.others += 1
            tally.as_written(each)


def functions(tally: Tally, functions: Raw) -> None:
    """The older form of tools."""
    for each in _offered(tally, functions):
        function = tally.read(each, _FUNCTION)
        if function is not None:
            _function(tally, function)


def _offered(tally: Tally, json: Raw) -> Iterator[Raw]:
    """Each of the tools of a list, counted; what all of them together take is counted with the first."""
    offered = tally.read(json, _LIST)
    for number, each in enumerate(offered or ()):
        if not number:
            tally.plain = False
            tally.framing += TOOLS
        tally.tools += 1
        yield each


def _function(tally: Tally, function: Function) -> None:
    tally.framing += tally.around.function
    tally.text(f"{function.name or ''}:{_short(function.description)}")
    if function.parameters is not UNSET:
        schema = tally.read(function.parameters, _SCHEMA)
        if schema is not None:
            _schema(tally, schema)


def _short(description: str | None) -> str:
    return (description or "").removesuffix(".")


def _schema(tally: Tally, schema: Schema) -> None:
    """All of a schema, by a list of what is still to do: depth costs nothing."""
    left = [schema]
    while left:
        schema = left.pop()
        if schema.properties:
            tally.framing += PROPERTY
            for name, inner in schema.properties.items():
                tally.framing += PROPERTY
                _described(tally, f"{name}:", inner)
                left.append(inner)
        nested = [each for each in (schema.items, schema.additional) if isinstance(each, Schema)]
        for several in (schema.any_of, schema.one_of, schema.all_of):
            nested += several or ()
        for each in nested:
            if each.type or each.description or each.enum:
                _described(tally, "", each)
        for named in (schema.defs, schema.definitions):
            nested += (named or {}).values()
        left += nested


def _described(tally: Tally, name: str, schema: Schema) -> None:
    kind = "|".join(schema.type) if isinstance(schema.type, list) else schema.type or ""
    tally.text(f"{name}{kind}:{_short(schema.description)}")
    if schema.enum is not None:
        tally.framing -= VALUE
        for value in schema.enum:
            tally.framing += VALUE
            tally.text(value if isinstance(value, str) else str(value))
    for written in (schema.default, schema.const, schema.examples):
        if written is not UNSET:
            tally.as_written(written)


def tool_choice(tally: Tally, choice: Raw) -> None:
    """Which tool is to be called; also the older `function_call`."""
    chosen = tally.read(choice, _CHOICE)
    if isinstance(chosen, Choice):
        tally.plain = False
        tally.framing += CHOICE
        tally.text(chosen.function.name if chosen.function else chosen.name)
    elif chosen == "none":
        tally.plain = False
        tally.framing += NO_CHOICE


def response_format(tally: Tally, form: Raw) -> None:
    """The form of the answer: a schema is a part of the prompt. In responses it stands in `text`."""
    asked = tally.read(form, _FORMAT)
    if asked is None:
        return
    inner = asked.format or asked
    for schema in (inner.json_schema, inner.schema):
        if schema is not UNSET:
            tally.as_written(schema)
