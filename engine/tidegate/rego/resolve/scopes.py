"""Which variables a body declares, and under which names they go on.

A declared variable is fresh in its body and hides whatever has its name outside. Its name means nothing else in that
body, not even above the declaration, where using it is a mistake.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tidegate.rego import ast

ASSIGN: Final = ("assign",)

REFERENCED: Final = "referenced above"
ASSIGNED: Final = "assigned above"
DECLARED: Final = "declared above"
ARGUMENT: Final = "already an argument"


class Scope(Struct):
    """One body. `names` are those that are local here, and what each is called; the outer ones are among them."""

    names: dict[str, str]
    history: dict[str, str] = {}  # what happened to a name in this body so far


def inner(scope: Scope, body: ast.Body) -> Scope:
    """The scope of a body inside of another."""
    return Scope({**scope.names, **{name: name for statement in body for name in _declared(statement)}})


def body_of(scope: Scope, body: ast.Body) -> Scope:
    """The scope of the body that what was declared in `scope` is for: it declares none of that again."""
    given = {name: scope.names[name] for name in scope.history if name in scope.names}
    return Scope({**inner(scope, body).names, **given}, scope.history)


def _declared(statement: ast.Statement) -> Iterator[str]:
    kind = type(statement)
    if kind is ast.Expression:
        term = statement.term  # type: ignore[union-attr]
        if type(term) is ast.Call and term.name == ASSIGN and term.name_end == term.start:
            yield from (variable.name for variable in pattern_variables(term.args[0]))
    elif kind is ast.Some:
        yield from (variable.name for variable in statement.names)  # type: ignore[union-attr]
    elif kind is ast.SomeIn:
        assert type(statement) is ast.SomeIn
        yield from (variable.name for variable in pattern_variables(statement.value))
        if statement.key is not None:
            yield from (variable.name for variable in pattern_variables(statement.key))


def pattern_variables(pattern: ast.Term) -> Iterator[ast.Var]:
    """The variables that taking a value apart gives; wildcards are none."""
    kind = type(pattern)
    if kind is ast.Var:
        if pattern.name != "_":  # type: ignore[union-attr]
            yield pattern  # type: ignore[misc]
    elif kind is ast.Array:
        for element in pattern.elements:  # type: ignore[union-attr]
            yield from pattern_variables(element)
    elif kind is ast.Object:
        for _, value in pattern.pairs:  # type: ignore[union-attr]
            yield from pattern_variables(value)
