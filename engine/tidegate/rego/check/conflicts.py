"""Rules that cannot stand beside each other.

All rules of one name are of one kind and take as many arguments; at most one of them is a default. What has one value
has nothing below it: where `p` is a rule, `p.q` is none, and no package is called so. Below a name that goes on with a
variable other rules may stand, since only their values tell whether they conflict. And a rule's value would hide a base
document that stands at the same place.
"""

from collections.abc import Iterable
from typing import Any

from tidegate.rego import ast
from tidegate.rego.check.findings import Findings
from tidegate.rego.check.places import Definition, Place
from tidegate.rego.check.references import Known
from tidegate.rego.values import UNDEFINED, key

CODE = "rego_type_error"
KINDS = {"value": "a rule with one value", "set": "a set", "func": "a function", "object": "an object"}


def check_conflicts(known: Known, modules: Iterable[ast.Module], findings: Findings) -> None:
    """Reports each place where rules conflict, at the rule that comes second."""
    packages: dict[tuple[str, ...], ast.Module] = {}
    for module in modules:
        packages.setdefault(module.package, module)
    for place in known.root.below():
        if place.definitions:
            _check_place(place, packages, findings)
            _check_document(place, known.documents, findings)


def _check_place(place: Place, packages: dict[tuple[str, ...], ast.Module], findings: Findings) -> None:
    first = place.definitions[0]
    for definition in place.definitions[1:]:
        message = _difference(first, definition)
        if message is not None:
            _report(definition, f"conflicting rules `{place.name}`: {message}", first, findings)
            break
    defaults = [definition for definition in place.definitions if definition.rule.default]
    for second in defaults[1:]:
        _report(second, f"multiple default rules `{place.name}`", defaults[0], findings)
    closed = [definition for definition in place.definitions if not definition.is_open]
    if closed:
        _check_below(place, closed[0], packages, findings)
        _check_constants(closed, findings)


def _difference(first: Definition, second: Definition) -> str | None:
    one, other = _kind(first), _kind(second)
    if one != other:
        return f"{KINDS[other]} here, {KINDS[one]} before"
    arity, wanted = len(second.rule.head.args or ()), len(first.rule.head.args or ())
    return f"{_arguments(arity)} here, {wanted} before" if arity != wanted else None


def _kind(definition: Definition) -> str:
    kind = definition.rule.head.kind
    return "object" if definition.is_open else kind


def _arguments(count: int) -> str:
    return "1 argument" if count == 1 else f"{count} arguments"


def _check_below(
    place: Place, rule: Definition, packages: dict[tuple[str, ...], ast.Module], findings: Findings
) -> None:
    if place.is_package:
        module = packages[place.path]
        message = f"package `{place.name}` conflicts with rule `{place.name}`"
        findings.error(CODE, message, module.source, _package_name(module), _where(rule))
        return
    inner = next((below.definitions[0] for below in place.below() if below is not place and below.definitions), None)
    if inner is not None:
        message = f"rule `{place.name}` has a value, and so no rules below it"
        _report(inner, message, rule, findings)


def _check_constants(closed: list[Definition], findings: Findings) -> None:
    """Warns of two values that are always there, since asking for them will always fail."""
    constants = [(each, each.rule.head.value) for each in closed if not each.rule.body and not each.rule.default]
    first: tuple[Definition, Any] | None = None
    for definition, term in constants:
        if type(term) is not ast.Scalar or definition.rule.head.kind != "value":
            continue
        if first is None:
            first = definition, key(term.value)
        elif key(term.value) != first[1]:
            message = "this rule always has another value already"
            findings.warning(CODE, message, definition.module.source, definition.rule.head, _where(first[0]))


def _check_document(place: Place, documents: Any, findings: Findings) -> None:
    document = documents
    for name in place.path[1:]:
        document = document.get(name, UNDEFINED) if isinstance(document, dict) else UNDEFINED
    first = place.definitions[0]
    if documents is not None and document is not UNDEFINED and not place.is_function:
        message = f"rule `{place.name}` conflicts with the base document there"
        findings.error(CODE, message, first.module.source, first.rule.head)


def _package_name(module: ast.Module) -> ast.Node:
    """Where the package's name stands; its last character, if it is written with brackets."""
    name, end = ".".join(module.package[1:]), module.package_end
    start = end - len(name) if module.source.text.endswith(name, 0, end) else end - 1
    return ast.Node(start=start, end=end)


def _report(definition: Definition, message: str, other: Definition, findings: Findings) -> None:
    findings.error(CODE, message, definition.module.source, definition.rule.head, _where(other))


def _where(definition: Definition) -> str:
    source, start = definition.module.source, definition.rule.start
    return f"the other is at {source.name}:{source.line(start)}:{source.column(start)}"
