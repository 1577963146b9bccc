"""Conformance cases: modules, a query, and what it must answer.

Two forms are read. OPA's own suite is JSON, one list of cases a category, each with the plan that OPA made of it. The
project's cases are YAML, a table of categories a file, and short:

    note     what the case shows
    p        a term, the value of the only rule `p` of package `test`; or
    rules    the rules of package `test`, a text or a list of them; or
    modules  whole modules
    query    `data.test.p = x` where it is not given
    data, input
    want     the value of `x`, sets as arrays in order; or
    absent   true: the query has no answer; or
    error    the code of the error that strict evaluation ends with
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import Struct

from tidegate.rego import ast, parser, values
from tidegate.rego.builtins import REFUSED
from tidegate.rego.source import Source
from tidegate.rego.values import UNDEFINED, Value

OWN = Path(__file__).parent / "cases"
SHARED = Path(__file__).parents[4] / "shared" / "conformance" / "rego"
needs_suite = pytest.mark.skipif(not SHARED.is_dir(), reason=f"OPA's conformance suite is not in {SHARED}")
REFUSED_CALL = re.compile(r"\b(" + "|".join(map(re.escape, REFUSED)) + r")\b")


class Case(Struct, frozen=True, kw_only=True):
    """One question and its answer. Without an `error` the answers are `want`, bindings in any order."""

    category: str
    note: str
    query: str
    modules: list[str]
    data: Any = {}
    input: Any = None  # a JSON document; or
    input_term: str | None = None  # a Rego term
    has_input: bool = False
    want: list[Any] | None = None
    unordered: bool = False  # a list that is bound may have any order
    fails: bool = False
    error: str | None = None  # the code, where it is known
    strict: bool = False
    plan: dict[str, Any] | None = None

    def document(self) -> Value:
        """The input, or UNDEFINED."""
        if self.input_term is not None:
            return constant(parser.parse_term(Source("input", self.input_term)))
        return values.of(self.input) if self.has_input else UNDEFINED

    def by_design(self) -> str | None:
        """Why an engine without side effects cannot answer, if so."""
        for text in (self.query, *self.modules):
            if found := REFUSED_CALL.search(text):
                return f"`{found[0]}`: {REFUSED[found[0]]}"
        return None


def constant(term: ast.Term) -> Value:
    """The value of a term without variables."""
    match term:
        case ast.Scalar():
            return term.value
        case ast.Array():
            return [constant(element) for element in term.elements]
        case ast.Set():
            return values.set_of(constant(element) for element in term.elements)
        case ast.Object():
            return {values.key(constant(name)): constant(held) for name, held in term.pairs}
    raise ValueError(f"{type(term).__name__} is no constant")


def read(folder: Path) -> Iterator[Case]:
    """Every case of a folder, by category."""
    for path in sorted(folder.glob("*.json")):
        yield from (of_suite(path.stem, written) for written in values.from_json(path.read_bytes()))
    for path in sorted(folder.glob("*.yaml")):
        for category, written in yaml.safe_load(path.read_text()).items():
            yield from (of_project(category, case) for case in written)


def of_suite(category: str, written: dict[str, Any]) -> Case:
    """A case as OPA's suite has it."""
    return Case(
        category=category,
        note=written["note"],
        query=written["query"],
        modules=written.get("modules") or [],
        data=written.get("data") or {},
        input=written.get("input"),
        input_term=written.get("input_term"),
        has_input="input" in written,
        want=written.get("want_plan_result") or written.get("want_result") or [],
        unordered=bool(written.get("sort_bindings")),
        fails="want_error_code" in written or "want_error" in written,
        error=written.get("want_error_code"),
        strict=bool(written.get("strict_error")),
        plan=written.get("plan"),
    )


FIELDS = {"note", "p", "rules", "modules", "query", "data", "input", "want", "absent", "error"}


def of_project(category: str, written: dict[str, Any]) -> Case:
    """A case as this project writes them."""
    if unknown := written.keys() - FIELDS:
        raise ValueError(f"{category}: {written['note']}: unknown fields {unknown}")
    if len(written.keys() & {"want", "absent", "error"}) != 1:
        raise ValueError(f"{category}: {written['note']}: one of want, absent and error")
    rules = written.get("rules", f"p := {written.get('p')}")
    if isinstance(rules, list):
        rules = "\n\n".join(rules)
    return Case(
        category=category,
        note=written["note"],
        query=written.get("query", "data.test.p = x"),
        modules=written.get("modules") or [f"package test\n\n{rules}\n"],
        data=values.of(written.get("data", {})),
        input=written.get("input"),
        has_input="input" in written,
        want=[{"x": written["want"]}] if "want" in written else [],
        fails="error" in written,
        error=written.get("error"),
        strict="error" in written,
    )


def same(ours: Any, theirs: Any) -> bool:
    """Equal as JSON, where numbers that are not both whole are equal as floats."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(held, theirs[name]) for name, held in ours.items())
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if type(ours) in values.NUMBERS and type(theirs) in values.NUMBERS:
        return bool(ours == theirs) or (not (type(ours) is type(theirs) is int) and float(ours) == float(theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


def answers_agree(case: Case, answers: list[Value]) -> bool:
    """Are these the bindings that the case wants?"""
    left = [_comparable(case, binding) for binding in case.want or []]
    for answer in answers:
        ours = _comparable(case, values.to_json(answer))
        found = next((theirs for theirs in left if same(ours, theirs)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def _comparable(case: Case, binding: dict[str, Any]) -> dict[str, Any]:
    if not case.unordered:
        return binding
    return {name: values.ordered(held) if type(held) is list else held for name, held in binding.items()}


def text(answers: list[Value]) -> str:
    """Answers in short, for a report."""
    return json.dumps([values.to_json(answer) for answer in answers], default=str, ensure_ascii=False)[:400]
