"""The names that generated code uses, and how each is made: what a compiled policy is beside its code.

A recipe is plain data, so that a compiled policy can be kept on disk and linked again by another process.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from decimal import Decimal
from types import CodeType
from typing import Any, Final

from msgspec import Struct

from tidegate.rego.builtins import REFUSED, TABLE, Builtin
from tidegate.rego.errors import BuiltinError, PolicyRefused, Problem
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate import runtime
from tidegate.rego.generate.asking import Question, ask
from tidegate.rego.generate.typed import Typed
from tidegate.rego.values import (
    COLLECTIONS,
    NUMBERS,
    SIZED,
    UNDEFINED,
    Key,
    RegoSet,
    Value,
    compare,
    equal,
    items,
    key,
    lookup,
    set_of,
    unkey,
)

RUNTIME: Final[dict[str, Any]] = {
    "U": UNDEFINED,
    "MISSING": runtime.MISSING,
    "NUMBERS": NUMBERS,
    "RegoSet": RegoSet,
    "SIZED": SIZED,
    "ask": ask,
    "compare": compare,
    "conflict": runtime.conflict,
    "call_dynamic": runtime.call_dynamic,
    "COMPOSITES": COLLECTIONS,
    "equal": equal,
    "held": runtime.held,
    "hold": runtime.hold,
    "insert_once": runtime.insert_once,
    "items": items,
    "items_unordered": runtime.items_unordered,
    "key": key,
    "lookup": lookup,
    "lookup_base": runtime.lookup_base,
    "member": runtime.member,
    "members": runtime.members,
    "members_unordered": runtime.members_unordered,
    "merge": runtime.merge,
    "replaced": runtime.replaced,
    "set_of": set_of,
    "size": runtime.size,
    "spend": runtime.spend,
}


Row = tuple[tuple[str, ...], str, int]  # a rule's path, its function, its place in the memo; 0 without one


class Linkable(Struct):
    """A compiled policy before its names are bound."""

    code: CodeType
    recipes: dict[str, tuple[Any, ...]]
    slots: int
    entries: list[str]
    tables: dict[str, list[Row]]
    moment: int  # where the memo of the typed entry has the time, 0 without one
    few: list[str]  # the fields that the typed entry reads as they are, by their expressions


def dump(linkable: Linkable) -> bytes:
    """As bytes for `load`, of this very version of Python."""
    recipes = {name: tuple(map(_encoded, recipe)) for name, recipe in linkable.recipes.items()}
    return marshal.dumps(
        (linkable.code, recipes, *(getattr(linkable, name) for name in Linkable.__struct_fields__[2:]))
    )


def load(content: bytes) -> Linkable:
    """What `dump` wrote. Whoever can write these bytes can run code: they come from a private place only."""
    code, recipes, *rest = marshal.loads(content)  # noqa: S302
    recipes = {name: tuple(map(_decoded, recipe)) for name, recipe in recipes.items()}
    return Linkable(code, recipes, *rest)


def link(linkable: Linkable, strict: bool, typed: Typed | None) -> dict[str, Any]:
    """The namespace of the functions, ready to be called."""
    blank: list[Any] = [None, *[runtime.MISSING] * linkable.slots]

    def fresh(memo: Any) -> list[Any]:
        new = blank[:]
        new[0] = memo[0]
        return new

    keys: dict[int, Any] = {}

    def key_base(value: Value) -> Any:
        made = keys.get(id(value))
        if made is None:
            made = key(value)
            if type(made) is Key:  # those of others may be of objects that do not stay
                keys[id(value)] = made
        return made

    tables: dict[str, dict[tuple[str, ...], tuple[Any, int]]] = {name: {} for name in linkable.tables}
    namespace = {**RUNTIME, **tables, "fresh": fresh, "key_base": key_base}
    if typed is not None:
        namespace |= {**typed.names, "BLANK": blank, "begin": _beginner(strict, linkable.moment, typed.budget)}
    for name, recipe in linkable.recipes.items():
        namespace[name] = _made(recipe, strict, typed)
    exec(linkable.code, namespace)  # noqa: S102 - made from a plan, where every name and text is quoted
    for table, rows in linkable.tables.items():
        for path, function, slot in rows:
            tables[table][path] = (namespace[function], slot)
    return namespace


def _beginner(strict: bool, moment: int, budget: int) -> Callable[[list[Any]], Evaluation]:
    def begin(memo: list[Any]) -> Evaluation:
        memo[0] = evaluation = Evaluation(strict, memo[moment], budget)
        return evaluation

    return begin


def _made(recipe: tuple[Any, ...], strict: bool, typed: Typed | None) -> Any:
    kind, *what = recipe
    if kind == "value":
        return what[0]
    if kind == "cache":
        return {}
    if kind == "key":
        return key(what[0])
    if kind == "question":
        text, path, test, reach = what
        return Question(text, tuple(path), test, frozenset(reach))
    if kind == "strings":
        return frozenset(what[0])
    if kind == "builtin":
        return _function(available(what[0]), strict)
    if kind == "special":
        builtin = available(what[0])
        assert builtin.specialised is not None
        return builtin.specialised(*what[1])
    assert typed is not None
    collector = typed.rules[what[0]]
    assert collector is not None
    if kind == "converted":
        return collector.finished([collector.convert(value) for value in what[1]])
    if kind == "element":
        return collector.convert(what[1])
    if kind == "partial":
        return collector.partial(what[1], tuple(what[2]))
    if kind == "set":
        return lambda value: collector.finished([collector.convert(held) for held in value.values()])
    return collector.convert if kind == "convert" else collector.finished


def _function(builtin: Builtin, strict: bool) -> Callable[..., Any]:
    """A builtin's function, which makes errors undefined unless evaluation is strict."""
    function = builtin.call
    if strict:
        return function

    def one(a: Value) -> Value:
        try:
            return function(a)
        except BuiltinError:
            return UNDEFINED

    def two(a: Value, b: Value) -> Value:
        try:
            return function(a, b)
        except BuiltinError:
            return UNDEFINED

    def several(*operands: Value) -> Value:
        try:
            return function(*operands)
        except BuiltinError:
            return UNDEFINED

    # a call with its operands spelt out is a third faster, and most builtins have one or two
    forms: dict[int, Callable[..., Any]] = {1: one, 2: two}
    return forms.get(builtin.arity + builtin.evaluation, several)


def available(name: str) -> Builtin:
    """A builtin, or the reason why a policy may not call it."""
    if name in REFUSED:
        raise PolicyRefused([Problem("rego_type_error", f"`{name}` is refused: {REFUSED[name]}")])
    if name not in TABLE:
        raise PolicyRefused([Problem("rego_type_error", f"undefined function `{name}`")])
    return TABLE[name]


def _encoded(value: Value) -> Any:
    """A value as marshal can write it; tuples, which no value is, stand for what it cannot."""
    kind = type(value)
    if kind is list:
        return [_encoded(held) for held in value]
    if kind is RegoSet:
        return ("set", [_encoded(held) for held in value.values()])
    if kind is dict:
        if all(type(name) is str for name in value):
            return {name: _encoded(held) for name, held in value.items()}
        return ("object", [(_encoded(unkey(name)), _encoded(held)) for name, held in value.items()])
    return ("decimal", str(value)) if kind is Decimal else value


def _decoded(value: Any) -> Value:
    kind = type(value)
    if kind is list:
        return [_decoded(held) for held in value]
    if kind is dict:
        return {name: _decoded(held) for name, held in value.items()}
    if kind is tuple:
        if value[0] == "set":
            return set_of(_decoded(held) for held in value[1])
        if value[0] == "object":
            return {key(_decoded(name)): _decoded(held) for name, held in value[1]}
        return Decimal(value[1])
    return value
