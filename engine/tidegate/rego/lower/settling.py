"""Terms whose parts bind each other's variables.

In `x == data.names[x]` the reference binds the `x` before it. Written in their order, such terms run into a variable
that is not bound yet; then the references inside of them, which alone can bind one, are written first.
"""

from collections.abc import Callable
from typing import Any

from tidegate.rego import ast
from tidegate.rego.lower.routine import Known, Routine, Term
from tidegate.rego.plan import Operand


def settled(routine: Routine, *terms: Term) -> list[Operand]:
    """The values of the terms."""
    result: list[Operand] = []

    def write(*wanted: Term) -> None:
        result[:] = [routine.value(term) for term in wanted]

    settle(routine, write, *terms)
    return result


def settle(routine: Routine, write: Callable[..., None], *terms: Any) -> None:
    """Calls `write` with the terms, or with what they become when the references inside of them are written first."""
    while (unbound := routine.attempt(write, *terms)) is not None:
        lifted = _lift_each(routine, terms)
        if lifted is terms:
            raise unbound
        terms = lifted


def _lift_each(routine: Routine, terms: tuple[Any, ...]) -> tuple[Any, ...]:
    """The terms themselves if nothing in them could be written."""
    lifted = tuple([_lift(routine, term) for term in terms])
    changed = any(new is not old for new, old in zip(lifted, terms, strict=True))
    return lifted if changed else terms


def _lift(routine: Routine, term: Any) -> Any:
    """The term with every reference in it replaced by its value, as far as their variables are bound."""
    kind = type(term)
    if kind is ast.Array or kind is ast.Set:
        parts = term.elements
    elif kind is ast.Object:
        parts = tuple([part for pair in term.pairs for part in pair])
    elif kind is ast.Call:
        parts = term.args
    elif kind is ast.Ref:
        operand = routine.value_if_bound(term)
        if operand is not None:
            return Known(start=term.start, end=term.end, operand=operand)
        parts = term.path
    else:
        return term
    lifted = _lift_each(routine, parts)
    return term if lifted is parts else _rebuilt(term, lifted)


def _rebuilt(term: Any, parts: tuple[Any, ...]) -> Any:
    where = {"start": term.start, "end": term.end}
    kind = type(term)
    if kind is ast.Object:
        return ast.Object(pairs=tuple(zip(parts[::2], parts[1::2], strict=True)), **where)
    if kind is ast.Call:
        return ast.Call(name=term.name, args=parts, name_end=term.name_end, **where)
    if kind is ast.Ref:
        return ast.Ref(head=term.head, path=parts, **where)
    return kind(elements=parts, **where)
