"""Terms become operands: a local that has the value, or the constant itself.

A comprehension, and a term between the strings of a template, may be undefined without harm to what is around it, so
each is written as a block of its own.
"""

from collections.abc import Callable

from tidegate.rego import ast, plan
from tidegate.rego.lower.replacement import replacing
from tidegate.rego.lower.routine import VALUES, Known, Routine, Unbound
from tidegate.rego.lower.settling import settled
from tidegate.rego.plan import Operand


def _known(routine: Routine, term: Known) -> Operand:
    return term.operand


def _scalar(routine: Routine, term: ast.Scalar) -> Operand:
    value = term.value
    if type(value) is str or type(value) is bool:
        return value
    target = routine.local()
    routine.emit(plan.Make(value=value, target=target))
    return target


def _variable(routine: Routine, term: ast.Var) -> Operand:
    operand = routine.bound.get(term.name)
    if operand is None:
        raise Unbound(term)
    return operand


def _array(routine: Routine, term: ast.Array) -> Operand:
    target = routine.local()
    routine.emit(plan.MakeArray(target=target))
    for element in term.elements:
        routine.emit(plan.Append(value=VALUES[type(element)](routine, element), array=target))
    return target


def _object(routine: Routine, term: ast.Object) -> Operand:
    target = routine.local()
    routine.emit(plan.MakeObject(target=target))
    for name, value in term.pairs:
        key = VALUES[type(name)](routine, name)
        routine.emit(plan.Insert(key=key, value=VALUES[type(value)](routine, value), object=target))
    return target


def _set(routine: Routine, term: ast.Set) -> Operand:
    target = routine.local()
    routine.emit(plan.MakeSet(target=target))
    for element in term.elements:
        routine.emit(plan.Add(value=VALUES[type(element)](routine, element), set=target))
    return target


def _array_comprehension(routine: Routine, term: ast.ArrayComprehension) -> Operand:
    return _comprehension(routine, term.body, [term.element], plan.MakeArray, plan.Append)


def _set_comprehension(routine: Routine, term: ast.SetComprehension) -> Operand:
    return _comprehension(routine, term.body, [term.element], plan.MakeSet, plan.Add)


def _object_comprehension(routine: Routine, term: ast.ObjectComprehension) -> Operand:
    return _comprehension(routine, term.body, [term.key, term.value], plan.MakeObject, plan.InsertOnce)


def _comprehension(
    routine: Routine,
    body: ast.Body,
    terms: list[ast.Term],
    make: Callable[[int], plan.Statement],
    put: Callable[..., plan.Statement],
) -> Operand:
    """An empty composite, and what is put into it in each way the body holds."""
    target = routine.local()
    routine.emit(make(target))

    def write() -> None:
        routine.body(body)
        routine.emit(put(*settled(routine, *terms), target))

    routine.emit(plan.Blocks(blocks=[routine.apart(write)]))
    return target


def _template(routine: Routine, term: ast.Template) -> Operand:
    """A call of the builtin that joins strings and sets; the empty set is what is undefined."""
    parts = routine.local()
    routine.emit(plan.MakeArray(target=parts))
    for part in term.parts:
        written = part if isinstance(part, str) else _at_most_one(routine, part)
        routine.emit(plan.Append(value=written, array=parts))
    target = routine.local()
    routine.emit(plan.Call(function="internal.template_string", args=[parts], result=target))
    return target


def _at_most_one(routine: Routine, part: ast.Term | ast.Expression) -> int:
    """A set of the part's value, or of nothing."""
    target = routine.local()
    routine.emit(plan.MakeSet(target=target))

    def add(routine: Routine, term: ast.Term) -> None:
        routine.emit(plan.Add(value=routine.value(term), set=target))

    if type(part) is ast.Expression:
        block = routine.apart(replacing, routine, part.modifiers, add, part.term)
    else:
        block = routine.apart(add, routine, part)
    routine.emit(plan.Blocks(blocks=[block]))
    return target


VALUES.update(
    {
        Known: _known,
        ast.Scalar: _scalar,
        ast.Var: _variable,
        ast.Array: _array,
        ast.Object: _object,
        ast.Set: _set,
        ast.ArrayComprehension: _array_comprehension,
        ast.SetComprehension: _set_comprehension,
        ast.ObjectComprehension: _object_comprehension,
        ast.Template: _template,
    }
)
