"""What names mean in a module: its imports, the rules of its package, functions, builtins, `data` and `input`."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tidegate.rego import ast
from tidegate.rego.builtins import REFUSED, TABLE
from tidegate.rego.suggest import did_you_mean
from tidegate.rego.types import signature

Path = tuple[str, ...]

ROOTS: Final = frozenset(("data", "input"))
PRINT: Final = "print"  # takes whatever it is given, and is gone when a policy runs

CERTAIN: Final = 0.76  # how near a name must be to be meant: variables are short, and many


class Names:
    """What all modules define."""

    def __init__(self, modules: Sequence[ast.Module]) -> None:
        self.rules: dict[Path, dict[str, Path]] = {}  # of each package: the first parts of their names
        self.functions: dict[Path, int] = {}  # with the number of operands
        for module in modules:
            names = self.rules.setdefault(module.package, {})
            for rule in module.rules:
                parts = constant_beginning(rule.head.path)
                names.setdefault(parts[0], (*module.package, parts[0]))
                if rule.head.args is not None:
                    self.functions.setdefault(module.package + parts, len(rule.head.args))

    def of_module(self, module: ast.Module) -> dict[str, Path]:
        """What each name that the module can use by itself stands for. An import hides a rule."""
        found: dict[str, Path] = {"data": ("data",), "input": ("input",)}
        found.update(self.rules[module.package])
        for imported in module.imports:
            if imported.alias is not None:
                found[imported.alias] = imported.path
        return found

    def arity(self, name: Path) -> int:
        """How many operands a function takes; none if there is no such function."""
        if name[0] == "data":
            return self.functions.get(name, 0)
        return arity_of_builtin(".".join(name))

    def is_function(self, name: Path) -> bool:
        return name in self.functions or is_builtin(".".join(name))


def is_builtin(name: str) -> bool:
    return name in TABLE or name in REFUSED or name == PRINT


def arity_of_builtin(name: str) -> int:
    if name == PRINT:
        return sys.maxsize
    return len(signature(TABLE[name].signature).operands) if name in TABLE else 0


def first_part(path: ast.Var | ast.Ref) -> ast.Var:
    """Of a rule's name, as it is written."""
    head = path if type(path) is ast.Var else path.head  # type: ignore[union-attr]
    assert type(head) is ast.Var
    return head


def constant_beginning(path: ast.Var | ast.Ref) -> Path:
    """Of a rule's name, up to its first variable."""
    parts = [first_part(path).name]
    for step in path.path if type(path) is ast.Ref else ():
        if type(step) is not ast.Scalar or type(step.value) is not str:
            break
        parts.append(step.value)
    return tuple(parts)


def dotted(term: ast.Term) -> Path | None:
    """The parts of a name, or None where the term is none."""
    if type(term) is ast.Var:
        return (term.name,)
    if type(term) is not ast.Ref or type(term.head) is not ast.Var:
        return None
    parts = tuple([step.value for step in term.path if type(step) is ast.Scalar and type(step.value) is str])
    return (term.head.name, *parts) if len(parts) == len(term.path) else None


# hints


def hint_for_variable(name: str, names: Names, known: Mapping[str, Path], variables: Iterable[str]) -> str | None:
    """What somebody may have meant by a name that nothing defines."""
    near = did_you_mean(name, [*variables, *known], CERTAIN)
    if near is not None:
        return near
    packages = [package for package in names.rules if package[-1] == name]
    if packages:
        return f"write `import {'.'.join(packages[0])}`"
    return f"`{name}` is a function: `{name}(...)`" if name in TABLE else None


def hint_for_function(name: str, names: Names, known: Mapping[str, Path]) -> str | None:
    """What somebody may have meant by a function that is not there."""
    package, _, function = name.rpartition(".")
    for path in names.functions if package and package not in known else ():
        if path[-2:] == (package, function):
            return f"write `import {'.'.join(path[:-1])}`"
    candidates = [".".join(path) for path in names.functions]
    for alias, path in known.items():
        candidates += [".".join((alias, *each[len(path) :])) for each in names.functions if each[: len(path)] == path]
    return did_you_mean(name, [*candidates, *(each for each in TABLE if not each.startswith("internal."))], CERTAIN)
