"""Calls and replacements of functions: the number of arguments, and builtins that have been given up."""

from tidegate.rego import ast, values
from tidegate.rego.builtins import REFUSED, TABLE
from tidegate.rego.check.findings import Findings
from tidegate.rego.check.places import Place
from tidegate.rego.check.survey import Survey
from tidegate.rego.source import Source
from tidegate.rego.types import signature

CODE = "rego_type_error"
STATEMENTS = frozenset((("eq",), ("assign",), ("print",)))


def arity(root: Place, name: tuple[str, ...]) -> int | None:
    """How many arguments a function takes; None where there is no such function."""
    if name[0] == "data":
        place = root.find(name[1:])
        return place.arity if place is not None and place.is_function else None
    builtin = TABLE.get(".".join(name))
    return len(signature(builtin.signature).operands) if builtin is not None else None


def check_calls(root: Place, found: Survey, source: Source, findings: Findings) -> None:
    for call in found.calls:
        if call.name in STATEMENTS:
            continue
        wanted = arity(root, call.name)
        given = len(call.args)
        if wanted is not None and given != wanted and not (given == wanted + 1 and id(call) in found.outermost):
            message = f"function `{written(call, source)}` has arity {wanted}, got {_count(given, 'argument')}"
            findings.error(CODE, message, source, call)
        builtin = TABLE.get(".".join(call.name))
        if builtin is not None and builtin.deprecated is not None:
            findings.warning(CODE, f"deprecated builtin `{builtin.name}`", source, call, builtin.deprecated)


def check_modifiers(root: Place, found: Survey, source: Source, findings: Findings) -> None:
    """`with` replaces documents and functions as a whole: no part of what rules define, no function by another kind."""
    for modifier in found.modifiers:
        name = name_of(modifier.target)
        if name is None:
            continue
        for length in range(1, len(name)):
            place = root.find(name[1:length]) if name[0] == "data" else None
            if place is not None and place.definitions:
                message = f"`with` cannot replace a part of rule `{place.name}`"
                findings.error(CODE, message, source, modifier.target, "replace the whole rule")
                break
        _check_replacement(root, name, modifier, source, findings)


def _check_replacement(
    root: Place, name: tuple[str, ...], modifier: ast.With, source: Source, findings: Findings
) -> None:
    wanted = arity(root, name) if name[0] != "input" else None
    replacing = name_of(modifier.value)
    if replacing is None:
        return
    reason = REFUSED.get(".".join(replacing))
    if reason is not None:
        findings.error(CODE, f"`{'.'.join(replacing)}` is refused: {reason}", source, modifier.value)
    given = arity(root, replacing)
    if wanted is not None and given is not None and given != wanted:
        message = f"`{'.'.join(name)}` has arity {wanted}, what replaces it {given}"
        findings.error(CODE, message, source, modifier.value)


def name_of(term: ast.Term) -> tuple[str, ...] | None:
    """The parts of a name such as `data.a.b` or `time.now_ns`."""
    if type(term) is ast.Var:
        return (term.name,)
    if type(term) is not ast.Ref or type(term.head) is not ast.Var:
        return None
    parts = [part.value if type(part) is ast.Scalar else values.UNDEFINED for part in term.path]
    names = [part for part in parts if type(part) is str]
    return (term.head.name, *names) if len(names) == len(parts) else None


def written(call: ast.Call, source: Source) -> str:
    """A function's name as the policy has it; an operator's is the builtin's."""
    return source.text[call.start : call.name_end] if call.name_end > call.start else ".".join(call.name)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
