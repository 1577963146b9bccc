"""graphql.*: queries and schemas read and checked, as trees of gqlparser's making.

`graphql-core` does the work. It is an extra of the installation, and imported with the first call; without it the
functions are refused when a policy is checked.
"""

from collections.abc import Callable
from typing import Any, Final

from tidegate.rego.builtins import Function, builtin
from tidegate.rego.builtins.operands import mistyped, string
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import Value

_EITHER: Final = "any<string, object[any: any]>"
_BOTH: Final = f"query: {_EITHER}, schema: {_EITHER}"
_OBJECT: Final = "object[any: any]"
_UNVERIFIED: Final[list[Value]] = [False, {}, {}]
_CHARACTERS_A_UNIT: Final = 2  # of a text that is parsed


def _builtin(name: str, signature: str) -> Callable[[Function], Function]:
    return builtin(name, signature, evaluation=True)


@_builtin("graphql.parse_query", f"query: string -> {_OBJECT}")
def parse_query(evaluation: Evaluation, query: Value) -> Value:
    return _tree().shown(_query(evaluation, "graphql.parse_query", string("graphql.parse_query", 1, query)))


@_builtin("graphql.parse_schema", f"schema: string -> {_OBJECT}")
def parse_schema(evaluation: Evaluation, schema: Value) -> Value:
    return _tree().shown(_schema(evaluation, "graphql.parse_schema", 1, string("graphql.parse_schema", 1, schema)))


@_builtin("graphql.parse", f"{_BOTH} -> array<{_OBJECT}, {_OBJECT}>")
def parse(evaluation: Evaluation, query: Value, schema: Value) -> Value:
    """Both trees, if the query can stand before the schema."""
    return _verified(evaluation, "graphql.parse", query, schema)


@_builtin("graphql.parse_and_verify", f"{_BOTH} -> array<boolean, {_OBJECT}, {_OBJECT}>")
def parse_and_verify(evaluation: Evaluation, query: Value, schema: Value) -> Value:
    try:
        return [True, *_verified(evaluation, "graphql.parse_and_verify", query, schema)]
    except BuiltinError:
        return _UNVERIFIED


@_builtin("graphql.is_valid", f"{_BOTH} -> boolean")
def is_valid(evaluation: Evaluation, query: Value, schema: Value) -> bool:
    try:
        _verified(evaluation, "graphql.is_valid", query, schema)
    except BuiltinError:
        return False
    return True


@_builtin("graphql.schema_is_valid", f"schema: {_EITHER} -> boolean")
def schema_is_valid(evaluation: Evaluation, schema: Value) -> bool:
    from tidegate.rego.builtins.graphql_check import checked

    try:
        checked(evaluation, _schema(evaluation, "graphql.schema_is_valid", 1, schema))
    except BuiltinError:
        return False
    return True


def _tree() -> Any:
    from tidegate.rego.builtins import graphql_tree

    return graphql_tree


def _query(evaluation: Evaluation, name: str, query: Value) -> Any:
    if type(query) is dict:
        evaluation.spend(evaluation.weigh(query))
        return _tree().read(query, _tree().QueryDocument)
    if type(query) is not str:
        raise mistyped(name, 1, query, "string", "object")
    from tidegate.rego.builtins.graphql_parse import parse_query

    evaluation.spend(len(query) // _CHARACTERS_A_UNIT)
    return parse_query(query)


def _schema(evaluation: Evaluation, name: str, position: int, schema: Value) -> Any:
    if type(schema) is dict:
        evaluation.spend(evaluation.weigh(schema))
        return _tree().read(schema, _tree().SchemaDocument)
    if type(schema) is not str:
        raise mistyped(name, position, schema, "string", "object")
    from tidegate.rego.builtins.graphql_parse import parse_schema

    evaluation.spend(len(schema) // _CHARACTERS_A_UNIT)
    return parse_schema(schema)


def _verified(evaluation: Evaluation, name: str, query: Value, schema: Value) -> list[Value]:
    shown = _tree().shown
    from tidegate.rego.builtins.graphql_check import check_query, checked

    query_document, schema_document = _query(evaluation, name, query), _schema(evaluation, name, 2, schema)
    check_query(evaluation, checked(evaluation, schema_document), query_document)
    return [shown(query_document), shown(schema_document)]
