"""One value from many: count, sum, the largest, the order."""

from decimal import Decimal
from typing import Any

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.numbers import bounded, mul, plus
from tidegate.rego.builtins.operands import NAMES, members, mistyped
from tidegate.rego.builtins.text import weight
from tidegate.rego.errors import OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import COLLECTIONS, NUMBERS, UNDEFINED, RegoSet, Value, ordered

_NUMBERS = "collection: any<array[number], set[number]> -> number"


@builtin("count", "collection: any<string, array[any], object[any: any], set[any]> -> n: number")
def count(collection: Value) -> int:
    """A string is counted by its characters."""
    kind = type(collection)
    if kind is str or kind in COLLECTIONS:
        return len(collection)
    raise mistyped("count", 1, collection, "array", "object", "set", "string")


@builtin("sum", _NUMBERS)
def sum_(collection: Value) -> Any:
    if type(collection) is list and set(map(type, collection)) == {int}:
        return bounded(sum(collection))
    found = _numbers("sum", collection)
    total: float | Decimal = 0
    for value in found:
        total = plus(total, value)
    return total


@builtin("product", _NUMBERS)
def product(collection: Value) -> Any:
    total: float | Decimal = 1
    for value in _numbers("product", collection):
        total = mul(total, value)
    return total


def _numbers(name: str, collection: Value) -> list[Any]:
    kind = type(collection)
    if kind is not list and kind is not RegoSet:
        raise mistyped(name, 1, collection, "set", "array")
    found = list(collection if kind is list else collection.values())
    for stranger in set(map(type, found)) - NUMBERS:
        detail = f"{NAMES[kind]} of numbers but got {NAMES[kind]} containing {NAMES[stranger]}"
        raise OperandError(f"{name}: operand 1 must be {detail}")
    return found


_MEMBERS = "collection: any<array[any], set[any]>"


@builtin("max", f"{_MEMBERS} -> n: any", evaluation=True)
def max_(evaluation: Evaluation, collection: Value) -> Value:
    found = _in_order(evaluation, "max", collection)
    return found[-1] if found else UNDEFINED


@builtin("min", f"{_MEMBERS} -> n: any", evaluation=True)
def min_(evaluation: Evaluation, collection: Value) -> Value:
    found = _in_order(evaluation, "min", collection)
    return found[0] if found else UNDEFINED


@builtin("sort", f"{_MEMBERS} -> n: array[any]", evaluation=True)
def sort(evaluation: Evaluation, collection: Value) -> list[Value]:
    return _in_order(evaluation, "sort", collection)


def _in_order(evaluation: Evaluation, name: str, collection: Value) -> list[Value]:
    kind = type(collection)
    if kind is not list and kind is not RegoSet:
        raise mistyped(name, 1, collection, "set", "array")
    found: list[Value] = collection if kind is list else list(collection.values())
    if not COLLECTIONS.isdisjoint(map(type, found)):  # comparing these takes as long as writing them
        evaluation.spend(weight(found))
    return ordered(found)


@builtin(
    "all",
    "collection: any<array[any], set[any]> -> boolean",
    deprecated="`every` says the same: `every x in xs { x }`",
)
def all_(collection: Value) -> bool:
    return all(value is True for value in members("all", 1, collection))


@builtin("any", "collection: any<array[any], set[any]> -> boolean", deprecated="`in` says the same: `true in xs`")
def any_(collection: Value) -> bool:
    return any(value is True for value in members("any", 1, collection))
