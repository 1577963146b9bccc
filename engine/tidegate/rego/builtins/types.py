"""What kind of value something is, and numbers from other kinds."""

import re
from decimal import Decimal
from typing import Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import NAMES, members, mistyped
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.values import RegoSet, Value, key, number

# strconv.ParseFloat's form, without its names for what is no number
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,9})?", re.ASCII).fullmatch


@builtin("type_name", "x: any -> type: string")
def type_name(x: Value) -> str:
    return NAMES[type(x)]


def _register(name: str, *types: type) -> None:
    kinds = frozenset(types)

    def is_(x: Value) -> bool:
        return type(x) in kinds

    builtin(f"is_{name}", "x: any -> result: boolean")(is_)

    def cast(x: Value) -> Value:
        if type(x) in kinds:
            return x
        raise mistyped(f"cast_{name}", 1, x, name)

    if name not in ("number", "array", "set"):
        deprecated = f"`is_{name}` tests for it"
        builtin(f"cast_{name}", f"x: any -> {_RESULTS.get(name, name)}", deprecated=deprecated)(cast)


_RESULTS: Final = {"object": "object[any: any]"}

_register("null", type(None))
_register("boolean", bool)
_register("number", int, float, Decimal)
_register("string", str)
_register("array", list)
_register("object", dict)
_register("set", RegoSet)


@builtin("cast_array", "x: any -> array[any]", deprecated="a comprehension does the same: `[x | some x in xs]`")
def cast_array(x: Value) -> list[Value]:
    return members("cast_array", 1, x)


@builtin("cast_set", "x: any -> set[any]", deprecated="a comprehension does the same: `{x | some x in xs}`")
def cast_set(x: Value) -> RegoSet:
    if type(x) is RegoSet:
        return x
    if type(x) is list:
        return RegoSet((key(held), held) for held in x)
    raise mistyped("cast_set", 1, x, "array", "set")


@builtin("to_number", "x: any<null, boolean, number, string> -> num: number")
def to_number(x: Value) -> Value:
    """null and false are 0, true is 1, a string is what it says."""
    kind = type(x)
    if x is None or kind is bool:
        return 1 if x else 0
    if kind is str:
        if _NUMBER(x):
            return number(x)
        if x.lstrip("+-").lower() in ("inf", "infinity", "nan"):
            raise OperandError(f"to_number: operand 1 must be valid number string but got {x}")
        raise BuiltinError(f"to_number: `{x}` is not written as a number")
    if kind in (list, dict, RegoSet):
        raise mistyped("to_number", 1, x, "null", "boolean", "number", "string")
    return x
