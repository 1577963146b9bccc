"""Bitwise operations on whole numbers, negative ones in two's complement."""

from typing import Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.numbers import LARGEST, bounded
from tidegate.rego.builtins.operands import integer
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.values import Value

_BINARY: Final = "x: number, y: number -> z: number"
_SHIFT: Final = "x: number, s: number -> z: number"


@builtin("bits.and", _BINARY)
def and_(x: Value, y: Value) -> int:
    return integer("bits.and", 1, x) & integer("bits.and", 2, y)


@builtin("bits.or", _BINARY)
def or_(x: Value, y: Value) -> int:
    return integer("bits.or", 1, x) | integer("bits.or", 2, y)


@builtin("bits.xor", _BINARY)
def xor(x: Value, y: Value) -> int:
    return integer("bits.xor", 1, x) ^ integer("bits.xor", 2, y)


@builtin("bits.negate", "x: number -> z: number")
def negate(x: Value) -> int:
    return ~integer("bits.negate", 1, x)


@builtin("bits.lsh", _SHIFT)
def lsh(x: Value, s: Value) -> int:
    value, width = integer("bits.lsh", 1, x), _width("bits.lsh", s)
    if width > LARGEST.bit_length():
        raise BuiltinError("bits.lsh: a number of more than 4300 digits")
    return bounded(value << width)


@builtin("bits.rsh", _SHIFT)
def rsh(x: Value, s: Value) -> int:
    return integer("bits.rsh", 1, x) >> _width("bits.rsh", s)


def _width(name: str, s: Value) -> int:
    width = integer(name, 2, s)
    if width < 0:
        raise OperandError(f"{name}: operand 2 must be an unsigned integer number but got a negative integer")
    return width
