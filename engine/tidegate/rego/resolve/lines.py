"""Statements with the variables that occur in them, as the resolver hands them over to be put in order."""

from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct

from tidegate.rego import ast

Variables: TypeAlias = dict[str, ast.Var]  # by name, each where it occurs first


class Line(Struct, eq=False):
    """A statement, or the terms that a body is for (the head of a rule, the element of a comprehension)."""

    statement: ast.Statement | tuple[ast.Term, ...]
    variables: Variables  # without those in closures
    closures: "list[Closure]"

    @property
    def terms(self) -> tuple[ast.Term, ...]:
        assert type(self.statement) is tuple
        return self.statement


class Closure(Struct, eq=False):
    """A comprehension or an `every` in a line: a body that sees the variables outside, and binds none of them."""

    node: ast.ArrayComprehension | ast.SetComprehension | ast.ObjectComprehension | ast.Every
    lines: list[Line]
    result: Line
    given: tuple[str, ...] = ()  # the variables of `every`

    def variables(self) -> set[str]:
        """All that occur in it."""
        return occurring([*self.lines, self.result])


def occurring(lines: Iterable[Line]) -> set[str]:
    """The variables in the lines and in their closures."""
    found: set[str] = set()
    for line in lines:
        found |= line.variables.keys()
        for closure in line.closures:
            found |= closure.variables()
    return found


def statements_of(lines: list[Line]) -> ast.Body:
    return tuple([line.statement for line in lines])  # type: ignore[misc]
