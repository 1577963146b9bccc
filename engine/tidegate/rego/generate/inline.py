"""Builtins that become an expression instead of a call, because a policy's inner loops are made of them.

Each takes what is known of its operands and gives the expression, the type of its value, and whether it is defined
for certain; or None where only a call will do. The usual types are tested in the expression; anything else goes to the
builtin itself, which knows what is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from tidegate.rego.generate.facts import Fact
from tidegate.rego.values import RegoSet

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter

Inline: TypeAlias = "tuple[str, str, bool] | None"
INLINE: Final[dict[str, Callable[..., Inline]]] = {}
KINDS: Final[dict[str, str]] = {}  # of what has passed a test of its type


def inline(*names: str) -> Callable[[Callable[..., Inline]], Callable[..., Inline]]:
    def register(function: Callable[..., Inline]) -> Callable[..., Inline]:
        for name in names:
            INLINE[name] = function
        return function

    return register


def _ordering(operator: str) -> Callable[..., Inline]:
    def compared(to: Emitter, a: Fact, b: Fact) -> Inline:
        numbers = f"{a.text} {operator} {b.text}"
        if a.kind == b.kind and a.kind in ("number", "string"):
            return f"({numbers})", "boolean", True
        # Python orders whole numbers and floats exactly, so that their types need only be seen to be numbers
        tests = [
            f"(type({fact.text}) is int or type({fact.text}) is float)" for fact in (a, b) if fact.kind != "number"
        ]
        if any(fact.kind not in ("number", "any") for fact in (a, b)):
            return f"(compare({a.text}, {b.text}) {operator} 0)", "boolean", True
        text = f"({numbers} if {' and '.join(tests)} else compare({a.text}, {b.text}) {operator} 0)"
        above = {">": a, "<": b}.get(operator)
        if above is not None and above.kind == "any":
            text = f"({above.text} is not None and {text})"  # nothing is below null: what nobody has said is no maximum
        return text, "boolean", True

    return compared


for _name, _operator in (("gt", ">"), ("lt", "<"), ("gte", ">="), ("lte", "<=")):
    inline(_name)(_ordering(_operator))


@inline("equal")
def _equal(to: Emitter, a: Fact, b: Fact) -> Inline:
    return f"({same(a, b)})", "boolean", True


@inline("neq")
def _differ(to: Emitter, a: Fact, b: Fact) -> Inline:
    return f"({different(a, b)})", "boolean", True


def same(a: Fact, b: Fact) -> str:
    """A condition that holds if two values are equal."""
    if a.known:
        a, b = b, a
    if b.known and b.kind in ("boolean", "null"):
        return f"{a.text} is {b.text}"
    if plainly(a, b):
        return f"{a.text} == {b.text}"
    if b.known and b.kind == "number":
        return f"{a.text} == {b.text} and type({a.text}) is not bool"
    if {a.kind, b.kind} <= {"any", "string"}:
        text = (a if a.kind == "any" else b).text
        return f"({a.text} == {b.text} if type({text}) is str else equal({a.text}, {b.text}))"
    return f"equal({a.text}, {b.text})"


def different(a: Fact, b: Fact) -> str:
    """A condition that holds if they are not."""
    if a.known:
        a, b = b, a
    if b.known and b.kind in ("boolean", "null"):
        return f"{a.text} is not {b.text}"
    return f"{a.text} != {b.text}" if plainly(a, b) else f"not ({same(a, b)})"


def plainly(a: Fact, b: Fact) -> bool:
    """Whether Python's own equality will do: with a constant string, or between strings, or between numbers."""
    return (b.known and b.kind == "string") or (a.kind == b.kind and a.kind in ("string", "number"))


@inline("internal.member_2")
def _member(to: Emitter, value: Fact, collection: Fact) -> Inline:
    if collection.known and type(collection.value) is RegoSet:
        return f"({_keyed(value)} in {collection.text})", "boolean", True
    if collection.known and type(collection.value) in (list, dict):
        held = collection.value if type(collection.value) is list else list(collection.value.values())
        if all(type(one) is str for one in held):
            strings = to.unit.frozen(held)
            tested = "" if value.kind == "string" else f"type({value.text}) is str and "
            return f"({tested}{value.text} in {strings})", "boolean", True
    if collection.kind == "set":
        return f"({_keyed(value)} in {collection.text})", "boolean", True
    if value.kind == "string":
        listed = (
            ""
            if collection.kind == "array"
            else f" if type({collection.text}) is list else {_member_call(value, collection)}"
        )
        return f"({value.text} in {collection.text}{listed})", "boolean", True
    return _member_call(value, collection), "boolean", True


def _member_call(value: Fact, collection: Fact) -> str:
    return f"member({value.text}, {collection.text})"


def _keyed(value: Fact) -> str:
    return (
        value.text
        if value.kind in ("string", "number")
        else f"({value.text} if type({value.text}) is str else key({value.text}))"
    )


@inline("count")
def _count(to: Emitter, collection: Fact) -> Inline:
    if collection.kind in ("array", "object", "set", "string"):
        return f"len({collection.text})", "number", True
    text = collection.text
    return f"(len({text}) if type({text}) in SIZED else {to.unit.builtin('count')}({text}))", "number", to.unit.strict


def _strings(form: str, name: str) -> Callable[..., Inline]:
    def tested(to: Emitter, a: Fact, b: Fact) -> Inline:
        text = form.format(a=a.text, b=b.text)
        tests = [f"type({fact.text}) is str" for fact in (a, b) if fact.kind != "string"]
        if not tests:
            return f"({text})", "boolean", True
        call = f"{to.unit.builtin(name)}({a.text}, {b.text})"
        return f"({text} if {' and '.join(tests)} else {call})", "boolean", to.unit.strict

    return tested


for _name, _form in (
    ("startswith", "{a}.startswith({b})"),
    ("endswith", "{a}.endswith({b})"),
    ("contains", "{b} in {a}"),
):
    inline(_name)(_strings(_form, _name))


def _typed(python: str, kind: str) -> Callable[..., Inline]:
    def tested(to: Emitter, value: Fact) -> Inline:
        if value.kind == "any":
            return f"(type({value.text}) {python})", "boolean", True
        return str(value.kind == kind), "boolean", True

    return tested


for _name, _python, _kind in (
    ("is_string", "is str", "string"),
    ("is_number", "in NUMBERS", "number"),
    ("is_boolean", "is bool", "boolean"),
    ("is_array", "is list", "array"),
    ("is_object", "is dict", "object"),
    ("is_set", "is RegoSet", "set"),
):
    inline(_name)(_typed(_python, _kind))
    KINDS[_name] = _kind
TYPE_TESTS: Final = frozenset(("is_string", "is_number", "is_boolean", "is_array", "is_object", "is_set", "is_null"))


def _cased(name: str) -> Callable[..., Inline]:
    def cased(to: Emitter, text: Fact) -> Inline:
        # beyond ASCII Python and Go differ in a few letters; the builtin knows them
        tested = "" if text.kind == "string" else f"type({text.text}) is str and "
        call = f"{to.unit.builtin(name)}({text.text})"
        made = f"({text.text}.{name}() if {tested}{text.text}.isascii() else {call})"
        return made, "string", to.unit.strict or text.kind == "string"

    return cased


for _name in ("lower", "upper"):
    inline(_name)(_cased(_name))


def _sums(name: str, operator: str) -> Callable[..., Inline]:
    def added(to: Emitter, a: Fact, b: Fact) -> Inline:
        # an unknown number may be a decimal, and those are the builtin's
        tests = [f"type({fact.text}) is int" for fact in (a, b) if not (fact.known and type(fact.value) is int)]
        if any(fact.kind not in ("number", "any") for fact in (a, b)) or not tests:
            return None
        call = f"{to.unit.builtin(name)}({a.text}, {b.text})"
        kind = "number" if name == "plus" or "number" in (a.kind, b.kind) else "any"
        return f"({a.text} {operator} {b.text} if {' and '.join(tests)} else {call})", kind, to.unit.strict

    return added


for _name, _operator in (("plus", "+"), ("minus", "-")):
    inline(_name)(_sums(_name, _operator))


@inline("object.get")
def _object_get(to: Emitter, source: Fact, name: Fact, default: Fact) -> Inline:
    got = f"{source.text}.get({name.text}, {default.text})"
    tests = [f"type({source.text}) is dict"] if source.kind != "object" else []
    tests += [f"type({name.text}) is str"] if name.kind != "string" else []
    if not tests:
        return got, "any", True
    call = f"{to.unit.builtin('object.get')}({source.text}, {name.text}, {default.text})"
    return f"({got} if {' and '.join(tests)} else {call})", "any", to.unit.strict
