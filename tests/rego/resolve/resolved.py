"""Policies in their resolved form, as text."""

from tests.rego.notation import shown
from tidegate.rego.errors import Problem
from tidegate.rego.parser import parse
from tidegate.rego.resolve import Resolved, resolve
from tidegate.rego.source import Source


def resolved(*modules: str) -> Resolved:
    """The modules a.rego, b.rego..., each of package `a` where it names none."""
    texts = [text if "package " in text else f"package a\n{text}" for text in modules]
    return resolve([parse(Source(f"{chr(ord('a') + number)}.rego", text)) for number, text in enumerate(texts)])


def rules(*modules: str) -> list[str]:
    """The rules of the first module, in which nothing is wrong."""
    found = resolved(*modules)
    assert [str(problem) for problem in found.problems] == []
    return [shown(rule) for rule in found.modules[0].rules]


def bodies(*modules: str) -> list[str]:
    """The bodies of the first module's rules, in which nothing is wrong."""
    found = resolved(*modules)
    assert [str(problem) for problem in found.problems] == []
    return [shown(rule.body) for rule in found.modules[0].rules]


def told(problem: Problem) -> str:
    """A problem, with the text that it points to."""
    assert problem.source is not None
    where = problem.source.text[problem.start : problem.end]
    return f"{problem.line}: {where}: {problem.message}" + (f" ({problem.hint})" if problem.hint else "")
