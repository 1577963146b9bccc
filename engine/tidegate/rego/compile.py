"""From sources to a program, through every stage."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.rego import ast
from tidegate.rego.check import check, check_query
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.generate import Program
from tidegate.rego.generate.typed import Typed
from tidegate.rego.lower import lower
from tidegate.rego.parser import parse
from tidegate.rego.source import Source
from tidegate.rego.values import Value

Entry = tuple[str, ...] | ast.Body


def parse_all(sources: Iterable[Source]) -> tuple[list[ast.Module], list[Problem]]:
    """The modules that could be parsed, and what is wrong with the others."""
    modules: list[ast.Module] = []
    problems: list[Problem] = []
    for source in sources:
        try:
            modules.append(parse(source))
        except PolicyRefused as refused:
            problems += refused.problems
    return modules, problems


def compile_modules(
    sources: Iterable[Source],
    data: Value,
    *,
    entries: Mapping[str, Entry],
    schema: dict[str, Any] | None = None,
    strict: bool = False,
) -> Program:
    """The program of some sources; raises PolicyRefused with every problem of every module."""
    modules, problems = parse_all(sources)
    try:
        program = program_of(modules, data, entries=entries, schema=schema, strict=strict)
    except PolicyRefused as refused:
        raise PolicyRefused(together(problems, refused.problems)) from None
    if problems:
        raise PolicyRefused(problems)
    return program


def together(parsing: list[Problem], checking: Iterable[Problem]) -> list[Problem]:
    """All problems of a policy. Where a module could not be read, what it may define seems not to exist: such findings
    wait until it can be.
    """
    unread = {problem.source.text for problem in parsing if problem.source is not None}
    return [*parsing, *(each for each in checking if not any(_may_be_in(text, each) for text in unread))]


def _may_be_in(text: str, problem: Problem) -> bool:
    if problem.code != "rego_unsafe_var_error" and not problem.message.startswith("undefined"):
        return False
    named = re.search(r"(\w+)`", problem.message)
    return named is not None and re.search(rf"\b{named[1]}\b", text) is not None


def program_of(
    modules: list[ast.Module],
    data: Value,
    *,
    entries: Mapping[str, Entry],
    schema: dict[str, Any] | None = None,
    strict: bool = False,
    typed: Typed | None = None,
) -> Program:
    """The program of some modules; raises PolicyRefused with every problem in them.

    An entry is the path of a document, whose result is {"result": its value}, or a query as it was parsed. `schema` is
    the JSON schema of the input; `strict` makes an error of a builtin one of the evaluation.
    """
    checked = check(modules, schema=schema, data=data)
    if checked.errors:
        raise PolicyRefused(checked.errors)
    resolved = {
        name: entry if type(entry[0]) is str else check_query(checked, entry)  # type: ignore[arg-type]
        for name, entry in entries.items()
    }
    return Program(lower(checked, resolved), data, strict=strict, typed=typed)
