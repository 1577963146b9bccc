"""One walk over a resolved rule for everything that the checks of names ask."""

from collections.abc import Callable
from typing import Any, Final

from tidegate.rego import ast

DOCUMENTS: Final = frozenset(("input", "data"))


class Survey:
    """What occurs in a rule."""

    __slots__ = ("assigned", "calls", "modifiers", "outermost", "references", "replacing", "seen")

    def __init__(self) -> None:
        self.references: list[ast.Ref] = []  # those into `data`
        self.calls: list[ast.Call] = []
        self.outermost: set[int] = set()  # ids of calls that are statements: a last operand may stand for the result
        self.modifiers: list[ast.With] = []
        self.replacing: set[int] = set()  # ids of what `with` puts in a place
        self.assigned: list[ast.Var] = []  # the variables that `:=` made
        self.seen: set[str] = set()  # the names of all others


def survey(root: ast.Rule | ast.Body) -> Survey:
    """Everything in a rule with its `else`s, or in a query."""
    found = Survey()
    pending: list[Any] = list(root) if type(root) is tuple else [root]
    while pending:
        node = pending.pop()
        if node is not None:
            _VISIT[type(node)](node, found, pending)
    return found


Visit = Callable[[Any, Survey, list[Any]], None]


def _nothing(node: Any, found: Survey, pending: list[Any]) -> None:
    pass


def _variable(node: ast.Var, found: Survey, pending: list[Any]) -> None:
    found.seen.add(node.name)


def _reference(node: ast.Ref, found: Survey, pending: list[Any]) -> None:
    if type(node.head) is ast.Var and node.head.name in DOCUMENTS:
        if node.head.name == "data":
            found.references.append(node)
    else:
        pending.append(node.head)
    pending += (part for part in node.path if type(part) is not ast.Scalar)


def _call(node: ast.Call, found: Survey, pending: list[Any]) -> None:
    if node.name == ("assign",):
        _assigned(node.args[0], found, pending)
        pending.append(node.args[1])
    else:
        found.calls.append(node)
        pending += node.args


def _assigned(pattern: ast.Term, found: Survey, pending: list[Any]) -> None:
    if type(pattern) is ast.Var:
        found.assigned.append(pattern)
    elif type(pattern) is ast.Array:
        for element in pattern.elements:
            _assigned(element, found, pending)
    elif type(pattern) is ast.Object:
        for key, held in pattern.pairs:
            pending.append(key)
            _assigned(held, found, pending)


def _with(node: ast.With, found: Survey, pending: list[Any]) -> None:
    found.modifiers.append(node)
    found.replacing.add(id(node.value))
    pending.append(node.value)


def _expression(node: ast.Expression, found: Survey, pending: list[Any]) -> None:
    if type(node.term) is ast.Call:
        found.outermost.add(id(node.term))
    pending.append(node.term)
    pending += node.modifiers


def _rule(node: ast.Rule, found: Survey, pending: list[Any]) -> None:
    head = node.head
    pending += head.args or ()
    assert type(head.path) is ast.Ref
    pending += (part for part in head.path.path if type(part) is not ast.Scalar)
    pending += (head.key, head.value, node.otherwise)
    pending += node.body


_VISIT: Final[dict[type, Visit]] = {
    str: _nothing,
    ast.Scalar: _nothing,
    ast.Some: _nothing,
    ast.Var: _variable,
    ast.Ref: _reference,
    ast.Call: _call,
    ast.Array: lambda node, found, pending: pending.extend(node.elements),
    ast.Set: lambda node, found, pending: pending.extend(node.elements),
    ast.Object: lambda node, found, pending: pending.extend(term for pair in node.pairs for term in pair),
    ast.ArrayComprehension: lambda node, found, pending: pending.extend((node.element, *node.body)),
    ast.SetComprehension: lambda node, found, pending: pending.extend((node.element, *node.body)),
    ast.ObjectComprehension: lambda node, found, pending: pending.extend((node.key, node.value, *node.body)),
    ast.Template: lambda node, found, pending: pending.extend(node.parts),
    ast.With: _with,
    ast.Expression: _expression,
    ast.SomeIn: lambda node, found, pending: pending.extend((node.key, node.value, node.domain, *node.modifiers)),
    ast.Every: lambda node, found, pending: pending.extend((node.domain, *node.body, *node.modifiers)),
    ast.Rule: _rule,
}
