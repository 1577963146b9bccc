"""A bundle as functions, compiled now or found compiled; the compiler is imported where it is needed, and not before.

For each phase that has a package there is one entry, whose result is what the phase's rules say, so that what they
share is worked out once. A plan of OPA's has an entry per rule or per package instead, under OPA's names.
"""

import hashlib
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

from tidegate import __version__
from tidegate.decide.bundle import Bundle
from tidegate.decide.cache import Cache
from tidegate.decide.contract import PACKAGE, RULES
from tidegate.decide.input import Phase
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate import Program
from tidegate.rego.generate.typed import Typed
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
    key = _key(bundle, carried_out) if cache is not None else ""
    content = cache.get(key) if cache is not None else None
    if content is not None:
        return Program.load(content, strict=True, typed=typed)
    from tidegate.decide.compiling import checked

    program = checked(bundle, carried_out, typed)
    if cache is not None:
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


def answer(program: Program, document: Value, evaluation: Evaluation) -> Value:
    """The value of a compiled query, or UNDEFINED; the first in Rego's order where there are several."""
    results = program.evaluate(QUERY, document, evaluation)
    if not results:
        return UNDEFINED
    value = results[0][ANSWER]
    evaluation.spend(evaluation.weigh(value))  # what is shared in it is written out for each who has it
    return value
