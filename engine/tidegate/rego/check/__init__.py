"""Checks a policy before it runs: nothing in it may be silently undefined because it was misspelt.

places        what the modules define, as one tree below `data`
survey        what occurs in a rule
conflicts     rules that cannot stand beside each other
references    references and imports that mean nothing
calls         numbers of arguments, deprecated builtins, what `with` may replace
recursion     rules that need themselves
inference     types; schema: the input's, from a JSON schema
unused        warnings about what does nothing

Names and safety come before, from the resolver. All problems of all checks are found in one run. A rule that could not
be resolved is not looked at again, the others are.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tidegate.rego import ast
from tidegate.rego.check.calls import check_calls, check_modifiers, name_of
from tidegate.rego.check.conflicts import check_conflicts
from tidegate.rego.check.findings import Findings
from tidegate.rego.check.inference import Inference, Types
from tidegate.rego.check.places import Definition, Place, places_of, reached
from tidegate.rego.check.recursion import check_recursion
from tidegate.rego.check.references import Known, check_function_values, check_imports, check_reference
from tidegate.rego.check.schema import from_schema
from tidegate.rego.check.survey import Survey, survey
from tidegate.rego.check.unused import check_annotations, check_empty_braces, check_imports_used, check_variables
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.resolve import Resolved, resolve
from tidegate.rego.source import Source
from tidegate.rego.types import ANY

__all__ = ["Checked", "check", "check_query"]


class Checked(Struct, frozen=True):
    """Modules in their resolved form, and everything that is wrong with them. Only those without errors may run."""

    resolved: Resolved
    problems: tuple[Problem, ...]  # errors and warnings, by file and position
    known: Known
    types: Types

    @property
    def modules(self) -> list[ast.Module]:
        return self.resolved.modules

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.warning]


def check(
    modules: Sequence[ast.Module], *, schema: Mapping[str, Any] | None = None, data: Mapping[str, Any] | None = None
) -> Checked:
    """Resolves and checks the modules of one policy.

    `schema` is the JSON schema of `input`. `data` are the base documents, as far as a reference that is missing in them
    is an error; None where they are not known.
    """
    resolved = resolve(list(modules))
    findings = Findings(resolved.problems)
    root = places_of(resolved.modules)
    known = Known(root, data, [])
    types = Types(root, from_schema(schema) if schema is not None else ANY, findings)
    broken = _Broken(resolved.problems)
    check_conflicts(known, resolved.modules, findings)
    for module in modules:
        check_imports(known, module, findings)
        check_imports_used(module, findings)
        check_annotations(module, findings)
    needs = _check_names(known, broken, findings)
    for place in check_recursion(needs, findings):
        types.add(place, broken)
    return Checked(resolved, findings.sorted(), known, types)


def check_query(checked: Checked, body: ast.Body, source: Source | None = None) -> ast.Body:
    """A query against checked modules, resolved; raises PolicyRefused if anything is wrong with it."""
    source = source or Source("query", "")
    query = checked.resolved.query(body, source)
    findings = Findings()
    found = survey(query)
    replaced = [path for modifier in found.modifiers if (path := _replaced(modifier)) is not None]
    known = Known(checked.known.root, checked.known.documents, [*checked.known.excused, *replaced])
    _check_survey(known, found, source, findings)
    types = Types(known.root, checked.types.input_type, findings)
    types.results = checked.types.results
    Inference(types, source).body(query)
    errors = [problem for problem in findings.sorted() if not problem.warning]
    if errors:
        raise PolicyRefused(errors)
    return query


class _Broken:
    """Tells the rules that could not be resolved, by the problems in them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.starts: dict[Source, list[int]] = {}
        for problem in problems:
            if problem.source is not None and not problem.warning:
                self.starts.setdefault(problem.source, []).append(problem.start)
        for starts in self.starts.values():
            starts.sort()

    def __call__(self, definition: Definition) -> bool:
        starts = self.starts.get(definition.module.source)
        if starts is None:
            return False
        rule = definition.rule
        at = bisect_left(starts, rule.start)
        return at < len(starts) and starts[at] < rule.end


def _check_names(known: Known, broken: _Broken, findings: Findings) -> dict[Place, list[Place]]:
    """Checks what each rule refers to, and tells which places need which."""
    found: list[tuple[Definition, Survey]] = []
    needs: dict[Place, list[Place]] = {}
    for place in known.root.below():
        if place.definitions:
            surveys = [survey(definition.rule) for definition in place.definitions]
            found += zip(place.definitions, surveys, strict=True)
            needs[place] = [needed for each in surveys for needed in _needed(known.root, each)]
    for _, each in found:
        known.excused += [path for modifier in each.modifiers if (path := _replaced(modifier)) is not None]
    for definition, each in found:
        source = definition.module.source
        for branch in definition.branches:
            check_empty_braces(branch, source, findings)
        if not broken(definition):
            _check_survey(known, each, source, findings)
            check_variables(each, source, findings)
    return needs


def _check_survey(known: Known, found: Survey, source: Source, findings: Findings) -> None:
    for ref in found.references:
        check_reference(known, ref, source, findings)
    check_function_values(known, found, source, findings)
    check_calls(known.root, found, source, findings)
    check_modifiers(known.root, found, source, findings)


def _needed(root: Place, found: Survey) -> list[Place]:
    needed = [place for ref in found.references for place in reached(root, ref.path)]
    for call in found.calls:
        place = root.find(call.name[1:]) if call.name[0] == "data" else None
        if place is not None and place.definitions:
            needed.append(place)
    return needed


def _replaced(modifier: ast.With) -> tuple[str, ...] | None:
    """What a `with` puts something at, below `data`."""
    name = name_of(modifier.target)
    return name[1:] if name is not None and name[0] == "data" else None
