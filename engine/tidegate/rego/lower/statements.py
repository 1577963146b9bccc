"""The statements of a body, each inside of what the ones before it opened.

Where a statement must not have an answer (`not`, and a member that fails `every`), it is written as a block of its own.
A `Not` asks whether the end of that block is reached; in a block that goes on inside of a scan every turn of the scan
has an end of its own, so there a local remembers whether one was reached.
"""

from collections.abc import Callable
from typing import Any

from tidegate.rego import ast, plan
from tidegate.rego.lower import calls
from tidegate.rego.lower.replacement import replacing
from tidegate.rego.lower.routine import STATEMENTS, Routine
from tidegate.rego.lower.settling import settle, settled
from tidegate.rego.lower.unification import match

COLLECTIONS = (ast.Array, ast.Object, ast.Set, ast.ArrayComprehension, ast.ObjectComprehension, ast.SetComprehension)


def _expression(routine: Routine, statement: ast.Expression) -> None:
    if statement.negated:
        _absent(routine, replacing, routine, statement.modifiers, _holds, statement.term)
    else:
        replacing(routine, statement.modifiers, _holds, statement.term)


def _holds(routine: Routine, term: ast.Term) -> None:
    """Goes on if the term is neither false nor undefined."""
    if type(term) is ast.Call:
        calls.must_hold(routine, term)
    else:
        settle(routine, lambda wanted: routine.must_hold(routine.value(wanted)), term)


def _some_in(routine: Routine, statement: ast.SomeIn) -> None:
    replacing(routine, statement.modifiers, _some, statement)


def _some(routine: Routine, statement: ast.SomeIn) -> None:
    [domain] = settled(routine, statement.domain)
    key, value = routine.scan(domain)
    if statement.key is not None:
        settle(routine, lambda pattern: match(routine, key, pattern), statement.key)
    settle(routine, lambda pattern: match(routine, value, pattern), statement.value)


def _every(routine: Routine, statement: ast.Every) -> None:
    replacing(routine, statement.modifiers, _all, statement)


def _all(routine: Routine, statement: ast.Every) -> None:
    """Goes on if the body has an answer for every member."""
    [domain] = settled(routine, statement.domain)
    source = domain if type(domain) is int else routine.copy(domain)
    if type(statement.domain) not in COLLECTIONS:
        _is_collection(routine, source)
    failed = routine.local()
    routine.emit(plan.Reset(target=failed))

    def look() -> None:
        outside = routine.depth
        key, value = routine.scan(source)
        if statement.key is not None:
            routine.bound[statement.key.name] = key
        routine.bound[statement.value.name] = value
        _absent(routine, routine.body, statement.body)
        routine.emit(plan.Assign(source=True, target=failed))
        routine.emit(plan.Break(index=routine.depth - outside))

    routine.emit(plan.Blocks(blocks=[routine.apart(look)]))
    routine.emit(plan.IsUndefined(source=failed))


def _is_collection(routine: Routine, source: int) -> None:
    def is_kind(kind: type[Any]) -> None:
        routine.emit(kind(source=source))

    def is_none() -> None:
        for kind in (plan.IsArray, plan.IsObject, plan.IsSet):
            routine.emit(plan.Not(block=routine.apart(is_kind, kind)))

    routine.emit(plan.Not(block=routine.apart(is_none)))


def _absent(routine: Routine, write: Callable[..., None], *arguments: Any) -> None:
    """Goes on if what `write` writes has no answer."""
    outer = routine.open()
    block, outside = routine.block, routine.depth
    write(*arguments)
    if routine.block is block:
        routine.close(outer)
        routine.emit(plan.Not(block=block))
        return
    found = routine.local()
    routine.emit(plan.Assign(source=True, target=found))
    routine.emit(plan.Break(index=routine.depth - outside))
    routine.close(outer)
    routine.emit(plan.Reset(target=found))
    routine.emit(plan.Blocks(blocks=[block]))
    routine.emit(plan.IsUndefined(source=found))


STATEMENTS.update({ast.Expression: _expression, ast.SomeIn: _some_in, ast.Every: _every})
