"""How a document misses a JSON schema: gojsonschema's findings, in its words and nearly in its order.

Where one of several schemas has to match and none does, the findings of the nearest are given: the one with the
highest score, which counts what was right and takes off what was wrong.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from msgspec import Struct

from tidegate.rego.builtins.formats import FORMATS
from tidegate.rego.builtins.json import marshalled
from tidegate.rego.builtins.regex import tester
from tidegate.rego.builtins.schema_check import Schema
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import NUMBERS, key

_DEEPEST: Final = 100
_LARGEST_EXPONENT: Final = 10_000
_ABSENT: Final = object()
_KINDS: Final = {str: "string", bool: "boolean", list: "array", dict: "object", type(None): "null"}


class Finding(Struct, frozen=True):
    kind: str
    field: str
    description: str


class Findings:
    """What is wrong with one document, or with one part by one schema."""

    def __init__(self) -> None:
        self.list: list[Finding] = []
        self.score = 0

    def add(self, kind: str, field: str, description: str) -> None:
        self.list.append(Finding(kind, field, description))
        self.score -= 2

    def merge(self, other: "Findings") -> None:
        self.list += other.list
        self.score += other.score


class Matching:
    """One document against one schema."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.depth = 0

    def findings(self, part: Any, document: Any, path: tuple[str, ...] = ()) -> Findings:
        found = Findings()
        self._match(part, document, path, found)
        return found

    def _match(self, part: Any, document: Any, path: tuple[str, ...], found: Findings) -> None:
        self.schema.evaluation.spend(_cost(part))
        if self.depth > _DEEPEST:
            raise BuiltinError("jsonschema: the schema leads to itself without end")
        self.depth += 1
        if isinstance(part, bool):
            if not part:
                found.add("false", _field(path), "False always fails validation")
        elif "$ref" in part:
            self._match(self.schema.resolved(part["$ref"]), document, path, found)
        elif _has_type(part, document, path, found):
            self._match_any_kind(part, document, path, found)
            self._match_kind(part, document, path, found)
            found.score += 1
        self.depth -= 1

    def _match_any_kind(self, part: dict[str, Any], document: Any, path: tuple[str, ...], found: Findings) -> None:
        self._match_combinations(part, document, path, found)
        self._match_dependencies(part, document, path, found)
        self._match_condition(part, document, path, found)
        found.score += 1
        field = _field(path)
        const = part["const"] if self.schema.has(part, "const") else _ABSENT
        if const is not _ABSENT and key(document) != key(const):
            found.add("const", field, f"{field} does not match: {marshalled(const)}")
        if "enum" in part and key(document) not in set(map(key, part["enum"])):
            allowed = ", ".join(map(marshalled, part["enum"])) or "(none)"
            found.add("enum", field, f"{field} must be one of the following: {allowed}")
        form = part.get("format")
        if isinstance(document, str) and form in FORMATS and not FORMATS[form](document):
            found.add("format", field, f"Does not match format '{form}'")
        found.score += 1

    def _match_combinations(self, part: dict[str, Any], document: Any, path: tuple[str, ...], found: Findings) -> None:
        field = _field(path)
        if part.get("anyOf"):
            nearest = self._nearest(part["anyOf"], ((document, path) for _ in part["anyOf"]))
            if nearest is not None:
                found.add("number_any_of", field, "Must validate at least one schema (anyOf)")
                found.merge(nearest)
        if part.get("oneOf"):
            self._match_one(part["oneOf"], document, path, found)
        every = [self.findings(each, document, path) for each in part.get("allOf", ())]
        for each in every:
            found.merge(each)
        if any(each.list for each in every):
            found.add("number_all_of", field, "Must validate all the schemas (allOf)")
        if "not" in part and not self.findings(part["not"], document, path).list:
            found.add("number_not", field, "Must not validate the schema (not)")

    def _nearest(self, parts: Iterable[Any], places: Iterable[tuple[Any, tuple[str, ...]]]) -> Findings | None:
        """The best of the attempts; None once one of them finds nothing."""
        best = Findings()
        best.score = -1 << 62
        for part, (document, path) in zip(parts, places, strict=False):
            found = self.findings(part, document, path)
            if not found.list:
                return None
            if found.score > best.score:
                best = found
        return best if best.list else Findings()

    def _match_one(self, parts: list[Any], document: Any, path: tuple[str, ...], found: Findings) -> None:
        attempts = [self.findings(part, document, path) for part in parts]
        matching = sum(not attempt.list for attempt in attempts)
        if matching != 1:
            found.add("number_one_of", _field(path), "Must validate one and only one schema (oneOf)")
        if not matching:
            found.merge(max(attempts, key=lambda attempt: attempt.score))

    def _match_dependencies(self, part: dict[str, Any], document: Any, path: tuple[str, ...], found: Findings) -> None:
        for name, dependency in part.get("dependencies", {}).items():
            if not isinstance(document, dict) or name not in document:
                continue
            if not isinstance(dependency, list):
                self._match(dependency, document, path, found)
                continue
            for other in dependency:
                if other not in document:
                    found.add("missing_dependency", _field(path), f"Has a dependency on {other}")

    def _match_condition(self, part: dict[str, Any], document: Any, path: tuple[str, ...], found: Findings) -> None:
        if not self.schema.has(part, "if"):
            return
        holds = not self.findings(part["if"], document, path).list
        branch = "then" if holds else "else"
        missed = self.findings(part.get(branch, True), document, path)
        if missed.list:
            said = "valid" if holds else "not valid"
            found.add(f"condition_{branch}", _field(path), f'Must validate "{branch}" as "if" was {said}')
            found.merge(missed)

    def _match_kind(self, part: dict[str, Any], document: Any, path: tuple[str, ...], found: Findings) -> None:
        kind = type(document)
        if kind is dict:
            self._match_object(part, document, path, found)
        elif kind is list:
            self._match_array(part, document, path, found)
        elif kind is str:
            _match_string(part, document, path, found)
        elif kind in NUMBERS:
            _match_number(part, document, path, found)

    def _match_array(self, part: dict[str, Any], array: list[Any], path: tuple[str, ...], found: Findings) -> None:
        field = _field(path)
        items = part.get("items", [])
        rest = part.get("additionalItems", True) if isinstance(items, list) and items else True
        of_places = items if isinstance(items, list) else [items] * len(array)
        if rest is False and len(of_places) < len(array):
            found.add("array_no_additional_items", field, "No additional items allowed on array")
        else:
            of_places = of_places + [rest] * (len(array) - len(of_places))
        for place, (below, member) in enumerate(zip(of_places, array, strict=False)):
            found.merge(self.findings(below, member, (*path, str(place))))
        if len(array) < part.get("minItems", 0):
            found.add("array_min_items", field, f"Array must have at least {part['minItems']} items")
        if len(array) > part.get("maxItems", len(array)):
            found.add("array_max_items", field, f"Array must have at most {part['maxItems']} items")
        if part.get("uniqueItems"):
            for one, other in _repeated(array):
                found.add("unique", field, f"array items[{one},{other}] must be unique")
        if self.schema.has(part, "contains"):
            places = ((member, (*path, str(place))) for place, member in enumerate(array))
            nearest = self._nearest([part["contains"]] * len(array), places)
            if nearest is not None:
                found.add("contains", field, "At least one of the items must match")
                found.merge(nearest)
        found.score += 1

    def _match_object(self, part: dict[str, Any], held: dict[str, Any], path: tuple[str, ...], found: Findings) -> None:
        field = _field(path)
        if len(held) < part.get("minProperties", 0):
            found.add("array_min_properties", field, f"Must have at least {part['minProperties']} properties")
        if len(held) > part.get("maxProperties", len(held)):
            found.add("array_max_properties", field, f"Must have at most {part['maxProperties']} properties")
        for name in part.get("required", ()):
            if name in held:
                found.score += 1
            else:
                found.add("required", field, f"{name} is required")
        self._match_other_properties(part, held, path, found)
        if self.schema.has(part, "propertyNames"):
            for name in sorted(held):
                missed = self.findings(part["propertyNames"], name, path)
                if missed.list:
                    found.add("invalid_property_name", field, f'Property name of "{name}" does not match')
                    found.merge(missed)
        found.score += 1
        for name, below in sorted(part.get("properties", {}).items()):
            if name in held:
                self._match(below, held[name], (*path, name), found)

    def _match_other_properties(
        self, part: dict[str, Any], held: dict[str, Any], path: tuple[str, ...], found: Findings
    ) -> None:
        named, others = part.get("properties", {}), part.get("additionalProperties", True)
        patterns = [(tester(pattern), below) for pattern, below in part.get("patternProperties", {}).items()]
        for name, value in sorted(held.items()):
            self.schema.evaluation.spend(1 + len(patterns))
            matching = [below for fits, below in patterns if fits(name)]
            for below in matching:
                found.merge(self.findings(below, value, (*path, name)))
            found.score += bool(matching)
            if name in named or matching:
                continue
            if others is False:
                description = f"Additional property {name} is not allowed"
                found.add("additional_property_not_allowed", _field(path), description)
            elif others is not True:
                found.merge(self.findings(others, value, (*path, name)))


def _cost(part: Any) -> int:
    """Matching looks at every member of a keyword's list or object, whatever the document is."""
    if isinstance(part, bool):
        return 1
    return 1 + sum(len(held) for held in part.values() if isinstance(held, list | dict))


def _field(path: tuple[str, ...]) -> str:
    return ".".join(path) or "(root)"


def _has_type(part: dict[str, Any], document: Any, path: tuple[str, ...], found: Findings) -> bool:
    if "type" not in part:
        return True
    wanted = [part["type"]] if isinstance(part["type"], str) else part["type"]
    kind = _KINDS.get(type(document)) or ("integer" if type(document) is int else "number")
    if not wanted or kind in wanted or (kind == "integer" and "number" in wanted):
        return True
    shown = wanted[0] if len(wanted) == 1 else f"[{','.join(wanted)}]"
    found.add("invalid_type", _field(path), f"Invalid type. Expected: {shown}, given: {kind}")
    return False


def _repeated(array: list[Any]) -> Iterator[tuple[int, int]]:
    seen: dict[Any, int] = {}
    for place, member in enumerate(array):
        if (stand_in := key(member)) in seen:
            yield seen[stand_in], place
        seen[stand_in] = place


def _match_string(part: dict[str, Any], text: str, path: tuple[str, ...], found: Findings) -> None:
    field = _field(path)
    if len(text) < part.get("minLength", 0):
        description = f"String length must be greater than or equal to {part['minLength']}"
        found.add("string_gte", field, description)
    if len(text) > part.get("maxLength", len(text)):
        found.add("string_lte", field, f"String length must be less than or equal to {part['maxLength']}")
    if "pattern" in part and not tester(part["pattern"])(text):
        found.add("pattern", field, f"Does not match pattern '{part['pattern']}'")
    found.score += 1


def _match_number(part: dict[str, Any], number: Any, path: tuple[str, ...], found: Findings) -> None:
    field = _field(path)
    if "multipleOf" in part and (_fraction(number) / _fraction(part["multipleOf"])).denominator != 1:
        found.add("multiple_of", field, f"Must be a multiple of {_shown(part['multipleOf'])}")
    for (bound, is_exclusive), limit in _bounds(part).items():
        if bound == "maximum" and (number > limit or (is_exclusive and number == limit)):
            said = ("number_lt", "less than") if is_exclusive else ("number_lte", "less than or equal to")
        elif bound == "minimum" and (number < limit or (is_exclusive and number == limit)):
            said = ("number_gt", "greater than") if is_exclusive else ("number_gte", "greater than or equal to")
        else:
            continue
        found.add(said[0], field, f"Must be {said[1]} {_shown(limit)}")
    found.score += 1


def _bounds(part: dict[str, Any]) -> dict[tuple[str, bool], Any]:
    """The limits, each with whether it is itself beyond them: draft 4 says so with a boolean, later ones have two."""
    bounds = {}
    for bound, exclusive in (("maximum", "exclusiveMaximum"), ("minimum", "exclusiveMinimum")):
        beyond = part.get(exclusive, False)
        if bound in part:
            bounds[bound, beyond is True] = part[bound]
        if not isinstance(beyond, bool):
            bounds[bound, True] = beyond
    return bounds


def _fraction(number: Any) -> Fraction:
    if type(number) is Decimal and abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise BuiltinError("jsonschema: the number is too large or too small to be divided")
    return Fraction(str(number))


def _shown(number: Any) -> str:
    return format(Decimal(str(number)), ".10g").lower() if type(number) is Decimal else format(number, ".10g")
