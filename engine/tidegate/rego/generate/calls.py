"""Calls of rules, functions and builtins.

A builtin on constants is computed now, one that is worth it becomes an expression (`inline`), and one that was computed
on the way here is not called again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.rego import plan
from tidegate.rego.builtins import TABLE, Builtin
from tidegate.rego.errors import BuiltinError
from tidegate.rego.generate.facts import NOTHING, Fact
from tidegate.rego.generate.inline import INLINE, KINDS, TYPE_TESTS
from tidegate.rego.generate.scopes import declared, nests
from tidegate.rego.plan import Block, Operand
from tidegate.rego.values import SIZED, UNDEFINED, Value

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter

LONG: Final = 1024  # characters or members that a builtin may read without being charged
# what reads no more of a text or a collection than is charged otherwise, or refuses them
CONSTANT_TIME: Final = frozenset(
    [
        "count",
        "object.get",
        "type_name",
        "internal.member_3",
        "plus",
        "minus",
        "mul",
        "div",
        "rem",
        "round",
        "ceil",
        "floor",
        "abs",
        *TYPE_TESTS,
    ]
)
SIZED_KINDS: Final = frozenset(("string", "array", "object", "set"))


def call(to: Emitter, statement: plan.Call, block: Block, at: int, tail: bool) -> int | None:
    if statement.function in to.unit.knowledge.functions:
        _function(to, statement)
        return None
    following = block[at + 1] if at + 1 < len(block) else None
    test = (
        type(following) is plan.NotEqual
        and following.a == statement.result
        and following.b is False
        and len(to.scopes.reads.get(statement.result, ())) == 1
    )
    _builtin(to, statement, test)
    return 2 if test else 1


def _function(to: Emitter, statement: plan.Call) -> None:
    name, target = statement.function, statement.result
    knowledge = to.unit.knowledge
    if not to.generic and name in to.unit.constants:
        value = to.unit.constants[name]
        if value is UNDEFINED:
            to.never()
        to.keep(target, to.constant(value))
        return
    args = [to.text(argument) for argument in statement.args[2:]]
    sharing = (to.memo, name) if knowledge.rule(name) else None
    known = to.known(sharing)
    if known is not None:
        to.keep(target, known)
        return
    emit_call(to, f"l{target}", name, args)
    defined = to.unit.always_defined(name)
    if not defined:
        to.guard(f"l{target} is U")
    to.named(target, Fact(f"l{target}", knowledge.result_kind(name)))
    if sharing is not None and to.env[target].stable:
        to.shared[sharing] = to.env[target]


def emit_call(to: Emitter, variable: str, name: str, args: list[str]) -> None:
    """Calls a rule or function, or takes what it gave in this evaluation already."""
    function, given = to.unit.called(to, name)
    call = f"{function}({', '.join([*given, *args, to.memo])})"
    mode = to.unit.mode(to, name)
    slot = to.unit.slot(name, mode) if to.unit.knowledge.rule(name) else None
    kept = to.unit.kept_in(name, mode)
    if kept:  # looked up here: most rules that are kept are there, and a call costs more than that
        to.emit(f"{variable} = {kept}")
        to.emit(f"if {variable} is MISSING: {variable} = {call}")
    elif slot is None:
        to.emit(f"{variable} = {call}")
    else:
        to.emit(f"{variable} = {to.memo}[{slot}]")
        to.emit(f"if {variable} is MISSING: {variable} = {call}")


def _builtin(to: Emitter, statement: plan.Call, test: bool) -> None:
    """A builtin's call; with `test`, an expression that must not be false instead of a value that is kept."""
    name, target = statement.function, statement.result
    builtin = TABLE[name]
    facts = [to.read(argument) for argument in statement.args]
    if builtin.pure and all(_foldable(to, fact) for fact in facts):
        value = _fold(to, builtin.name, facts)
        if value is not NOTHING:
            if value is UNDEFINED or (test and value is False):
                to.never()
            if not test:
                to.keep(target, to.constant(value))
            return
    facts = [_operand(to, argument, fact) for argument, fact in zip(statement.args, facts, strict=True)]
    pure = builtin.pure and all(fact.stable and not fact.growing for fact in facts)
    sharing = (name, *(fact.text for fact in facts)) if pure else None
    known = to.known(sharing)
    if known is not None:
        if test:
            to.guard(f"{known.text} is False")
        else:
            to.keep(target, known)
        return
    if to.open or to.unit.charged(to):
        _strain(to, statement.args, facts, builtin)
    text, kind, defined = expression(to, name, facts)
    if nests(builtin.signature) and name not in CONSTANT_TIME and not all(map(to.light, facts)):
        text = f"held({to.evaluation}, {text})"  # it may have its operands' parts more than once
    if not test:
        to.compute(target, text, kind, defined, sharing=sharing)
    elif kind == "boolean":
        to.guard(f"not {text}" if defined else f"{text} is not True")
        _seen_to_be(to, name, statement.args[0])
    else:
        to.emit(f"l{target} = {text}")
        to.guard(f"l{target} is U or l{target} is False")


def _seen_to_be(to: Emitter, name: str, operand: Operand) -> None:
    """Behind a test of its type an operand has that type."""
    kind = KINDS.get(name)
    if kind is None or type(operand) is not int:
        return
    fact = to.env.get(operand)
    if fact is not None and fact.stable and fact.kind == "any":
        fact = to.env[operand] = to.there(fact)
        fact.kind = kind
        for sharing, other in to.shared.items():
            if other.text == fact.text:
                to.shared[sharing] = fact


def _strain(to: Emitter, operands: list[Operand], facts: list[Fact], builtin: Builtin) -> None:
    """Accounts for what a builtin reads again and again: a long text or collection from outside the loop."""
    if builtin.evaluation or builtin.name in CONSTANT_TIME:
        return
    inside = to.inside()
    for operand, fact in zip(operands, facts, strict=True):
        short = fact.known and not (type(fact.value) in SIZED and len(fact.value) > LONG)
        if operand not in inside and not short and fact.kind not in ("number", "boolean", "null"):
            sized = "" if fact.kind in SIZED_KINDS else f"type({fact.text}) in SIZED and "
            to.emit(f"if {sized}len({fact.text}) > {LONG}: spend({to.evaluation}, len({fact.text}) >> 6)")


def expression(to: Emitter, name: str, facts: list[Fact]) -> tuple[str, str, bool]:
    """A builtin's call: the text, the type of its result, and whether it is always defined."""
    builtin = TABLE[name]
    inline = INLINE.get(name)
    made = inline(to, *facts) if inline is not None and len(facts) == inline.__code__.co_argcount - 1 else None
    if made is None and builtin.specialised is not None:
        made = _specialised(to, builtin, facts)
    if made is not None:
        return made
    given = [fact.text for fact in facts]
    if builtin.evaluation:
        given.insert(0, f"{to.evaluation}")
    kind = declared(builtin.signature)
    return f"{to.unit.builtin(name)}({', '.join(given)})", kind, to.unit.strict and kind == "boolean"


def _specialised(to: Emitter, builtin: Builtin, facts: list[Fact]) -> tuple[str, str, bool] | None:
    """A call of the function that a builtin makes of constants, such as a pattern, for what it is applied to."""
    *constants, last = facts
    if not all(fact.known for fact in constants) or last.kind not in ("string", "any"):
        return None
    values = [fact.value for fact in constants]
    try:
        assert builtin.specialised is not None
        builtin.specialised(*values)
    except BuiltinError:
        return None  # as the builtin will say in its time
    text = f"{to.unit.recipe('R', 'special', builtin.name, values)}({last.text})"
    if last.kind == "any":
        call = f"{to.unit.builtin(builtin.name)}({', '.join(fact.text for fact in facts)})"
        text = f"({text} if type({last.text}) is str else {call})"
    return text, declared(builtin.signature), last.kind == "string" or to.unit.strict


def _operand(to: Emitter, operand: Operand, fact: Fact) -> Fact:
    """An operand of a builtin: written out in the call if it is used nowhere else."""
    if fact.parts is None and fact.node is None:
        return fact
    made = to.settled(fact)
    assert type(operand) is int
    uses = len(to.scopes.reads[operand]) - len(fact.parts or ())  # putting it together read it too
    return made if made.known or uses == 1 else to.whole(operand, fact)


def _foldable(to: Emitter, fact: Fact) -> bool:
    return fact.known or (fact.parts is not None and to.settled(fact).known)


def _fold(to: Emitter, name: str, facts: list[Fact]) -> Value:
    """The result of a builtin on constants; NOTHING where that must be found out when the policy runs."""
    return to.unit.fold(name, [to.settled(fact).value for fact in facts])


def call_dynamic(to: Emitter, statement: plan.CallDynamic, block: Block, at: int, tail: bool) -> None:
    path = ", ".join(to.text(part) for part in statement.path)
    to.emit(f"spend({to.evaluation}, 1)")
    table, given = to.unit.dynamic(to)
    to.compute(statement.result, f"call_dynamic({table}, ({path},), {', '.join([*given, to.memo])})", "any", False)
