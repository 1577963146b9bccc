"""Functions that read their input from an embedding program's own objects, instead of a document made of them.

The embedder says how each field of its input document is read: as an expression over the arguments of the functions,
or as a value that it always has. Generated code then contains that expression, and knows its type. Only where a
policy takes hold of a whole part of the document is that part made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from tidegate.rego.generate.facts import Fact
from tidegate.rego.values import Value

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter


class Read(Struct, frozen=True):
    """A field that an expression gives; `kind` is the one type that its value always has, or "any"."""

    text: str
    kind: str = "any"
    costly: bool = False  # worth keeping for the next time


class Known(Struct, frozen=True):
    """A field that always has this value."""

    value: Value


class Record(Struct, frozen=True):
    """A part of the document that has these fields and no others; `text` makes it whole."""

    fields: dict[str, Part]
    text: str


Part: TypeAlias = Read | Known | Record


class Collector(Protocol):
    """Makes an embedder's own objects of the elements of a set, at once or of what is known of them beforehand."""

    def convert(self, value: Value) -> object:
        """The object of an element."""
        ...

    def partial(self, known: dict[str, Value], names: tuple[str, ...]) -> Callable[..., object]:
        """A function from the values of the fields `names` to the object that has them and the known ones."""
        ...


class Typed(Struct, frozen=True):
    """What an embedder gives and takes."""

    params: tuple[str, ...]
    input: Record
    names: dict[str, Any]  # what the expressions of the fields mention, beside the parameters
    rules: dict[str, Collector | None]  # by function of the plan: what is wanted, sets through their collector


def dot(emitter: Emitter, part: Record, index: Fact, target: int) -> bool:
    """Reads a field; False where the document is asked for something that is known only then."""
    if not (index.known and type(index.value) is str):
        return False
    found = part.fields.get(index.value)
    if found is None:
        emitter.never()
    if type(found) is Record:
        emitter.env[target] = Fact("", "object", node=found)
    elif type(found) is Known:
        emitter.keep(target, emitter.constant(found.value))
    elif type(found) is Read:
        shared = emitter.shared.get(("input", found.text))
        if shared is None and found.costly:
            emitter.compute(target, found.text, found.kind, True, sharing=("input", found.text))
        else:
            emitter.keep(target, shared or Fact(found.text, found.kind))
    return True


def whole(part: Record) -> Fact:
    """The document of a part."""
    return Fact(part.text, "object")
