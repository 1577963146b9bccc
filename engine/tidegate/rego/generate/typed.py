"""Functions that read their input from an embedding program's own objects, instead of a document made of them.

The embedder says how each field of its input document is read: as an expression over the arguments of the functions,
or as a value that it always has. Generated code then contains that expression, and knows its type. Only where a
policy takes hold of a whole part of the document is that part made. `fields` is how that code is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from tidegate.rego.evaluation import BUDGET
from tidegate.rego.values import Value

TYPED_MODES: Final = ("t", "q")  # the forms of functions that have a typed input: those of Unit.mode


class Read(Struct, frozen=True):
    """A field that an expression gives; `kind` is the one type that its value always has, or "any"."""

    text: str
    kind: str = "any"
    costly: bool = False  # made once in an evaluation
    few: bool = False  # strings, booleans or null, and so few different ones that results may be kept by them


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

    def finished(self, elements: list[object]) -> object:
        """What stands for the set of these elements, of which some may be equal."""
        ...


class Typed(Struct, frozen=True):
    """What an embedder gives and takes."""

    params: tuple[str, ...]
    moment: str  # the expression of the time, in nanoseconds since 1970
    input: Record
    names: dict[str, Any]  # what the expressions of the fields mention, beside the parameters
    rules: dict[str, Collector | None]  # by function of the plan: what is wanted, sets through their collector
    budget: int = BUDGET
