"""All functions of a plan that its entries reach: the source of one Python module, and the constants it names."""

from __future__ import annotations

from typing import Any, Final

from tidegate.rego import plan
from tidegate.rego.builtins import REFUSED, TABLE, Builtin
from tidegate.rego.errors import BuiltinError, EvaluationError, PolicyRefused, Problem
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate import runtime
from tidegate.rego.generate.emitter import Emitter, Frame
from tidegate.rego.generate.facts import NOTHING, Fact
from tidegate.rego.generate.scopes import Knowledge, statements
from tidegate.rego.plan import DATA, INPUT
from tidegate.rego.values import (
    UNDEFINED,
    RegoSet,
    Value,
    compare,
    equal,
    items,
    key,
    lookup,
    set_of,
)

FOLDING: Final = 100_000  # what may be spent on a constant expression beforehand
LARGEST: Final = 10_000  # a constant with more members is made when it is asked for
EFFECTS: Final = (plan.Add, plan.Append, plan.Insert, plan.InsertOnce, plan.AssignOnce, plan.ResultAdd, plan.Return)
RUNTIME: Final[dict[str, Any]] = {
    "U": UNDEFINED,
    "MISSING": runtime.MISSING,
    "RegoSet": RegoSet,
    "SIZED": frozenset((list, dict, RegoSet, str)),
    "compare": compare,
    "conflict": runtime.conflict,
    "call_dynamic": runtime.call_dynamic,
    "equal": equal,
    "insert_once": runtime.insert_once,
    "items": items,
    "items_unordered": runtime.items_unordered,
    "key": key,
    "lookup": lookup,
    "lookup_base": runtime.lookup_base,
    "member": runtime.member,
    "members": runtime.members,
    "members_unordered": runtime.members_unordered,
    "merge": runtime.merge,
    "replaced": runtime.replaced,
    "set_of": set_of,
    "size": runtime.size,
    "spend": runtime.spend,
}


class Unit:
    """The functions generated together: they share constants, memo slots and names."""

    def __init__(self, knowledge: Knowledge, data: Value, strict: bool, constants: dict[str, Value]) -> None:
        self.knowledge = knowledge
        self.data = data
        self.strict = strict
        self.constants = constants  # by rule: the value of a rule that does not depend on the input
        self.typed: Any = None
        self.generic = False
        self.namespace: dict[str, Any] = {}
        self.bodies: dict[Frame, plan.Scan] = {}
        self.numbers = {name: number for number, name in enumerate(knowledge.functions)}
        self.slots: dict[str, int] = {}
        self.source: list[str] = []
        self._held: dict[int, str] = {}
        self._labels = 0
        self._wanted: list[tuple[str, bool]] = []
        self._queued: set[tuple[str, bool]] = set()
        self._sites = self._call_sites()

    # names

    def label(self) -> str:
        self._labels += 1
        return f"b{self._labels}"

    def constant(self, value: Value) -> str:
        """An expression for a constant: itself where it is short, else a name."""
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return repr(value)
        if kind is int and -(10**15) < value < 10**15:
            return repr(value) if value >= 0 else f"({value!r})"
        if kind is float:
            return repr(value) if value >= 0 else f"({value!r})"
        return self.named(value)

    def named(self, value: Any) -> str:
        """A name in the module for an object."""
        name = self._held.get(id(value))
        if name is None:
            name = self._held[id(value)] = f"K{len(self._held)}"
            self.namespace[name] = value
        return name

    def frozen(self, strings: list[str]) -> str:
        """A name for a set of strings that is only ever asked for membership."""
        name = f"S{len(self.namespace)}"
        self.namespace[name] = frozenset(strings)
        return name

    def builtin(self, name: str) -> str:
        """A name for a builtin's function, which makes errors undefined unless evaluation is strict."""
        written = f"b_{name.replace('.', '_')}"
        if written not in self.namespace:
            self.namespace[written] = self._function(available(name))
        return written

    def _function(self, builtin: Builtin) -> Any:
        function = builtin.call
        if self.strict:
            return function

        def lenient(*operands: Value) -> Value:
            try:
                return function(*operands)
            except BuiltinError:
                return UNDEFINED

        return lenient

    # functions

    def called(self, emitter: Emitter, name: str) -> tuple[str, list[str]]:
        """The name of a rule's or function's Python function from where it is called, and its first arguments."""
        self._want(name, emitter.generic)
        documents = [self.document(emitter, INPUT)]
        if emitter.generic:
            documents.append(self.document(emitter, DATA))
        return f"{'g' if emitter.generic else 'f'}{self.numbers[name]}", documents

    def document(self, emitter: Emitter, local: int) -> str:
        return emitter.settled(emitter.env[local]).text

    def dynamic(self, emitter: Emitter) -> tuple[str, list[str]]:
        """The name of the table of all rules by their paths, and what they are called with."""
        for name in self.knowledge.functions:
            if self.knowledge.rule(name):
                self._want(name, emitter.generic)
        documents = [self.document(emitter, INPUT)]
        if emitter.generic:
            return "DYNAMIC_GENERIC", [*documents, self.document(emitter, DATA)]
        return "DYNAMIC", documents

    def _want(self, name: str, generic: bool) -> None:
        if (name, generic) not in self._queued:
            self._queued.add((name, generic))
            self._wanted.append((name, generic))

    def _call_sites(self) -> dict[str, int]:
        """How often each function may run in one evaluation; two stands for more than once."""
        sites: dict[str, int] = {}
        knowledge = self.knowledge
        dynamic = any(scopes.dynamic for scopes in (*knowledge.scopes.values(), *knowledge.entries.values()))
        for name, scopes in (*knowledge.scopes.items(), *knowledge.entries.items()):
            often = name in knowledge.functions and not knowledge.rule(name)
            for call, looped in scopes.functions:
                sites[call.function] = sites.get(call.function, 0) + (2 if often or looped else 1)
        if dynamic:
            sites = dict.fromkeys(knowledge.functions, 2)
        return sites

    def assign_slots(self) -> None:
        """A place in the memo for every rule that could run twice."""
        for name in self.knowledge.functions:
            if self.knowledge.rule(name) and self._sites.get(name, 0) > 1 and name not in self.constants:
                self.slots[name] = len(self.slots) + 1

    def generate(self) -> None:
        """Every function that was asked for, and those they call."""
        while self._wanted:
            name, generic = self._wanted.pop()
            self._generate_function(name, generic)

    def _generate_function(self, name: str, generic: bool) -> None:
        function = self.knowledge.functions[name]
        scopes = self.knowledge.scopes[name]
        self.generic = generic
        env = {local: Fact(f"l{local}", defined=local > DATA) for local in function.params}
        params = [f"l{local}" for local in function.params if generic or local != DATA]
        if not generic:
            env[DATA] = self.data_fact()
        slot = self.slots.get(name) if self.knowledge.rule(name) else None
        emitter = Emitter(self, name, scopes, slot, env)
        if not self.knowledge.rule(name):
            inner = sum(call.function in self.numbers for call, _ in scopes.functions)
            if inner:
                emitter.emit(f"spend(M[0], {inner})")
        reached = self._body(emitter, function.blocks)
        if reached:
            emitter.emit("return U")
        self._write(f"def {'g' if generic else 'f'}{self.numbers[name]}({', '.join([*params, 'M'])}):", emitter)

    def data_fact(self) -> Fact:
        return Fact(self.named(self.data), "object", value=self.data, base=True)

    def _body(self, emitter: Emitter, blocks: list[plan.Block]) -> bool:
        emitter.several(blocks, True)
        return not (emitter.lines and emitter.lines[-1][0] == 1 and emitter.lines[-1][1].startswith("return "))

    def entry(self, entry: plan.Entry) -> None:
        """The function of an entry: it returns the list of its results."""
        self.generic = False
        env = {INPUT: Fact("l0", defined=False), DATA: self.data_fact()}
        emitter = Emitter(self, entry.name, self.knowledge.entries[entry.name], None, env)
        emitter.emit("results = []")
        self._body(emitter, entry.blocks)
        emitter.emit("return results")
        position = list(self.knowledge.entries).index(entry.name)
        self._write(f"def entry{position}(l0, M):", emitter)

    def _write(self, head: str, emitter: Emitter) -> None:
        self.source.append(head)
        params = set(head[head.index("(") + 1 : -2].split(", "))
        started = sorted(emitter.variables - params)
        if started:
            self.source.append(f" {' = '.join(started)} = U")
        self.source += [" " * depth + text for depth, text in emitter.lines]

    # what the emitter asks

    def always_defined(self, name: str) -> bool:
        """Whether a function's result is a composite that its first statement makes."""
        function = self.knowledge.functions[name]
        sources = self.knowledge.scopes[name].sources.get(function.result, [])
        first = function.blocks[0][0] if function.blocks and function.blocks[0] else None
        return sources == [first] and type(first) in (plan.MakeSet, plan.MakeObject, plan.MakeArray)

    def charged(self, emitter: Emitter) -> bool:
        """Whether a function may run so often that its outermost loops count too."""
        return self.knowledge.withs or (
            emitter.name in self.knowledge.functions and not self.knowledge.rule(emitter.name)
        )

    def effects(self, emitter: Emitter, frame: Frame) -> int:
        """How many statements of a loop's body leave something behind."""
        return sum(type(one) in EFFECTS for one in statements([self.bodies[frame].block]))

    def collects(self, emitter: Emitter, statement: plan.Add) -> bool:
        """Whether an element of a set was kept in another way than in a set."""
        return False

    def returned(self, emitter: Emitter, text: str) -> str:
        return text

    def merged(self, a: Value, b: Value) -> Value:
        return runtime.merge(a, b)

    def fold(self, name: str, operands: list[Value]) -> Value:
        """A builtin's result on constants; NOTHING where it fails or is large, so that it happens in its time."""
        builtin = TABLE[name]
        if builtin.evaluation:
            operands = [Evaluation(self.strict, budget=FOLDING), *operands]
        try:
            value = builtin.call(*operands)
        except EvaluationError:
            return NOTHING
        if type(value) in (list, dict, RegoSet, str) and len(value) > LARGEST:
            return NOTHING
        return value


def available(name: str) -> Builtin:
    """A builtin, or the reason why a policy may not call it."""
    if name in REFUSED:
        raise PolicyRefused([Problem("rego_type_error", f"`{name}` is refused: {REFUSED[name]}")])
    if name not in TABLE:
        raise PolicyRefused([Problem("rego_type_error", f"undefined function `{name}`")])
    return TABLE[name]
