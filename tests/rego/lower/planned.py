"""Policies as plans, and plans as text."""

from typing import Any

from tidegate.rego import plan, values
from tidegate.rego.check import check, check_query
from tidegate.rego.generate import Program
from tidegate.rego.lower import lower
from tidegate.rego.parser import parse, parse_body
from tidegate.rego.source import Source


def planned(*modules: str, **entries: str) -> plan.Plan:
    """The plan of the modules, for entries that are paths (`a.b`) or queries."""
    checked = check([parse(Source(f"{number}.rego", text)) for number, text in enumerate(modules)])
    assert [str(problem) for problem in checked.problems if not problem.warning] == []

    def entry(text: str) -> Any:
        if text.replace(".", "").isidentifier():
            return ("data", *text.split("."))
        return check_query(checked, parse_body(Source("query", text)))

    return lower(checked, {name: entry(text) for name, text in entries.items()})


def results(*modules: str, query: str, data: Any = None, input: Any = values.UNDEFINED) -> list[Any]:
    """What a query gives."""
    program = Program(planned(*modules, query=query), values.of(data or {}))
    document = input if input is values.UNDEFINED else values.of(input)
    return [values.to_json(result) for result in program.evaluate("query", document)]


def printed(blocks: list[plan.Block], margin: str = "") -> str:
    """A line a statement: its kind and its fields, and what it holds below it."""
    lines = []
    for number, block in enumerate(blocks):
        lines += [f"{margin}--"] if number else []
        lines += [_printed(statement, margin) for statement in block]
    return "\n".join(lines)


def _printed(statement: plan.Statement, margin: str) -> str:
    fields = [name for name in statement.__struct_fields__ if name not in ("file", "row", "col")]
    shown = [repr(getattr(statement, name)) for name in fields if name not in ("block", "blocks")]
    held = [statement.block] if "block" in fields else statement.blocks if "blocks" in fields else []
    head = " ".join([margin + type(statement).__name__, *shown])
    return "\n".join([head, printed(held, margin + "  ")]) if held else head


def function(made: plan.Plan, name: str) -> str:
    """The text of a function."""
    [found] = [one for one in made.functions if one.name == name]
    return printed(found.blocks)
