"""Assignments, results, negation and `with`: what a function does with its blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.rego import plan
from tidegate.rego.generate import loops
from tidegate.rego.generate.facts import Fact
from tidegate.rego.generate.frames import Unreachable, only_guard
from tidegate.rego.generate.inline import different
from tidegate.rego.plan import DATA, Block
from tidegate.rego.values import UNDEFINED

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter

COST: Final = 10  # of a `with`, in steps of a loop


def assign(to: Emitter, statement: plan.Assign, block: Block, at: int, tail: bool) -> None:
    to.keep(statement.target, to.fact(statement.source))


def assign_once(to: Emitter, statement: plan.AssignOnce, block: Block, at: int, tail: bool) -> None:
    source = to.settled(to.read(statement.source))
    target = statement.target
    before = to.env.get(target)
    if before is not None and before.value is UNDEFINED:
        to.keep(target, source)
        return
    name = f"l{target}"
    to.variables.add(name)
    to.assigned.add(name)
    source = to.simple(source)
    to.emit(f"if {name} is U: {name} = {source.text}")
    to.emit(f"elif {different(Fact(name), source)}: conflict()")
    to.env[target] = Fact(name, source.kind, stable=False)


def reset(to: Emitter, statement: plan.Reset, block: Block, at: int, tail: bool) -> None:
    before = to.env.get(statement.target)
    if before is None or before.value is not UNDEFINED:
        name = f"l{statement.target}"
        if to.open or to.base or name in to.assigned:
            to.emit(f"{name} = U")
        to.named(statement.target, Fact(name, "undefined", defined=False, value=UNDEFINED))


def returns(to: Emitter, statement: plan.Return, block: Block, at: int, tail: bool) -> None:
    text = to.settled(to.fact(statement.source)).text
    to.result(f"{to.finish}({text}) if {text} else {to.unit.nothing(to.name)}" if to.finish else text)
    raise Unreachable


def result_add(to: Emitter, statement: plan.ResultAdd, block: Block, at: int, tail: bool) -> None:
    to.emit(f"results.append({to.text(statement.value)})")


def nothing(to: Emitter, statement: plan.Nop, block: Block, at: int, tail: bool) -> None:
    return


def leave(to: Emitter, statement: plan.Break, block: Block, at: int, tail: bool) -> None:
    to.jump(statement.index)
    raise Unreachable


def blocks(to: Emitter, statement: plan.Blocks, block: Block, at: int, tail: bool) -> None:
    loops.several(to, statement.blocks, tail)


def negate(to: Emitter, statement: plan.Not, block: Block, at: int, tail: bool) -> None:
    loops.gather(to, statement.block)
    flag = to.unit.label()
    before, to.lines = to.lines, []
    to.once(statement.block, False, flag)
    body, to.lines = to.lines, before
    single = only_guard(body, flag, to.depth)
    if single is not None:
        lines, condition = single
        to.lines += lines
        if not condition:
            to.never()
        to.guard(condition)
        return
    if not any(text == f"{flag} = True" for _, text in body):
        to.lines += body
        return
    to.emit(f"{flag} = False")
    to.assigned.add(flag)
    to.lines += body
    to.guard(flag)


def with_(to: Emitter, statement: plan.With, block: Block, at: int, tail: bool) -> None:
    loops.gather(to, statement.block)
    # behind the last `with` a plan puts back what was there, and that may be nothing
    value = to.settled(to.read(statement.value) if statement.path else to.fact(statement.value))
    local = statement.local
    was = to.env[local]
    document = to.settled(was).text
    name, memo, flag = to.unit.label(), to.unit.label(), to.unit.label()
    to.emit(f"{name} = replaced({document}, {tuple(statement.path)!r}, {value.text})")
    to.emit(f"spend({to.evaluation}, {COST})")
    to.emit(f"{memo} = fresh(({to.evaluation},))")
    to.emit(f"{flag} = False")
    to.assigned.add(flag)
    outer = (to.memo, to.generic)
    to.memo = memo
    to.generic = to.generic or local == DATA
    env = dict(to.env)
    env[local] = Fact(name, "any", defined=bool(statement.path) or value.defined, given=True)
    to.once(statement.block, False, flag, env)
    to.memo, to.generic = outer
    to.guard(f"not {flag}")
