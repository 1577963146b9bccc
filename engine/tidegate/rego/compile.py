"""From sources to a program, through every stage."""

from collections.abc import Mapping

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


def compile_modules(
    sources: list[Source],
    data: Value,
    *,
    entries: Mapping[str, Entry],
    schema: dict[str, object] | None = None,
    strict: bool = False,
    typed: Typed | None = None,
) -> Program:
    """The program of some modules; raises PolicyRefused with every problem of every module.

    An entry is the path of a document, whose result is {"result": its value}, or a query as it was parsed.
    """
    modules: list[ast.Module] = []
    problems: list[Problem] = []
    for source in sources:
        try:
            modules.append(parse(source))
        except PolicyRefused as refused:
            problems += refused.problems
    checked = check(modules, schema=schema, data=data)
    problems += [problem for problem in checked.problems if not problem.warning]
    if problems:
        raise PolicyRefused(problems)
    resolved = {name: entry if _path(entry) else check_query(checked, entry) for name, entry in entries.items()}
    return Program(lower(checked, resolved), data, strict=strict, typed=typed)


def _path(entry: Entry) -> bool:
    return bool(entry) and type(entry[0]) is str
