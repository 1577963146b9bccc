"""Arrays: new ones made of parts of others."""

from typing import Any

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import array, integer
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import Value


@builtin("array.concat", "x: array[any], y: array[any] -> z: array[any]", evaluation=True)
def concat(evaluation: Evaluation, x: Value, y: Value) -> list[Value]:
    first, second = array("array.concat", 1, x), array("array.concat", 2, y)
    evaluation.spend((len(first) + len(second)) // 8)
    return first + second


@builtin("array.flatten", "arr: array[any] -> flattened: array[any]", evaluation=True)
def flatten(evaluation: Evaluation, nested: Value) -> list[Value]:
    """One level of arrays is taken away."""
    flat: list[Value] = []
    for held in array("array.flatten", 1, nested):
        if type(held) is list:
            evaluation.spend(len(held) // 8)
            flat += held
        else:
            flat.append(held)
    return flat


@builtin("array.reverse", "arr: array[any] -> rev: array[any]")
def reverse(arr: Value) -> list[Value]:
    return array("array.reverse", 1, arr)[::-1]


@builtin("array.slice", "arr: array[any], start: number, stop: number -> slice: array[any]")
def slice_(arr: Value, start: Value, stop: Value) -> list[Any]:
    """Bounds outside of the array are moved to its ends."""
    values = array("array.slice", 1, arr)
    first, last = integer("array.slice", 2, start), integer("array.slice", 3, stop)
    return values[max(first, 0) : max(last, 0)]
