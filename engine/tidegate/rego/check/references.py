"""References into `data` that mean nothing: no module defines such a rule, and no base document is there.

How much is known of the base documents decides. Where they are given, what is missing in them and in the modules is
an error. Where they are not, only a name that a package with rules does not have is told, as a warning, since a
base document may hold it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from tidegate.rego import ast, values
from tidegate.rego.check.findings import Findings
from tidegate.rego.check.places import Place
from tidegate.rego.check.survey import Survey
from tidegate.rego.source import Source
from tidegate.rego.suggest import did_you_mean

CODE = "rego_type_error"


class Known(Struct):
    """What there is below `data`."""

    root: Place
    documents: Mapping[str, Any] | None  # the base documents; None: nothing is known of them
    excused: list[tuple[Any, ...]]  # paths that some `with` puts something at, or of which all is told already


class Missing(Struct):
    """The part of a path at which nothing is defined any more."""

    index: int
    near: list[str]  # the names that are defined there
    is_certain: bool


def check_reference(known: Known, ref: ast.Ref, source: Source, findings: Findings) -> None:
    """Reports a reference to nothing, from its beginning to the name that is missing."""
    missing = find_missing(known, [_key(part) for part in ref.path])
    if missing is None:
        return
    part = ref.path[missing.index]
    node = ast.Node(start=ref.start, end=part.end if ref.start < part.end <= ref.end else ref.end)
    assert type(part) is ast.Scalar
    name = ".".join(["data", *(str(values.unkey(_key(before))) for before in ref.path[: missing.index + 1])])
    report = findings.error if missing.is_certain else findings.warning
    report(CODE, f"undefined ref: `{name}`", source, node, did_you_mean(str(part.value), missing.near))


def check_function_values(known: Known, found: Survey, source: Source, findings: Findings) -> None:
    """Warns of functions that are named where a value is wanted: only `with` has a use for that."""
    for ref in found.references:
        place: Place | None = known.root
        for part in ref.path:
            place = place.children.get(_key(part)) if place is not None else None
            if place is not None and place.is_function and id(ref) not in found.replacing:
                message = f"`{place.name}` is a function, and has no value without arguments"
                findings.warning(CODE, message, source, ref)


def check_imports(known: Known, module: ast.Module, findings: Findings) -> None:
    """Reports imports of nothing, and those that hide each other."""
    seen: dict[str, ast.Import] = {}
    for imported in module.imports:
        if imported.alias is None:
            continue
        other = seen.setdefault(imported.alias, imported)
        if other is not imported:
            hint = f"`{'.'.join(other.path)}` has that name already"
            message = f"import must not shadow import: `{imported.alias}`"
            findings.error("rego_compile_error", message, module.source, imported, hint)
        if imported.path[0] == "data":
            _check_import(known, module, imported, findings)


def _check_import(known: Known, module: ast.Module, imported: ast.Import, findings: Findings) -> None:
    missing = find_missing(known, imported.path[1:])
    if missing is not None:
        known.excused.append(imported.path[1:])
        report = findings.error if missing.is_certain else findings.warning
        hint = did_you_mean(imported.path[missing.index + 1], missing.near)
        report(CODE, f"undefined import: `{'.'.join(imported.path)}`", module.source, imported, hint)


def find_missing(known: Known, path: Iterable[Any]) -> Missing | None:
    """Where a path leaves everything that is known; None where it does not, or where it cannot be known."""
    place: Place | None = known.root
    document: Any = known.documents
    taken: tuple[Any, ...] = ()
    for index, key in enumerate(path):
        if key is None or (place is not None and place.definitions) or type(document) is list:
            return None
        inner = place.children.get(key) if place is not None else None
        held = document.get(key, values.UNDEFINED) if isinstance(document, dict) else values.UNDEFINED
        taken = (*taken, key)
        if inner is None and held is values.UNDEFINED:
            is_certain = known.documents is not None
            if _is_excused(known, taken) or not (is_certain or _has_rules(place)):
                return None
            names = [*(place.children if place is not None else ()), *(document if isinstance(document, dict) else ())]
            return Missing(index, [name for name in names if type(name) is str], is_certain)
        place, document = inner, held
    return None


def _key(part: ast.Term) -> Any:
    """The name that a part of a reference is, or None where it varies or is no name."""
    return part.value if type(part) is ast.Scalar and type(part.value) is str else None


def _is_excused(known: Known, path: tuple[Any, ...]) -> bool:
    return any(path[: len(excused)] == excused or excused[: len(path)] == path for excused in known.excused)


def _has_rules(place: Place | None) -> bool:
    return place is not None and any(child.definitions for child in place.children.values())
