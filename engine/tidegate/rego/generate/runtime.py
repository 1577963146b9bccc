"""What generated code calls for the statements that are more than a line of Python."""

from typing import Any, NoReturn

from tidegate.rego.errors import Conflict
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import UNDEFINED, Key, RegoSet, Value, equal, items, key, lookup, ordered


class Missing:
    """What a memo holds for a rule that was not evaluated yet."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def conflict() -> NoReturn:
    raise Conflict("complete rules must not produce multiple outputs")


def insert_once(held: dict[Any, Value], name: Any, value: Value) -> None:
    if name not in held:
        held[name] = value
    elif not equal(held[name], value):
        raise Conflict("object keys must be unique")


def merge(a: Value, b: Value) -> Value:
    """One object of two; where both have a key, `a`'s value stands unless both values are objects."""
    if a is UNDEFINED:
        return b
    if b is UNDEFINED:
        return a
    if type(a) is not dict or type(b) is not dict:
        return a
    merged = dict(b)
    for name, value in a.items():
        merged[name] = merge(value, b[name]) if name in b else value
    return merged


def replaced(document: Value, path: tuple[str, ...], value: Value) -> Value:
    """The document with another value at a path; what is no object on the way becomes one."""
    if not path:
        return value
    changed = dict(document) if type(document) is dict else {}
    changed[path[0]] = replaced(changed.get(path[0]), path[1:], value)
    return changed


def lookup_base(document: Value, index: Value) -> Value:
    """`lookup` in the data as it was loaded: a path into it is made of texts, so 2 finds "2" as well."""
    found = lookup(document, index)
    return document.get(str(index), UNDEFINED) if found is UNDEFINED and type(document) is dict else found


def members(collection: Value) -> Any:
    """The members of a collection in order, without their keys."""
    kind = type(collection)
    if kind is list:
        return collection
    if kind is RegoSet:
        return ordered(collection.values())
    return [value for _, value in items(collection)]


def members_unordered(collection: Value) -> Any:
    """The members of a collection as they come, for loops whose order nobody can see."""
    kind = type(collection)
    if kind is list:
        return collection
    if kind is RegoSet or kind is dict:
        return collection.values()
    return ()


def items_unordered(collection: Value) -> Any:
    """Keys and members of a collection as they come, for loops whose order nobody can see."""
    kind = type(collection)
    if kind is list:
        return enumerate(collection)
    if kind is RegoSet:
        return [(value, value) for value in collection.values()]
    if kind is dict:
        return [(name.value if type(name) is Key else name, value) for name, value in collection.items()]
    return ()


def size(collection: Value) -> int:
    """How many times a loop over a value runs."""
    kind = type(collection)
    return len(collection) if kind is list or kind is dict or kind is RegoSet else 0


def call_dynamic(functions: dict[tuple[Any, ...], tuple[Any, int]], path: tuple[Value, ...], *given: Any) -> Value:
    """The rule at a path that is known only now; undefined where there is none. The memo is the last of `given`."""
    found = functions.get(tuple(map(key, path)))
    if found is None:
        return UNDEFINED
    function, slot = found
    kept = given[-1][slot] if slot else MISSING
    return function(*given) if kept is MISSING else kept


def member(value: Value, collection: Value) -> bool:
    """`value in collection`"""
    kind = type(collection)
    if kind is RegoSet:
        return key(value) in collection
    if kind is list:
        if type(value) is str:
            return value in collection
        for held in collection:
            if equal(value, held):
                return True
    elif kind is dict:
        for held in collection.values():
            if equal(value, held):
                return True
    return False


def spend(evaluation: Evaluation, units: int) -> None:
    """Evaluation.spend, without a method's lookup."""
    evaluation.spend(units)


def hold(evaluation: Evaluation, composite: Value, member: Value) -> None:
    """Accounts for a composite that was put into another: written out, that one is larger by all of it."""
    weight = evaluation.weigh(member)
    spend(evaluation, weight)
    evaluation.weights[id(composite)] = (composite, weight + evaluation.weights.get(id(composite), (None, 1))[1])


def held(evaluation: Evaluation, composite: Value) -> Value:
    """Accounts for a composite that was made of others."""
    spend(evaluation, evaluation.weigh(composite))
    return composite
