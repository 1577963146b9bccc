"""Which variables a statement binds.

A reference binds the variables in its brackets, `=` and `:=` those of a pattern whose other side is known, a call
those of the operands beyond the ones its function takes, `some ... in` its pattern. Negated statements bind nothing,
and neither do closures outside of themselves.

`unbound` are the variables of a statement that nothing before it binds, `left` those of them that it does not bind
either, as far as is known.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from tidegate.rego import ast
from tidegate.rego.resolve.names import Path
from tidegate.rego.resolve.scopes import ASSIGN, pattern_variables

UNIFY: Final = frozenset((ASSIGN, ("eq",)))

Arity = Callable[[Path], int]


def left_unbound(statement: ast.Statement | tuple[ast.Term, ...], unbound: set[str], arity: Arity) -> set[str]:
    """The variables that are unbound even after the statement."""
    left = set(unbound)
    if type(statement) is tuple:
        _look_up(statement, unbound, left)
    else:
        _STATEMENTS[type(statement)](statement, unbound, left, arity)
    return left


def _expression(statement: ast.Expression, unbound: set[str], left: set[str], arity: Arity) -> None:
    if not _replaced(statement.modifiers, unbound, left) or statement.negated:
        return
    term = statement.term
    _look_up((term,), unbound, left)
    if type(term) is ast.Call:
        if term.name in UNIFY:
            _unify_all(term.args[0], term.args[1], left)
        else:
            _give(term, arity(term.name), left)


def _give(call: ast.Call, operands: int, left: set[str]) -> None:
    """The operands too many stand for the result."""
    if len(call.args) > operands and all(_is_known(each, left) for each in call.args[:operands]):
        for each in call.args[operands:]:
            _bind(each, left)


def _some_in(statement: ast.SomeIn, unbound: set[str], left: set[str], arity: Arity) -> None:
    if not _replaced(statement.modifiers, unbound, left):
        return
    _look_up((statement.domain,), unbound, left)
    if _is_known(statement.domain, left):
        _bind(statement.value, left)
        if statement.key is not None:
            _bind(statement.key, left)


def _every(statement: ast.Every, unbound: set[str], left: set[str], arity: Arity) -> None:
    if _replaced(statement.modifiers, unbound, left):
        _look_up((statement.domain,), unbound, left)


def _replaced(modifiers: tuple[ast.With, ...], unbound: set[str], left: set[str]) -> bool:
    """Whether the values of `with` are known, which they must be before the statement."""
    values = [modifier.value for modifier in modifiers]
    _look_up(values, unbound, left)
    return all(_is_known(value, left) for value in values)


_STATEMENTS: Final[dict[type, Callable[[Any, set[str], set[str], Arity], None]]] = {
    ast.Expression: _expression,
    ast.SomeIn: _some_in,
    ast.Every: _every,
}


# unification


def _unify_all(a: ast.Term, b: ast.Term, left: set[str]) -> None:
    """Until the parts have no more to tell each other."""
    size = -1
    while left and size != len(left):
        size = len(left)
        _unify(a, b, left)


def _unify(a: ast.Term, b: ast.Term, left: set[str]) -> None:
    if type(a) is ast.Array and type(b) is ast.Array:
        if len(a.elements) == len(b.elements):
            for one, other in zip(a.elements, b.elements, strict=True):
                _unify(one, other, left)
        return
    if type(a) is ast.Object and type(b) is ast.Object:
        these, those = _by_key(a), _by_key(b)
        if these.keys() == those.keys() and len(a.pairs) == len(b.pairs) == len(these):
            for key, value in these.items():
                _unify(value, those[key], left)
    if _is_known(b, left):
        _bind(a, left)
    if _is_known(a, left):
        _bind(b, left)


def _by_key(term: ast.Object) -> dict[tuple[type, object], ast.Term]:
    """The values under keys that are constants or variables."""
    found: dict[tuple[type, object], ast.Term] = {}
    for key, value in term.pairs:
        if type(key) is ast.Scalar:
            found[type(key.value), key.value] = value
        elif type(key) is ast.Var:
            found[ast.Var, key.name] = value
    return found


def _bind(pattern: ast.Term, left: set[str]) -> None:
    for variable in pattern_variables(pattern):
        left.discard(variable.name)


# references


def _look_up(terms: Iterable[ast.Term], unbound: set[str], left: set[str]) -> None:
    """Binds the variables in the brackets of the references in the terms. Those in a template stay inside of it."""
    for term in terms:
        kind = type(term)
        if kind is ast.Ref:
            _follow(term, unbound, left)  # type: ignore[arg-type]
        elif kind is not ast.Template and kind in _PARTS:
            _look_up(_PARTS[kind](term), unbound, left)


def _follow(term: ast.Ref, unbound: set[str], left: set[str]) -> None:
    head = term.head
    if type(head) is ast.Var:
        if head.name in unbound:
            return
    else:
        _look_up((head,), unbound, left)
        if not _is_known(head, left):
            return
    for step in term.path:
        _bind(step, left)
    _look_up(term.path, unbound, left)


def _is_known(term: ast.Term, left: set[str]) -> bool:
    """Whether all variables in the term are bound, save those in closures."""
    if type(term) is ast.Var:
        return term.name not in left
    parts = _PARTS.get(type(term))
    return parts is None or all(_is_known(part, left) for part in parts(term))


def _template(term: ast.Template) -> list[ast.Term]:
    return [part.term if type(part) is ast.Expression else part for part in term.parts if type(part) is not str]  # type: ignore[misc]


_PARTS: Final[dict[type, Callable[[Any], Iterable[ast.Term]]]] = {
    ast.Ref: lambda term: (term.head, *term.path),
    ast.Call: lambda term: term.args,
    ast.Array: lambda term: term.elements,
    ast.Set: lambda term: term.elements,
    ast.Object: lambda term: [part for pair in term.pairs for part in pair],
    ast.Template: _template,
}
