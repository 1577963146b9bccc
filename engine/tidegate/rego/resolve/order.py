"""Puts the statements of a body in an order in which every variable is bound before it is needed.

A statement goes as far ahead as it was written, unless it needs a variable that only a later one binds. A closure needs
the variables that it shares with the body around it. What no order can bind is unsafe: it is told once, at its first
place, and counts as bound from there on, so that what depends on it is not told too.
"""

from collections.abc import Callable

from msgspec.structs import force_setattr

from tidegate.rego import ast
from tidegate.rego.resolve.binding import Arity, left_unbound
from tidegate.rego.resolve.lines import Closure, Line, statements_of


class Order:
    """The order of the bodies of one rule."""

    def __init__(self, arity: Arity, unsafe: Callable[[ast.Var], None]) -> None:
        self.arity = arity
        self.unsafe = unsafe

    def ordered(self, lines: list[Line], bound: set[str]) -> list[Line]:
        """The lines in order; what they bind is added to `bound`."""
        own: set[str] = set()
        if any(line.closures for line in lines):
            own = own.union(*[line.variables for line in lines])
        found: list[Line] = []
        left = lines
        while left:
            waiting = [line for line in left if not self._placed(line, bound, own, found)]
            if len(waiting) == len(left):
                self._tell(waiting, bound, own)
            left = waiting
        return found

    def _placed(self, line: Line, bound: set[str], own: set[str], found: list[Line]) -> bool:
        """Whether the line's turn has come."""
        if line.closures and not _shared(line, own) <= bound:
            return False
        unbound = line.variables.keys() - bound
        if unbound and left_unbound(line.statement, unbound, self.arity):
            return False
        for closure in line.closures:
            self._close(closure, set(bound))
        bound |= unbound
        found.append(line)
        return True

    def _close(self, closure: Closure, bound: set[str]) -> None:
        bound.update(closure.given)
        ordered = self.ordered(closure.lines, bound)
        if ordered != closure.lines:
            # the node was made by the resolver and is nobody else's yet
            force_setattr(closure.node, "body", statements_of(ordered))
        self.ordered([closure.result], bound)

    def needs(self, lines: list[Line], last: Line) -> bool:
        """Whether the lines need a variable that none of them can bind, and what comes last can."""
        own = set[str]().union(*[line.variables for line in (*lines, last)])
        wanted = last.variables.keys() & set[str]().union(*[line.variables for line in lines])
        return any(
            self._can_be_bound(name, [last], own) and not self._can_be_bound(name, lines, own) for name in wanted
        )

    # what cannot be bound

    def _tell(self, lines: list[Line], bound: set[str], own: set[str]) -> None:
        """Reports the variables that none of the lines could bind even if all others were bound."""
        wanted: dict[str, ast.Var] = {}
        for line in lines:
            for name, variable in line.variables.items():
                if name not in bound:
                    wanted.setdefault(name, variable)
        hopeless = [name for name in wanted if not self._can_be_bound(name, lines, own)]
        for name in hopeless or list(wanted)[:1]:
            self.unsafe(wanted[name])
            bound.add(name)

    def _can_be_bound(self, name: str, lines: list[Line], own: set[str]) -> bool:
        return any(
            name in line.variables
            and not (line.closures and name in _shared(line, own))
            and not left_unbound(line.statement, {name}, self.arity)
            for line in lines
        )


def _shared(line: Line, own: set[str]) -> set[str]:
    """The variables that the line's closures have in common with the body around them."""
    return own.intersection(set[str]().union(*[closure.variables() for closure in line.closures]))
