"""What the modules define, by where it stands below `data`.

A rule stands at the longest constant beginning of its name: `p.q` at p.q, `p[x].r` at p. All checks that ask what a
reference can mean ask this tree.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from tidegate.rego import ast, values


class Definition(Struct, frozen=True, eq=False):
    """A rule where it stands."""

    module: ast.Module
    rule: ast.Rule
    is_open: bool  # its name goes on with a variable

    @property
    def branches(self) -> Iterator[ast.Rule]:
        """The rule, and what is behind its `else`s."""
        branch: ast.Rule | None = self.rule
        while branch is not None:
            yield branch
            branch = branch.otherwise


class Place:
    """A point below `data`: a package, part of one's name, or rules of one name."""

    __slots__ = ("children", "definitions", "is_package", "path")

    def __init__(self, path: tuple[Any, ...]) -> None:
        self.path = path
        self.children: dict[Any, Place] = {}
        self.definitions: list[Definition] = []
        self.is_package = False

    @property
    def name(self) -> str:
        return ".".join(map(str, self.path))

    @property
    def is_function(self) -> bool:
        return bool(self.definitions) and self.definitions[0].rule.head.kind == "func"

    @property
    def arity(self) -> int:
        return len(self.definitions[0].rule.head.args or ())

    def child(self, key: Any) -> "Place":
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = Place((*self.path, values.unkey(key)))
        return found

    def below(self) -> "Iterator[Place]":
        """This place and all that are below it."""
        yield self
        for child in self.children.values():
            yield from child.below()

    def find(self, path: Iterable[Any]) -> "Place | None":
        place: Place | None = self
        for key in path:
            if place is None:
                return None
            place = place.children.get(key)
        return place


def places_of(modules: Iterable[ast.Module]) -> Place:
    """The tree; its root is `data`."""
    root = Place(("data",))
    for module in modules:
        package = root
        for name in module.package[1:]:
            package = package.child(name)
        package.is_package = True
        for rule in module.rules:
            _add(root, module, rule)
    return root


def _add(root: Place, module: ast.Module, rule: ast.Rule) -> None:
    place = root
    path = path_of(rule)
    for part in path:
        if type(part) is not ast.Scalar:
            place.definitions.append(Definition(module, rule, True))
            return
        place = place.child(values.key(part.value))
    place.definitions.append(Definition(module, rule, False))


def path_of(rule: ast.Rule) -> Sequence[ast.Term]:
    """The name of a resolved rule, below `data`."""
    path = rule.head.path
    assert type(path) is ast.Ref
    return path.path


def reached(root: Place, path: Sequence[ast.Term]) -> Iterator[Place]:
    """The places with rules that a reference may read: on its way, where it ends and below; any where it varies."""
    at = [root]
    for part in path:
        if type(part) is ast.Scalar:
            key = values.key(part.value)
            at = [place.children[key] for place in at if key in place.children]
        else:
            at = [child for place in at for child in place.children.values()]
        if not at:
            return
        yield from (place for place in at if place.definitions)
    for place in at:
        yield from (below for below in place.below() if below is not place and below.definitions)
