"""The fields of an embedder's own objects (typed), as generated code reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidegate.rego import plan
from tidegate.rego.builtins import TABLE
from tidegate.rego.generate.facts import Fact
from tidegate.rego.generate.scopes import Knowledge, operands_of, statements
from tidegate.rego.generate.typed import Known, Part, Read, Record
from tidegate.rego.plan import INPUT

if TYPE_CHECKING:
    from tidegate.rego.generate.emitter import Emitter


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
            sharing = ("costly", found.text)
            known = emitter.known(sharing)
            if known is not None:
                emitter.keep(target, known)
                return True
            name, place = f"l{target}", f"{emitter.memo}[{emitter.unit.place(found.text)}]"
            emitter.emit(f"{name} = {place}")
            emitter.emit(f"if {name} is MISSING: {name} = {place} = {found.text}")
            emitter.named(target, Fact(name, found.kind, given=True))
            if emitter.env[target].stable:
                emitter.shared[sharing] = emitter.env[target]
        else:
            emitter.keep(target, Fact(found.text, found.kind, given=True))
    return True


def field(emitter: Emitter, part: Part, names: tuple[str, ...]) -> Fact | None:
    """A field that costs nothing to read; None for any other."""
    for name in names:
        if type(part) is not Record or name not in part.fields:
            return None
        part = part.fields[name]
    if type(part) is not Read or part.costly:
        return None
    if emitter.mode == "q":
        if not part.few:
            return None
        emitter.unit.few.add(part.text)
    return Fact(part.text, part.kind, given=True)


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
