"""Rego's values as plain Python objects, with the three ways in which Python's own would mislead.

    null  None      boolean  bool      number  int, float, Decimal      string  str
    array list      object   dict      set     RegoSet

* In Python True is 1; in Rego it is not. `equal` tells them apart, and keys of dicts and sets go through `key`.
* Arrays, objects and sets are keys too. `key` gives a value's hashable stand-in, `unkey` the value again; a string,
  a number or null stands for itself, so that an object with string keys is an ordinary dict.
* A number is an int where it is whole, a float where a float says exactly what was written, else a Decimal.

A value is never changed once somebody else can see it. UNDEFINED is not a value: it is the absence of one.
"""

import json
import math
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cmp_to_key
from typing import Any, Final

Value = Any  # the types above; writing the union out would cost a cast at every use


class Undefined:
    """The absence of a value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()


class RegoSet(dict[Any, Any]):
    """A set: each element's key and the element itself."""

    __slots__ = ()


class Key:
    """The stand-in of a boolean, an array, an object or a set where something hashable is needed."""

    __slots__ = ("content", "hash", "value")

    def __init__(self, content: tuple[object, ...], value: Value) -> None:
        self.content = content
        self.hash = hash(content)
        self.value = value

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return type(other) is Key and self.content == other.content

    def __repr__(self) -> str:
        return f"Key({self.value!r})"


TRUE: Final = Key(("boolean", "true"), True)
FALSE: Final = Key(("boolean", "false"), False)
NUMBERS: Final = frozenset((int, float, Decimal))
DEEPEST: Final = 1000  # levels of a value; Python's own functions take no more
COLLECTIONS: Final = frozenset((list, dict, RegoSet))
SIZED: Final = COLLECTIONS | {str}  # what has a length


def key(value: Value) -> Any:
    """What stands for a value in a dict or set. RecursionError where it is nested too deeply."""
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None or kind is Decimal:
        return value
    return _key(value, 0)


def _key(value: Value, depth: int) -> Any:
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None or kind is Decimal:
        return value
    if kind is bool:
        return TRUE if value else FALSE
    if depth > DEEPEST:
        raise RecursionError
    if kind is list:
        return Key(("array", *[_key(held, depth + 1) for held in value]), value)
    if kind is RegoSet:
        return Key(("set", frozenset(value)), value)
    if kind is dict:
        return Key(("object", frozenset([(name, _key(value[name], depth + 1)) for name in value])), value)
    raise TypeError(f"{kind.__name__} is not a Rego value")


def unkey(stand_in: Any) -> Value:
    """The value that a key stands for."""
    return stand_in.value if type(stand_in) is Key else stand_in


def set_of(values: Iterable[Value]) -> RegoSet:
    result = RegoSet()
    for value in values:
        result[key(value)] = value
    return result


def equal(a: Value, b: Value) -> bool:
    """Rego's equality: Python's, except that booleans are no numbers, at any depth."""
    if a != b:
        return False
    kind = type(a)
    if kind is str:
        return True
    other = type(b)
    if kind is bool or other is bool:
        return kind is other
    if kind is list:
        for index, one in enumerate(a):  # noqa: SIM110 - this is compiled, and all() with a generator is slow there
            if not equal(one, b[index]):
                return False
        return True
    if kind is dict or kind is RegoSet:
        if kind is not other:
            return False
        if kind is dict:
            for name in a:
                if not equal(a[name], b[name]):
                    return False
    return True


# null < boolean < number < string < array < object < set
RANK: Final = {type(None): 0, bool: 1, int: 2, float: 2, Decimal: 2, str: 3, list: 4, dict: 5, RegoSet: 6}


def compare(a: Value, b: Value) -> int:
    """Below, at or above zero: Rego's total order over all values."""
    return _compare(a, b, 0)


def _compare(a: Value, b: Value, depth: int) -> int:
    rank = RANK[type(a)]
    other = RANK[type(b)]
    if rank != other:
        return -1 if rank < other else 1
    if rank == 0:
        return 0
    if rank <= 3:
        return -1 if a < b else 1 if a > b else 0
    if depth > DEEPEST:
        raise RecursionError
    if rank == 4:
        return _compare_sequences(a, b, depth + 1)
    if rank == 6:
        return _compare_sequences(ordered(a.values()), ordered(b.values()), depth + 1)
    # objects: by their keys in order, then by the values of those
    names, others = ordered(map(unkey, a)), ordered(map(unkey, b))
    for name, its in zip(names, others, strict=False):
        result = _compare(name, its, depth + 1) or _compare(a[key(name)], b[key(its)], depth + 1)
        if result:
            return result
    return len(names) - len(others)


def _compare_sequences(a: list[Value], b: list[Value], depth: int) -> int:
    for one, other in zip(a, b, strict=False):
        result = _compare(one, other, depth)
        if result:
            return result
    return len(a) - len(b)


_order = cmp_to_key(compare)


def ordered(values: Iterable[Value]) -> list[Value]:
    """The values in Rego's order."""
    found = list(values)
    if len(found) > 1:
        kinds = set(map(type, found))
        if kinds == {str} or kinds <= NUMBERS:
            found.sort()
        else:
            found.sort(key=_order)
    return found


def items(collection: Value) -> Iterator[tuple[Value, Value]]:
    """Key and value of every member, in Rego's order. A set's members are their own keys; a scalar has none."""
    kind = type(collection)
    if kind is list:
        return enumerate(collection)
    if kind is dict:
        return ((name, collection[key(name)]) for name in ordered(map(unkey, collection)))
    if kind is RegoSet:
        return ((value, value) for value in ordered(collection.values()))
    return iter(())


def lookup(collection: Value, index: Value) -> Value:
    """`collection[index]`, or UNDEFINED."""
    kind = type(collection)
    if kind is dict or kind is RegoSet:
        return collection.get(index if type(index) is str else key(index), UNDEFINED)
    if kind is list:
        if type(index) is float and index.is_integer():
            index = int(index)
        if type(index) is int and 0 <= index < len(collection):
            return collection[index]
    return UNDEFINED


# numbers


def number(text: str) -> int | float | Decimal:
    """The number that a literal or a JSON document wrote, exactly."""
    if text.lstrip("-").isdecimal() and len(text) < 4300:
        return int(text)
    exact = Decimal(text)
    if -400 < exact.adjusted() < 400:
        if exact == exact.to_integral_value():
            return int(exact)
        near = float(text)
        if Decimal(repr(near)) == exact:
            return near
    return exact


def whole(value: float | Decimal) -> int | float | Decimal:
    """A computed number in its one form: an int where it is whole."""
    if isinstance(value, Decimal):
        return number(str(value))
    if math.isfinite(value) and value == int(value) and abs(value) < 2**63:
        return int(value)
    return value


# JSON


def from_json(text: str | bytes) -> Value:
    """A JSON document as a value."""
    return json.loads(text, parse_float=number, parse_constant=_no_constant)


def _no_constant(name: str) -> Value:
    raise ValueError(f"`{name}` is not JSON")


def of(document: object) -> Value:
    """A value made of what an embedding program holds: tuples are arrays, sets are sets; anything else is refused."""
    kind = type(document)
    if document is None or kind is str or kind is int or kind is bool:
        return document
    if isinstance(document, float):
        if not math.isfinite(document):
            raise ValueError(f"{document} is not a number of Rego")
        return whole(document)
    if isinstance(document, RegoSet):
        return document
    if isinstance(document, dict):
        return {key(of(name)): of(held) for name, held in document.items()}
    if isinstance(document, list | tuple):
        return [of(held) for held in document]
    if isinstance(document, set | frozenset):
        return set_of(of(held) for held in document)
    if isinstance(document, str):
        return str(document)
    if isinstance(document, Decimal):
        return number(str(document))
    raise ValueError(f"a {kind.__name__} is not a Rego value")


def to_json(value: Value) -> Any:
    """The JSON document of a value: a set is its elements in order, a key that is no string is its JSON text."""
    kind = type(value)
    if kind is dict:
        return {name if type(name) is str else json_text(unkey(name)): to_json(held) for name, held in value.items()}
    if kind is list:
        return [to_json(held) for held in value]
    if kind is RegoSet:
        return [to_json(held) for held in ordered(value.values())]
    return value


def json_text(value: Value) -> str:
    """The compact JSON text of a value, keys in order, numbers as they are."""
    kind = type(value)
    if kind is str:
        return json.dumps(value, ensure_ascii=False)
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if kind is dict:
        pairs = sorted((name if type(name) is str else json_text(unkey(name)), held) for name, held in value.items())
        return "{" + ",".join(f"{json_text(name)}:{json_text(held)}" for name, held in pairs) + "}"
    if kind is list:
        return "[" + ",".join(map(json_text, value)) + "]"
    if kind is RegoSet:
        return "[" + ",".join(map(json_text, ordered(value.values()))) + "]"
    return number_text(value)


def number_text(value: float | Decimal) -> str:
    """A number as Go's shortest form writes it."""
    if type(value) is int:
        return str(value)
    text = str(value).lower()
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    sign = exponent[0] if exponent[0] in "+-" else "+"
    return f"{mantissa}e{sign}{exponent.lstrip('+-').zfill(2)}"
