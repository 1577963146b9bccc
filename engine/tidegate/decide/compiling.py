"""From a bundle to its functions. This is the one place that calls the compiler, and nothing that serves imports it but
to compile.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from tidegate.decide import checks
from tidegate.decide.admission import TYPED
from tidegate.decide.bundle import Bundle
from tidegate.decide.compiled import ANSWER, QUERY, by_document
from tidegate.decide.contract import PACKAGE, RULES
from tidegate.decide.input import Phase, policy_schema
from tidegate.rego import ast
from tidegate.rego.check import check
from tidegate.rego.compile import compile_modules, parse_all, program_of, together
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.generate import Program
from tidegate.rego.generate.typed import Typed
from tidegate.rego.parser import parse_body
from tidegate.rego.plan import read
from tidegate.rego.source import Source


def checked(bundle: Bundle, carried_out: frozenset[str], typed: Typed) -> Program:
    """The program of a bundle; raises PolicyRefused with everything that is wrong in it."""
    modules, problems = parse_all(bundle.sources)
    ours = checks.check(modules, carried_out) + checks.check_limits(modules, bundle.data)
    entries = _entries(modules)
    try:
        program = _program(bundle, modules, entries, typed)
    except PolicyRefused as refused:
        raise PolicyRefused(in_order([*together(problems, refused.problems), *ours])) from None
    if problems or ours:
        raise PolicyRefused(in_order([*problems, *ours]))
    return program


def _program(bundle: Bundle, modules: list[ast.Module], entries: Mapping[str, ast.Body], typed: Typed) -> Program:
    if bundle.plan is not None:
        return Program(read(bundle.plan), bundle.data, strict=True, typed=typed)
    schema = policy_schema() if entries else None  # the input of other policies is their own
    return program_of(modules, bundle.data, entries=entries, schema=schema, strict=True, typed=typed)


def compile_query(bundle: Bundle, text: str) -> Program:
    """A query over the bundle's modules, for `answer`; raises PolicyRefused."""
    query = Source(QUERY, text)
    if bundle.plan is not None and not bundle.sources:
        raise PolicyRefused(
            [Problem("rego_plan_error", "a plan without its modules answers no queries", query, 0, len(text))]
        )
    body = parse_body(query)
    asked = body[0]
    if len(body) > 1 or type(asked) is not ast.Expression or asked.negated or _binds(asked.term):
        hint = "bindings and several values fit into a comprehension: `[x | x := ...]`"
        raise PolicyRefused([Problem("rego_parse_error", "a query is one expression", query, 0, len(text), hint)])
    start, end = asked.start, asked.end
    variable = ast.Var(start=start, end=end, name=ANSWER)
    bound = ast.Call(start=start, end=end, name=("assign",), args=(variable, asked.term), name_end=start)
    entries = {QUERY: (replace(asked, term=bound),)}
    try:
        return compile_modules(bundle.sources, bundle.data, entries=entries)
    except PolicyRefused as refused:
        # the compiler knows a query by its syntax alone; here is the text that its positions mean
        problems = [replace(each, source=query) if _is_query(each) else each for each in refused.problems]
        raise PolicyRefused(problems) from None


def _is_query(problem: Problem) -> bool:
    return problem.source is not None and problem.source.name == QUERY


def _binds(term: ast.Term) -> bool:
    return type(term) is ast.Call and term.name in (("assign",), ("eq",))


def inspect(bundle: Bundle, carried_out: frozenset[str]) -> list[Problem]:
    """Every problem of a bundle's modules, warnings too."""
    modules, problems = parse_all(bundle.sources)
    schema = policy_schema() if _entries(modules) else None
    problems = together(problems, check(modules, schema=schema, data=bundle.data).problems)
    problems += checks.check(modules, carried_out) + checks.check_limits(modules, bundle.data)
    if not any(not problem.warning for problem in problems):
        try:
            phases = by_document(bundle, checked(bundle, carried_out, TYPED)).phases
        except PolicyRefused as refused:
            problems += refused.problems
        else:
            if "admission" not in phases:
                message = f"{bundle.name}: there is no package `tidegate.admission`; a gateway refuses such policies"
                problems.append(Problem(checks.CODE, message, warning=True))
    return in_order(problems)


def _entries(modules: Iterable[ast.Module]) -> dict[str, ast.Body]:
    """A query for each phase that has a package: `deny := data.tidegate.admission.deny; ...`."""
    written: dict[Phase, set[str]] = {}
    for module in modules:
        phase = checks.phase_of(module.package)
        if phase:
            names = (checks.name_of(rule.head)[0] for rule in module.rules)
            written.setdefault(phase, set()).update(name for name in names if name in RULES[phase])
    return {phase: parse_body(Source(phase, _query(phase, names))) for phase, names in written.items()}


def _query(phase: Phase, names: Iterable[str]) -> str:
    where = f"{'.'.join(PACKAGE)}.{phase}"
    lines = [
        f"{name} := {where}.{name}" if RULES[phase][name].many else f"{name} := [x | x := {where}.{name}]"
        for name in sorted(names)
    ]
    return "\n".join(lines) or "true"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file and position, each once."""
    known = {(each.source.name if each.source else "", each.start, each.message): each for each in problems}
    return [known[place] for place in sorted(known)]
