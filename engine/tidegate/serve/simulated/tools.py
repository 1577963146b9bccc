"""Tool calls: which of the offered tools is called, and with arguments that fit its schema.

Arguments fill the properties that the schema requires, nested objects and the fewest allowed items of arrays
included; `const`, `enum` and the bounds of numbers are kept, formats, patterns and references are not.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from ...errors import CallerError
from .answer import Document, encode
from .text import PLAIN, Output, Sampler


class Tool(Struct, frozen=True):
    """A function that the caller offers."""

    name: str
    schema: Document


def offered(name: Any, schema: Any) -> Iterator[Tool]:
    """The tool, if it is a function with a name; the vendors' own tools (web search...) are not simulated."""
    if isinstance(name, str):
        yield Tool(name, schema if isinstance(schema, dict) else {})


def choose(tools: list[Tool], wanted: str | None, sampler: Sampler) -> Tool:
    """The tool that the caller insists on, else any."""
    if wanted is None:
        return tools[next(sampler.rolls(0)) % len(tools)]
    for tool in tools:
        if tool.name == wanted:
            return tool
    raise CallerError(f"tool_choice: there is no tool `{wanted}`")


def call(tool: Tool, sampler: Sampler, choice: int, limit: int | None) -> Output:
    """A call of the tool with arguments made up for it."""
    arguments = _object(tool.schema, sampler.rolls(choice))
    return sampler.call(tool.name, encode(arguments).decode(), limit)


def _object(schema: Document, rolls: Iterator[int]) -> Document:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    return {name: _value(properties.get(name), rolls) for name in required if isinstance(name, str)}


def _value(schema: Any, rolls: Iterator[int]) -> Any:
    roll = next(rolls)
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return schema["const"]
    if isinstance(options := schema.get("enum"), list) and options:
        return options[roll % len(options)]
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "string":
            return PLAIN[roll % len(PLAIN)]
        case "integer":
            return _bounded(schema, roll % 100)
        case "number":
            return _bounded(schema, roll % 1000 / 10)
        case "boolean":
            return roll % 2 == 0
        case "object":
            return _object(schema, rolls)
        case "array":
            fewest = schema.get("minItems")
            return [
                _value(schema.get("items"), rolls) for _ in range(min(fewest, 16) if isinstance(fewest, int) else 0)
            ]
    return None


def _bounded(schema: Document, number: float) -> float:
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if isinstance(lowest, int | float):
        number = max(number, lowest)
    if isinstance(highest, int | float):
        number = min(number, highest)
    return number
