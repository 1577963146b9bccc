"""Arrays, objects and sets.

One that is put together in a single block is written as one expression, where it is used; and as a constant, if all of
its parts are. Others are made empty, and changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.rego import plan
from tidegate.rego.generate import runtime
from tidegate.rego.generate.facts import Fact
from tidegate.rego.plan import Block, Operand

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter


def _hold(to: Emitter, composite: int, member: Fact) -> None:
    """Accounts for what was just put into a composite, where that may itself be one that was made here."""
    if member.member and len(to.open) == 1:
        return  # once for each member of what holds them already
    parts = [part for pair in member.parts or [(None, member)] for part in pair if part is not None]
    for part in parts:
        if not to.light(part):
            held = to.settled(part).text
            to.emit(f"if type({held}) in COMPOSITES: hold({to.evaluation}, l{composite}, {held})")


def make(to: Emitter, statement: plan.Make, block: Block, at: int, tail: bool) -> None:
    to.keep(statement.target, to.constant(statement.value))


def make_array(to: Emitter, statement: plan.MakeArray, block: Block, at: int, tail: bool) -> None:
    _begin(to, statement.target, "array", "[]")


def make_object(to: Emitter, statement: plan.MakeObject, block: Block, at: int, tail: bool) -> None:
    _begin(to, statement.target, "object", "{}")


def make_set(to: Emitter, statement: plan.MakeSet, block: Block, at: int, tail: bool) -> None:
    collected = to.unit.collector(to, statement.target) is not None
    _begin(to, statement.target, "set", "[]" if collected else "RegoSet()")


def _begin(to: Emitter, target: int, kind: str, empty: str) -> None:
    if to.scopes.composed(target):
        to.env[target] = Fact("", kind, parts=[])
        return
    to.emit(f"l{target} = {empty}")
    to.named(target, Fact(f"l{target}", kind, growing=True))
    uses = len(to.scopes.reads.get(target, ())) - len(to.scopes.changes.get(target, ()))
    to.env[target].once = uses == 1 and len(to.scopes.writes[target]) == 1 and not to.open


def _add_part(to: Emitter, composite: int, name: Operand | None, value: Operand) -> bool:
    """Puts a part to those of a composite that was not put together yet; False where it was."""
    fact = to.env.get(composite)
    if fact is None or fact.parts is None:
        return False
    held = to.read(value)
    named = None if name is None else to.read(name)
    if not held.stable or (named is not None and not named.stable):
        return False
    to.env[composite] = Fact("", fact.kind, parts=[*fact.parts, (named, held)])
    return True


def _mutable(to: Emitter, composite: int) -> str:
    """The variable of a composite that is about to be changed: a constant is copied first."""
    fact = to.read(composite)
    if fact.parts is not None:
        fact = to.composite(fact.kind, fact.parts)
    if fact.known:
        made = {"array": "[*{}]", "object": "{{**{}}}", "set": "RegoSet({})"}[fact.kind].format(fact.text)
        fact = Fact(made, fact.kind)
    if not fact.text.isidentifier():
        to.emit(f"l{composite} = {fact.text}")
        to.named(composite, Fact(f"l{composite}", fact.kind))
        fact = to.env[composite]
    return fact.text


def append(to: Emitter, statement: plan.Append, block: Block, at: int, tail: bool) -> None:
    if not _add_part(to, statement.array, None, statement.value):
        fact = to.read(statement.value)
        value = to.simple(to.settled(fact))
        to.emit(f"{_mutable(to, statement.array)}.append({value.text})")
        _hold(to, statement.array, fact if fact.parts else value)


def insert(to: Emitter, statement: plan.Insert, block: Block, at: int, tail: bool) -> None:
    if not _add_part(to, statement.object, statement.key, statement.value):
        name = to.key_text(to.simple(to.settled(to.read(statement.key)), "k"))
        fact = to.read(statement.value)
        value = to.simple(to.settled(fact))
        to.emit(f"{_mutable(to, statement.object)}[{name}] = {value.text}")
        _hold(to, statement.object, fact if fact.parts else value)


def insert_once(to: Emitter, statement: plan.InsertOnce, block: Block, at: int, tail: bool) -> None:
    name = to.key_text(to.simple(to.settled(to.read(statement.key)), "k"))
    fact = to.read(statement.value)
    value = to.simple(to.settled(fact))
    to.emit(f"insert_once({_mutable(to, statement.object)}, {name}, {value.text})")
    _hold(to, statement.object, fact if fact.parts else value)


def add(to: Emitter, statement: plan.Add, block: Block, at: int, tail: bool) -> None:
    if _add_part(to, statement.set, None, statement.value):
        return
    if to.unit.collector(to, statement.set) is not None:
        to.emit(f"l{statement.set}.append({to.unit.collected(to, statement)})")
        return
    fact = to.read(statement.value)
    value = to.simple(to.settled(fact))
    held = _mutable(to, statement.set)
    _hold(to, statement.set, fact if fact.parts else value)  # first: to make its key is to read all of it
    to.emit(f"{held}[{to.key_text(value)}] = {value.text}")
    if value.known and tail:
        _leave_loops(to)


def _leave_loops(to: Emitter) -> None:
    """A constant was added as the last thing in some loops that do nothing else: once is enough."""
    outermost = 0
    for index in range(1, len(to.stack) - to.base):
        frame = to.stack[-index]
        if frame.looped:
            if not frame.flags and frame in to.unit.bodies and to.unit.once_is_enough(frame):
                outermost = index
            else:
                break
        if not frame.tail:
            break
    if outermost == 1:
        to.emit("break")
    elif outermost:
        to.jump(outermost)


def merge(to: Emitter, statement: plan.Merge, block: Block, at: int, tail: bool) -> None:
    a, b = to.fact(statement.a), to.fact(statement.b)
    if a.known and b.known:
        to.keep(statement.target, to.constant(runtime.merge(a.value, b.value)))
        return
    first, second = to.settled(a).text, to.settled(b).text
    to.compute(statement.target, f"merge({first}, {second})", "any", a.defined or b.defined)
