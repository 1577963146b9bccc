"""Shapes read off Structs: what a Struct decodes, and nothing else, is governed."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tidegate.wire._strict import Shape, check
from tidegate.wire.shape import shape_of


class Text(Struct, tag_field="type", tag="text"):
    text: str


class Image(Struct, tag_field="type", tag="image"):
    image_url: "Url"
    text: None = None


class Url(Struct):
    url: str


class Renamed(Struct, rename="camel"):
    max_tokens: int
    stop_at: Annotated[str, msgspec.Meta(max_length=9)] = ""


class Base(Struct, kw_only=True):
    model: str = ""


class Call(Base):
    messages: Annotated[Raw, Meta(extra={"holds": Text | Image})]
    tools: Annotated[Raw, Meta(extra={"holds": list[Url]})] | UnsetType = UNSET
    metadata: dict[str, str] | None = None
    schema: Raw = Raw(b"{}")


class Own(Struct):
    children: list["Own"]


class Lower(Struct):
    id: int


class Upper(Struct):
    ID: int


class Row(Struct, array_like=True):
    a: int


def names(shape: Shape | None) -> Any:
    """A Shape as nested dicts."""
    return None if shape is None else {name: names(child) for name, child in shape.fields.items()}


def field(annotation: Any) -> Any:
    """What governs a field of this type."""
    return names(shape_of(msgspec.defstruct("Holder", [("field", annotation)])))["field"]


PART = {"type": None, "text": None, "image_url": {"url": None}}
FIELDS = [
    (int | str | float | bool | None, None, "scalars"),
    (Annotated[str, Meta(max_length=9)], None, "a bounded string"),
    (Any, None, "anything"),
    (Raw, None, "raw and never decoded"),
    (dict[str, str], None, "a mapping of the caller's own"),
    (list[list[int]], None, "an array of numbers"),
    (Url, {"url": None}, "a Struct"),
    (Url | None, {"url": None}, "a Struct or null"),
    (str | list[Url], {"url": None}, "text or a list of Structs"),
    (list[list[Url]], {"url": None}, "lists in lists"),
    (tuple[Url, ...], {"url": None}, "a tuple of any length"),
    (tuple[int, Url], {"url": None}, "a tuple of a fixed length"),
    (tuple[Url, Base], {"url": None, "model": None}, "a tuple of two Structs"),
    (tuple[()], None, "the empty tuple"),
    (Text, {"type": None, "text": None}, "the tag is governed too"),
    (Text | Image, PART, "a union is merged"),
    (list[Image | Text], PART, "whatever its order"),
    (Renamed, {"maxTokens": None, "stopAt": None}, "names as they are encoded"),
    (Annotated[Raw, Meta(extra={"holds": Url})], {"url": None}, "raw, decoded later"),
    (Annotated[Raw, Meta(extra={"holds": Text | Image})], PART, "raw, one of two"),
    (Annotated[Raw, Meta(extra={"holds": list[Url]})] | UnsetType, {"url": None}, "raw or absent"),
    (Annotated[Raw, Meta(extra={"other": Url})], None, "raw with a note of another kind"),
    (Annotated[Url, Meta(extra={"other": 1})], {"url": None}, "a Struct with a note"),
]


@pytest.mark.parametrize(("annotation", "governed", "note"), FIELDS, ids=[note for *_, note in FIELDS])
def test_what_a_field_governs(annotation: Any, governed: Any, note: str) -> None:
    assert field(annotation) == governed


def test_a_call_as_a_whole() -> None:
    assert names(shape_of(Call)) == {
        "model": None,
        "messages": PART,
        "tools": {"url": None},
        "metadata": None,
        "schema": None,
    }


@pytest.mark.parametrize(
    ("annotation", "error", "message", "note"),
    [
        (Own, TypeError, "`Own` holds itself", "recursion"),
        (Row, TypeError, "cannot describe", "an object that is an array"),
        (dict[str, Url], TypeError, "cannot describe", "Structs under names of the caller's own"),
        (tuple[Lower, Upper], ValueError, "only by case", "Structs that spell a name in two ways"),
    ],
)
def test_what_a_shape_cannot_say_is_refused(annotation: Any, error: type[Exception], message: str, note: str) -> None:
    with pytest.raises(error, match=message):
        field(annotation)


def test_what_msgspec_would_read_is_checked() -> None:
    twice = b'{"model":"a","messages":[{"type":"image","image_url":{"url":"allowed","url":"forbidden"}}]}'
    fault = check(twice, shape_of(Call), 8)
    assert fault is not None
    assert fault.explain() == "key `url` stands twice (byte 70)"
    assert check(b'{"messages":[],"schema":{"url":1,"url":2},"metadata":{"a":"","a":""}}', shape_of(Call), 8) is None
