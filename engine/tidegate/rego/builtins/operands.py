"""What a builtin asks of its operands, in OPA's words: `name: operand 1 must be string but got number`.

Each check gives the operand back, so that it can stand where the operand is used.
"""

from decimal import Decimal
from typing import Any, Final

from tidegate.rego.errors import OperandError
from tidegate.rego.values import NUMBERS, RegoSet, Value, ordered

NAMES: Final = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
    RegoSet: "set",
}


def mistyped(name: str, position: int, value: Value, *kinds: str) -> OperandError:
    """The error for an operand that is none of the kinds."""
    wanted = kinds[0] if len(kinds) == 1 else "one of {" + ", ".join(kinds) + "}"
    return OperandError(f"{name}: operand {position} must be {wanted} but got {NAMES[type(value)]}")


def no_string(name: str, *values: Value) -> OperandError:
    """The error for operands that should all be strings; one of them is not."""
    for position, value in enumerate(values, 1):
        if type(value) is not str:
            return mistyped(name, position, value, "string")
    raise AssertionError(f"the operands of `{name}` are strings")


def string(name: str, position: int, value: Value) -> str:
    if type(value) is str:
        return value
    raise mistyped(name, position, value, "string")


def boolean(name: str, position: int, value: Value) -> bool:
    if type(value) is bool:
        return value
    raise mistyped(name, position, value, "boolean")


def number(name: str, position: int, value: Value) -> Any:
    if type(value) in NUMBERS:
        return value
    raise mistyped(name, position, value, "number")


def integer(name: str, position: int, value: Value) -> int:
    """A number that is whole."""
    if type(number(name, position, value)) is int:
        return value  # type: ignore[no-any-return]
    raise OperandError(f"{name}: operand {position} must be integer number but got floating-point number")


def array(name: str, position: int, value: Value) -> list[Value]:
    if type(value) is list:
        return value
    raise mistyped(name, position, value, "array")


def object_(name: str, position: int, value: Value) -> dict[Any, Value]:
    if type(value) is dict:
        return value
    raise mistyped(name, position, value, "object")


def set_(name: str, position: int, value: Value) -> RegoSet:
    if type(value) is RegoSet:
        return value
    raise mistyped(name, position, value, "set")


def members(name: str, position: int, value: Value) -> list[Value]:
    """The members of an array or a set, in order."""
    if type(value) is list:
        return value
    if type(value) is RegoSet:
        return ordered(value.values())
    raise mistyped(name, position, value, "array", "set")


def strings(name: str, position: int, value: Value) -> list[str]:
    """The members of an array or a set of strings, in order."""
    found = members(name, position, value)
    for member in found:
        if type(member) is not str:
            kind = NAMES[type(value)]
            detail = f"{kind} of strings but got {kind} containing {NAMES[type(member)]}"
            raise OperandError(f"{name}: operand {position} must be {detail}")
    return found
