"""`with`: a statement is written as if something were different.

Values are computed before, as things are. A part of the input or of the data is replaced around the statement; what
follows it in a scan is still written inside, so the document is put back there. A function is replaced in whatever is
called, see `Generation`.
"""

from collections.abc import Callable
from typing import Any

from tidegate.rego import ast, plan
from tidegate.rego.builtins import TABLE
from tidegate.rego.lower.routine import Routine
from tidegate.rego.lower.settling import settled
from tidegate.rego.plan import DATA, INPUT, Operand


def replacing(routine: Routine, modifiers: tuple[ast.With, ...], write: Callable[..., None], *arguments: Any) -> None:
    """Writes a statement under its modifiers, and leaves things as they were before."""
    if not modifiers:
        write(routine, *arguments)
        return
    before = routine.generation, routine.captured
    documents = _replace(routine, modifiers)
    outer, depth, position = routine.block, routine.depth, len(routine.block)
    for document, path, value in documents:
        inner = plan.With(local=document, path=path, value=value, block=[])
        routine.emit(inner)
        routine.enter(inner.block)
    inside = routine.block
    write(routine, *arguments)
    routine.generation, routine.captured = before
    if routine.block is inside:
        routine.block, routine.depth = outer, depth
    else:
        _put_back(routine, outer, position, {document for document, _, _ in documents})


def _put_back(routine: Routine, outer: plan.Block, position: int, documents: set[int]) -> None:
    for document in sorted(documents):
        saved = routine.copy(document)
        outer.insert(position, routine.block.pop())
        again = plan.With(local=document, path=[], value=saved, block=[])
        routine.emit(again)
        routine.enter(again.block)


def _replace(routine: Routine, modifiers: tuple[ast.With, ...]) -> list[tuple[int, list[str], Operand]]:
    """Puts the functions in place; what is left to do are the documents."""
    generation = routine.generation
    functions = dict(generation.functions)
    replaced = set(generation.documents)
    captured = list(routine.captured)
    documents: list[tuple[int, list[str], Operand]] = []
    for modifier in modifiers:
        root, path = _parts(modifier.target)
        name = ".".join((root, *path))
        if root not in ("input", "data") or name in routine.planner.functions:
            function = _function(routine, modifier.value)
            if function is None:
                captured += settled(routine, modifier.value)
            functions[name] = len(captured) - 1 if function is None else function
            continue
        [value] = settled(routine, modifier.value)
        documents.append((INPUT if root == "input" else DATA, path, value))
        if root == "data" and routine.planner.tree.find(path) is not None:
            replaced.add(tuple(path))
    if functions != generation.functions or len(replaced) != len(generation.documents):
        routine.generation = routine.planner.generation(functions, frozenset(replaced), len(captured))
        routine.captured = tuple(captured)
    return documents


def _parts(term: ast.Term) -> tuple[str, list[str]]:
    """The parts of a name: of a document, a function or a builtin; "" and nothing where the term is none."""
    if type(term) is ast.Var:
        return term.name, []
    if type(term) is ast.Ref and type(term.head) is ast.Var:
        path = [part.value for part in term.path if type(part) is ast.Scalar and type(part.value) is str]
        if len(path) == len(term.path):
            return term.head.name, path
    return "", []


def _function(routine: Routine, term: ast.Term) -> str | None:
    """The name of the function that a replacing term is, or None where it is a value."""
    root, path = _parts(term)
    name = ".".join((root, *path))
    if name in routine.planner.functions or (root not in routine.bound and name in TABLE):
        return name
    return None
