"""The function or query that is being written: its statements, its locals, and what its variables stand for.

What a scan finds is used inside of the scan's block, so whatever follows a scan is written there: `block` moves inwards
while a body is written, and `depth` counts the blocks to leave again. Every local is assigned in one place, and a
variable stands for the operand it was bound to; there are no copies.

A term that reads a variable nothing has bound yet raises `Unbound`. Whoever knows another order to try marks the place
before, rewinds to it, and tries that.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tidegate.rego import ast, plan
from tidegate.rego.plan import Block, Operand
from tidegate.rego.source import Source

if TYPE_CHECKING:
    from tidegate.rego.lower.planner import Generation, Planner


class Known(ast.Node, frozen=True, eq=False):
    """A term whose value is already in a local, or a constant."""

    operand: Operand


Term: TypeAlias = ast.Term | Known
WILDCARD: Final = "_~"  # how the names begin that the resolver gives to `_`


class Unbound(Exception):
    """Nothing has bound the variable yet."""

    def __init__(self, variable: ast.Var) -> None:
        super().__init__(variable.name)
        self.variable = variable


class Routine:
    """What is written so far. `captured` are the values that stand in for functions here, see `Generation`."""

    def __init__(self, planner: "Planner", generation: "Generation", locals_taken: int = 2) -> None:
        self.planner = planner
        self.generation = generation
        self.captured: tuple[Operand, ...] = ()
        self.bound: dict[str, Operand] = {}
        self.block: Block = []
        self.depth = 0
        self.next = locals_taken
        self.source: Source | None = None
        self.file = self.row = self.col = 0

    # statements

    def at(self, node: ast.Node) -> None:
        """The statements that follow come from this node."""
        if self.source is not None:
            self.row = self.source.line(node.start)
            self.col = self.source.column(node.start)

    def emit(self, statement: plan.Statement) -> None:
        statement.file = self.file
        statement.row = self.row
        statement.col = self.col
        self.block.append(statement)

    def local(self) -> int:
        taken = self.next
        self.next = taken + 1
        return taken

    def copy(self, source: Operand) -> int:
        target = self.local()
        self.emit(plan.Assign(source=source, target=target))
        return target

    def dot(self, source: Operand, key: Operand) -> int:
        target = self.local()
        self.emit(plan.Dot(source=source, key=key, target=target))
        return target

    def number(self, value: int) -> int:
        target = self.local()
        self.emit(plan.Make(value=value, target=target))
        return target

    def must_be_equal(self, a: Operand, b: Operand) -> None:
        self.emit(plan.Equal(a=a, b=b))

    def fail(self) -> None:
        """What follows is never reached."""
        self.emit(plan.Break(index=0))

    def must_hold(self, operand: Operand) -> None:
        if operand is False:
            self.fail()
        elif type(operand) is int:
            self.emit(plan.NotEqual(a=operand, b=False))

    def scan(self, source: Operand) -> tuple[int, int]:
        """The key and the value of every member; what follows is written for each."""
        inner = plan.Scan(
            source=source if type(source) is int else self.copy(source),
            key=self.local(),
            value=self.local(),
            block=[],
        )
        self.emit(inner)
        self.enter(inner.block)
        return inner.key, inner.value

    def enter(self, block: Block) -> None:
        self.block = block
        self.depth += 1

    # blocks of their own

    def open(self) -> tuple[Any, ...]:
        """Begins a block that is not part of the one before it until it is put somewhere."""
        outer = self.block, self.depth, self.bound, self.row, self.col
        self.bound = self.bound.copy()
        self.enter([])
        return outer

    def close(self, outer: tuple[Any, ...]) -> None:
        """Ends the block; what it bound is unbound again."""
        self.block, self.depth, self.bound, self.row, self.col = outer

    def apart(self, write: Callable[..., None], *arguments: Any) -> Block:
        """What `write` writes, as a block of its own."""
        outer = self.open()
        block = self.block
        write(*arguments)
        self.close(outer)
        return block

    # orders of binding

    def mark(self) -> tuple[Any, ...]:
        return self.block, len(self.block), self.depth, self.bound, len(self.bound), self.generation, self.captured

    def rewind(self, mark: tuple[Any, ...]) -> None:
        """Forgets what was written and bound since the mark."""
        self.block, length, self.depth, self.bound, count, self.generation, self.captured = mark
        del self.block[length:]
        while len(self.bound) > count:
            self.bound.popitem()

    def attempt(self, write: Callable[..., None], *arguments: Any) -> Unbound | None:
        """Writes it, or else nothing and says which variable was in the way."""
        mark = self.mark()
        try:
            write(*arguments)
        except Unbound as unbound:
            self.rewind(mark)
            return unbound
        return None

    def attempt_all(self, goals: list[tuple[Any, ...]]) -> None:
        """Writes all of them, each as soon as its variables are bound."""
        while goals:
            left = []
            for goal in goals:
                unbound = self.attempt(*goal)
                if unbound is not None:
                    left.append(goal)
            if len(left) == len(goals):
                assert unbound is not None
                raise unbound
            goals = left

    # terms and statements of the language

    def value(self, term: Term) -> Operand:
        """The operand that has the term's value; what follows is reached only where it is defined."""
        return VALUES[type(term)](self, term)

    def value_if_bound(self, term: Term) -> Operand | None:
        """The same, or None (and nothing written) where a variable of it is not bound yet."""
        mark = self.mark()
        try:
            return VALUES[type(term)](self, term)
        except Unbound:
            self.rewind(mark)
            return None

    def body(self, body: ast.Body) -> None:
        for statement in body:
            self.at(statement)
            STATEMENTS[type(statement)](self, statement)


# Filled by the modules that know them.
VALUES: Final[dict[type, Callable[[Routine, Any], Operand]]] = {}
STATEMENTS: Final[dict[type, Callable[[Routine, Any], None]]] = {}
