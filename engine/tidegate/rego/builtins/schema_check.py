"""What is wrong with a JSON schema of draft 4, 6 or 7, and where its references lead.

References lead only to places in the schema itself: a decision fetches nothing. Every part that validation may reach
is checked here, so that matching can take it as it is.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote

from tidegate.rego.builtins.regex import is_valid as is_valid_pattern
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import NUMBERS, key

TYPES: Final = ("array", "boolean", "integer", "number", "null", "object", "string")
_DRAFTS: Final = {"draft-04": 4, "draft-06": 6}
_NEWEST: Final = 7
_SINCE: Final = {"const": 6, "contains": 6, "propertyNames": 6, "if": 7, "then": 7, "else": 7}
_DEEPEST: Final = 100
_BOUNDS: Final = (("minLength", "maxLength"), ("minProperties", "maxProperties"))


class Schema:
    """A schema that has nothing wrong with it. Its keywords that its draft does not know count for nothing."""

    def __init__(self, evaluation: Evaluation, document: Any) -> None:
        self.evaluation = evaluation
        self.document = document
        self.draft = _draft(document)
        self._checked: dict[int, Any] = {}  # by identity, the parts that were seen
        self._named: dict[str, Any] = {}
        self._collect_names(document, 0)
        self._check(document, 0)

    def resolved(self, reference: str) -> Any:
        """The part that a `$ref` leads to."""
        base, mark, pointer = reference.partition("#")
        if reference in self._named:
            return self._named[reference]
        found = self.document if not base else self._named.get(base)
        if found is None:
            raise BuiltinError(f"jsonschema: a reference out of the schema is not followed: `{reference}`")
        for step in unquote(pointer).split("/")[1:] if mark else ():
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise BuiltinError(f"jsonschema: Object has no key '{name}'")
        return found

    def has(self, part: dict[str, Any], keyword: str) -> bool:
        return keyword in part and self.draft >= _SINCE.get(keyword, 0)

    def _collect_names(self, part: Any, depth: int) -> None:
        """Takes down what `$id` names, wherever it stands."""
        if depth > _DEEPEST:
            raise BuiltinError("jsonschema: the schema is nested too deeply")
        self.evaluation.spend(1)
        if isinstance(part, dict):
            for keyword in ("$id", "id"):
                if isinstance(part.get(keyword), str):
                    self._named.setdefault(part[keyword].removesuffix("#"), part)
        for below in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            self._collect_names(below, depth + 1)

    def _check(self, part: Any, depth: int) -> None:
        if (isinstance(part, bool) and self.draft > 4) or id(part) in self._checked:
            return
        if not isinstance(part, dict):
            raise BuiltinError("jsonschema: Expected: schema")
        if depth > _DEEPEST:
            raise BuiltinError("jsonschema: the schema is nested too deeply")
        self.evaluation.spend(1)
        self._checked[id(part)] = part
        if "$ref" in part:
            _require(isinstance(part["$ref"], str), _wrong_type("string", "$ref"))
            self._check(self.resolved(part["$ref"]), depth + 1)
            return
        for keyword, check in _CHECKS.items():
            if self.has(part, keyword):
                check(keyword, part[keyword])
        _check_bounds(part)
        for below in self._parts(part):
            self._check(below, depth + 1)

    def _parts(self, part: dict[str, Any]) -> Iterator[Any]:
        """The schemas that stand directly in one."""
        for keyword in ("definitions", "properties", "patternProperties", "dependencies"):
            for below in part.get(keyword, {}).values():
                if not (keyword == "dependencies" and isinstance(below, list)):
                    yield below
        for keyword in ("oneOf", "anyOf", "allOf"):
            yield from part.get(keyword, ())
        for keyword in ("not", "propertyNames", "contains", "if", "then", "else"):
            if self.has(part, keyword):
                yield part[keyword]
        items = part.get("items", [])
        yield from items if isinstance(items, list) else (items,)
        for keyword in ("additionalProperties", "additionalItems"):
            if isinstance(part.get(keyword), dict):
                yield part[keyword]


def _draft(document: Any) -> int:
    written = document.get("$schema") if isinstance(document, dict) else None
    return next((draft for name, draft in _DRAFTS.items() if isinstance(written, str) and name in written), _NEWEST)


def _require(is_so: bool, problem: str) -> None:
    if not is_so:
        raise BuiltinError(f"jsonschema: {problem}")


def _wrong_type(expected: str, given: str) -> str:
    return f"Invalid type. Expected: {expected}, given: {given}"


def _is_number(value: Any) -> bool:
    return type(value) in NUMBERS


def _check_text(keyword: str, value: Any) -> None:
    _require(isinstance(value, str), _wrong_type("string", keyword))


def _check_type(keyword: str, value: Any) -> None:
    names = [value] if isinstance(value, str) else value
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    _require(is_list, _wrong_type("type", "string/array of strings"))
    for place, name in enumerate(names):
        known = (
            f"has a primitive type that is NOT VALID -- given: /{name}/ Expected valid values are:[{' '.join(TYPES)}]"
        )
        _require(name in TYPES, known)
        _require(name not in names[:place], f"{name} type is duplicated")


def _check_pattern(keyword: str, value: Any) -> None:
    _check_text(keyword, value)
    _require(is_valid_pattern(value), f"{keyword} must be a valid regex")


def _check_object(keyword: str, value: Any) -> None:
    _require(isinstance(value, dict), f"{keyword} must be of type object")


def _check_patterns(keyword: str, value: Any) -> None:
    _check_object(keyword, value)
    for pattern in value:
        _require(is_valid_pattern(pattern), f"Invalid regex pattern '{pattern}'")


def _check_dependencies(keyword: str, value: Any) -> None:
    _check_object(keyword, value)
    for names in value.values():
        is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
        _require(is_list or isinstance(names, dict | bool), "dependency must be of type schema or array of strings")


def _check_number(keyword: str, value: Any) -> None:
    _require(_is_number(value), f"{keyword} must be of a number")


def _check_multiple(keyword: str, value: Any) -> None:
    _require(_is_number(value), _wrong_type("number", keyword))
    _require(value > 0, f"{keyword} must be strictly greater than 0")


def _check_exclusive(keyword: str, value: Any) -> None:
    _require(_is_number(value) or isinstance(value, bool), _wrong_type("boolean/number", keyword))


def _check_count(keyword: str, value: Any) -> None:
    _require(type(value) is int, f"{keyword} must be of an integer")
    _require(value >= 0, f"{keyword} must be greater than or equal to 0")


def _check_boolean(keyword: str, value: Any) -> None:
    _require(isinstance(value, bool), f"{keyword} must be of a boolean")


def _check_array(keyword: str, value: Any) -> None:
    _require(isinstance(value, list), f"{keyword} must be of an array")


def _check_distinct(keyword: str, value: Any) -> None:
    _check_array(keyword, value)
    _require(len({key(member) for member in value}) == len(value), f"{keyword} items must be unique")


def _check_required(keyword: str, value: Any) -> None:
    _check_array(keyword, value)
    _require(all(isinstance(name, str) for name in value), _wrong_type("string", keyword))
    _check_distinct(keyword, value)


def _check_schema(keyword: str, value: Any) -> None:
    _require(isinstance(value, dict | bool), f"{keyword} must be of an object")


def _check_items(keyword: str, value: Any) -> None:
    _require(isinstance(value, dict | bool | list), _wrong_type("schema/array of schemas", keyword))


def _check_bounds(part: dict[str, Any]) -> None:
    for low, high in _BOUNDS:
        if low in part and high in part:
            _require(part[low] <= part[high], f"{low} cannot be greater than {high}")
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(part.get(exclusive), bool):
            _require(bound in part, f"{exclusive} cannot be used without {bound}")


_CHECKS: Final[dict[str, Callable[[str, Any], None]]] = {
    **dict.fromkeys(("title", "description", "format"), _check_text),
    "type": _check_type,
    **dict.fromkeys(("definitions", "properties"), _check_object),
    **dict.fromkeys(("additionalProperties", "additionalItems"), _check_schema),
    "patternProperties": _check_patterns,
    "dependencies": _check_dependencies,
    "items": _check_items,
    "multipleOf": _check_multiple,
    **dict.fromkeys(("minimum", "maximum"), _check_number),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _check_exclusive),
    **dict.fromkeys(("minLength", "maxLength", "minProperties", "maxProperties", "minItems", "maxItems"), _check_count),
    "pattern": _check_pattern,
    "required": _check_required,
    "uniqueItems": _check_boolean,
    "enum": _check_distinct,
    **dict.fromkeys(("oneOf", "anyOf", "allOf"), _check_array),
    **dict.fromkeys(("not", "propertyNames", "contains", "if", "then", "else"), _check_schema),
}
