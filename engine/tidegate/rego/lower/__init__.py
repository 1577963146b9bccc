"""From checked modules to a plan.

tree          the rules of all modules by where they stand below `data`
planner       which functions are needed, and under which replacements
rules         the rules of one place as one function
routine       what a function or query is while it is written
statements    bodies; replacement: `with`
unification   `a = b`, and patterns
terms         values; references: into documents and rules; calls
settling      terms that bind each other's variables
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tidegate.rego import ast, plan
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.lower import calls, references, statements, terms
from tidegate.rego.lower.planner import Planner
from tidegate.rego.lower.routine import WILDCARD, Routine, Unbound
from tidegate.rego.lower.rules import Definition

__all__ = ["calls", "lower", "references", "statements", "terms"]

Entry = tuple[str, ...] | ast.Body


class Resolved(Protocol):
    """Modules as the checker leaves them."""

    @property
    def modules(self) -> Sequence[ast.Module]: ...


def lower(checked: Resolved, entries: Mapping[str, Entry]) -> plan.Plan:
    """The plan of everything that the entries reach.

    An entry is the path of a document, whose result is {"result": its value}, or a resolved query, whose results are
    the bindings of its variables.
    """
    planner = Planner(checked.modules)
    made = plan.Plan(entries=[], functions=[], files=[module.source.name for module in checked.modules])
    routine = None
    try:
        for name, entry in entries.items():
            routine = Routine(planner, planner.first)
            made.entries.append(_entry(routine, name, entry))
        for wanted in planner.wanted:  # it grows meanwhile
            definition = Definition(planner, *wanted)
            routine = definition.routine
            made.functions.append(definition.write())
    except Unbound as unbound:
        raise PolicyRefused([_unsafe(unbound.variable, routine)]) from None
    except RecursionError:
        raise PolicyRefused([Problem("rego_compile_error", "the policy is nested too deeply")]) from None
    return made


def _unsafe(variable: ast.Var, routine: Routine | None) -> Problem:
    source = routine.source if routine is not None else None
    return Problem("rego_unsafe_var_error", f"var `{variable.name}` is unsafe", source, variable.start, variable.end)


def _entry(routine: Routine, name: str, entry: Entry) -> plan.Entry:
    block = routine.block
    if all(type(part) is str for part in entry):
        path = tuple([ast.Scalar(start=0, end=0, value=part) for part in entry[1:]])
        document = ast.Ref(start=0, end=0, head=ast.Var(start=0, end=0, name="data"), path=path)
        results = {"result": routine.value(document)}
    else:
        routine.body(entry)  # type: ignore[arg-type]
        results = {name.split("~")[0]: value for name, value in routine.bound.items() if not name.startswith(WILDCARD)}
    result = routine.local()
    routine.emit(plan.MakeObject(target=result))
    for variable, value in results.items():
        routine.emit(plan.Insert(key=variable, value=value, object=result))
    routine.emit(plan.ResultAdd(value=result))
    return plan.Entry(name=name, blocks=[block])
