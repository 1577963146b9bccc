"""json.match_schema and json.verify_schema: JSON Schema of draft 4, 6 and 7, as gojsonschema reads it."""

from typing import Any, Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.schema_check import Schema
from tidegate.rego.builtins.schema_match import Matching
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import Value, from_json, to_json

_DOCUMENT: Final = "any<string, object[any: any]>"
_ERRORS: Final = "array[object<desc: string, error: string, field: string, type: string>]"


@builtin(
    "json.match_schema",
    f"document: {_DOCUMENT}, schema: {_DOCUMENT} -> array<boolean, {_ERRORS}>",
    evaluation=True,
)
def match_schema(evaluation: Evaluation, document: Value, schema: Value) -> Value:
    """Whether the document matches, and what is wrong with it where it does not."""
    read = _read(evaluation, document)
    checked = Schema(evaluation, _read(evaluation, schema))
    try:
        findings = Matching(checked).findings(checked.document, read).list
    except RecursionError:
        raise BuiltinError("jsonschema: the document or the schema is nested too deeply") from None
    errors = [
        {"error": f"{each.field}: {each.description}", "type": each.kind, "field": each.field, "desc": each.description}
        for each in findings
    ]
    return [not findings, errors]


@builtin("json.verify_schema", f"schema: {_DOCUMENT} -> array<boolean, any<null, string>>", evaluation=True)
def verify_schema(evaluation: Evaluation, schema: Value) -> Value:
    """Whether it is a schema, and the first thing that is wrong with it where it is not."""
    try:
        Schema(evaluation, _read(evaluation, schema))
    except BuiltinError as error:
        return [False, error.message]
    return [True, None]


def _read(evaluation: Evaluation, written: Value) -> Any:
    """The document that a JSON text or a value is."""
    if type(written) is str:
        try:
            return from_json(written)
        except (ValueError, RecursionError):
            raise BuiltinError("jsonschema: invalid JSON string") from None
    if type(written) not in (dict, list):
        raise BuiltinError("jsonschema: wrong type, expected string or object")
    evaluation.spend(evaluation.weigh(written))
    return to_json(written)
