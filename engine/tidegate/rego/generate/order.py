"""Which loops may run over their members as they come.

Rego's order of iteration can be seen only through what keeps an order: an array that is appended to, the last of
several assignments, the first result to leave the loop, what fails before it is left. Where a loop's body has none of
these, its source need not be sorted, and that is most of the cost of a loop over a set or an object.
"""

from collections.abc import Callable

from tidegate.rego import plan
from tidegate.rego.generate.scopes import WRITES, Scopes, blocks_of
from tidegate.rego.plan import Block, Scan, Statement


def free(scan: Scan, scopes: Scopes, fails: Callable[[str], bool]) -> bool:
    """Whether nobody can see the order in which a loop runs. `fails`: a call of that name can end the evaluation."""
    look = _Look(id(scan.block), scopes, fails)
    look.block(scan.block, 0)
    return not (look.ordered or (look.leaves and look.varies) or any(len(said) > 1 for said in look.said.values()))


class _Look:
    def __init__(self, loop: int, scopes: Scopes, fails: Callable[[str], bool]) -> None:
        self.loop = loop
        self.scopes = scopes
        self.fails = fails
        self.ordered = False  # something keeps the order
        self.leaves = False  # the loop can be left early
        self.varies = False  # a value that can differ from round to round was kept, or a round can fail
        self.said: dict[int, set[object]] = {}  # by local: the constants that were assigned to it

    def block(self, block: Block, depth: int) -> None:
        for statement in block:
            self.statement(statement, depth)
            for inner in blocks_of(statement):
                self.block(inner, depth + 1)

    def statement(self, statement: Statement, depth: int) -> None:
        kind = type(statement)
        if kind is plan.Break:
            self.leaves = self.leaves or statement.index > depth  # type: ignore[attr-defined]
        elif kind is plan.Append:
            self.ordered = self.ordered or self.outside(statement.array)  # type: ignore[attr-defined]
        elif kind is plan.Insert:
            self.ordered = self.ordered or self.outside(statement.object)  # type: ignore[attr-defined]
        elif kind is plan.Return or kind is plan.ResultAdd:
            self.ordered = True
        elif kind is plan.AssignOnce:
            self.varies = self.varies or not self.constant(statement.source)  # type: ignore[attr-defined]
        elif kind is plan.Assign and type(statement.source) is not int:  # type: ignore[attr-defined]
            if self.seen(statement.target):  # type: ignore[attr-defined]
                self.said.setdefault(statement.target, set()).add((kind, statement.source))  # type: ignore[attr-defined]
        elif kind is plan.InsertOnce:
            self.varies = True
        elif kind is not plan.Reset:
            self.varies = self.varies or (kind is plan.Call and self.fails(statement.function))  # type: ignore[attr-defined]
            for name in WRITES.get(kind, ()):
                self.ordered = self.ordered or self.seen(getattr(statement, name))

    def constant(self, operand: plan.Operand) -> bool:
        if type(operand) is not int:
            return True
        return all(type(source) is plan.Make for source in self.scopes.sources.get(operand, [None]))

    def inside(self, block: int) -> bool:
        return self.scopes.within(block, self.loop)

    def outside(self, local: int) -> bool:
        """Whether a composite was made outside the loop."""
        return not all(self.inside(block) for block in self.scopes.writes.get(local, [0]))

    def seen(self, local: int) -> bool:
        """Whether a local is read outside the loop."""
        return not all(self.inside(block) for block in self.scopes.reads.get(local, ()))
