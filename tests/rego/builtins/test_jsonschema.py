"""json.match_schema and json.verify_schema: every keyword with a document that meets it and one that does not."""

import json
from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import number, set_of


def findings(schema: Any, document: Any) -> list[tuple[str, str]]:
    """Field and description; the document is wrapped, since only objects and arrays are documents."""
    is_valid, errors = call("json.match_schema", {"d": document}, {"properties": {"d": schema}} | roots(schema))
    assert is_valid is (not errors)
    for error in errors:
        assert error["error"] == f"{error['field']}: {error['desc']}"
    return [(error["field"], error["desc"]) for error in errors]


def roots(schema: Any) -> dict[str, Any]:
    """What stands at the root of a schema alone."""
    return {name: schema[name] for name in ("definitions", "$schema") if isinstance(schema, dict) and name in schema}


OBJECT = {"a": 1}
KEYWORDS: list[tuple[Any, Any, Any, Any]] = [
    # schema, a document that meets it, one that does not, what is wrong with that
    ({"type": "string"}, "x", 1, "Invalid type. Expected: string, given: integer"),
    ({"type": "integer"}, 1, 1.5, "Invalid type. Expected: integer, given: number"),
    ({"type": "number"}, 1, "1", "Invalid type. Expected: number, given: string"),
    ({"type": "null"}, None, False, "Invalid type. Expected: null, given: boolean"),
    ({"type": ["array", "null"]}, [], {}, "Invalid type. Expected: [array,null], given: object"),
    ({"const": 1}, 1.0, True, "d does not match: 1"),
    ({"enum": ["a", 1, None]}, None, "b", 'd must be one of the following: "a", 1, null'),
    ({"enum": [1]}, 1, True, "d must be one of the following: 1"),
    ({"multipleOf": 0.1}, 0.3, 0.35, "Must be a multiple of 0.1"),
    ({"minimum": 2}, 2, 1.9, "Must be greater than or equal to 2"),
    ({"maximum": 2.5}, 2.5, 3, "Must be less than or equal to 2.5"),
    ({"exclusiveMinimum": 2}, 3, 2, "Must be greater than 2"),
    ({"exclusiveMaximum": 2}, 1, 2, "Must be less than 2"),
    ({"minimum": 2, "exclusiveMinimum": True}, 3, 2, "Must be greater than 2"),
    ({"maximum": 2, "exclusiveMaximum": True}, 1, 2, "Must be less than 2"),
    ({"minLength": 2}, "éa", "é", "String length must be greater than or equal to 2"),
    ({"maxLength": 1}, "é", "éa", "String length must be less than or equal to 1"),
    ({"pattern": "^a+$"}, "aa", "ab", "Does not match pattern '^a+$'"),
    ({"format": "ipv4"}, "10.0.0.1", "10.0.0", "Does not match format 'ipv4'"),
    ({"format": "unheard of"}, "x", None, None),
    ({"minItems": 1}, [1], [], "Array must have at least 1 items"),
    ({"maxItems": 1}, [1], [1, 2], "Array must have at most 1 items"),
    ({"uniqueItems": True}, [1, True], [1, 2, 1.0], "array items[0,2] must be unique"),
    ({"additionalItems": False, "items": [{}]}, [1], [1, 2], "No additional items allowed on array"),
    ({"minProperties": 1}, OBJECT, {}, "Must have at least 1 properties"),
    ({"maxProperties": 1}, OBJECT, {"a": 1, "b": 2}, "Must have at most 1 properties"),
    ({"required": ["a"]}, OBJECT, {"b": 1}, "a is required"),
    (
        {"additionalProperties": False, "properties": {"a": {}}},
        OBJECT,
        {"b": 1},
        "Additional property b is not allowed",
    ),
    (
        {"additionalProperties": False, "patternProperties": {"^a": {}}},
        OBJECT,
        {"b": 1},
        "Additional property b is not allowed",
    ),
    ({"dependencies": {"a": ["b"]}}, {"a": 1, "b": 2}, OBJECT, "Has a dependency on b"),
    ({"dependencies": {"a": {"required": ["b"]}}}, {"a": 1, "b": 2}, OBJECT, "b is required"),
    ({"not": {"type": "string"}}, 1, "x", "Must not validate the schema (not)"),
    (True, 1, None, None),
    (False, None, 1, "False always fails validation"),
]


@pytest.mark.parametrize(("schema", "right", "wrong", "expected"), KEYWORDS)
def test_keywords(schema: Any, right: Any, wrong: Any, expected: str | None) -> None:
    if schema is not False:
        assert findings(schema, right) == []
    if expected is not None:
        assert findings(schema, wrong) == [("d", expected)]


NESTED = [
    ({"properties": {"a": {"type": "string"}}}, {"a": 1}, [("d.a", "Invalid type. Expected: string, given: integer")]),
    ({"items": {"type": "string"}}, ["x", 1], [("d.1", "Invalid type. Expected: string, given: integer")]),
    (
        {"items": [{"type": "null"}], "additionalItems": {"type": "string"}},
        [None, 1],
        [("d.1", "Invalid type. Expected: string, given: integer")],
    ),
    (
        {"additionalProperties": {"type": "string"}},
        {"a": 1},
        [("d.a", "Invalid type. Expected: string, given: integer")],
    ),
    (
        {"patternProperties": {"a$": {"type": "string"}}},
        {"ba": 1, "ab": 1},
        [("d.ba", "Invalid type. Expected: string, given: integer")],
    ),
    (
        {"propertyNames": {"maxLength": 1}},
        {"ab": 1},
        [("d", 'Property name of "ab" does not match'), ("d", "String length must be less than or equal to 1")],
    ),
    (
        {"contains": {"type": "string"}},
        [1],
        [("d", "At least one of the items must match"), ("d.0", "Invalid type. Expected: string, given: integer")],
    ),
    (
        {"allOf": [{"minimum": 2}, {"type": "integer"}]},
        1,
        [("d", "Must be greater than or equal to 2"), ("d", "Must validate all the schemas (allOf)")],
    ),
    (
        {"anyOf": [{"type": "string"}, {"minimum": 2}]},
        1,
        [("d", "Must validate at least one schema (anyOf)"), ("d", "Must be greater than or equal to 2")],
    ),
    ({"oneOf": [{"type": "integer"}, {"minimum": 0}]}, 1, [("d", "Must validate one and only one schema (oneOf)")]),
    (
        {"if": {"minimum": 2}, "then": {"type": "integer"}},
        2.5,
        [("d", 'Must validate "then" as "if" was valid'), ("d", "Invalid type. Expected: integer, given: number")],
    ),
    (
        {"if": {"minimum": 2}, "else": {"type": "integer"}},
        1.5,
        [("d", 'Must validate "else" as "if" was not valid'), ("d", "Invalid type. Expected: integer, given: number")],
    ),
]


@pytest.mark.parametrize(("schema", "document", "expected"), NESTED)
def test_findings_say_where(schema: Any, document: Any, expected: list[tuple[str, str]]) -> None:
    assert findings(schema, document) == expected


def test_findings_of_the_root() -> None:
    assert call("json.match_schema", [], {"type": "object"}) == [
        False,
        [
            {
                "error": "(root): Invalid type. Expected: object, given: array",
                "type": "invalid_type",
                "field": "(root)",
                "desc": "Invalid type. Expected: object, given: array",
            }
        ],
    ]


REFERENCES = [
    ({"$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}}, "x", 1),
    ({"$ref": "#/definitions/a~1b%20c", "definitions": {"a/b c": {"type": "string"}}}, "x", 1),
    ({"$ref": "#named", "definitions": {"a": {"$id": "#named", "type": "string"}}}, "x", 1),
    ({"$ref": "http://a.example/s", "definitions": {"a": {"$id": "http://a.example/s", "type": "string"}}}, "x", 1),
    (
        {"$ref": "#/definitions/t", "definitions": {"t": {"items": {"$ref": "#/definitions/t"}, "type": "array"}}},
        [[], [[]]],
        [[1]],
    ),
]


@pytest.mark.parametrize(("schema", "right", "wrong"), REFERENCES)
def test_references_within_the_schema(schema: Any, right: Any, wrong: Any) -> None:
    assert findings(schema, right) == []
    assert findings(schema, wrong) != []


def test_a_newer_keyword_counts_for_nothing_in_an_older_draft() -> None:
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "const": 1, "if": False, "else": False}
    assert findings(old, 2) == []


INVALID = [
    (
        {"type": "text"},
        "has a primitive type that is NOT VALID -- given: /text/ "
        "Expected valid values are:[array boolean integer number null object string]",
    ),
    ({"type": ["null", "null"]}, "null type is duplicated"),
    ({"type": 1}, "Invalid type. Expected: type, given: string/array of strings"),
    ({"properties": []}, "properties must be of type object"),
    ({"properties": {"a": 1}}, "Expected: schema"),
    ({"items": 1}, "Invalid type. Expected: schema/array of schemas, given: items"),
    ({"pattern": "("}, "pattern must be a valid regex"),
    ({"patternProperties": {"(": {}}}, "Invalid regex pattern '('"),
    ({"minLength": -1}, "minLength must be greater than or equal to 0"),
    ({"minLength": 1.5}, "minLength must be of an integer"),
    ({"minLength": 2, "maxLength": 1}, "minLength cannot be greater than maxLength"),
    ({"multipleOf": 0}, "multipleOf must be strictly greater than 0"),
    ({"exclusiveMinimum": True}, "exclusiveMinimum cannot be used without minimum"),
    ({"required": ["a", "a"]}, "required items must be unique"),
    ({"enum": 1}, "enum must be of an array"),
    ({"enum": [1, 1.0]}, "enum items must be unique"),
    ({"uniqueItems": 1}, "uniqueItems must be of a boolean"),
    ({"dependencies": {"a": 1}}, "dependency must be of type schema or array of strings"),
    ({"not": []}, "not must be of an object"),
    ({"$ref": 1}, "Invalid type. Expected: string, given: $ref"),
    ({"$ref": "#/a/b"}, "Object has no key 'a'"),
    ({"$ref": "http://a.example/b"}, "a reference out of the schema is not followed: `http://a.example/b`"),
    ({"$ref": "file:///etc/passwd"}, "a reference out of the schema is not followed: `file:///etc/passwd`"),
    ({"anyOf": [{"$ref": "#/x"}], "x": {"type": 1}}, "Invalid type. Expected: type, given: string/array of strings"),
    ("{", "invalid JSON string"),
    (1, "wrong type, expected string or object"),
    ({"$schema": "http://json-schema.org/draft-04/schema#", "items": True}, "Expected: schema"),
]


@pytest.mark.parametrize(("schema", "expected"), INVALID)
def test_invalid_schemas(schema: Any, expected: str) -> None:
    assert call("json.verify_schema", schema) == [False, f"jsonschema: {expected}"]
    assert problem("json.match_schema", {}, schema) == f"eval_builtin_error: jsonschema: {expected}"


@pytest.mark.parametrize("schema", [{}, '{"type": "string"}', {"x-more": 1}, {"enum": []}, {"items": [True, {}]}])
def test_valid_schemas(schema: Any) -> None:
    assert call("json.verify_schema", schema) == [True, None]


def test_texts_and_sets_are_documents() -> None:
    schema = {"properties": {"a": {"type": "array", "minItems": 2}}}
    assert call("json.match_schema", '{"a": [1, 2]}', json.dumps(schema)) == [True, []]
    assert call("json.match_schema", {"a": set_of([1, 2])}, schema) == [True, []]
    assert problem("json.match_schema", "{", {}) == "eval_builtin_error: jsonschema: invalid JSON string"


FORMATS = [
    ("date", "2024-02-29", "2023-02-29"),
    ("date", "2024-02-29", "20240229"),
    ("time", "12:00:00Z", "24:00:00"),
    ("time", "12:00:00.25+01:30", "12:60:00"),
    ("date-time", "2024-02-29T12:00:00.5Z", "2024-02-29T12:00:00"),
    ("date-time", "2024-02-29T12:00:00-08:00", "2024-02-29 12:00:00Z"),
    ("email", "a.b@example.com", "a b@example.com"),
    ("email", "Anna <a@b.example>", "a@"),
    ("hostname", "a-b.example", "-a.example"),
    ("hostname", "a" * 63, "a" * 64),
    ("ipv4", "255.0.0.1", "256.0.0.1"),
    ("ipv6", "::1", "::g"),
    ("ipv6", "fe80::1", "fe80::1%eth0"),
    ("uri", "http://a.example/b?c#d", "/b"),
    ("uri", "mailto:a@b", "http://a b/"),
    ("uri-reference", "../a", "a\\b"),
    ("uri-reference", "a/b:c", "a:/%zz"),
    ("uri-template", "/a/{b}/c", "/a/{b"),
    ("uuid", "01234567-89AB-cdef-0123-456789abcdef", "0123456789abcdef0123456789abcdef"),
    ("regex", "^a(b)$", "("),
    ("json-pointer", "/a/~0~1", "a"),
    ("relative-json-pointer", "0/a", "01"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), FORMATS)
def test_formats(name: str, right: str, wrong: str) -> None:
    assert findings({"format": name}, right) == []
    assert findings({"format": name}, wrong) == [("d", f"Does not match format '{name}'")]
    assert findings({"format": name}, 1) == [], "a format is one of strings"


def test_a_schema_without_an_end_is_an_error() -> None:
    said = problem("json.match_schema", {}, {"$ref": "#/a", "a": {"allOf": [{"$ref": "#/a"}]}})
    assert said.startswith("eval_builtin_error: jsonschema: the")


def test_deep_documents_are_an_error_and_never_a_crash() -> None:
    document: Any = []
    for _ in range(400):
        document = [document]
    said = problem("json.match_schema", document, {"items": {"$ref": "#"}})
    assert said.startswith("eval_builtin_error: jsonschema: the")


def test_a_schema_that_multiplies_is_paid_for() -> None:
    schema: dict[str, Any] = {"a0": {}}
    for level in range(40):
        schema[f"a{level + 1}"] = {"allOf": [{"$ref": f"#/a{level}"}] * 3}
    with pytest.raises(BudgetExhausted):
        call("json.match_schema", {}, schema | {"allOf": [{"$ref": "#/a30"}]}, evaluation=Evaluation(budget=100_000))


def test_enormous_exponents_do_not_take_memory() -> None:
    said = problem("json.match_schema", [number("1e999999999")], {"items": {"multipleOf": 2}})
    assert said == "eval_builtin_error: jsonschema: the number is too large or too small to be divided"


def test_long_lists_in_a_schema_are_paid_for_at_every_element() -> None:
    schema = {"items": {"enum": list(range(10_000))}}
    with pytest.raises(BudgetExhausted):
        call("json.match_schema", [1] * 10_000, schema, evaluation=Evaluation(budget=1_000_000))
