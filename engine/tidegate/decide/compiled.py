"""A bundle as functions. This is the one place that calls the compiler.

For each phase that has a package there is one entry, whose result is what the phase's rules say, so that what they
share is worked out once. A plan of OPA's has an entry per rule or per package instead, under OPA's names.
"""

import hashlib
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

from msgspec.structs import replace

from tidegate import __version__
from tidegate.decide import checks
from tidegate.decide.admission import TYPED
from tidegate.decide.bundle import Bundle
from tidegate.decide.cache import Cache
from tidegate.decide.contract import PACKAGE, RULES
from tidegate.decide.input import Phase, policy_schema
from tidegate.rego import ast
from tidegate.rego.check import check
from tidegate.rego.compile import compile_modules, parse_all, program_of, together
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate import Program
from tidegate.rego.generate.typed import Typed
from tidegate.rego.parser import parse_body
from tidegate.rego.plan import read
from tidegate.rego.source import Source
from tidegate.rego.values import UNDEFINED, Value

QUERY: Final = "query"
ANSWER: Final = "answer_of_the_query"  # a variable of nobody else's


class Compiled(Protocol):
    """What a bundle decides with. It keeps nothing between evaluations, and any number of threads may use it."""

    phases: frozenset[Phase]  # those that the bundle has a package for

    def said(self, phase: Phase, document: Value, evaluation: Evaluation) -> dict[str, Value]:
        """The values of a phase's rules, those left out that are undefined; raises an EvaluationError."""
        ...


class FromSources:
    """Of modules: each phase is one entry that binds a variable per rule."""

    def __init__(self, program: Program) -> None:
        self.phases = frozenset(phase for phase in RULES if phase in program.entries)
        self._evaluate = program.evaluate

    def said(self, phase: Phase, document: Value, evaluation: Evaluation) -> dict[str, Value]:
        [bound] = self._evaluate(phase, document, evaluation)
        rules = RULES[phase]
        # a rule that may be undefined is bound to an array of its value or of none
        return {name: value if rules[name].many else value[0] for name, value in bound.items() if value != []}


class FromPlan:
    """Of a plan: `tidegate/admission` is what a package says, `tidegate/admission/deny` what one rule of it says."""

    def __init__(self, program: Program) -> None:
        self._evaluate = program.evaluate
        self._entries = {phase: [each for each in program.entries if _of_phase(each, phase)] for phase in RULES}
        self.phases = frozenset(phase for phase, entries in self._entries.items() if entries)

    def said(self, phase: Phase, document: Value, evaluation: Evaluation) -> dict[str, Value]:
        said: dict[str, Value] = {}
        for entry in self._entries[phase]:
            for result in self._evaluate(entry, document, evaluation):
                name, value = entry.rpartition("/")[2], result["result"]
                said |= {name: value} if name in RULES[phase] else value
        return {name: value for name, value in said.items() if name in RULES[phase]}


def _of_phase(entry: str, phase: Phase) -> bool:
    package = "/".join((*PACKAGE[1:], phase))
    where, _, name = entry.rpartition("/")
    return entry == package or (where == package and name in RULES[phase])


def compile_bundle(bundle: Bundle, carried_out: frozenset[str], typed: Typed, cache: Cache | None = None) -> Program:
    """The bundle as functions; raises PolicyRefused with everything that is wrong in it."""
    if cache is None:
        return _checked(bundle, carried_out, typed)
    key = _key(bundle, carried_out)
    content = cache.get(key)
    if content is not None:
        return Program.load(content, strict=True, typed=typed)
    program = _checked(bundle, carried_out, typed)
    cache.put(key, program.dump())
    return program


def by_document(bundle: Bundle, program: Program) -> Compiled:
    """What a compiled bundle says about documents."""
    return FromSources(program) if bundle.plan is None else FromPlan(program)


def _key(bundle: Bundle, carried_out: frozenset[str]) -> str:
    """What makes a compiled bundle the same: what it was made of, and what made it."""
    parts = [bundle.digest, sys.version, *sorted(carried_out), *_compiler()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@lru_cache(1)
def _compiler() -> list[str]:
    """Which compiler this is: its version, and of a checkout, in which it changes, its files."""
    package = Path(__file__).parent.parent
    files = sorted(file for part in ("decide", "rego") for file in (package / part).rglob("*.p*"))
    return [__version__, *(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)]


def _checked(bundle: Bundle, carried_out: frozenset[str], typed: Typed) -> Program:
    modules, problems = parse_all(bundle.sources)
    ours = checks.check(modules, carried_out)
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


def answer(program: Program, document: Value, evaluation: Evaluation) -> Value:
    """The value of a compiled query, or UNDEFINED; the first in Rego's order where there are several."""
    results = program.evaluate(QUERY, document, evaluation)
    if not results:
        return UNDEFINED
    value = results[0][ANSWER]
    evaluation.spend(evaluation.weigh(value))  # what is shared in it is written out for each who has it
    return value


def inspect(bundle: Bundle, carried_out: frozenset[str]) -> list[Problem]:
    """Every problem of a bundle's modules, warnings too."""
    modules, problems = parse_all(bundle.sources)
    schema = policy_schema() if _entries(modules) else None
    problems = together(problems, check(modules, schema=schema, data=bundle.data).problems)
    problems += checks.check(modules, carried_out)
    if not any(not problem.warning for problem in problems):
        try:
            phases = by_document(bundle, compile_bundle(bundle, carried_out, TYPED)).phases
        except PolicyRefused as refused:
            problems += refused.problems
        else:
            if "admission" not in phases:
                message = f"{bundle.name}: there is no package `tidegate.admission`; a gateway would block every call"
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
