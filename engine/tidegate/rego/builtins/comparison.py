"""Comparison in Rego's order of all values, and membership."""

from itertools import repeat
from typing import Final

from tidegate.rego.builtins import builtin
from tidegate.rego.values import NUMBERS, UNDEFINED, RegoSet, Value, compare, equal, key, lookup

_SIGNATURE: Final = "x: any, y: any -> boolean"

builtin("eq", _SIGNATURE)(equal)
builtin("equal", _SIGNATURE)(equal)


@builtin("neq", _SIGNATURE)
def neq(x: Value, y: Value) -> bool:
    return not equal(x, y)


@builtin("lt", _SIGNATURE)
def lt(x: Value, y: Value) -> bool:
    if type(x) in NUMBERS and type(y) in NUMBERS:
        return x < y  # type: ignore[no-any-return]
    return compare(x, y) < 0


@builtin("lte", _SIGNATURE)
def lte(x: Value, y: Value) -> bool:
    if type(x) in NUMBERS and type(y) in NUMBERS:
        return x <= y  # type: ignore[no-any-return]
    return compare(x, y) <= 0


@builtin("gt", _SIGNATURE)
def gt(x: Value, y: Value) -> bool:
    if type(x) in NUMBERS and type(y) in NUMBERS:
        return x > y  # type: ignore[no-any-return]
    return compare(x, y) > 0


@builtin("gte", _SIGNATURE)
def gte(x: Value, y: Value) -> bool:
    if type(x) in NUMBERS and type(y) in NUMBERS:
        return x >= y  # type: ignore[no-any-return]
    return compare(x, y) >= 0


@builtin("internal.member_2", "value: any, collection: any -> boolean")
def member(value: Value, collection: Value) -> bool:
    """`value in collection`"""
    kind = type(collection)
    if kind is RegoSet:
        return (value if type(value) is str else key(value)) in collection
    if kind is not list and kind is not dict:
        return False
    held = collection if kind is list else collection.values()
    found = value in held
    if not found or type(value) is str:
        return found
    return any(map(equal, repeat(value), held))  # Python takes true for 1


@builtin("internal.member_3", "key: any, value: any, collection: any -> boolean")
def member_at(index: Value, value: Value, collection: Value) -> bool:
    """`index, value in collection`"""
    held = lookup(collection, index)
    return held is not UNDEFINED and equal(held, value)
