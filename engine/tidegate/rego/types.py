"""What is known about a value before it is computed: the static types of Rego.

A type stands for a set of values, always one that is large enough: a value may be less than its type says, never more.
So where two types have no value in common, no value will ever be in both. Written as OPA writes them:

    any  null  boolean  number  string  any<number, string>
    array[string]  array<number, string>  set[number]  object[string: any]  object<name: string>[any: any]
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeAlias

from msgspec import Struct

from tidegate.rego import values


class Anything(Struct, frozen=True):
    """Every value."""


class Plain(Struct, frozen=True):
    """null, boolean, number or string."""

    name: str


class ArrayOf(Struct, frozen=True):
    """`items` are at the beginning; `rest` is what may follow, None where nothing does."""

    items: tuple["Type", ...] = ()
    rest: "Type | None" = None


class SetOf(Struct, frozen=True):
    element: "Type"


class ObjectOf(Struct, frozen=True):
    """`fields` by their keys, as `values.key` has them; `rest`: the other keys and values, None where there are none.

    In an exact object all fields are there; in others each may be missing.
    """

    fields: tuple[tuple[Any, "Type"], ...] = ()
    rest: "tuple[Type, Type] | None" = None
    exact: bool = False

    def field(self, name: Any) -> "Type | None":
        return next((held for key, held in self.fields if key == name), None)


class OneOf(Struct, frozen=True):
    """Made by `one_of` only: at least two types, none of them any or a OneOf."""

    members: tuple["Type", ...]


Type: TypeAlias = Anything | Plain | ArrayOf | SetOf | ObjectOf | OneOf

ANY: Final = Anything()
NULL: Final = Plain("null")
BOOLEAN: Final = Plain("boolean")
NUMBER: Final = Plain("number")
STRING: Final = Plain("string")
ANY_OBJECT: Final = ObjectOf(rest=(ANY, ANY))
OF_SCALAR: Final = {type(None): NULL, bool: BOOLEAN, int: NUMBER, float: NUMBER, Decimal: NUMBER, str: STRING}
WIDEST: Final = 12  # types in one OneOf; what is wider is any
HEAVIEST: Final = 100  # types in one type; a chain of rules can nest them without end, and double them with each rule


def one_of(types: Iterable[Type]) -> Type:
    """The type of a value that is of one of these."""
    found: dict[Type, None] = {}
    for kind in types:
        if type(kind) is Anything:
            return ANY
        found.update(dict.fromkeys(kind.members if type(kind) is OneOf else (kind,)))
    if len(found) == 1:
        return next(iter(found))
    return OneOf(tuple(found)) if 0 < len(found) <= WIDEST else ANY


def members(kind: Type) -> tuple[Type, ...]:
    """The alternatives of a type; one, if it is not a OneOf."""
    return kind.members if type(kind) is OneOf else (kind,)


def bounded(kind: Type) -> Type:
    """The type, or if it has too many parts a wider one without them."""
    if not _is_heavy(kind):
        return kind
    if type(kind) is SetOf:
        return SetOf(ANY)
    if type(kind) is ObjectOf:
        rest = (ANY, ANY) if kind.rest is not None else None
        return ObjectOf(tuple((name, ANY) for name, _ in kind.fields), rest, kind.exact)
    return ArrayOf(rest=ANY)


def _is_heavy(kind: Type) -> bool:
    pending: list[Type] = [kind]
    for _ in range(HEAVIEST):
        if not pending:
            return False
        pending += _parts(pending.pop())
    return bool(pending)


def _parts(kind: Type) -> Iterable[Type]:
    if type(kind) is ArrayOf:
        return kind.items if kind.rest is None else (*kind.items, kind.rest)
    if type(kind) is ObjectOf:
        return (*(held for _, held in kind.fields), *(kind.rest or ()))
    if type(kind) is SetOf:
        return (kind.element,)
    return members(kind) if type(kind) is OneOf else ()


# what two types have in common


def overlap(a: Type, b: Type) -> bool:
    """Whether a value can be of both."""
    if a is b or type(a) is Anything or type(b) is Anything:
        return True
    if type(a) is OneOf or type(b) is OneOf:
        return any(overlap(one, other) for one in members(a) for other in members(b))
    if type(a) is ArrayOf and type(b) is ArrayOf:
        return _arrays_overlap(a, b)
    if type(a) is ObjectOf and type(b) is ObjectOf:
        return _lacks_nothing(a, b) and _lacks_nothing(b, a) and _rests_overlap(a, b)
    if type(a) is SetOf and type(b) is SetOf:
        return overlap(a.element, b.element)
    return a == b


def _arrays_overlap(a: ArrayOf, b: ArrayOf) -> bool:
    for index in range(max(len(a.items), len(b.items))):
        one, other = _item(a, index), _item(b, index)
        if one is None or other is None or not overlap(one, other):
            return False
    return a.rest is None or b.rest is None or overlap(a.rest, b.rest)


def _item(array: ArrayOf, index: int) -> Type | None:
    return array.items[index] if 0 <= index < len(array.items) else array.rest


def _lacks_nothing(a: ObjectOf, b: ObjectOf) -> bool:
    """Whether what must be in `a` can be in `b`."""
    if not a.exact:
        return True
    for name, held in a.fields:
        other = select(b, values.unkey(name))
        if other is None or not overlap(held, other):
            return False
    return True


def _rests_overlap(a: ObjectOf, b: ObjectOf) -> bool:
    return a.rest is None or b.rest is None or overlap(a.rest[1], b.rest[1])


# references into a type


def select(kind: Type, name: object) -> Type | None:
    """The type of `value[name]` for a constant, or None where there can be no such member."""
    found: Type | None = _SELECT[type(kind)](kind, name)
    return found


def _select_item(kind: ArrayOf, name: object) -> Type | None:
    is_index = type(name) in values.NUMBERS and name == int(name)  # type: ignore[call-overload]
    return _item(kind, int(name)) if is_index and name >= 0 else None  # type: ignore[call-overload, operator]


def _select_field(kind: ObjectOf, name: object) -> Type | None:
    held = kind.field(values.key(name))
    if held is None and kind.rest is not None and overlap(kind.rest[0], of_value(name)):
        return kind.rest[1]
    return held


def _select_element(kind: SetOf, name: object) -> Type | None:
    return of_value(name) if overlap(kind.element, of_value(name)) else None


def _select_any_of(kind: OneOf, name: object) -> Type | None:
    found = [held for held in (select(member, name) for member in kind.members) if held is not None]
    return one_of(found) if found else None


_SELECT: Final[dict[type, Any]] = {
    Anything: lambda kind, name: ANY,
    Plain: lambda kind, name: None,
    ArrayOf: _select_item,
    ObjectOf: _select_field,
    SetOf: _select_element,
    OneOf: _select_any_of,
}


def entries(kind: Type) -> tuple[Type, Type] | None:
    """The types of the keys and of the values of a collection, or None where it is none."""
    pairs = [pair for member in members(kind) for pair in _entries(member)]
    if pairs:
        return one_of(key for key, _ in pairs), one_of(held for _, held in pairs)
    is_plain = all(type(member) is Plain for member in members(kind))
    return None if is_plain else (ANY, ANY)


def _entries(kind: Type) -> Iterator[tuple[Type, Type]]:
    if type(kind) is Anything:
        yield ANY, ANY
    elif type(kind) is ArrayOf:
        yield from ((NUMBER, held) for held in (*kind.items, kind.rest) if held is not None)
    elif type(kind) is SetOf:
        yield kind.element, kind.element
    elif type(kind) is ObjectOf:
        yield from ((of_value(values.unkey(name)), held) for name, held in kind.fields)
        if kind.rest is not None:
            yield kind.rest


def of_value(value: object) -> Type:
    """The type of a value; only of scalars more than what kind of collection they are."""
    plain = OF_SCALAR.get(type(value))
    if plain is not None:
        return plain
    return SetOf(ANY) if type(value) is values.RegoSet else ANY_OBJECT if type(value) is dict else ArrayOf(rest=ANY)


# the written form


def text(kind: Type) -> str:
    """A type as OPA writes it."""
    return str(_TEXT[type(kind)](kind))


def _array_text(kind: ArrayOf) -> str:
    items = f"<{', '.join(map(text, kind.items))}>" if kind.items or kind.rest is None else ""
    return f"array{items}" + (f"[{text(kind.rest)}]" if kind.rest is not None else "")


def _object_text(kind: ObjectOf) -> str:
    fields = ", ".join(f"{values.unkey(name)}: {text(held)}" for name, held in kind.fields)
    rest = f"[{text(kind.rest[0])}: {text(kind.rest[1])}]" if kind.rest is not None else ""
    return "object" + (f"<{fields}>" if fields or not rest else "") + rest


_TEXT: Final[dict[type, Any]] = {
    Anything: lambda kind: "any",
    Plain: lambda kind: kind.name,
    ArrayOf: _array_text,
    ObjectOf: _object_text,
    SetOf: lambda kind: f"set[{text(kind.element)}]",
    OneOf: lambda kind: f"any<{', '.join(map(text, kind.members))}>",
}


class Signature(Struct, frozen=True):
    """What a builtin takes and gives."""

    operands: tuple[Type, ...]
    result: Type


@cache
def signature(written: str) -> Signature:
    """`haystack: string, needle: string -> boolean` as types."""
    taken, _, given = written.rpartition("->")
    operands = _Reader(taken).operands() if taken.strip() else ()
    (result,) = _Reader(given).operands()
    return Signature(operands, result)


class _Reader:
    """Reads types in their written form."""

    NAME = re.compile(r"\s*([a-zA-Z0-9_]+(?: [a-z]+)*)\s*:")
    WORD = re.compile(r"\s*([a-z]+)\s*")
    PLAIN: Final[dict[str, Type]] = {"any": ANY, "null": NULL, "boolean": BOOLEAN, "number": NUMBER, "string": STRING}

    def __init__(self, written: str) -> None:
        self.written = written
        self.at = 0

    def operands(self) -> tuple[Type, ...]:
        return tuple(held for _, held in self._listed(self._named))

    def _named(self) -> tuple[str, Type]:
        name = self.NAME.match(self.written, self.at)
        if name is None:
            return "", self._type()
        self.at = name.end()
        return name[1], self._type()

    def _listed(self, read: Any) -> list[Any]:
        found = [read()]
        while self._taken(","):
            found.append(read())
        return found

    def _taken(self, mark: str) -> bool:
        if not self.written.startswith(mark, self.at):
            return False
        self.at += 1
        return True

    def _type(self) -> Type:
        word = self.WORD.match(self.written, self.at)
        if word is None:
            raise ValueError(f"`{self.written}` has no type at {self.at}")
        self.at = word.end()
        parts = self._within("<", self._named, ">")
        rest = self._within("[", self._rest, "]")
        kinds = tuple(held for _, held in parts)
        match word[1]:
            case "array":
                return ArrayOf(kinds, rest[0][0] if rest else None)
            case "set":
                return SetOf(rest[0][0])
            case "object":
                return ObjectOf(tuple(parts), rest[0] if rest else None)
        return one_of(kinds) if kinds else self.PLAIN[word[1]]

    def _rest(self) -> tuple[Type, ...]:
        first = self._type()
        return (first, self._type()) if self._taken(":") else (first,)

    def _within(self, opening: str, read: Any, closing: str) -> list[Any]:
        found = self._listed(read) if self._taken(opening) else []
        if found and not self._taken(closing):
            raise ValueError(f"`{self.written}` has no `{closing}` at {self.at}")
        while self.written.startswith(" ", self.at):
            self.at += 1
        return found
