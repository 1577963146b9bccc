"""All functions of a plan that its entries reach: the source of one Python module, and the constants it names."""

from __future__ import annotations

from typing import Any, Final

from tidegate.rego import plan
from tidegate.rego.builtins import TABLE
from tidegate.rego.errors import EvaluationError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate import loops
from tidegate.rego.generate.emitter import Emitter
from tidegate.rego.generate.facts import NOTHING, Fact
from tidegate.rego.generate.fields import Fields
from tidegate.rego.generate.frames import Frame
from tidegate.rego.generate.inline import TYPE_TESTS
from tidegate.rego.generate.link import Row
from tidegate.rego.generate.scopes import Knowledge, statements
from tidegate.rego.generate.typed import TYPED_MODES, Collector, Typed
from tidegate.rego.plan import DATA, INPUT
from tidegate.rego.values import UNDEFINED, Key, RegoSet, Value

FOLDING: Final = 100_000  # what may be spent on a constant expression beforehand
LARGEST: Final = 10_000  # a constant with more members is made when it is asked for
# builtins that have an answer for any operands
TOTAL: Final = frozenset(
    [
        "equal",
        "neq",
        "lt",
        "lte",
        "gt",
        "gte",
        "internal.member_2",
        "internal.member_3",
        "type_name",
        *TYPE_TESTS,
    ]
)
EFFECTS: Final = (plan.Add, plan.Append, plan.Insert, plan.InsertOnce, plan.AssignOnce, plan.ResultAdd, plan.Return)


class Unit:
    """The functions generated together: they share constants, memo slots and names."""

    def __init__(
        self, knowledge: Knowledge, data: Value, strict: bool, constants: dict[str, Value], typed: Typed | None = None
    ) -> None:
        self.knowledge = knowledge
        self.data = data
        self.strict = strict
        self.constants = constants  # by rule: the value of a rule that does not depend on the input
        self.typed = typed
        self.recipes: dict[str, tuple[Any, ...]] = {}  # how each name of the module is made
        self.bodies: dict[Frame, plan.Scan] = {}
        self.numbers = {name: number for number, name in enumerate(knowledge.functions)}
        self.slots: dict[str, int] = {}
        self.source: list[str] = []
        self._held: dict[int, str] = {}
        self._caches: dict[str, str] = {}
        self._labels = 0
        self._wanted: list[tuple[str, str]] = []
        self._queued: set[tuple[str, str]] = set()
        self._kept: list[Any] = []  # so that no id is used twice
        self._scale = Evaluation()
        self._fails: dict[str, bool] = {}
        self._readers = self._call_sites_of_functions()
        self._sites = self._call_sites()
        self._fields = Fields(knowledge, typed.input) if typed is not None else None
        self.few: set[str] = set()  # the fields that the noting functions read as they are
        self._reach: dict[str, set[int]] | None = None
        if typed is not None:
            self.place("moment")
            self.place("notes")

    # names

    def label(self) -> str:
        self._labels += 1
        return f"b{self._labels}"

    def constant(self, value: Value) -> str:
        """An expression for a constant: itself where it is short, else a name."""
        kind = type(value)
        if kind is str or kind is bool or value is None:
            return repr(value)
        if (kind is int and -(10**15) < value < 10**15) or kind is float:
            return f"({value!r})"  # `5.x` would be another thing
        return self.named(value)

    def named(self, value: Any) -> str:
        """A name in the module for a constant."""
        name = self._held.get(id(value))
        if name is None:
            if type(value) is Key:
                name = self.recipe("K", "key", value.value)
            else:
                name = self.recipe("K", "value", value)
            self._held[id(value)] = name
            self._kept.append(value)
        return name

    def recipe(self, letter: str, *how: Any) -> str:
        """A new name for what a recipe makes."""
        name = f"{letter}{len(self.recipes)}"
        self.recipes[name] = how
        return name

    def frozen(self, strings: list[str]) -> str:
        """A name for a set of strings that is only ever asked for membership."""
        return self.recipe("S", "strings", sorted(set(strings)))

    def builtin(self, name: str) -> str:
        """A name for a builtin's function."""
        written = f"b_{name.replace('.', '_')}"
        self.recipes[written] = ("builtin", name)
        return written

    # functions

    def mode(self, emitter: Emitter, name: str = "") -> str:
        """Which form of a function is called: "t", typed; "q", typed and noting its questions, where it can have some;
        "f", on documents with the data as loaded; "g", on any documents.
        """
        if emitter.generic:
            return "g"
        if emitter.env[INPUT].node is None:
            return "f"
        return self.noting(name) if emitter.mode == "q" else "t"

    def noting(self, name: str) -> str:
        """The form of a function that a noting one calls."""
        assert self._fields is not None
        read = self._fields.of(name)
        if read is None or not all(field.few for field in read):
            return "q"
        self.few |= {field.text for field in read}
        return "t"

    def reach(self, name: str) -> list[int]:
        """The wanted rules whose evaluation can come to a function, by their places."""
        if self._reach is None:
            self._reach = {}
            for number, wanted in enumerate(self.typed.rules if self.typed is not None else ()):
                self._reached(wanted, number, self._reach)
        return sorted(self._reach[name])

    def _reached(self, name: str, number: int, found: dict[str, set[int]]) -> None:
        if name not in self.knowledge.functions or number in found.setdefault(name, set()):
            return
        found[name].add(number)
        for call, _ in self.knowledge.scopes[name].functions:
            self._reached(call.function, number, found)

    def called(self, emitter: Emitter, name: str) -> tuple[str, list[str]]:
        """The name of a rule's or function's Python function from where it is called, and its first arguments."""
        mode = self.mode(emitter, name)
        return self.want(name, mode), self.documents(emitter, mode)

    def documents(self, emitter: Emitter, mode: str) -> list[str]:
        """What a function of that form takes first."""
        if mode in TYPED_MODES:
            assert self.typed is not None
            return list(self.typed.params)
        given = [INPUT, DATA] if mode == "g" else [INPUT]
        return [emitter.settled(emitter.env[local]).text for local in given]

    def dynamic(self, emitter: Emitter) -> tuple[str, list[str]]:
        """The name of the table of all rules by their paths, and what they are called with."""
        mode = self.mode(emitter)
        for name in self.knowledge.functions:
            if self.knowledge.rule(name):
                self.want(name, mode)
        return f"DYNAMIC_{mode}", self.documents(emitter, mode)

    def want(self, name: str, mode: str) -> str:
        """Asks for a function in one of its forms; its name in the module."""
        if (name, mode) not in self._queued:
            self._queued.add((name, mode))
            self._wanted.append((name, mode))
        return f"{mode}{self.numbers[name]}"

    def tables(self) -> dict[str, list[Row]]:
        """What a path that is known only at run time can name, in each form."""
        found: dict[str, list[Row]] = {f"DYNAMIC_{mode}": [] for mode in "ftg"}
        for name, mode in sorted(self._queued):
            path = self.knowledge.functions[name].path
            if path and self.knowledge.rule(name) and mode != "q":
                slot = self.slot(name, mode) or 0
                found[f"DYNAMIC_{mode}"].append((path, f"{mode}{self.numbers[name]}", slot))
        return found

    def _call_sites(self) -> dict[str, int]:
        """How often each function may run in one evaluation; two stands for more than once."""
        sites = dict(self._readers)
        knowledge = self.knowledge
        dynamic = any(scopes.dynamic for scopes in (*knowledge.scopes.values(), *knowledge.entries.values()))
        for scopes in knowledge.entries.values():
            for call, looped in scopes.functions:
                sites[call.function] = sites.get(call.function, 0) + (2 if looped else 1)
        for name in self.typed.rules if self.typed is not None else ():
            sites[name] = sites.get(name, 0) + 1
        if dynamic:
            sites = dict.fromkeys(knowledge.functions, 2)
        return sites

    def _call_sites_of_functions(self) -> dict[str, int]:
        """How often each function may be run by others."""
        sites: dict[str, int] = {}
        knowledge = self.knowledge
        for name, scopes in knowledge.scopes.items():
            for call, looped in scopes.functions:
                sites[call.function] = sites.get(call.function, 0) + (2 if looped or not knowledge.rule(name) else 1)
            if scopes.dynamic:
                sites |= dict.fromkeys(knowledge.functions, 2)
        return sites

    def assign_slots(self) -> None:
        """A place in the memo for every rule that could run twice."""
        for name in self.knowledge.functions:
            if self.knowledge.rule(name) and self._sites.get(name, 0) > 1 and name not in self.constants:
                self.place(name)

    def place(self, name: str) -> int:
        """Where the memo keeps what is made once in an evaluation."""
        return self.slots.setdefault(name, len(self.slots) + 1)

    def generate(self) -> None:
        """Every function that was asked for, and those they call."""
        while self._wanted:
            self._function(*self._wanted.pop())

    def _function(self, name: str, mode: str) -> None:
        function = self.knowledge.functions[name]
        scopes = self.knowledge.scopes[name]
        env = {local: Fact(f"l{local}", defined=local > DATA, given=local <= DATA) for local in function.params}
        params = [f"l{local}" for local in function.params]
        if mode != "g":
            env[DATA] = self.data_fact()
            params.remove(f"l{DATA}")
        if mode in TYPED_MODES:
            assert self.typed is not None
            env[INPUT] = Fact("", "object", node=self.typed.input)
            params[:1] = self.typed.params
        emitter = Emitter(self, name, scopes, self.slot(name, mode), env, mode)
        if self.collector(emitter, function.result) is not None:
            emitter.finish = self.recipe("C", "finish", name)
        keys = self.kept_by(name, mode)
        if keys:
            emitter.kept = self._cache(name)
            emitter.emit(f"read = {_together(keys)}")
        if self.charged(emitter):
            inner = sum(call.function in self.numbers for call, _ in scopes.functions)
            if inner:
                emitter.emit(f"spend({emitter.evaluation}, {inner})")
        if self._body(emitter, function.blocks):
            emitter.result("U")
        self._write(f"def {mode}{self.numbers[name]}({', '.join([*params, 'M'])}):", emitter)

    def data_fact(self) -> Fact:
        return Fact(self.named(self.data), "object", value=self.data, base=True)

    def _body(self, emitter: Emitter, blocks: list[plan.Block]) -> bool:
        loops.several(emitter, blocks, True)
        return not (emitter.lines and emitter.lines[-1][0] == 1 and emitter.lines[-1][1].startswith("return "))

    def entry(self, entry: plan.Entry) -> None:
        """The function of an entry: it returns the list of its results."""
        env = {INPUT: Fact("l0", defined=False, given=True), DATA: self.data_fact()}
        emitter = Emitter(self, entry.name, self.knowledge.entries[entry.name], None, env, "f")
        emitter.emit("results = []")
        self._body(emitter, entry.blocks)
        emitter.emit("return results")
        position = list(self.knowledge.entries).index(entry.name)
        self._write(f"def entry{position}(l0, M):", emitter)

    def typed_entry(self) -> None:
        """All rules that the embedder wants, as a tuple: `noted` with what was asked, `again` only some of them."""
        assert self.typed is not None
        given, rules = ", ".join(self.typed.params), self.typed.rules
        noted = [self._wanted_rule(name, collector, "q") for name, collector in rules.items()]
        plain = [self._wanted_rule(name, collector, "t") for name, collector in rules.items()]
        again = [f"{text} if {number} in rules else said[{number}]" for number, text in enumerate(plain)]
        self.generate()
        begin = [" M = BLANK[:]", f" M[{self.place('moment')}] = {self.typed.moment}"]
        self.source += [f"def noted({given}):", *begin, f" M[{self.place('notes')}] = notes = []"]
        self.source += [f" return ({', '.join(noted)},), notes"]
        self.source += [f"def again({given}, said, rules):", *begin, f" return ({', '.join(again)},)"]

    def _wanted_rule(self, name: str, collector: Collector | None, mode: str) -> str:
        if name not in self.knowledge.functions:
            return "U" if collector is None else self.nothing(name)
        if name not in self.constants:
            assert self.typed is not None
            if mode == "q":
                mode = self.noting(name)
            call = f"{self.want(name, mode)}({', '.join(self.typed.params)}, M)"
            slot, kept = self.slot(name, mode), self.kept_in(name, mode)
            if kept:
                call = f"({call} if (r := {kept}) is MISSING else r)"
            elif slot is not None:
                call = f"({call} if M[{slot}] is MISSING else M[{slot}])"
            return call if collector is None or name not in self._readers else self._as_set(name, call)
        value = self.constants[name]
        if collector is None:
            return "U" if value is UNDEFINED else self.constant(value)
        elements = list(value.values()) if type(value) is RegoSet else [value]
        if all(accepted(collector, element) for element in elements):
            return self.recipe("C", "converted", name, elements)
        return self._as_set(name, self.constant(value))

    def _as_set(self, name: str, text: str) -> str:
        """What the embedder wants of a rule that is kept as a set."""
        return f"{self.recipe('C', 'set', name)}({text})"

    def _write(self, head: str, emitter: Emitter) -> None:
        self.source.append(head)
        params = set(head[head.index("(") + 1 : -2].split(", "))
        started = sorted(emitter.variables - params)
        if started:
            self.source.append(f" {' = '.join(started)} = U")
        self.source += [" " * depth + text for depth, text in emitter.lines]

    # what the emitter asks

    def slot(self, name: str, mode: str) -> int | None:
        """Where the memo of an evaluation keeps a rule's result, if it does."""
        return None if self.kept_by(name, mode) else self.slots.get(name)

    def kept_by(self, name: str, mode: str) -> list[str]:
        """The expressions by which a rule's result is kept from evaluation to evaluation, if it is."""
        return self._fields.keys(name) if self._fields is not None and mode == "t" else []

    def kept_in(self, name: str, mode: str) -> str:
        """The expression that finds a result that was kept, or MISSING; empty where none is."""
        keys = self.kept_by(name, mode)
        return f"{self._cache(name)}.get({_together(keys)}, MISSING)" if keys else ""

    def _cache(self, name: str) -> str:
        """The name of what keeps a rule's results from evaluation to evaluation."""
        found = self._caches.get(name)
        if found is None:
            found = self._caches[name] = self.recipe("C", "cache")
        return found

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

    def shareable(self, emitter: Emitter, name: str) -> bool:
        """Whether a call is one of a rule that is evaluated, and has the same value all through a function."""
        return (
            name in self.knowledge.functions
            and self.knowledge.rule(name)
            and (emitter.generic or name not in self.constants)
        )

    def once_is_enough(self, frame: Frame) -> bool:
        """Whether a loop does nothing but put one thing somewhere, and no round of it can fail."""
        body = list(statements([self.bodies[frame].block]))
        calls = [one.function for one in body if type(one) is plan.Call]
        return sum(type(one) in EFFECTS for one in body) == 1 and not any(map(self.fails, calls))

    def fails(self, name: str) -> bool:
        """Whether a call can end the evaluation: by a conflict, or in strict mode by an error of a builtin."""
        if name not in self.knowledge.functions:
            return self.strict and name not in TOTAL
        if name not in self._fails:
            self._fails[name] = False
            function = self.knowledge.functions[name]
            self._fails[name] = any(
                type(one) in (plan.AssignOnce, plan.InsertOnce, plan.CallDynamic)
                or (type(one) is plan.Call and self.fails(one.function))
                for one in statements(function.blocks)
            )
        return self._fails[name]

    def collector(self, emitter: Emitter, local: int) -> Collector | None:
        """What makes the elements of the set in a local, where it is not kept as a set."""
        if self.typed is None or emitter.mode not in TYPED_MODES or emitter.name in self._readers:
            return None  # others read it as a set
        function = self.knowledge.functions[emitter.name]
        return self.typed.rules.get(emitter.name) if local == function.result else None

    def nothing(self, name: str) -> str:
        """A name for what stands for the empty set of a rule."""
        return self.recipe("C", "converted", name, [])

    def collected(self, emitter: Emitter, statement: plan.Add) -> str:
        """The expression of an element of such a set."""
        fact = emitter.read(statement.value)
        made = emitter.settled(fact)
        collector = self.typed.rules[emitter.name] if self.typed is not None else None
        assert collector is not None
        if made.known and accepted(collector, made.value):
            return self.recipe("C", "element", emitter.name, made.value)
        if fact.parts is not None and fact.kind == "object" and all(n is not None and n.known for n, _ in fact.parts):
            fields = {name.value: held for name, held in fact.parts if name is not None}
            held = {name: emitter.settled(part) for name, part in fields.items()}
            known = {name: part.value for name, part in held.items() if part.known}
            open_ = [name for name, part in held.items() if not part.known]
            function = self.recipe("C", "partial", emitter.name, known, open_)
            return f"{function}({', '.join(held[name].text for name in open_)})"
        return f"{self.recipe('C', 'convert', emitter.name)}({made.text})"

    def foldable(self, value: Value) -> bool:
        """Whether a constant is small enough to be kept as one."""
        return self._scale.weigh(value) <= LARGEST

    def fold(self, name: str, operands: list[Value]) -> Value:
        """A builtin's result on constants; NOTHING where it fails or is large, so that it happens in its time."""
        builtin = TABLE[name]
        if builtin.evaluation:
            operands = [Evaluation(self.strict, budget=FOLDING), *operands]
        try:
            value = builtin.call(*operands)
        except EvaluationError:
            return NOTHING
        if type(value) is str and len(value) > LARGEST:
            return NOTHING
        return value if self.foldable(value) else NOTHING


def _together(keys: list[str]) -> str:
    """One expression for what a result is kept by."""
    return keys[0] if len(keys) == 1 else f"({', '.join(keys)})"


def accepted(collector: Collector, element: Value) -> bool:
    """Whether an embedder takes a constant; what it refuses, it shall refuse when the policy says it."""
    try:
        collector.convert(element)
    except Exception:
        return False
    return True
