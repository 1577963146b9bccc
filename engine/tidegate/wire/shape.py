"""The governed names of a dialect's bodies, read off the Structs that decode them: the Structs are the one truth.

An object that a Struct decodes gets a Shape: the names as they are encoded, the tag field of a tagged union included.
A `msgspec.Raw` field is decoded later, by what its annotation says it holds:

    messages: Annotated[Raw, Meta(extra={"holds": Message})]

Where several Structs are possible, their Shapes are merged. A plain mapping (`dict[str, str]`) and a Raw that holds
nothing are the caller's own: nothing in them is governed. A type whose objects a Shape cannot describe is refused, so
nothing is decoded that is not checked.
"""

from functools import reduce
from typing import Final

from msgspec import Struct, inspect

from tidegate.wire._strict import Shape

SCALARS: Final = (
    inspect.AnyType,
    inspect.NoneType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.StrType,
    inspect.EnumType,
    inspect.LiteralType,
    inspect.RawType,
)


def shape_of(struct: type[Struct]) -> Shape:
    """The Shape of the objects that `struct` decodes; TypeError if it holds what a Shape cannot describe."""
    shape = _shape(inspect.type_info(struct), ())
    if shape is None:
        raise TypeError(f"`{struct}` is not a Struct")
    return shape


def _shape(kind: inspect.Type, within: tuple[type, ...]) -> Shape | None:
    """What governs the objects in a value of this type, itself or as elements; None if nothing does."""
    match kind:
        case inspect.StructType(array_like=False):
            return _struct(kind, within)
        case inspect.Metadata(type=inspect.RawType(), extra={"holds": held}):
            return _shape(inspect.type_info(held), within)
        case inspect.Metadata():
            return _shape(kind.type, within)
        case inspect.UnionType() | inspect.TupleType():
            members = kind.types if isinstance(kind, inspect.UnionType) else kind.item_types
            return reduce(_merged, (_shape(member, within) for member in members), None)
        case inspect.ListType() | inspect.VarTupleType():
            return _shape(kind.item_type, within)
        case inspect.DictType() if _shape(kind.value_type, within) is None:
            return None
    if isinstance(kind, SCALARS):
        return None
    raise TypeError(f"a Shape cannot describe `{kind}`")


def _struct(kind: inspect.StructType, within: tuple[type, ...]) -> Shape:
    if kind.cls in within:
        raise TypeError(f"`{kind.cls.__name__}` holds itself, and a Shape is a finite tree")
    fields: dict[str, Shape | None] = {} if kind.tag_field is None else {kind.tag_field: None}
    fields |= {field.encode_name: _shape(field.type, (*within, kind.cls)) for field in kind.fields}
    return Shape(fields)


def _merged(one: Shape | None, other: Shape | None) -> Shape | None:
    if one is None or other is None:
        return one or other
    names = {**one.fields, **other.fields}
    return Shape({name: _merged(one.fields.get(name), other.fields.get(name)) for name in names})
