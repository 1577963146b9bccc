"""One function of a plan becomes one Python function.

A block becomes a `while True:` that ends with `break` (or nothing, where nothing can leave it early); a statement that
is undefined leaves it by `break`, in a loop by `continue`. To leave several blocks at once a flag is set, unless each
of them has nothing left to do. CPython allows twenty such blocks inside each other, so what is nested deeper moves
into an inner function.

On the way everything that is known is used: what is constant is computed now, a type that is known is not tested,
what is defined for certain is not asked for, an expression that was computed on the way here is not computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidegate.rego.generate import fields, questions
from tidegate.rego.generate.facts import Fact, kind_of
from tidegate.rego.generate.frames import DEEPEST, Frame, Unreachable
from tidegate.rego.generate.scopes import Scopes
from tidegate.rego.generate.statements import STATEMENTS
from tidegate.rego.generate.typed import TYPED_MODES
from tidegate.rego.plan import Block, Operand, Scan
from tidegate.rego.values import UNDEFINED, RegoSet, Value, key

if TYPE_CHECKING:
    from tidegate.rego.generate.unit import Unit

MOST: Final = 4096  # results of a rule that are kept


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
        self.mode = mode  # of Unit.mode
        self.generic = mode == "g"
        self.lines: list[tuple[int, str]] = []
        self.depth = 1
        self.stack: list[Frame] = []
        self.base = 0  # the frame at which the Python function begins that is being written
        self.shared: dict[tuple[str, ...], Fact] = {}  # expressions that were computed on the way here
        self.certain: dict[int, Fact] = {}  # locals that are assigned once, for certain
        self.variables: set[str] = set()  # what must exist from the start
        self.assigned: set[str] = set()  # what an inner function assigns
        self.kept = ""  # the name of what keeps results from evaluation to evaluation, by `read`
        self.open: list[Scan] = []  # the loops that are being generated
        self.finish = ""  # the name of what makes the result of a set that is kept in another way

    @property
    def evaluation(self) -> str:
        """The Evaluation. Most calls are decided without one, so that a typed entry begins it when it is asked for."""
        return "(M[0] or begin(M))" if self.mode in TYPED_MODES and self.memo == "M" else f"{self.memo}[0]"

    def inside(self) -> set[int]:
        """The locals that belong to the innermost loop."""
        if not self.open:
            return set()
        scan = self.open[-1]
        return {scan.key, scan.value, *self.scopes.written[id(scan.block)]}

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

    def statement(self, block: Block, at: int, tail: bool) -> int:
        """Generates one statement, or several at once; how many."""
        statement = block[at]
        if self.mode == "q":
            asked = questions.statement(self, statement, block, at)
            if asked:
                return asked
        return STATEMENTS[type(statement)](self, statement, block, at, tail) or 1

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
            fact = self.there(fact)
            self.env[operand] = fact  # type: ignore[index]
        return fact

    def there(self, fact: Fact) -> Fact:
        """A fact of which it is known now that it is defined."""
        found = self.renamed(fact, fact.text, fact.stable)
        found.defined, found.node = True, fact.node
        return found

    def text(self, operand: Operand) -> str:
        """The expression of an operand that must be defined."""
        fact = self.read(operand)
        if fact.parts is not None or fact.node is not None:
            fact = self.whole(operand, fact)
        return fact.text

    def known(self, sharing: tuple[str, ...] | None) -> Fact | None:
        """What was computed already; leaves the block where that is undefined."""
        fact = self.shared.get(sharing) if sharing is not None else None
        if fact is not None and not fact.defined:
            self.guard(f"{fact.text} is U")
            fact = self.there(fact)
            self.shared[sharing] = fact  # type: ignore[index]
        return fact

    def whole(self, operand: Operand, fact: Fact) -> Fact:
        """A composite that was not put together yet, put together."""
        assert type(operand) is int
        if fact.node is not None:
            made = fields.whole(fact.node)
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
        heavy = sum(not self.light(part) for pair in pairs for part in pair if part is not None)
        if heavy > 1:  # what holds one composite is hardly larger than that
            text = f"held({self.evaluation}, {text})"
        return Fact(text, kind)

    def settled(self, fact: Fact) -> Fact:
        """A fact whose text is the whole value."""
        if fact.node is not None:
            return fields.whole(fact.node)
        return fact if fact.parts is None else self.composite(fact.kind, fact.parts)

    def light(self, fact: Fact) -> bool:
        """Whether a value adds nothing to what holds it but itself: no composite, or one that is held but once."""
        single = fact.once and not self.open
        return single or fact.given or fact.known or fact.kind in ("string", "number", "boolean", "null")

    def constant(self, value: Value, base: bool = False) -> Fact:
        return Fact(self.unit.constant(value), kind_of(value), value=value, base=base)

    def simple(self, fact: Fact, name: str = "v") -> Fact:
        """A fact whose text may be written twice."""
        if fact.known or fact.text.isidentifier():
            return fact
        self.emit(f"{name} = {fact.text}")
        return Fact(name, fact.kind, base=fact.base, given=fact.given)

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
            growing=fact.growing,
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
        growing: bool = False,
    ) -> None:
        """`target = text`, undefined where that is."""
        name = f"l{target}"
        self.emit(f"{name} = {text}")
        if not defined:
            self.guard(f"{name} is U")
        self.named(target, Fact(name, kind, base=base, given=given, growing=growing))
        if sharing is not None and self.env[target].stable:
            self.shared[sharing] = self.env[target]

    def result(self, text: str) -> None:
        """Returns, and keeps what is returned for the next time."""
        if (self.slot is not None or self.kept) and not text.isidentifier():
            self.emit(f"r = {text}")
            text = "r"
        if self.slot is not None:
            self.emit(f"M[{self.slot}] = {text}")
        if self.kept:
            self.emit(f"if len({self.kept}) > {MOST}: {self.kept}.clear()")
            self.emit(f"{self.kept}[read] = {text}")
        self.emit(f"return {text}")


def build(kind: str, pairs: list[tuple[Value, Value]]) -> Value:
    """A composite value of known parts."""
    if kind == "array":
        return [held for _, held in pairs]
    if kind == "object":
        return {key(name): held for name, held in pairs}
    return RegoSet((key(held), held) for _, held in pairs)
