"""One function of a plan becomes one Python function.

A block becomes a `while True:` that ends with `break` (or nothing, where nothing can leave it early); a statement that
is undefined leaves it by `break`, in a loop by `continue`. To leave several blocks at once a flag is set, unless each
of them has nothing left to do. CPython allows twenty such blocks inside each other, so what is nested deeper moves
into an inner function.

On the way everything that is known is used: what is constant is computed now, a type that is known is not tested,
what is defined for certain is not asked for, an expression that was computed on the way here is not computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tidegate.rego import plan
from tidegate.rego.builtins import TABLE, Builtin
from tidegate.rego.errors import BuiltinError
from tidegate.rego.generate import order, siblings, typed
from tidegate.rego.generate.facts import NOTHING, Fact, kind_of
from tidegate.rego.generate.inline import INLINE, different, same
from tidegate.rego.generate.runtime import lookup_base
from tidegate.rego.generate.scopes import Scopes, declared
from tidegate.rego.plan import DATA, Block, Operand, Statement
from tidegate.rego.values import UNDEFINED, RegoSet, Value, equal, key, lookup

if TYPE_CHECKING:
    from tidegate.rego.generate.unit import Unit

DEEPEST: Final = 16  # nested blocks in one Python function; CPython refuses the twenty-first
MOST: Final = 4096  # results of a rule that are kept
SMALL: Final = 16  # a loop over so few constants costs nothing worth counting
LONG: Final = 1024  # characters or members that a builtin may read without being charged
CONSTANT_TIME: Final = frozenset(("count", "object.get", "type_name", "internal.member_3"))
SIZED: Final = frozenset((str, list, dict, RegoSet))
SIZED_KINDS: Final = frozenset(("string", "array", "object", "set"))
UNTESTED: Final = frozenset(("string",))  # types whose values are their own keys


class Unreachable(Exception):
    """The rest of the block can never run."""


class Frame:
    """A block that is being generated. `used`: something leaves it early; `flags`: what leaves more than it."""

    __slots__ = ("counted", "fail", "flags", "label", "leave", "looped", "tail", "used")

    def __init__(self, label: str, fail: str, leave: str, tail: bool, looped: bool = False) -> None:
        self.label = label
        self.fail = fail  # how its end is reached
        self.leave = leave  # how it is left for good
        self.tail = tail  # nothing follows it in the block around it
        self.looped = looped
        self.counted = True  # it is a block of the plan
        self.used = False
        self.flags: set[Frame] = set()


class Emitter:
    """Writes the lines of one function."""

    def __init__(
        self, unit: Unit, name: str, scopes: Scopes, slot: int | None, env: dict[int, Fact], mode: str
    ) -> None:
        self.unit = unit
        self.name = name
        self.scopes = scopes
        self.slot = slot  # where the memo keeps the result, if anywhere
        self.env = env
        self.memo = "M"
        self.mode = mode  # "t": the input is typed; "f": it is a document; "g": so is the data, which may be any
        self.generic = mode == "g"
        self.lines: list[tuple[int, str]] = []
        self.depth = 1
        self.stack: list[Frame] = []
        self.base = 0  # the frame at which the Python function begins that is being written
        self.shared: dict[tuple[str, ...], Fact] = {}  # expressions that were computed on the way here
        self.certain: dict[int, Fact] = {}  # locals that are assigned once, for certain
        self.variables: set[str] = set()  # what must exist from the start
        self.assigned: set[str] = set()  # what an inner function assigns
        self.kept = ""  # the name of what keeps results from evaluation to evaluation, by `k`
        self.bodies: list[Block] = []  # of the loops that are open
        self.finish = ""  # the name of what makes the result of a set that is kept in another way
        self.loops = 0

    @property
    def evaluation(self) -> str:
        """The Evaluation. Most calls are decided without one, so that a typed entry begins it when it is asked for."""
        return "(M[0] or begin(M))" if self.mode == "t" and self.memo == "M" else f"{self.memo}[0]"

    # lines

    def emit(self, text: str) -> None:
        self.lines.append((self.depth, text))

    def fail(self) -> None:
        """Leaves the innermost block, as an undefined statement does."""
        self.emit(self.stack[-1].fail)
        self.stack[-1].used = True

    def guard(self, condition: str) -> None:
        """Leaves the innermost block if `condition` holds."""
        self.emit(f"if {condition}:")
        self.depth += 1
        self.fail()
        self.depth -= 1

    def never(self) -> None:
        """The statement is always undefined here."""
        self.fail()
        raise Unreachable

    def jump(self, index: int) -> None:
        """Leaves the innermost block and `index` more."""
        here = self.stack[-1]
        if index == 0:
            self.fail()
            return
        target = [frame for frame in self.stack if frame.counted][-1 - index]
        between = self.stack[self.stack.index(target) + 1 :]
        here.used = True
        if not (all(frame.tail for frame in between) and not any(frame.looped for frame in between[:-1])):
            self.emit(f"{target.label} = True")
            self.assigned.add(target.label)
            self.variables.add(target.label)
            here.flags.add(target)
        self.emit(here.leave)

    def passed_on(self, frame: Frame) -> None:
        """Behind a block: goes on leaving, if more than that block is left."""
        if not frame.flags:
            return
        around = self.stack[-1]
        for target in sorted(frame.flags, key=lambda one: one.label):
            self.emit(f"if {target.label}:")
            self.depth += 1
            if target is around:
                self.emit(f"{target.label} = False")
                self.fail()
            else:
                self.emit(around.leave)
                around.used = True
                around.flags.add(target)
            self.depth -= 1

    # blocks

    def run(self, block: Block, tail: bool) -> bool:
        """The statements of a block; False where its end is never reached."""
        try:
            at = 0
            while at < len(block):
                at += self.statement(block, at, tail and at + 1 == len(block))
        except Unreachable:
            return False
        return True

    def once(self, block: Block, tail: bool, reached: str = "", env: dict[int, Fact] | None = None) -> None:
        """A block that runs once. `reached` is a flag to set at its end."""
        outer, shared = self.env, self.shared
        self.env, self.shared = dict(outer) if env is None else env, dict(shared)
        deep = len(self.stack) - self.base >= DEEPEST
        before, self.lines = self.lines, []
        leave = "return" if deep else "break"
        frame = Frame(self.unit.label(), leave, leave, tail)
        outside = self.assigned
        if deep:
            self.assigned, base, self.base = set(), self.base, len(self.stack)
        self.stack.append(frame)
        self.depth += 1
        if self.run(block, not reached) and reached:
            self.emit(f"{reached} = True")
            self.assigned.add(reached)
        self.depth -= 1
        self.stack.pop()
        body, self.lines = self.lines, before
        if deep:
            self.base = base
            self._outlined(body)
            outside |= self.assigned
            self.assigned = outside
        elif frame.used:
            self.emit("while True:")
            self.lines += body
            if not body or body[-1][0] > self.depth + 1 or not body[-1][1].startswith(("break", "return")):
                self.lines.append((self.depth + 1, "break"))
        else:
            self.lines += [(depth - 1, text) for depth, text in body]
        self.env, self.shared = outer, shared
        self.forget(block)
        self.passed_on(frame)

    def _outlined(self, body: list[tuple[int, str]]) -> None:
        """A block as a function inside the function, and its call."""
        name = self.unit.label()
        self.emit(f"def {name}():")
        if self.assigned:
            self.variables |= self.assigned
            self.lines.append((self.depth + 1, f"nonlocal {', '.join(sorted(self.assigned))}"))
        self.lines += body or [(self.depth + 1, "pass")]
        self.emit(f"{name}()")

    def forget(self, block: Block) -> None:
        """Behind a block: what was known of the locals that it may have written is not known any more."""
        for local in self.scopes.written[id(block)]:
            self.env.pop(local, None)
            if local in self.certain:
                self.env[local] = self.certain[local]

    # locals

    def fact(self, operand: Operand) -> Fact:
        """What is known of an operand."""
        if type(operand) is not int:
            return Fact(repr(operand), kind_of(operand), value=operand)
        fact = self.env.get(operand)
        if fact is None:
            name = f"l{operand}"
            self.variables.add(name)
            fact = Fact(name, self.unit.knowledge.kind(self.name, operand), defined=False, stable=False)
        return fact

    def read(self, operand: Operand) -> Fact:
        """An operand that must be defined: leaves the block where it is not."""
        fact = self.fact(operand)
        if fact.value is UNDEFINED:
            self.never()
        if not fact.defined:
            self.guard(f"{fact.text} is U")
            fact = Fact(fact.text, fact.kind, stable=fact.stable, node=fact.node, given=fact.given)
            self.env[operand] = fact  # type: ignore[index]
        return fact

    def text(self, operand: Operand) -> str:
        """The expression of an operand that must be defined."""
        fact = self.read(operand)
        if fact.parts is not None or fact.node is not None:
            fact = self.whole(operand, fact)
        return fact.text

    def whole(self, operand: Operand, fact: Fact) -> Fact:
        """A composite that was not put together yet, put together."""
        assert type(operand) is int
        if fact.node is not None:
            made = typed.whole(fact.node)
        else:
            assert fact.parts is not None
            made = self.composite(fact.kind, fact.parts)
        if made.known:
            self.env[operand] = made
            return made
        name = f"l{operand}"
        self.emit(f"{name} = {made.text}")
        if not self.scopes.contained(operand):
            self.assigned.add(name)
            self.variables.add(name)
        self.env[operand] = Fact(name, made.kind)
        return self.env[operand]

    def composite(self, kind: str, parts: list[tuple[Fact | None, Fact]]) -> Fact:
        """An array, object or set of its parts."""
        pairs = [(None if name is None else self.settled(name), self.settled(held)) for name, held in parts]
        if all(held.known and (name is None or name.known) for name, held in pairs):
            value = build(kind, [(None if n is None else n.value, held.value) for n, held in pairs])
            if self.unit.foldable(value):
                return self.constant(value)
        if kind == "array":
            text = f"[{', '.join(held.text for _, held in pairs)}]"
        elif kind == "object":
            shown = (f"{self.key_text(name)}: {held.text}" for name, held in pairs if name is not None)
            text = f"{{{', '.join(shown)}}}"
        else:
            text = f"set_of(({', '.join(held.text for _, held in pairs)},))"
        heavy = sum(not part.light for pair in pairs for part in pair if part is not None)
        if heavy > 1:  # what holds one composite is hardly larger than that
            text = f"held({self.evaluation}, {text})"
        return Fact(text, kind)

    def hold(self, composite: int, member: Fact) -> None:
        """Accounts for what was just put into a composite, where that may itself be one that was made here."""
        if not member.light:
            self.emit(f"if type({member.text}) in COMPOSITES: hold({self.evaluation}, l{composite}, {member.text})")

    def settled(self, fact: Fact) -> Fact:
        """A fact whose text is the whole value."""
        if fact.node is not None:
            return typed.whole(fact.node)
        return fact if fact.parts is None else self.composite(fact.kind, fact.parts)

    def constant(self, value: Value, base: bool = False) -> Fact:
        return Fact(self.unit.constant(value), kind_of(value), value=value, base=base)

    def key_text(self, fact: Fact) -> str:
        """What stands for a value as a key."""
        if fact.known:
            return self.unit.constant(key(fact.value))
        if fact.kind == "string" or fact.kind == "number":
            return fact.text
        # a part of the data lives as long as the functions do, so that it needs its key made once only
        made = f"key_base({fact.text})" if fact.base else f"key({fact.text})"
        return f"{fact.text} if type({fact.text}) is str else {made}"

    def keep(self, target: int, fact: Fact) -> None:
        """From here on `target` is this; without a variable where the text alone will do."""
        if self.scopes.contained(target) and (fact.stable or fact.known):
            self.env[target] = fact
            return
        name = f"l{target}"
        if fact.parts is not None or fact.node is not None:
            fact = self.settled(fact)
        if fact.text != name:
            self.emit(f"{name} = {fact.text}")
        self.named(target, fact)

    def named(self, target: int, fact: Fact) -> None:
        """From here on `target` is the variable of its own name, which has just been assigned."""
        name = f"l{target}"
        contained = self.scopes.contained(target)
        if not contained:
            self.assigned.add(name)
            self.variables.add(name)
        stable = contained or fact.known
        text = fact.text if fact.known else name
        if len(self.scopes.writes[target]) == 1 and not any(frame.used or frame.looped for frame in self.stack):
            # nothing can have left any block before this, so from here on it always is what it is now
            stable = True
            self.certain[target] = self.renamed(fact, text, True)
        self.env[target] = self.renamed(fact, text, stable)

    def renamed(self, fact: Fact, text: str, stable: bool) -> Fact:
        """The same fact about another text."""
        return Fact(
            text,
            fact.kind,
            defined=fact.defined,
            stable=stable,
            value=fact.value,
            base=fact.base,
            given=fact.given,
        )

    def compute(
        self,
        target: int,
        text: str,
        kind: str,
        defined: bool,
        *,
        sharing: tuple[str, ...] | None = None,
        base: bool = False,
        given: bool = False,
    ) -> None:
        """`target = text`, undefined where that is."""
        name = f"l{target}"
        self.emit(f"{name} = {text}")
        if not defined:
            self.guard(f"{name} is U")
        self.named(target, Fact(name, kind, base=base, given=given))
        if sharing is not None and self.env[target].stable:
            self.shared[sharing] = self.env[target]

    # statements

    def statement(self, block: Block, at: int, tail: bool) -> int:
        """Generates one statement, or several at once; how many."""
        statement = block[at]
        return STATEMENTS[type(statement)](self, statement, block, at, tail) or 1

    def call(self, statement: plan.Call, block: Block, at: int, tail: bool) -> int | None:
        if statement.function in self.unit.knowledge.functions:
            self.call_function(statement)
            return None
        following = block[at + 1] if at + 1 < len(block) else None
        test = (
            type(following) is plan.NotEqual
            and following.a == statement.result
            and following.b is False
            and len(self.scopes.reads.get(statement.result, ())) == 1
        )
        self.call_builtin(statement, test)
        return 2 if test else 1

    def call_function(self, statement: plan.Call) -> None:
        name, target = statement.function, statement.result
        knowledge = self.unit.knowledge
        if not self.generic and name in self.unit.constants:
            value = self.unit.constants[name]
            if value is UNDEFINED:
                self.never()
            self.keep(target, self.constant(value))
            return
        args = [self.text(argument) for argument in statement.args[2:]]
        sharing = (self.memo, name) if knowledge.rule(name) else None
        known = self.known(sharing)
        if known is not None:
            self.keep(target, known)
            return
        self.emit_call(f"l{target}", name, args)
        defined = self.unit.always_defined(name)
        if not defined:
            self.guard(f"l{target} is U")
        self.named(target, Fact(f"l{target}", knowledge.result_kind(name)))
        if sharing is not None and self.env[target].stable:
            self.shared[sharing] = self.env[target]

    def emit_call(self, variable: str, name: str, args: list[str]) -> None:
        """Calls a rule or function, or takes what it gave in this evaluation already."""
        function, given = self.unit.called(self, name)
        call = f"{function}({', '.join([*given, *args, self.memo])})"
        slot = self.unit.slot(name, self.unit.mode(self)) if self.unit.knowledge.rule(name) else None
        if slot is None:
            self.emit(f"{variable} = {call}")
        else:
            self.emit(f"{variable} = {self.memo}[{slot}]")
            self.emit(f"if {variable} is MISSING: {variable} = {call}")

    def call_builtin(self, statement: plan.Call, test: bool) -> None:
        """A builtin's call; with `test`, an expression that must not be false instead of a value that is kept."""
        name, target = statement.function, statement.result
        builtin = TABLE[name]
        facts = [self.read(argument) for argument in statement.args]
        if builtin.pure and all(self.foldable(fact) for fact in facts):
            value = self.fold(builtin.name, facts)
            if value is not NOTHING:
                if value is UNDEFINED or (test and value is False):
                    self.never()
                if not test:
                    self.keep(target, self.constant(value))
                return
        facts = [self.operand(argument, fact) for argument, fact in zip(statement.args, facts, strict=True)]
        pure = builtin.pure and all(fact.stable for fact in facts)
        sharing = (name, *(fact.text for fact in facts)) if pure else None
        known = self.known(sharing)
        if known is not None:
            if test:
                self.guard(f"{known.text} is False")
            else:
                self.keep(target, known)
            return
        if self.loops or self.unit.charged(self):
            self.strain(statement.args, facts, builtin)
        text, kind, defined = self.expression(name, facts)
        if not test:
            self.compute(target, text, kind, defined, sharing=sharing)
        elif kind == "boolean":
            self.guard(f"not {text}" if defined else f"{text} is not True")
        else:
            self.emit(f"l{target} = {text}")
            self.guard(f"l{target} is U or l{target} is False")

    def strain(self, operands: list[Operand], facts: list[Fact], builtin: Builtin) -> None:
        """Accounts for what a builtin reads again and again: a long text or collection from outside the loop."""
        if builtin.evaluation or builtin.name in CONSTANT_TIME:
            return
        inside = self.scopes.written[id(self.bodies[-1])] if self.bodies else frozenset()
        for operand, fact in zip(operands, facts, strict=True):
            short = fact.known and not (type(fact.value) in SIZED and len(fact.value) > LONG)
            if operand not in inside and not short and fact.kind not in ("number", "boolean", "null"):
                sized = "" if fact.kind in SIZED_KINDS else f"type({fact.text}) in SIZED and "
                self.emit(f"if {sized}len({fact.text}) > {LONG}: spend({self.evaluation}, len({fact.text}) >> 6)")

    def known(self, sharing: tuple[str, ...] | None) -> Fact | None:
        """What was computed already; leaves the block where that is undefined."""
        fact = self.shared.get(sharing) if sharing is not None else None
        if fact is not None and not fact.defined:
            self.guard(f"{fact.text} is U")
            fact = Fact(fact.text, fact.kind, base=fact.base, given=fact.given)
            self.shared[sharing] = fact  # type: ignore[index]
        return fact

    def expression(self, name: str, facts: list[Fact]) -> tuple[str, str, bool]:
        """A builtin's call: the text, the type of its result, and whether it is always defined."""
        builtin = TABLE[name]
        inline = INLINE.get(name)
        made = inline(self, *facts) if inline is not None and len(facts) == inline.__code__.co_argcount - 1 else None
        if made is None and builtin.specialised is not None:
            made = self.specialised(builtin, facts)
        if made is not None:
            return made
        given = [fact.text for fact in facts]
        if builtin.evaluation:
            given.insert(0, f"{self.evaluation}")
        kind = declared(builtin.signature)
        return f"{self.unit.builtin(name)}({', '.join(given)})", kind, self.unit.strict and kind == "boolean"

    def specialised(self, builtin: Builtin, facts: list[Fact]) -> tuple[str, str, bool] | None:
        """A call of the function that a builtin makes of constants, such as a pattern, for what it is applied to."""
        *constants, last = facts
        if not all(fact.known for fact in constants) or last.kind not in ("string", "any"):
            return None
        values = [fact.value for fact in constants]
        try:
            assert builtin.specialised is not None
            builtin.specialised(*values)
        except BuiltinError:
            return None  # as the builtin will say in its time
        text = f"{self.unit.recipe('R', 'special', builtin.name, values)}({last.text})"
        if last.kind == "any":
            call = f"{self.unit.builtin(builtin.name)}({', '.join(fact.text for fact in facts)})"
            text = f"({text} if type({last.text}) is str else {call})"
        return text, declared(builtin.signature), last.kind == "string" or self.unit.strict

    def operand(self, operand: Operand, fact: Fact) -> Fact:
        """An operand of a builtin: written out in the call if it is used nowhere else."""
        if fact.parts is None and fact.node is None:
            return fact
        made = self.settled(fact)
        assert type(operand) is int
        uses = len(self.scopes.reads[operand]) - len(fact.parts or ())  # putting it together read it too
        return made if made.known or uses == 1 else self.whole(operand, fact)

    def foldable(self, fact: Fact) -> bool:
        return fact.known or (fact.parts is not None and self.settled(fact).known)

    def fold(self, name: str, facts: list[Fact]) -> Value:
        """The result of a builtin on constants; NOTHING where that must be found out when the policy runs."""
        return self.unit.fold(name, [self.settled(fact).value for fact in facts])

    def call_dynamic(self, statement: plan.CallDynamic, block: Block, at: int, tail: bool) -> None:
        path = ", ".join(self.text(part) for part in statement.path)
        table, given = self.unit.dynamic(self)
        self.compute(
            statement.result, f"call_dynamic({table}, ({path},), {', '.join([*given, self.memo])})", "any", False
        )

    def assign(self, statement: plan.Assign, block: Block, at: int, tail: bool) -> None:
        self.keep(statement.target, self.fact(statement.source))

    def assign_once(self, statement: plan.AssignOnce, block: Block, at: int, tail: bool) -> None:
        source = self.settled(self.read(statement.source))
        target = statement.target
        before = self.env.get(target)
        if before is not None and before.value is UNDEFINED:
            self.keep(target, source)
            return
        name = f"l{target}"
        self.variables.add(name)
        self.assigned.add(name)
        source = self.simple(source)
        self.emit(f"if {name} is U: {name} = {source.text}")
        self.emit(f"elif {different(Fact(name), source)}: conflict()")
        self.env[target] = Fact(name, source.kind, stable=False)

    def make(self, statement: plan.Make, block: Block, at: int, tail: bool) -> None:
        self.keep(statement.target, self.constant(statement.value))

    def make_array(self, statement: plan.MakeArray, block: Block, at: int, tail: bool) -> None:
        self.begin(statement.target, "array", "[]")

    def make_object(self, statement: plan.MakeObject, block: Block, at: int, tail: bool) -> None:
        self.begin(statement.target, "object", "{}")

    def make_set(self, statement: plan.MakeSet, block: Block, at: int, tail: bool) -> None:
        collected = self.unit.collector(self, statement.target) is not None
        self.begin(statement.target, "set", "[]" if collected else "RegoSet()")

    def begin(self, target: int, kind: str, empty: str) -> None:
        if self.scopes.composed(target):
            self.env[target] = Fact("", kind, parts=[])
            return
        self.emit(f"l{target} = {empty}")
        self.named(target, Fact(f"l{target}", kind))

    def add_part(self, composite: int, name: Operand | None, value: Operand) -> bool:
        """Puts a part to those of a composite that was not put together yet; False where it was."""
        fact = self.env.get(composite)
        if fact is None or fact.parts is None:
            return False
        held = self.read(value)
        named = None if name is None else self.read(name)
        if not held.stable or (named is not None and not named.stable):
            return False
        self.env[composite] = Fact("", fact.kind, parts=[*fact.parts, (named, held)])
        return True

    def mutable(self, composite: int) -> str:
        """The variable of a composite that is about to be changed: a constant is copied first."""
        fact = self.read(composite)
        if fact.parts is not None:
            fact = self.composite(fact.kind, fact.parts)
        if fact.known:
            made = {"array": "[*{}]", "object": "{{**{}}}", "set": "RegoSet({})"}[fact.kind].format(fact.text)
            fact = Fact(made, fact.kind)
        if not fact.text.isidentifier():
            self.emit(f"l{composite} = {fact.text}")
            self.named(composite, Fact(f"l{composite}", fact.kind))
            fact = self.env[composite]
        return fact.text

    def append(self, statement: plan.Append, block: Block, at: int, tail: bool) -> None:
        if not self.add_part(statement.array, None, statement.value):
            value = self.simple(self.settled(self.read(statement.value)))
            self.emit(f"{self.mutable(statement.array)}.append({value.text})")
            self.hold(statement.array, value)

    def insert(self, statement: plan.Insert, block: Block, at: int, tail: bool) -> None:
        if not self.add_part(statement.object, statement.key, statement.value):
            name = self.key_text(self.simple(self.settled(self.read(statement.key)), "k"))
            value = self.simple(self.settled(self.read(statement.value)))
            self.emit(f"{self.mutable(statement.object)}[{name}] = {value.text}")
            self.hold(statement.object, value)

    def insert_once(self, statement: plan.InsertOnce, block: Block, at: int, tail: bool) -> None:
        name = self.key_text(self.simple(self.settled(self.read(statement.key)), "k"))
        value = self.simple(self.settled(self.read(statement.value)))
        self.emit(f"insert_once({self.mutable(statement.object)}, {name}, {value.text})")
        self.hold(statement.object, value)

    def add(self, statement: plan.Add, block: Block, at: int, tail: bool) -> None:
        if self.add_part(statement.set, None, statement.value):
            return
        if self.unit.collector(self, statement.set) is not None:
            self.emit(f"l{statement.set}.append({self.unit.collected(self, statement)})")
            return
        fact = self.read(statement.value)
        value = self.simple(self.settled(fact))
        held = self.mutable(statement.set)
        if not all(part.light for _, part in fact.parts or [(None, fact)]):
            self.hold(statement.set, value)  # first: to make its key is to read all of it
        self.emit(f"{held}[{self.key_text(value)}] = {value.text}")
        if value.known and tail:
            self.leave_loops()

    def simple(self, fact: Fact, name: str = "v") -> Fact:
        """A fact whose text may be written twice."""
        if fact.known or fact.text.isidentifier():
            return fact
        self.emit(f"{name} = {fact.text}")
        return Fact(name, fact.kind, base=fact.base, given=fact.given)

    def leave_loops(self) -> None:
        """A constant was added as the last thing in some loops that do nothing else: once is enough."""
        outermost = 0
        for index in range(1, len(self.stack) - self.base):
            frame = self.stack[-index]
            if frame.looped:
                if not frame.flags and frame in self.unit.bodies and self.unit.effects(frame) == 1:
                    outermost = index
                else:
                    break
            if not frame.tail:
                break
        if outermost == 1:
            self.emit("break")
        elif outermost:
            self.jump(outermost)

    def merge(self, statement: plan.Merge, block: Block, at: int, tail: bool) -> None:
        a, b = self.fact(statement.a), self.fact(statement.b)
        if a.known and b.known:
            self.keep(statement.target, self.constant(self.unit.merged(a.value, b.value)))
            return
        first, second = self.settled(a).text, self.settled(b).text
        self.compute(statement.target, f"merge({first}, {second})", "any", a.defined or b.defined)

    def dot(self, statement: plan.Dot, block: Block, at: int, tail: bool) -> None:
        source, index, target = self.fact(statement.source), self.read(statement.key), statement.target
        sharing = (".", source.text, index.text) if source.stable and index.stable and source.parts is None else None
        known = self.known(sharing)
        if known is not None:
            self.keep(target, known)
            return
        source = self.read(statement.source)
        if source.node is not None:
            if typed.dot(self, source.node, index, target):
                return
            source = self.whole(statement.source, source)
        index = self.settled(index)
        if source.parts is not None:
            source = self.whole(statement.source, source)
        if source.known and index.known:
            value = (lookup_base if source.base else lookup)(source.value, index.value)
            if value is UNDEFINED:
                self.never()
            self.keep(target, self.constant(value, source.base))
            return
        self.compute(
            target, self.dotted(source, index), "any", False, sharing=sharing, base=source.base, given=source.given
        )

    def dotted(self, source: Fact, index: Fact) -> str:
        """`source[index]`, or U."""
        plain = index.kind == "string" or index.known
        name = self.unit.constant(key(index.value)) if index.known else index.text
        if source.base and not plain:
            text = f"lookup_base({source.text}, {name})"
            return (
                f"({source.text}.get({name}, U) if type({name}) is str else {text})"
                if source.kind == "object"
                else text
            )
        if source.kind == "object" or source.kind == "set":
            return f"{source.text}.get({name if plain else self.key_text(index)}, U)"
        if source.kind == "array":
            return f"lookup({source.text}, {index.text})"
        if plain:
            return (
                f"{source.text}.get({name}, U) if type({source.text}) is dict else lookup({source.text}, {index.text})"
            )
        return (
            f"{source.text}.get({name}, U) if type({source.text}) is dict and type({name}) is str"
            f" else lookup({source.text}, {name})"
        )

    def length(self, statement: plan.Len, block: Block, at: int, tail: bool) -> None:
        source = self.settled(self.read(statement.source))
        if source.known:
            self.keep(statement.target, self.constant(len(source.value)))
        else:
            self.compute(statement.target, f"len({source.text})", "number", True)

    def equals(self, statement: plan.Equal, block: Block, at: int, tail: bool) -> None:
        self.compare(statement.a, statement.b, False)

    def differs(self, statement: plan.NotEqual, block: Block, at: int, tail: bool) -> None:
        self.compare(statement.a, statement.b, True)

    def compare(self, first: Operand, second: Operand, differ: bool) -> None:
        a, b = self.settled(self.read(first)), self.settled(self.read(second))
        if a.known and b.known:
            if equal(a.value, b.value) is differ:
                self.never()
            return
        self.guard(same(a, b) if differ else different(a, b))

    def is_kind(self, statement: Any, block: Block, at: int, tail: bool) -> None:
        wanted, python = KIND_TESTS[type(statement)]
        fact = self.read(statement.source)
        if fact.node is not None:
            fact = self.whole(statement.source, fact)
        if fact.kind == wanted:
            return
        if fact.known or fact.kind != "any":
            self.never()
        self.guard(f"type({fact.text}) is not {python}")
        if fact.stable and type(statement.source) is int:
            self.env[statement.source] = Fact(fact.text, wanted, stable=True)

    def is_defined(self, statement: plan.IsDefined, block: Block, at: int, tail: bool) -> None:
        self.read(statement.source)

    def is_undefined(self, statement: plan.IsUndefined, block: Block, at: int, tail: bool) -> None:
        fact = self.fact(statement.source)
        if fact.value is UNDEFINED:
            return
        if fact.defined:
            self.never()
        self.guard(f"{fact.text} is not U")
        self.env[statement.source] = Fact(fact.text, "undefined", defined=False, stable=fact.stable, value=UNDEFINED)

    def reset(self, statement: plan.Reset, block: Block, at: int, tail: bool) -> None:
        before = self.env.get(statement.target)
        if before is None or before.value is not UNDEFINED:
            name = f"l{statement.target}"
            if self.loops or self.base or name in self.assigned:
                self.emit(f"{name} = U")
            self.named(statement.target, Fact(name, "undefined", defined=False, value=UNDEFINED))

    def returns(self, statement: plan.Return, block: Block, at: int, tail: bool) -> None:
        text = self.settled(self.fact(statement.source)).text
        self.result(f"{self.finish}({text})" if self.finish else text)
        raise Unreachable

    def result(self, text: str) -> None:
        """Returns, and keeps what is returned for the next time."""
        if (self.slot is not None or self.kept) and not text.isidentifier():
            self.emit(f"r = {text}")
            text = "r"
        if self.slot is not None:
            self.emit(f"M[{self.slot}] = {text}")
        if self.kept:
            self.emit(f"if len({self.kept}) > {MOST}: {self.kept}.clear()")
            self.emit(f"{self.kept}[k] = {text}")
        self.emit(f"return {text}")

    def result_add(self, statement: plan.ResultAdd, block: Block, at: int, tail: bool) -> None:
        self.emit(f"results.append({self.text(statement.value)})")

    def nothing(self, statement: plan.Nop, block: Block, at: int, tail: bool) -> None:
        return

    def leave(self, statement: plan.Break, block: Block, at: int, tail: bool) -> None:
        self.jump(statement.index)
        raise Unreachable

    def blocks(self, statement: plan.Blocks, block: Block, at: int, tail: bool) -> None:
        self.several(statement.blocks, tail)

    def several(self, blocks: list[Block], tail: bool) -> None:
        """Blocks in turn; loops over the same collection as one loop."""
        if len(blocks) > 1:
            self.share(blocks, {local: local for local, fact in self.env.items() if fact.stable and fact.node is None})
        groups = list(siblings.groups(blocks, self.scopes))
        for number, group in enumerate(groups, 1):
            self.share_rule(group[0], [block for later in groups[number:] for block in later])
            for inner in group:
                self.gather(inner)
            if len(group) == 1:
                self.once(group[0], tail and number == len(groups))
            else:
                self.joined(group)
            if self.lines and self.lines[-1][0] == self.depth and self.lines[-1][1].startswith("return"):
                break  # nothing comes after that

    def share(self, blocks: list[Block], roots: dict[int, int]) -> None:
        """Computes beforehand what several blocks will ask for; where it is undefined, each of them will see that.

        `roots` are the locals that mean the same in all of them: each with the one it stands for.
        """
        open_ = {root: one for root, one in roots.items() if not self.env[one].known and self.env[one].parts is None}
        known: dict[siblings.Path, Fact] = {(one, ()): self.env[one] for one in open_.values()}
        for root, path in siblings.shared_paths(blocks, open_):
            source, index = known[root, path[:-1]], self.fact(path[-1])
            sharing = (".", source.text, index.text)
            fact = self.shared.get(sharing)
            if fact is None:
                fact = Fact(self.unit.label(), defined=False, base=source.base, given=source.given)
                self.emit(f"{fact.text} = {self.dotted(source, index)}")
                self.shared[sharing] = fact
            known[root, path] = fact

    def share_rule(self, block: Block, later: list[Block]) -> None:
        """Evaluates the rule with which a block begins outside of it, where later blocks ask for the same rule."""
        first = block[0] if block else None
        if type(first) is not plan.Call or not self.unit.shareable(self, first.function):
            return
        if (self.memo, first.function) not in self.shared and siblings.calls(later, first.function):
            fact = Fact(self.unit.label(), self.unit.knowledge.result_kind(first.function), defined=False)
            self.emit_call(fact.text, first.function, [])
            self.shared[self.memo, first.function] = fact

    def joined(self, group: list[Block]) -> None:
        """Loops over the same collection, as one loop with all their bodies."""
        first, scans = group[0], [block[-1] for block in group]
        with_heads = list(siblings.heads(group))
        outer, shared = self.env, self.shared
        self.env, self.shared = dict(outer), dict(shared)
        frame = Frame(self.unit.label(), "break", "break", False)
        before, self.lines = self.lines, []
        self.stack.append(frame)
        self.depth += 1
        try:
            for at in range(len(first) - 1):
                self.statement(first, at, False)
            self.scan_joined(scans, with_heads)
        except Unreachable:
            pass
        self.depth -= 1
        self.stack.pop()
        body, self.lines = self.lines, before
        if frame.used:
            self.emit("while True:")
            self.lines += [*body, (self.depth + 1, "break")]
        else:
            self.lines += [(depth - 1, text) for depth, text in body]
        self.env, self.shared = outer, shared
        for block in group:
            self.forget(block)

    def scan_joined(self, scans: list[Any], heads: list[list[int]]) -> None:
        """One loop for several whose sources are the same."""
        first: plan.Scan = scans[0]
        opened = self.open_loop(first, any(self.scopes.reads.get(scan.key) for scan in scans), True)
        if opened is None:
            return
        outer, shared, frame = opened
        frame.counted = frame.tail = False
        for first_of, *others in heads:
            for local in others:
                self.env[local] = self.env[first_of]
        bodies = [scan.block for scan in scans]
        roots = {local: same[0] for same in heads[-2:] for local in same}
        self.share_calls(bodies, roots)
        for body in bodies:
            self.once(body, False)
        self.close_loop(first, outer, shared, frame)

    def share_calls(self, bodies: list[Block], roots: dict[int, int]) -> None:
        """As `share`, for the first thing that several bodies of a loop do with its member."""
        for name, root in siblings.shared_calls(bodies, roots):
            operand = self.env[root]
            text, kind, defined = self.expression(name, [operand])
            fact = Fact(self.unit.label(), kind, defined=defined)
            self.emit(f"{fact.text} = {text}")
            self.shared[name, operand.text] = fact
        self.share(bodies, roots)

    def gather(self, block: Block) -> None:
        """Puts together what a block inside uses, so that it is not done in there again and again."""
        for local in self.scopes.touched[id(block)]:
            fact = self.env.get(local)
            if fact is not None and fact.parts is not None and not self.settled(fact).known:
                self.whole(local, fact)

    def scan(self, statement: plan.Scan, block: Block, at: int, tail: bool) -> None:
        self.gather(statement.block)
        opened = self.open_loop(
            statement, bool(self.scopes.reads.get(statement.key)), order.free(statement, self.scopes)
        )
        if opened is None:
            return
        frame = opened[-1]
        frame.tail = tail
        self.unit.bodies[frame] = statement
        if len(self.stack) - self.base > DEEPEST:
            frame.tail = frame.counted = False
            self.once(statement.block, True, env=self.env)
        else:
            self.run(statement.block, True)
        self.close_loop(statement, *opened)

    def open_loop(
        self, statement: plan.Scan, keyed: bool, unordered: bool
    ) -> tuple[dict[int, Fact], dict[tuple[str, ...], Fact], Frame] | None:
        """The head of a loop; None where it never runs."""
        source = self.settled(self.read(statement.source))
        if source.kind in ("string", "number", "boolean", "null") or (source.known and not source.value):
            return None
        if not source.text.isidentifier():
            self.emit(f"s{statement.key} = {source.text}")
            source = Fact(f"s{statement.key}", source.kind, value=source.value, base=source.base, given=source.given)
        self.charge(source)
        name, value = f"l{statement.key}", f"l{statement.value}"
        keyed = keyed and statement.key != statement.value
        self.emit(f"for {f'{name}, ' if keyed else ''}{value} in {looped(source, keyed, unordered)}:")
        outer, shared = self.env, self.shared
        self.env, self.shared = dict(outer), dict(shared)
        self.forget(statement.block)
        for local, kind in zip((statement.key, statement.value), member_kinds(source), strict=True):
            contained = self.scopes.contained(local)
            kind = kind if contained else "any"
            self.env[local] = Fact(f"l{local}", kind, stable=contained, base=source.base, given=source.given)
            if not contained:
                self.variables.add(f"l{local}")
                self.assigned.add(f"l{local}")
        frame = Frame(self.unit.label(), "continue", "break", False, looped=True)
        self.stack.append(frame)
        self.depth += 1
        self.loops += 1
        self.bodies.append(statement.block)
        return outer, shared, frame

    def close_loop(
        self, statement: plan.Scan, outer: dict[int, Fact], shared: dict[tuple[str, ...], Fact], frame: Frame
    ) -> None:
        """The end of a loop."""
        if self.lines[-1][0] < self.depth:
            self.emit("pass")
        self.loops -= 1
        self.depth -= 1
        self.stack.pop()
        self.bodies.pop()
        self.env, self.shared = outer, shared
        self.forget(statement.block)
        self.env.pop(statement.key, None)
        self.env.pop(statement.value, None)
        self.passed_on(frame)

    def charge(self, source: Fact) -> None:
        """A loop inside a loop, or in a function that loops call, takes what it costs from the budget."""
        if source.known and len(source.value) <= SMALL:
            return
        if not (self.loops or self.unit.charged(self)):
            return
        sized = f"len({source.text})" if source.kind in ("array", "object", "set") else f"size({source.text})"
        self.emit(f"spend({self.evaluation}, {sized})")

    def negate(self, statement: plan.Not, block: Block, at: int, tail: bool) -> None:
        self.gather(statement.block)
        flag = self.unit.label()
        before, self.lines = self.lines, []
        self.once(statement.block, False, flag)
        body, self.lines = self.lines, before
        single = only_guard(body, flag, self.depth)
        if single is not None:
            lines, condition = single
            self.lines += lines
            if not condition:
                self.never()
            self.guard(condition)
            return
        if not any(text == f"{flag} = True" for _, text in body):
            self.lines += body
            return
        self.emit(f"{flag} = False")
        self.assigned.add(flag)
        self.lines += body
        self.guard(flag)

    def with_(self, statement: plan.With, block: Block, at: int, tail: bool) -> None:
        self.gather(statement.block)
        # behind the last `with` a plan puts back what was there, and that may be nothing
        value = self.settled(self.read(statement.value) if statement.path else self.fact(statement.value)).text
        local = statement.local
        was = self.env[local]
        document = self.settled(was).text
        name, memo, flag = self.unit.label(), self.unit.label(), self.unit.label()
        self.emit(f"{name} = replaced({document}, {tuple(statement.path)!r}, {value})")
        self.emit(f"{memo} = fresh(({self.evaluation},))")
        self.emit(f"{flag} = False")
        self.assigned.add(flag)
        outer = (self.memo, self.generic)
        self.memo = memo
        self.generic = self.generic or local == DATA
        env = dict(self.env)
        env[local] = Fact(name, "any")
        self.once(statement.block, False, flag, env)
        self.memo, self.generic = outer
        self.guard(f"not {flag}")


KIND_TESTS: Final = {
    plan.IsArray: ("array", "list"),
    plan.IsObject: ("object", "dict"),
    plan.IsSet: ("set", "RegoSet"),
}
STATEMENTS: Final[dict[type[Statement], Any]] = {
    plan.Call: Emitter.call,
    plan.CallDynamic: Emitter.call_dynamic,
    plan.Assign: Emitter.assign,
    plan.AssignOnce: Emitter.assign_once,
    plan.Make: Emitter.make,
    plan.MakeArray: Emitter.make_array,
    plan.MakeObject: Emitter.make_object,
    plan.MakeSet: Emitter.make_set,
    plan.Append: Emitter.append,
    plan.Insert: Emitter.insert,
    plan.InsertOnce: Emitter.insert_once,
    plan.Add: Emitter.add,
    plan.Merge: Emitter.merge,
    plan.Dot: Emitter.dot,
    plan.Len: Emitter.length,
    plan.Equal: Emitter.equals,
    plan.NotEqual: Emitter.differs,
    plan.IsArray: Emitter.is_kind,
    plan.IsObject: Emitter.is_kind,
    plan.IsSet: Emitter.is_kind,
    plan.IsDefined: Emitter.is_defined,
    plan.IsUndefined: Emitter.is_undefined,
    plan.Reset: Emitter.reset,
    plan.Return: Emitter.returns,
    plan.ResultAdd: Emitter.result_add,
    plan.Nop: Emitter.nothing,
    plan.Break: Emitter.leave,
    plan.Blocks: Emitter.blocks,
    plan.Scan: Emitter.scan,
    plan.Not: Emitter.negate,
    plan.With: Emitter.with_,
}


def build(kind: str, pairs: list[tuple[Value, Value]]) -> Value:
    """A composite value of known parts."""
    if kind == "array":
        return [held for _, held in pairs]
    if kind == "object":
        return {key(name): held for name, held in pairs}
    return RegoSet((key(held), held) for _, held in pairs)


def looped(source: Fact, keyed: bool, unordered: bool) -> str:
    """What a loop runs over."""
    text = source.text
    if source.kind == "array":
        return f"enumerate({text})" if keyed else text
    if unordered:
        if source.kind in ("set", "object") and not keyed:
            return f"{text}.values()"
        every = f"items_unordered({text})" if keyed else f"members_unordered({text})"
    else:
        every = f"items({text})" if keyed else f"members({text})"
    if source.kind in ("set", "object"):
        return every
    return (
        f"(enumerate({text}) if type({text}) is list else {every})"
        if keyed
        else f"({text} if type({text}) is list else {every})"
    )


def member_kinds(source: Fact) -> tuple[str, str]:
    """The types of the keys and the values of a collection that is looped over."""
    if source.known and type(source.value) in (list, dict, RegoSet):
        value = source.value
        held = {kind_of(one) for one in (value if type(value) is list else value.values())}
        kind = held.pop() if len(held) == 1 else "any"
        if type(value) is list:
            return "number", kind
        names = {kind_of(one) for one in value} if all(type(one) is str for one in value) else {"any"}
        return (names.pop() if len(names) == 1 else "any"), kind
    return ("number" if source.kind == "array" else "any"), "any"


def only_guard(body: list[tuple[int, str]], flag: str, depth: int) -> tuple[list[tuple[int, str]], str] | None:
    """The condition of a negated block that ends with one and has no other way to fail, and the lines before it.

    No condition means that the block's end is always reached.
    """
    if body and body[-1] == (depth, f"{flag} = True") and not any(text in ("break", "continue") for _, text in body):
        return body[:-1], ""
    if len(body) < 5 or body[0] != (depth, "while True:") or body[-1] != (depth + 1, "break"):
        return None
    condition, leave, end = body[-4], body[-3], body[-2]
    if end != (depth + 1, f"{flag} = True") or leave != (depth + 2, "break") or condition[0] != depth + 1:
        return None
    between = body[1:-4]
    if any(text in ("break", "continue") or text.endswith(":") for _, text in between):
        return None
    return [(level - 1, text) for level, text in between], f"not ({condition[1][3:-1]})"
