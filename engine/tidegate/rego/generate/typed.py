"""Functions that read their input from an embedding program's own objects, instead of a document made of them.

The embedder says how each field of its input document is read: as an expression over the arguments of the functions,
or as a value that it always has. Generated code then contains that expression, and knows its type. Only where a
policy takes hold of a whole part of the document is that part made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec import Struct

from tidegate.rego import plan
from tidegate.rego.builtins import TABLE
from tidegate.rego.evaluation import BUDGET
from tidegate.rego.generate.facts import Fact
from tidegate.rego.generate.scopes import Knowledge, operands_of, statements
from tidegate.rego.plan import INPUT
from tidegate.rego.values import Value

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter


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
        if found.costly:
            name, place = f"l{target}", f"{emitter.memo}[{emitter.unit.place(found.text)}]"
            emitter.emit(f"{name} = {place}")
            emitter.emit(f"if {name} is MISSING: {name} = {place} = {found.text}")
            emitter.named(target, Fact(name, found.kind, given=True))
        else:
            emitter.keep(target, Fact(found.text, found.kind, given=True))
    return True


def field(part: Part, names: tuple[str, ...]) -> Fact | None:
    """A field that costs nothing to read; None for any other."""
    for name in names:
        if type(part) is not Record or name not in part.fields:
            return None
        part = part.fields[name]
    return Fact(part.text, part.kind, given=True) if type(part) is Read and not part.costly else None


def whole(part: Record) -> Fact:
    """The document of a part."""
    return Fact(part.text, "object", given=True)


class Fields:
    """Which fields of the input each function reads, itself or through others."""

    def __init__(self, knowledge: Knowledge, document: Record) -> None:
        self._knowledge = knowledge
        self._document = document
        self._found: dict[str, frozenset[Read] | None] = {}

    def of(self, name: str) -> frozenset[Read] | None:
        """The fields; None where they cannot be told, or where the result depends on more than fields."""
        if name not in self._found:
            self._found[name] = None
            self._found[name] = self._read(name)
        return self._found[name]

    def keys(self, name: str) -> list[str]:
        """The expressions of the fields by which a rule's results may be kept; none where they may not be."""
        calls = self._knowledge.scopes[name].functions
        if not self._knowledge.rule(name) or not calls:
            return []
        read = self.of(name)
        return sorted(field.text for field in read) if read and all(field.few for field in read) else []

    def _read(self, name: str) -> frozenset[Read] | None:
        function = self._knowledge.functions[name]
        at: dict[int, Record] = {INPUT: self._document}
        read: set[Read] = set()
        for statement in statements(function.blocks):
            kind = type(statement)
            if kind is plan.With or kind is plan.CallDynamic:
                return None
            if kind is plan.Call:
                called = self._called(statement, at)  # type: ignore[arg-type]
                if called is None:
                    return None
                read |= called
            elif kind is plan.Dot and statement.source in at:  # type: ignore[attr-defined]
                part = at[statement.source].fields.get(statement.key)  # type: ignore[attr-defined]
                if type(part) is Record:
                    at[statement.target] = part  # type: ignore[attr-defined]
                elif type(part) is Read:
                    read.add(part)
                elif part is None:
                    return None
            elif kind is plan.Assign and statement.source in at:  # type: ignore[attr-defined]
                at[statement.target] = at[statement.source]  # type: ignore[attr-defined]
            elif kind is not plan.IsDefined and any(
                type(operand) is int and operand in at for operand in operands_of(statement)
            ):
                return None  # a whole part of the document
        return frozenset(read)

    def _called(self, call: plan.Call, at: dict[int, Record]) -> frozenset[Read] | None:
        if call.function in self._knowledge.functions:
            return None if any(argument in at for argument in call.args[2:]) else self.of(call.function)
        builtin = TABLE.get(call.function)
        pure = builtin is not None and builtin.pure
        return frozenset() if pure and not any(argument in at for argument in call.args) else None
