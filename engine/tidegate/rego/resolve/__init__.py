"""Gives every name in a policy its meaning, and puts the statements of every body in an order that can be run.

names      what the names of a module stand for
scopes     which variables a body declares
terms      terms; bodies: statements; rules: heads
metadata   what `rego.metadata` stands for
lines      statements with the variables in them
binding    which variables a statement binds; order: after which statements it can stand

Afterwards every reference begins with `data` or `input`, every declared variable has a name that is unique in its rule
(`x~2`, and `_~3` for a wildcard), `some x` is gone, and whatever a statement needs is bound before it.
"""

from collections.abc import Sequence

from msgspec import Struct

from tidegate.rego import ast
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.resolve.bodies import Bodies
from tidegate.rego.resolve.metadata import Metadata
from tidegate.rego.resolve.names import Names
from tidegate.rego.resolve.rules import Rules
from tidegate.rego.source import Source

__all__ = ["Resolved", "resolve"]


class Resolved(Struct, frozen=True):
    """Modules in their resolved form. Where there is a problem, that rule can be looked at, but must not be run."""

    modules: list[ast.Module]
    problems: list[Problem]
    names: Names

    def query(self, body: ast.Body, source: Source) -> ast.Body:
        """A query against the modules; raises PolicyRefused if it cannot be resolved."""
        query = Bodies(self.names, {"data": ("data",), "input": ("input",)}, source)
        resolved = query.query(body)
        if query.problems:
            raise PolicyRefused(_sorted(query.problems))
        return resolved


def resolve(modules: Sequence[ast.Module]) -> Resolved:
    """Resolves all modules of a policy. Whatever is wrong is listed by module and position."""
    names = Names(modules)
    metadata = Metadata(modules)
    resolved = []
    problems: list[Problem] = []
    for module in modules:
        rules = Rules(names, metadata, module)
        resolved.append(rules.module())
        problems += _sorted(rules.problems)
    return Resolved(resolved, problems, names)


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.start)
