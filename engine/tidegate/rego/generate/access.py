"""What a block asks of a value: its fields, its length, its type, whether it is there, whether it equals another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidegate.rego import plan
from tidegate.rego.generate import fields
from tidegate.rego.generate.facts import Fact
from tidegate.rego.generate.inline import different, same
from tidegate.rego.generate.runtime import lookup_base
from tidegate.rego.plan import Block, Operand
from tidegate.rego.values import UNDEFINED, equal, key, lookup

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter

KIND_TESTS: Final = {
    plan.IsArray: ("array", "list"),
    plan.IsObject: ("object", "dict"),
    plan.IsSet: ("set", "RegoSet"),
}


def dot(to: Emitter, statement: plan.Dot, block: Block, at: int, tail: bool) -> None:
    source, index, target = to.fact(statement.source), to.read(statement.key), statement.target
    settled = source.stable and source.parts is None and not source.growing and index.stable
    sharing = (".", source.text, index.text) if settled else None
    known = to.known(sharing)
    if known is not None:
        to.keep(target, known)
        return
    source = to.read(statement.source)
    if source.node is not None:
        if fields.dot(to, source.node, index, target):
            return
        source = to.whole(statement.source, source)
    index = to.settled(index)
    if source.parts is not None:
        source = to.whole(statement.source, source)
    if source.known and index.known:
        value = (lookup_base if source.base else lookup)(source.value, index.value)
        if value is UNDEFINED:
            to.never()
        to.keep(target, to.constant(value, source.base))
        return
    text = dotted(to, source, index)
    to.compute(
        target,
        text,
        "any",
        False,
        sharing=sharing,
        base=source.base,
        given=source.given,
        growing=source.growing,
    )


def dotted(to: Emitter, source: Fact, index: Fact) -> str:
    """`source[index]`, or U."""
    plain = index.kind == "string" or index.known
    name = to.unit.constant(key(index.value)) if index.known else index.text
    if source.base and not (index.kind == "string" or (index.known and type(index.value) is str)):
        text = f"lookup_base({source.text}, {index.text})"
        return f"({source.text}.get({name}, U) if type({name}) is str else {text})" if source.kind == "object" else text
    if source.kind == "object" or source.kind == "set":
        return f"{source.text}.get({name if plain else to.key_text(index)}, U)"
    if index.known and type(index.value) is int and index.value >= 0 and source.kind in ("any", "array"):
        tested = f"type({source.text}) is list and " if source.kind == "any" else ""
        got = f"{source.text}[{name}] if {tested}len({source.text}) > {name} else "
        return f"({got}lookup({source.text}, {name}))"
    if source.kind == "array":
        return f"lookup({source.text}, {index.text})"
    if plain:
        return f"{source.text}.get({name}, U) if type({source.text}) is dict else lookup({source.text}, {index.text})"
    return (
        f"{source.text}.get({name}, U) if type({source.text}) is dict and type({name}) is str"
        f" else lookup({source.text}, {name})"
    )


def length(to: Emitter, statement: plan.Len, block: Block, at: int, tail: bool) -> None:
    source = to.settled(to.read(statement.source))
    if source.known:
        to.keep(statement.target, to.constant(len(source.value)))
    else:
        to.compute(statement.target, f"len({source.text})", "number", True)


def equals(to: Emitter, statement: plan.Equal, block: Block, at: int, tail: bool) -> None:
    _compare(to, statement.a, statement.b, False)


def differs(to: Emitter, statement: plan.NotEqual, block: Block, at: int, tail: bool) -> None:
    _compare(to, statement.a, statement.b, True)


def _compare(to: Emitter, first: Operand, second: Operand, differ: bool) -> None:
    a, b = to.settled(to.read(first)), to.settled(to.read(second))
    if a.known and b.known:
        if equal(a.value, b.value) is differ:
            to.never()
        return
    to.guard(same(a, b) if differ else different(a, b))


def is_kind(to: Emitter, statement: Any, block: Block, at: int, tail: bool) -> None:
    wanted, python = KIND_TESTS[type(statement)]
    fact = to.read(statement.source)
    if fact.node is not None:
        fact = to.whole(statement.source, fact)
    if fact.kind == wanted:
        return
    if fact.known or fact.kind != "any":
        to.never()
    to.guard(f"type({fact.text}) is not {python}")
    if fact.stable and type(statement.source) is int:
        to.env[statement.source] = Fact(fact.text, wanted, stable=True)


def is_defined(to: Emitter, statement: plan.IsDefined, block: Block, at: int, tail: bool) -> None:
    to.read(statement.source)


def is_undefined(to: Emitter, statement: plan.IsUndefined, block: Block, at: int, tail: bool) -> None:
    fact = to.fact(statement.source)
    if fact.value is UNDEFINED:
        return
    if fact.defined:
        to.never()
    to.guard(f"{fact.text} is not U")
    to.env[statement.source] = Fact(fact.text, "undefined", defined=False, stable=fact.stable, value=UNDEFINED)
