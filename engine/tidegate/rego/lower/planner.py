"""Which functions the plan needs, and under which replacements each was called.

Only what an entry reaches is planned: whoever calls a function asks for its name here, and asking puts it on the list.

`with` can replace functions, and documents that rules would have given. What is called below such a `with` must see
the replacements too, so it is planned once more: each set of replacements is a generation of functions of its own.
"""

from collections.abc import Sequence

from msgspec import Struct

from tidegate.rego import ast
from tidegate.rego.lower.tree import Node, grow


class Generation(Struct, frozen=True, eq=False):
    """What is replaced: functions and builtins, by another one's name or by a captured value; and documents.

    A captured value is known at run time only, so that every function of the generation takes it as a parameter.
    """

    number: int
    functions: dict[str, str | int] = {}  # the name of the replacement, or the number of the captured value
    documents: frozenset[tuple[str, ...]] = frozenset()
    captures: int = 0


class Planner:
    """The rules, and the functions that were asked for."""

    def __init__(self, modules: Sequence[ast.Module]) -> None:
        self.modules = modules
        self.tree, self.functions = grow(modules)
        self.first = Generation(0)
        self.wanted: list[tuple[str, Generation, Node]] = []
        self._named: dict[tuple[int, tuple[str, ...]], str] = {}
        self._generations = {self._key(self.first): self.first}

    def name(self, generation: Generation, node: Node) -> str:
        """The name of the function that gives the node's value; it will be planned."""
        key = generation.number, node.path
        name = self._named.get(key)
        if name is None:
            name = self._named[key] = f"g{generation.number}.{node.name}"
            self.wanted.append((name, generation, node))
        return name

    def generation(
        self, functions: dict[str, str | int], documents: frozenset[tuple[str, ...]], captures: int
    ) -> Generation:
        """The generation with these replacements."""
        wanted = Generation(len(self._generations), functions, documents, captures)
        return self._generations.setdefault(self._key(wanted), wanted)

    @staticmethod
    def _key(generation: Generation) -> tuple[object, ...]:
        return frozenset(generation.functions.items()), generation.documents, generation.captures
