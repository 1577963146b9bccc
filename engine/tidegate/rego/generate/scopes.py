"""What is known of a plan's functions before a line is generated.

For every function: where each of its locals is written and read (a local that is written once and read only inside
the block of that write needs no variable of its own), what types its locals can have, which functions it calls, and
whether it depends on the input. Together these say which rules are constants and what may be left out.
"""

from collections.abc import Iterator
from typing import Final

from tidegate.rego import plan
from tidegate.rego.builtins import TABLE
from tidegate.rego.plan import DATA, INPUT, Block, Operand, Plan, Statement

READS: Final = {
    plan.Assign: ("source",),
    plan.AssignOnce: ("source",),
    plan.Append: ("value", "array"),
    plan.Insert: ("key", "value", "object"),
    plan.InsertOnce: ("key", "value", "object"),
    plan.Add: ("value", "set"),
    plan.Merge: ("a", "b"),
    plan.Dot: ("source", "key"),
    plan.Len: ("source",),
    plan.Equal: ("a", "b"),
    plan.NotEqual: ("a", "b"),
    plan.IsArray: ("source",),
    plan.IsObject: ("source",),
    plan.IsSet: ("source",),
    plan.IsDefined: ("source",),
    plan.IsUndefined: ("source",),
    plan.Return: ("source",),
    plan.ResultAdd: ("value",),
    plan.Scan: ("source",),
    plan.With: ("value", "local"),
}
WRITES: Final = {
    plan.Call: ("result",),
    plan.CallDynamic: ("result",),
    plan.Scan: ("key", "value"),
    **dict.fromkeys(
        (plan.Assign, plan.AssignOnce, plan.Make, plan.MakeArray, plan.MakeObject, plan.MakeSet, plan.Merge, plan.Dot),
        ("target",),
    ),
    **dict.fromkeys((plan.Len, plan.Reset), ("target",)),
}
# an operand that a statement changes in place
CHANGES: Final = {plan.Append: "array", plan.Insert: "object", plan.InsertOnce: "object", plan.Add: "set"}
MADE: Final = {plan.MakeArray: "array", plan.MakeObject: "object", plan.MakeSet: "set", plan.Len: "number"}


def blocks_of(statement: Statement) -> list[Block]:
    """The blocks that a statement holds."""
    kind = type(statement)
    if kind is plan.Blocks:
        return statement.blocks  # type: ignore[attr-defined,no-any-return]
    if kind is plan.Scan or kind is plan.Not or kind is plan.With:
        return [statement.block]  # type: ignore[attr-defined]
    return []


def operands_of(statement: Statement) -> list[Operand]:
    """Everything a statement reads, except through the blocks it holds."""
    kind = type(statement)
    if kind is plan.Call:
        return statement.args  # type: ignore[attr-defined,no-any-return]
    if kind is plan.CallDynamic:
        return [*statement.args, *statement.path]  # type: ignore[attr-defined]
    return [getattr(statement, name) for name in READS.get(kind, ())]


def statements(blocks: list[Block]) -> Iterator[Statement]:
    """Every statement in some blocks, at any depth."""
    for block in blocks:
        for statement in block:
            yield statement
            held = blocks_of(statement)
            if held:
                yield from statements(held)


class Scopes:
    """Where the locals of one function are written, read and changed."""

    def __init__(self, blocks: list[Block], params: list[int]) -> None:
        self.parents: dict[int, int] = {}  # by id() of a block: the block around it
        self.writes: dict[int, list[int]] = {}  # by local: the blocks that write it
        self.reads: dict[int, list[int]] = {}
        self.changes: dict[int, set[int]] = {}
        self.sources: dict[int, list[Statement]] = {}  # by local: the statements that write it
        self.written: dict[int, set[int]] = {}  # by block: the locals written in it, at any depth
        self.touched: dict[int, set[int]] = {}  # by block: the locals read or changed in it, at any depth
        self.params = params
        self.functions: list[tuple[plan.Call, bool]] = []  # calls of functions and builtins, and whether in a loop
        self.dynamic = False
        for block in blocks:
            self._walk(block, 0, False)

    def _walk(self, block: Block, parent: int, looped: bool) -> None:
        here = id(block)
        self.parents[here] = parent
        written: set[int] = set()
        touched: set[int] = set()
        self.written[here] = written
        self.touched[here] = touched
        for statement in block:
            kind = type(statement)
            for operand in operands_of(statement):
                if type(operand) is int:
                    touched.add(operand)
                    self.reads.setdefault(operand, []).append(here)
            held = blocks_of(statement)
            inner = id(statement.block) if kind is plan.Scan else here  # type: ignore[attr-defined]
            for name in WRITES.get(kind, ()):
                local = getattr(statement, name)
                written.add(local)
                self.writes.setdefault(local, []).append(inner)
                self.sources.setdefault(local, []).append(statement)
            changed = CHANGES.get(kind)
            if changed is not None:
                self.changes.setdefault(getattr(statement, changed), set()).add(here)
            if kind is plan.Call:
                self.functions.append((statement, looped))  # type: ignore[arg-type]
            elif kind is plan.CallDynamic:
                self.dynamic = True
            for inside in held:
                self._walk(inside, here, looped or kind is plan.Scan)
                written |= self.written[id(inside)]
                touched |= self.touched[id(inside)]

    def contained(self, local: int) -> bool:
        """Whether a local is written once, and read only inside the block that writes it."""
        writes = self.writes.get(local, ())
        if len(writes) != 1:
            return False
        return all(self.within(block, writes[0]) for block in self.reads.get(local, ()))

    def composed(self, local: int) -> bool:
        """Whether a composite is put together in the one block that makes it."""
        return self.contained(local) and all(block == self.writes[local][0] for block in self.changes.get(local, ()))

    def within(self, block: int, outer: int) -> bool:
        """Whether a block is another, or inside it at any depth."""
        while block:
            if block == outer:
                return True
            block = self.parents[block]
        return False


class Knowledge:
    """What is known of all functions of a plan."""

    def __init__(self, source: Plan) -> None:
        self.functions = {function.name: function for function in source.functions}
        self.scopes = {function.name: Scopes(function.blocks, function.params) for function in source.functions}
        self.entries = {entry.name: Scopes(entry.blocks, [INPUT, DATA]) for entry in source.entries}
        self.withs = any(
            type(statement) is plan.With
            for blocks in (*(one.blocks for one in source.functions), *(one.blocks for one in source.entries))
            for statement in statements(blocks)
        )
        self.dependent = self._dependents()
        self._kinds: dict[tuple[str, int], str] = {}

    def rule(self, name: str) -> bool:
        """Whether a function is a rule: it takes the input and the data only."""
        return len(self.functions[name].params) == 2

    def _dependents(self) -> set[str]:
        """The functions whose result can change with the input, the moment or chance."""
        callers: dict[str, list[str]] = {}
        found: list[str] = []
        for name, scopes in self.scopes.items():
            depends = scopes.dynamic
            for call, _ in scopes.functions:
                if call.function in self.functions:
                    callers.setdefault(call.function, []).append(name)
                    depends = depends or INPUT in call.args[2:]
                else:
                    builtin = TABLE.get(call.function)
                    depends = depends or builtin is None or not builtin.pure or INPUT in call.args
            if depends or any(self._reads_input(statement) for statement in statements(self.functions[name].blocks)):
                found.append(name)
        dependent = set(found)
        while found:
            for caller in callers.get(found.pop(), ()):
                if caller not in dependent:
                    dependent.add(caller)
                    found.append(caller)
        return dependent

    def _reads_input(self, statement: Statement) -> bool:
        kind = type(statement)
        if kind is plan.Call or kind is plan.CallDynamic:
            return False  # passing the input on is not reading it
        return any(type(operand) is int and operand == INPUT for operand in operands_of(statement))

    # static types: one word a local, "any" where several are possible

    def result_kind(self, name: str) -> str:
        function = self.functions[name]
        return self.kind(name, function.result)

    def kind(self, name: str, local: int) -> str:
        """What type every value of a local has."""
        known = self._kinds.get((name, local))
        if known is None:
            self._kinds[name, local] = "any"  # for a cycle of assignments
            kinds = {self._made(name, statement) for statement in self._scopes(name).sources.get(local, ())} - {None}
            known = self._kinds[name, local] = (kinds.pop() or "any") if len(kinds) == 1 else "any"
        return known

    def _scopes(self, name: str) -> Scopes:
        return self.scopes[name] if name in self.scopes else self.entries[name]

    def _made(self, name: str, statement: Statement) -> str | None:
        kind = type(statement)
        made = MADE.get(kind)
        if made is not None:
            return made
        if kind is plan.Reset:
            return None
        if kind is plan.Make:
            return "null" if statement.value is None else "number"  # type: ignore[attr-defined]
        if kind is plan.Assign or kind is plan.AssignOnce:
            source = statement.source  # type: ignore[attr-defined]
            if type(source) is int:
                return "any" if source in self._scopes(name).params else self.kind(name, source)
            return "string" if type(source) is str else "boolean"
        if kind is plan.Call:
            called = statement.function  # type: ignore[attr-defined]
            if called in self.functions:
                return self.result_kind(called)
            builtin = TABLE.get(called)
            return "any" if builtin is None else declared(builtin.signature)
        return "any"


SIMPLE: Final = frozenset(("boolean", "number", "string", "null"))


def declared(signature: str) -> str:
    """The word for the result type of a builtin's signature."""
    result = signature.rpartition("->")[2].strip()
    result = result.rpartition(":")[2].strip() if result.rpartition(":")[2].strip() in SIMPLE else result
    for kind in ("array", "object", "set"):
        if result.startswith((kind + "[", kind + "<")):
            return kind
    return result if result in SIMPLE else "any"


def nests(signature: str) -> bool:
    """Whether a builtin's result may hold composites."""
    result = signature.rpartition("->")[2]
    return "any" in result or sum(result.count(kind) for kind in ("array", "object", "set")) > 1
