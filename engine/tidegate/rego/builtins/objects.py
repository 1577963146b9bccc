"""Objects: their keys, parts of them, and several as one."""

from collections.abc import Iterable
from typing import Any

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import NAMES, array, mistyped, object_
from tidegate.rego.errors import OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import COLLECTIONS, UNDEFINED, RegoSet, Value, equal, key, lookup, unkey


@builtin("object.get", "object: object[any: any], key: any, default: any -> value: any")
def get(document: Value, path: Value, default: Value) -> Value:
    """The key may be a path: an array of keys, each into what the one before it gave."""
    held: Value = object_("object.get", 1, document)
    if type(path) is str:
        return held.get(path, default)
    for part in path if type(path) is list else [path]:
        held = lookup(held, part)
        if held is UNDEFINED:
            return default
    return held


@builtin("object.keys", "object: object[any: any] -> value: set[any]")
def keys(document: Value) -> RegoSet:
    return RegoSet((name, unkey(name)) for name in object_("object.keys", 1, document))


@builtin(
    "object.filter", "object: object[any: any], keys: any<array[any], object[any: any], set[any]> -> filtered: any"
)
def filter_(document: Value, names: Value) -> dict[Any, Value]:
    held = object_("object.filter", 1, document)
    return {name: held[name] for name in _names("object.filter", names) if name in held}


@builtin("object.remove", "object: object[any: any], keys: any<array[any], object[any: any], set[any]> -> output: any")
def remove(document: Value, names: Value) -> dict[Any, Value]:
    held = object_("object.remove", 1, document)
    removed = set(_names("object.remove", names))
    return {name: value for name, value in held.items() if name not in removed}


def _names(builtin_name: str, names: Value) -> Iterable[Any]:
    kind = type(names)
    if kind is list:
        return map(key, names)
    if kind in COLLECTIONS:
        return names  # type: ignore[no-any-return]
    raise mistyped(builtin_name, 2, names, "object", "set", "array")


@builtin("object.union", "a: object[any: any], b: object[any: any] -> output: any", evaluation=True)
def union(evaluation: Evaluation, a: Value, b: Value) -> dict[Any, Value]:
    """Where both have a key, the second's value, or the union of the two where both are objects."""
    return _merged(evaluation, object_("object.union", 1, a), object_("object.union", 2, b))


@builtin("object.union_n", "objects: array[object[any: any]] -> output: any", evaluation=True)
def union_n(evaluation: Evaluation, objects: Value) -> dict[Any, Value]:
    result: dict[Any, Value] = {}
    for one in array("object.union_n", 1, objects):
        if type(one) is not dict:
            detail = f"array of objects but got array containing {NAMES[type(one)]}"
            raise OperandError(f"object.union_n: operand 1 must be {detail}")
        result = _merged(evaluation, result, one)
    return result


def _merged(evaluation: Evaluation, a: dict[Any, Value], b: dict[Any, Value]) -> dict[Any, Value]:
    evaluation.spend(len(a) + len(b))
    result = {**a, **b}
    for name in a.keys() & b.keys():
        if type(a[name]) is dict and type(b[name]) is dict:
            result[name] = _merged(evaluation, a[name], b[name])
    return result


@builtin(
    "object.subset",
    "super: any<array[any], object[any: any], set[any]>, sub: any<array[any], object[any: any], set[any]>"
    " -> result: any",
)
def subset(whole: Value, part: Value) -> bool:
    """Whether an object, a set or an array has all of another, to any depth; an array may have all of a set too."""
    if type(whole) is list and type(part) is RegoSet:
        return part.keys() <= set(map(key, whole))
    if type(whole) is not type(part) or type(whole) not in COLLECTIONS:
        raise OperandError("object.subset: both arguments must be of the same type, or an array and a set")
    return _has(whole, part)


def _has(whole: Value, part: Value) -> bool:
    kind = type(part)
    if kind is not type(whole) or kind not in COLLECTIONS:
        return equal(whole, part)
    if kind is RegoSet:
        return part.keys() <= whole.keys()  # type: ignore[no-any-return]
    if kind is dict:
        return all(name in whole and _has(whole[name], held) for name, held in part.items())
    starts = range(len(whole) - len(part) + 1)
    return any(equal(whole[start : start + len(part)], part) for start in starts)
