"""The rules of all modules as one tree below `data`, as references look them up.

A rule stands at the longest constant beginning of its name: `p.q` at p.q, `p[x].r` at p. Where a name goes on with a
variable, the rules below that place cannot be told apart beforehand, so all of them make one object together.
Functions have places too, but references never see them. A package without rules is a place without children: its
document is an empty object.
"""

from collections.abc import Iterable, Iterator

from tidegate.rego import ast


class Node:
    """A place below `data`: the rules that give its value, or else its children."""

    __slots__ = ("children", "default", "kind", "path", "rules")

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.kind: str | None = None  # value, set, func, object, or None where there are no rules
        self.rules: list[tuple[int, ast.Rule]] = []  # with the number of their module
        self.default: tuple[int, ast.Rule] | None = None
        self.children: dict[str, Node] = {}

    @property
    def arity(self) -> int:
        _, rule = self.rules[0] if self.rules else self.default  # type: ignore[misc]
        return len(rule.head.args or ())

    @property
    def name(self) -> str:
        return ".".join(("data", *self.path))

    def child(self, name: str) -> "Node":
        found = self.children.get(name)
        if found is None:
            found = self.children[name] = Node((*self.path, name))
        return found

    def place(self, path: Iterable[str]) -> "Node":
        node = self
        for name in path:
            node = node.child(name)
        return node

    def find(self, path: Iterable[str]) -> "Node | None":
        node: Node | None = self
        for name in path:
            if node is None:
                return None
            node = node.children.get(name)
        return node

    def absorb(self) -> None:
        """Makes the node and everything below it one object; its rules are in the order in which they are tried.

        The longest names come first: a rule that would overwrite what they made meets a key that is there already,
        which is a conflict. Defaults are for what is missing in the end.
        """
        self.kind = "object"
        for node in self._below():
            if node.kind != "func":
                self.rules += node.rules
                self.rules += [node.default] if node.default is not None else []
        self.children = {}
        self.rules.sort(key=lambda one: (one[1].default, -len(name_of(one[1]))))

    def _below(self) -> Iterator["Node"]:
        for child in self.children.values():
            yield child
            yield from child._below()


def grow(modules: Iterable[ast.Module]) -> tuple[Node, dict[str, Node]]:
    """The tree, and its functions by their whole names."""
    root = Node(())
    functions: dict[str, Node] = {}
    open_ended: dict[tuple[str, ...], Node] = {}
    for number, module in enumerate(modules):
        root.place(module.package[1:])
        for rule in module.rules:
            constant = _constant_beginning(rule)
            node = root.place(constant)
            if len(constant) < len(name_of(rule)):
                open_ended[constant] = node
                node.rules.append((number, rule))
                continue
            node.kind = rule.head.kind
            if node.kind == "func":
                functions[node.name] = node
            if rule.default:
                node.default = number, rule
            else:
                node.rules.append((number, rule))
    for node in open_ended.values():
        node.absorb()
    return root, functions


def name_of(rule: ast.Rule) -> tuple[ast.Term, ...]:
    """The parts of a rule's name below `data`."""
    path = rule.head.path
    assert type(path) is ast.Ref  # a resolved one
    return path.path


def _constant_beginning(rule: ast.Rule) -> tuple[str, ...]:
    names: list[str] = []
    for term in name_of(rule):
        if type(term) is not ast.Scalar or type(term.value) is not str:
            break
        names.append(term.value)
    return tuple(names)
