"""Rules as a program."""

from typing import Any

from tidegate.rego.compile import compile_modules
from tidegate.rego.generate import Program
from tidegate.rego.source import Source
from tidegate.rego.values import of, to_json


def compiled(rules: str, *names: str, data: Any = None, strict: bool = False) -> Program:
    """A program with an entry for each of the named rules."""
    entries = {name: ("data", "test", name) for name in names or ("p",)}
    return compile_modules(
        [Source("test.rego", f"package test\n\n{rules}")], of(data or {}), entries=entries, strict=strict
    )


def value(rules: str, input: Any, data: Any = None) -> Any:
    """What `p` is, as JSON has it; None where it is undefined."""
    results = compiled(rules, data=data).evaluate("p", input)
    return to_json(results[0]["result"]) if results else None
