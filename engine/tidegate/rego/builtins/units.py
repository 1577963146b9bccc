"""Amounts with a unit: `500m`, `1.5Gi`, `10KB`. The result is exact."""

import re
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.numbers import nearest
from tidegate.rego.builtins.operands import string
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import Value

_EXACT: Final = Context(prec=200, traps=[InvalidOperation])
_AMOUNT: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,6})?", re.ASCII)
_DECIMAL: Final = {"": 0, "k": 3, "m": 6, "g": 9, "t": 12, "p": 15, "e": 18}
_BINARY: Final = {"ki": 10, "mi": 20, "gi": 30, "ti": 40, "pi": 50, "ei": 60}
_FACTORS: Final = {
    **{unit: Decimal(10) ** power for unit, power in _DECIMAL.items()},
    **{unit: Decimal(2) ** power for unit, power in _BINARY.items()},
}


@builtin("units.parse", "x: string -> y: number")
def parse(x: Value) -> Any:
    """Only `m` (milli) and `M` (mega) differ by their case."""
    amount, unit = _split("units.parse", string("units.parse", 1, x), "amount")
    factor = Decimal("0.001") if unit == "m" else _FACTORS.get(unit.lower())
    if factor is None:
        raise BuiltinError(f"units.parse: unit {unit} not recognized")
    return nearest(_EXACT.multiply(amount, factor))


@builtin("units.parse_bytes", "x: string -> y: number")
def parse_bytes(x: Value) -> Any:
    """A `b` at the end says nothing; what is not a whole byte is cut off."""
    amount, unit = _split("units.parse_bytes", string("units.parse_bytes", 1, x), "byte amount")
    factor = _FACTORS.get(unit.lower().removesuffix("b"))
    if factor is None:
        raise BuiltinError(f"units.parse_bytes: byte unit {unit} not recognized")
    number = nearest(_EXACT.multiply(amount, factor))
    return int(number)


def _split(name: str, written: str, what: str) -> tuple[Decimal, str]:
    """The amount and its unit. Quotes around them are taken away."""
    text = written.replace('"', "")
    if " " in text:
        raise BuiltinError(f"{name}: spaces not allowed in resource strings")
    digits = re.match(r"[-+0-9.]*", text, re.ASCII)
    found = _AMOUNT.match(text)
    if digits is None or not digits[0]:
        raise BuiltinError(f"{name}: no {what} provided")
    if found is None or found.end() < digits.end():
        raise BuiltinError(f"{name}: could not parse {what} to a number")
    return Decimal(found[0]), text[found.end() :]
