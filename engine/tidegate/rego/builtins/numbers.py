"""Arithmetic. Whole numbers are exact and as long as can be written; others are exact decimals on the way, and their
result is the nearest float: 0.1 + 0.2 is 0.3.
"""

import decimal
import math
import random
from decimal import Decimal
from typing import Any, Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import integer, mistyped, number
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import NUMBERS, RegoSet, Value

# Longer numbers could not be written: CPython refuses to print them.
LARGEST: Final = 10**4300 - 1
_EXACT: Final = decimal.Context(prec=60, Emax=999_999, Emin=-999_999, traps=[decimal.InvalidOperation])
# Rounds to whole numbers only, and those may have all the digits a number can have.
_WHOLE: Final = decimal.Context(prec=4400, Emax=999_999, Emin=-999_999)
_UNARY: Final = "x: number -> number"
_BINARY: Final = "x: number, y: number -> number"


def bounded(value: int) -> int:
    if -LARGEST <= value <= LARGEST:
        return value
    raise BuiltinError("a number of more than 4300 digits")


def exact(value: float | Decimal) -> Decimal:
    """The decimal that a number was written as."""
    return Decimal(repr(value)) if type(value) is float else Decimal(value)


def nearest(value: Decimal) -> Any:
    """A result in its one form."""
    near = float(value)
    if math.isfinite(near) and not near.is_integer():
        return near
    if not value.is_finite() or value.adjusted() >= 4300:
        raise BuiltinError("a number of more than 4300 digits")
    if value == value.to_integral_value(context=_WHOLE):
        return int(value)
    return value  # it has more digits than a float, or is too small for one


def _both(name: str, x: Value, y: Value) -> tuple[Decimal, Decimal]:
    return exact(number(name, 1, x)), exact(number(name, 2, y))


_MILLION: Final = 10**6
_CERTAIN: Final = 10**15


def _millionths(x: Value) -> int | None:
    """A number as so many millionths, where that is sure and exact.

    Two decimals of at most 15 digits never share their nearest float. So if the quotient, which Python rounds
    correctly, is the float, then this is how the float is written.
    """
    if type(x) is float:
        if -1e9 < x < 1e9:
            count = round(x * 1e6)
            if count / _MILLION == x:
                return count
    elif type(x) is int and -_CERTAIN < x < _CERTAIN:
        return x * _MILLION
    return None


def _quotient(dividend: int, divisor: int) -> Any:
    """The nearest number in its one form; None where that takes decimals."""
    whole, rest = divmod(dividend, divisor)
    if not rest:
        return whole
    near = dividend / divisor
    return None if near.is_integer() else near


@builtin("plus", _BINARY)
def plus(x: Value, y: Value) -> Any:
    if type(x) is int and type(y) is int:
        return bounded(x + y)
    first, second = _millionths(x), _millionths(y)
    if first is not None and second is not None:
        near = _quotient(first + second, _MILLION)
        if near is not None:
            return near
    return nearest(_EXACT.add(*_both("plus", x, y)))


@builtin("minus", "x: any<number, set[any]>, y: any<number, set[any]> -> any<number, set[any]>")
def minus(x: Value, y: Value) -> Any:
    if type(x) is int and type(y) is int:
        return bounded(x - y)
    first, second = _millionths(x), _millionths(y)
    if first is not None and second is not None:
        near = _quotient(first - second, _MILLION)
        if near is not None:
            return near
    if type(x) in NUMBERS:
        return nearest(_EXACT.subtract(*_both("minus", x, y)))
    if type(x) is not RegoSet:
        raise mistyped("minus", 1, x, "number", "set")
    if type(y) is not RegoSet:
        raise mistyped("minus", 2, y, "set")
    return RegoSet((name, held) for name, held in x.items() if name not in y)


@builtin("mul", _BINARY)
def mul(x: Value, y: Value) -> Any:
    if type(x) is int and type(y) is int:
        return bounded(x * y)
    first, second = _millionths(x), _millionths(y)
    if first is not None and second is not None:
        near = _quotient(first * second, _MILLION * _MILLION)
        if near is not None:
            return near
    return nearest(_EXACT.multiply(*_both("mul", x, y)))


@builtin("div", _BINARY)
def div(x: Value, y: Value) -> Any:
    first, second = _millionths(x), _millionths(y)
    if first is not None and second:
        near = _quotient(first, second)
        if near is not None:
            return near
    if type(x) is int and type(y) is int and y and x % y == 0:
        return x // y
    dividend, divisor = _both("div", x, y)
    if divisor == 0:
        raise BuiltinError("div: divide by zero")
    return nearest(_EXACT.divide(dividend, divisor))


@builtin("rem", _BINARY)
def rem(x: Value, y: Value) -> int:
    """The remainder has the sign of the dividend."""
    if type(x) is int and type(y) is int:
        if y == 0:
            raise BuiltinError("rem: modulo by zero")
        return x % abs(y) if x >= 0 else -(-x % abs(y))
    _both("rem", x, y)
    raise BuiltinError("rem: modulo on floating-point number")


@builtin("abs", _UNARY)
def absolute(x: Value) -> Any:
    # Python's abs() of a Decimal would round it to the precision of the thread.
    return x.copy_abs() if type(x) is Decimal else abs(number("abs", 1, x))


def _rounded(name: str, x: Value, mode: str) -> int:
    """Of a number that is neither an int nor a float."""
    value = exact(number(name, 1, x))
    if value.adjusted() >= 4300:
        raise BuiltinError(f"{name}: a number of more than 4300 digits")
    return int(value.to_integral_value(mode, _WHOLE))


# A float lies on the same side of every whole number and of every half as the decimal that it was written as, because
# it has those exactly.


@builtin("ceil", _UNARY)
def ceil(x: Value) -> int:
    return math.ceil(x) if type(x) is int or type(x) is float else _rounded("ceil", x, decimal.ROUND_CEILING)


@builtin("floor", _UNARY)
def floor(x: Value) -> int:
    return math.floor(x) if type(x) is int or type(x) is float else _rounded("floor", x, decimal.ROUND_FLOOR)


@builtin("round", _UNARY)
def round_(x: Value) -> int:
    """Halves go away from zero."""
    if type(x) is int:
        return x
    if type(x) is float:
        size = abs(x)
        whole = math.floor(size)
        whole += size - whole >= 0.5
        return whole if x > 0 else -whole
    return _rounded("round", x, decimal.ROUND_HALF_UP)


@builtin("numbers.range", "a: number, b: number -> range: array[number]", evaluation=True)
def numbers_range(evaluation: Evaluation, a: Value, b: Value) -> list[int]:
    """Both ends are in it; it counts down where the first is the larger."""
    return _range(evaluation, integer("numbers.range", 1, a), integer("numbers.range", 2, b), 1)


@builtin("numbers.range_step", "a: number, b: number, step: number -> range: array[number]", evaluation=True)
def numbers_range_step(evaluation: Evaluation, a: Value, b: Value, step: Value) -> list[int]:
    first, last = integer("numbers.range_step", 1, a), integer("numbers.range_step", 2, b)
    width = integer("numbers.range_step", 3, step)
    if width <= 0:
        raise BuiltinError("numbers.range_step: step must be a positive integer")
    return _range(evaluation, first, last, width)


def _range(evaluation: Evaluation, first: int, last: int, width: int) -> list[int]:
    evaluation.spend(abs(last - first) // width)
    return list(range(first, last + 1, width) if first <= last else range(first, last - 1, -width))


@builtin("rand.intn", "str: string, n: number -> y: number", evaluation=True, pure=False)
def rand_intn(evaluation: Evaluation, name: Value, n: Value) -> int:
    """One evaluation gets one number for the same operands."""
    if type(name) is not str:
        raise mistyped("rand.intn", 1, name, "string")
    bound = abs(integer("rand.intn", 2, n))
    if bound == 0:
        return 0
    given = evaluation.cache.setdefault(("rand.intn", name, bound), random.randrange(bound))
    assert isinstance(given, int)
    return given


@builtin("format_int", "number: number, base: number -> output: string")
def format_int(value: Value, base: Value) -> str:
    """What is behind the point is left out."""
    whole = value if type(value) is int else _rounded("format_int", value, decimal.ROUND_DOWN)
    code = {2: "b", 8: "o", 10: "d", 16: "x"}.get(number("format_int", 2, base))
    if code is None:
        raise OperandError("format_int: operand 2 must be one of {2, 8, 10, 16}")
    return format(whole, code)
