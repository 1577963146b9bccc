"""`a = b`: whichever side can be computed is, and the other is taken apart against it."""

from typing import Any

from tidegate.rego import ast, plan
from tidegate.rego.lower.routine import WILDCARD, Routine, Term, Unbound
from tidegate.rego.plan import Operand


def unify(routine: Routine, a: Term, b: Term) -> None:
    """Goes on for every binding under which both are equal."""
    if type(a) is ast.Array and type(b) is ast.Array:
        _unify_elements(routine, a.elements, b.elements)
        return
    if type(a) is ast.Object and type(b) is ast.Object:
        pairs = _paired(a, b)
        if pairs is not None:
            routine.attempt_all([(unify, routine, one, other) for one, other in pairs])
            return
    operand = routine.value_if_bound(b)
    if operand is not None:
        match(routine, operand, a)
    else:
        match(routine, routine.value(a), b)


def _unify_elements(routine: Routine, these: tuple[ast.Term, ...], those: tuple[ast.Term, ...]) -> None:
    goals = [(unify, routine, one, other) for one, other in zip(these, those, strict=False)]
    routine.attempt_all(goals)
    if len(these) != len(those):
        for left in (*these[len(goals) :], *those[len(goals) :]):
            routine.attempt(match, routine, False, left)  # so that what is never reached has its variables
        routine.fail()


def match(routine: Routine, operand: Operand, term: Term) -> None:
    """Binds the term's unbound variables so that the term equals the operand."""
    if type(term) is ast.Var:
        bound = routine.bound.get(term.name)
        if bound is None:
            routine.bound[term.name] = operand
        else:
            routine.must_be_equal(operand, bound)
    elif type(term) is ast.Array or type(term) is ast.Object:
        mark = routine.mark()
        try:
            routine.must_be_equal(operand, routine.value(term))
        except Unbound:
            routine.rewind(mark)
            _take_apart(routine, operand, term)
    else:
        routine.must_be_equal(operand, routine.value(term))


def _take_apart(routine: Routine, operand: Operand, pattern: ast.Array | ast.Object) -> None:
    """The parts of an array or object against those of a pattern of as many."""
    source = operand if type(operand) is int else routine.copy(operand)
    goals: list[tuple[Any, ...]]
    if type(pattern) is ast.Array:
        routine.emit(plan.IsArray(source=source))
        goals = [(_match_element, routine, source, index, part) for index, part in enumerate(pattern.elements)]
    else:
        assert type(pattern) is ast.Object
        routine.emit(plan.IsObject(source=source))
        goals = [(_match_member, routine, source, key, part) for key, part in pattern.pairs]
    length = routine.local()
    routine.emit(plan.Len(source=source, target=length))
    routine.must_be_equal(length, routine.number(len(goals)))
    routine.attempt_all(goals)


def _match_element(routine: Routine, source: int, index: int, pattern: Term) -> None:
    if not (type(pattern) is ast.Var and pattern.name.startswith(WILDCARD)):  # nobody asks for those
        match(routine, routine.dot(source, routine.number(index)), pattern)


def _match_member(routine: Routine, source: int, key: Term, pattern: Term) -> None:
    match(routine, routine.dot(source, routine.value(key)), pattern)


def _paired(a: ast.Object, b: ast.Object) -> list[tuple[ast.Term, ast.Term]] | None:
    """The values under the same keys; None where it takes a look at their values to compare the keys."""
    these, those = _by_key(a), _by_key(b)
    if these is None or those is None or these.keys() != those.keys():
        return None
    return [(value, those[key]) for key, value in these.items()]


def _by_key(term: ast.Object) -> dict[object, ast.Term] | None:
    found: dict[object, ast.Term] = {}
    for key, value in term.pairs:
        if type(key) is ast.Scalar:
            found[type(key.value), key.value] = value
        elif type(key) is ast.Var:
            found[key.name] = value
        else:
            return None
    return found if len(found) == len(term.pairs) else None
