"""Functions that note what they ask of the fields that have many values (`asking`), while they evaluate as ever.

Such a field has no text here that could stand in an expression: a statement that uses it is one of the few below,
which ask a question instead, or whatever is beyond a question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tidegate.rego import plan
from tidegate.rego.builtins import TABLE
from tidegate.rego.generate.asking import ANYTHING, KINDS
from tidegate.rego.generate.facts import Fact
from tidegate.rego.generate.frames import Unreachable
from tidegate.rego.generate.scopes import operands_of
from tidegate.rego.generate.typed import Known, Read, Record
from tidegate.rego.plan import Block, Operand, Statement

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter

FLIPPED: Final = {"gt": "lt", "lt": "gt", "gte": "lte", "lte": "gte", "equal": "equal", "neq": "neq"}
TYPES: Final = {"is_number": "number", "is_string": "string", "is_null": "null", "is_boolean": "boolean"}


def statement(to: Emitter, given: Statement, block: Block, at: int) -> int:
    """Generates a statement that uses such a field, and those it is one with; how many, 0 for any other statement."""
    kind = type(given)
    if kind is plan.With or kind is plan.CallDynamic or _by_chance(to, given):
        anything(to)
    if not any(map(_open(to), _operands(to, given))):
        return 0
    form = FORMS.get(kind)
    if form is None:
        anything(to)
    return form(to, given, block, at)


def anything(to: Emitter) -> NoReturn:
    """What comes is beyond a question."""
    to.emit(_asked(to, "", (), ANYTHING, "None", "None"))
    to.fail()
    raise Unreachable


def _open(to: Emitter) -> Callable[[Operand], bool]:
    def is_open(operand: Operand) -> bool:
        fact = to.env.get(operand) if type(operand) is int else None
        return fact is not None and (fact.field is not None or fact.node is not None)

    return is_open


def _operands(to: Emitter, given: Any) -> list[Operand]:
    """What a statement uses: that a rule or function is given the input says nothing."""
    operands = operands_of(given)
    return operands[2:] if type(given) is plan.Call and given.function in to.unit.knowledge.functions else operands


def _by_chance(to: Emitter, given: Any) -> bool:
    """Whether it calls a builtin whose result depends on more than its operands."""
    if type(given) is not plan.Call or given.function in to.unit.knowledge.functions:
        return False
    return not TABLE[given.function].pure


def _asked(to: Emitter, text: str, path: tuple[str, ...], test: str, value: str, other: str) -> str:
    unit = to.unit
    question = unit.recipe("Q", "question", text, list(path), test, unit.reach(to.name))
    return f"ask({to.memo}[{unit.place('notes')}], {question}, {value}, {other})"


def _ask(to: Emitter, fact: Fact, test: str, other: str = "None", *, differ: bool = False) -> None:
    """Leaves the block if the answer is no."""
    read, path = fact.field
    value = read.text
    if read.costly:
        value, place = to.unit.label(), f"{to.memo}[{to.unit.place(read.text)}]"
        to.emit(f"{value} = {place}")
        to.emit(f"if {value} is MISSING: {value} = {place} = {read.text}")
    asked = _asked(to, read.text, path, test, value, other)
    to.guard(asked if differ else f"not {asked}")


# the statements


def _dot(to: Emitter, given: plan.Dot, block: Block, at: int) -> int:
    source = to.fact(given.source)
    if _open(to)(given.key) or type(given.key) is not str:
        anything(to)
    if source.node is not None:
        _field(to, source.node, given.key, given.target)
    elif to.scopes.contained(given.target):
        read, path = source.field
        to.env[given.target] = fact = Fact("", field=(read, (*path, given.key)))
        if not _passes_only_what_is_there(block, at, given.target):
            _ask(to, fact, "defined")
    else:
        anything(to)
    return 1


def _field(to: Emitter, record: Record, name: str, target: int) -> None:
    found = record.fields.get(name)
    if found is None:
        to.never()
    elif type(found) is Record:
        to.env[target] = Fact("", "object", node=found)
    elif type(found) is Known:
        to.keep(target, to.constant(found.value))
    elif type(found) is Read and found.few:
        to.unit.few.add(found.text)
        to.keep(target, Fact(found.text, found.kind, given=True))
    elif to.scopes.contained(target):
        to.env[target] = Fact("", field=(found, ()))
    else:
        anything(to)


def _passes_only_what_is_there(block: Block, at: int, target: int) -> bool:
    """Whether the next statement leaves the block just so where this local is undefined."""
    following: Any = block[at + 1] if at + 1 < len(block) else None
    kind = type(following)
    if kind is plan.Dot:
        return following.source == target and type(following.key) is str
    if kind is plan.Equal:
        return target in (following.a, following.b)
    return (
        kind is plan.Call
        and target in following.args
        and (following.function in KINDS or following.function in ("gt", "lt", "gte", "lte", "equal"))
    )


def _assign(to: Emitter, given: plan.Assign, block: Block, at: int) -> int:
    fact = to.fact(given.source)
    if not to.scopes.contained(given.target):
        anything(to)
    to.env[given.target] = fact
    return 1


def _is_defined(to: Emitter, given: plan.IsDefined, block: Block, at: int) -> int:
    return 1  # that was asked where it was read


def _equal(to: Emitter, given: plan.Equal, block: Block, at: int) -> int:
    _compare(to, "equal", given.a, given.b)
    return 1


def _not_equal(to: Emitter, given: plan.NotEqual, block: Block, at: int) -> int:
    _compare(to, "neq", given.a, given.b)
    return 1


def _call(to: Emitter, given: plan.Call, block: Block, at: int) -> int:
    following: Any = block[at + 1] if at + 1 < len(block) else None
    tested = (
        type(following) is plan.NotEqual
        and following.a == given.result
        and following.b is False
        and len(to.scopes.reads.get(given.result, ())) == 1
    )
    if not tested or given.function in to.unit.knowledge.functions:
        anything(to)
    if given.function in KINDS:
        _test_type(to, given.function, given.args[0])
    elif given.function in FLIPPED:
        _compare(to, given.function, *given.args)
    else:
        anything(to)
    return 2


def _test_type(to: Emitter, test: str, operand: Operand) -> None:
    fact = to.fact(operand)
    if fact.field is None:
        anything(to)
    read, path = fact.field
    if path or read.kind == "any":
        _ask(to, fact, test)
    elif read.kind != TYPES[test]:
        to.never()


def _compare(to: Emitter, test: str, first: Operand, second: Operand) -> None:
    if _open(to)(second):
        first, second, test = second, first, FLIPPED[test]
    if _open(to)(second) or to.fact(first).field is None:
        anything(to)
    other = to.read(second)
    if other.growing:
        anything(to)
    text = to.text(second)
    _ask(to, to.fact(first), "equal" if test == "neq" else test, text, differ=test == "neq")


FORMS: Final[dict[type[Statement], Callable[[Emitter, Any, Block, int], int]]] = {
    plan.Dot: _dot,
    plan.Assign: _assign,
    plan.IsDefined: _is_defined,
    plan.Equal: _equal,
    plan.NotEqual: _not_equal,
    plan.Call: _call,
}
