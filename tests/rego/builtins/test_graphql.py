"""graphql.*: the tree that policies see, the rules for schemas and queries, and bounds."""

import subprocess
import sys
from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import equal, set_of

STRING = {"NamedType": "String", "NonNull": False}
SCHEMA = """
    type Query { user(id: ID!, tags: [String!] = ["a"]): User  all: [Named!]! }
    interface Named { name: String }
    type User implements Named { name: String  friends(first: Int): [User!] }
    enum Level { LOW HIGH }
    directive @log(level: Level = LOW) repeatable on FIELD | QUERY
"""


def literal(kind: int, raw: str, *children: dict[str, Any]) -> dict[str, Any]:
    value = {"Kind": kind, "Raw": raw, "ExpectedTypeHasDefault": False}
    return value | ({"Children": list(children)} if children else {})


def test_the_tree_of_a_query() -> None:
    text = """query Q($id: ID! = "x") @log {
        me: user(id: $id, n: [1, {a: 2.5}], b: true, c: null, d: E, s: \"\"\"t\"\"\") {
        name ...F ... on User @skip(if: false) { name } ... { name } } }
        fragment F on Named { name }"""
    name = {"Alias": "name", "Name": "name"}
    inner = literal(
        8,
        "",
        *(
            {"Name": "", "Value": value}
            for value in (literal(1, "1"), literal(9, "", {"Name": "a", "Value": literal(2, "2.5")}))
        ),
    )
    arguments = {
        "id": literal(0, "id"),
        "n": inner,
        "b": literal(5, "true"),
        "c": literal(6, "null"),
        "d": literal(7, "E"),
        "s": literal(4, "t"),
    }
    skip = {"Name": "skip", "Location": "", "Arguments": [{"Name": "if", "Value": literal(5, "false")}]}
    expected = {
        "Operations": [
            {
                "Operation": "query",
                "Name": "Q",
                "VariableDefinitions": [
                    {
                        "Variable": "id",
                        "Type": {"NamedType": "ID", "NonNull": True},
                        "DefaultValue": literal(3, "x"),
                        "Used": False,
                    }
                ],
                "Directives": [{"Name": "log", "Location": ""}],
                "SelectionSet": [
                    {
                        "Alias": "me",
                        "Name": "user",
                        "Arguments": [{"Name": key, "Value": value} for key, value in arguments.items()],
                        "SelectionSet": [
                            name,
                            {"Name": "F"},
                            {"TypeCondition": "User", "Directives": [skip], "SelectionSet": [name]},
                            {"TypeCondition": "", "SelectionSet": [name]},
                        ],
                    }
                ],
            }
        ],
        "Fragments": [{"Name": "F", "TypeCondition": "Named", "SelectionSet": [name]}],
    }
    assert equal(call("graphql.parse_query", text), expected)


def test_the_tree_of_a_schema() -> None:
    text = """
        "A user" type User implements Named & Other @x { name(short: Boolean = false): [String!]! }
        extend enum Level { "much" HIGH }
        union All = | User | Level
        schema { query: User }
        "says" directive @x on OBJECT
    """
    field = {
        "Name": "name",
        "Description": "",
        "Type": {"NamedType": "", "NonNull": True, "Elem": {"NamedType": "String", "NonNull": True}},
        "Arguments": [
            {
                "Name": "short",
                "Description": "",
                "Type": {"NamedType": "Boolean", "NonNull": False},
                "DefaultValue": literal(5, "false"),
            }
        ],
    }
    user = {
        "Kind": "OBJECT",
        "Name": "User",
        "Description": "A user",
        "BuiltIn": False,
        "Interfaces": ["Named", "Other"],
        "Directives": [{"Name": "x", "Location": ""}],
        "Fields": [field],
    }
    union = {"Kind": "UNION", "Name": "All", "Description": "", "BuiltIn": False, "Types": ["User", "Level"]}
    level = {
        "Kind": "ENUM",
        "Name": "Level",
        "Description": "",
        "BuiltIn": False,
        "EnumValues": [{"Name": "HIGH", "Description": "much"}],
    }
    expected = {
        "Definitions": [user, union],
        "Extensions": [level],
        "Schema": [{"Description": "", "OperationTypes": [{"Operation": "query", "Type": "User"}]}],
        "Directives": [{"Name": "x", "Description": "says", "Locations": ["OBJECT"], "IsRepeatable": False}],
    }
    assert equal(call("graphql.parse_schema", text), expected)


@pytest.mark.parametrize("text", ["", "  # nothing", ",,,"])
def test_nothing_is_a_document(text: str) -> None:
    assert call("graphql.parse_query", text) == {}
    assert call("graphql.parse_schema", text) == {}


SCHEMAS = [
    ("no type Query", "type A { a: Int }", True),
    ("an extension of what is nowhere defined", "extend type A { a: Int }", True),
    ("a kind that is not the extended one", "enum A { B } extend type A { a: Int }", False),
    ("a type twice", "scalar A scalar A", False),
    ("a built-in type again", "scalar String", False),
    ("a built-in directive again", "directive @skip(if: Boolean!) on FIELD", True),
    ("a directive twice", "directive @a on FIELD directive @a on QUERY", False),
    ("a field twice", "type A { a: Int a: Int }", False),
    ("a field twice, through an extension", "type A { a: Int } extend type A { a: Int }", False),
    ("an unknown type", "type A { a: B }", False),
    ("an unknown type in a list", "type A { a: [B!]! }", False),
    ("an input type as an output", "input I { a: Int } type A { a: I }", False),
    ("an output type as an input", "type O { a: Int } type A { a(o: O): Int }", False),
    ("an output type in an input", "type O { a: Int } input A { a: O }", False),
    ("a reserved name of a type", "type __A { a: Int }", False),
    ("a reserved name of a field", "type A { __a: Int }", False),
    ("an enum value that is a literal", "enum A { true }", False),
    ("a union of objects", "type B { a: Int } union A = B", True),
    ("a union of scalars", "union A = Int", False),
    ("a union of nothing", "union A", True),
    ("an interface that is none", "type B { a: Int } type A implements B { a: Int }", False),
    ("a missing field of the interface", "interface B { a: Int b: Int } type A implements B { a: Int }", False),
    ("a wider type than the interface's", "interface B { a: Int! } type A implements B { a: Int }", False),
    ("a narrower type than the interface's", "interface B { a: B } type A implements B { a: A! }", True),
    ("an argument of the interface is missing", "interface B { a(x: Int): Int } type A implements B { a: Int }", False),
    ("a further required argument", "interface B { a: Int } type A implements B { a(x: Int!): Int }", False),
    ("a further optional argument", "interface B { a: Int } type A implements B { a(x: Int): Int }", True),
    (
        "an interface of the interface",
        "interface C { a: Int } interface B implements C { a: Int } type A implements B { a: Int }",
        False,
    ),
    ("an unknown directive", "type A @b { a: Int }", False),
    ("a directive in another place", "directive @b on FIELD type A @b { a: Int }", False),
    ("a directive that refers to itself", "directive @b(x: Int @b) on ARGUMENT_DEFINITION", False),
    ("two entry points", "type A { a: Int } schema { query: A } schema { query: A }", False),
    ("a root that does not exist", "schema { query: A }", False),
    ("a query is no schema", "{ a }", False),
    ("broken text", "type A {", False),
]


@pytest.mark.parametrize(("note", "schema", "expected"), SCHEMAS, ids=[row[0] for row in SCHEMAS])
def test_rules_for_schemas(note: str, schema: str, expected: bool) -> None:
    assert call("graphql.schema_is_valid", schema) is expected


QUERIES = [
    ("a field", '{ user(id: "1") { name } }', True),
    ("nothing", "", True),
    ("introspection", "{ __schema { types { name } } }", True),
    ("an unknown field", '{ user(id: "1") { age } }', False),
    ("a missing argument", "{ user { name } }", False),
    ("an unknown argument", '{ user(id: "1", a: 1) { name } }', False),
    ("an argument of another type", "{ user(id: 1.5) { name } }", False),
    ("an object without its fields", '{ user(id: "1") }', False),
    ("a scalar with fields", '{ user(id: "1") { name { x } } }', False),
    ("an operation that the schema lacks", "mutation { a }", False),
    ("an unused variable", 'query($a: Int) { user(id: "1") { name } }', False),
    ("an undefined variable", "{ user(id: $a) { name } }", False),
    ("a variable that may be null", "query($a: ID) { user(id: $a) { name } }", False),
    ("a variable", "query($a: ID!) { user(id: $a) { name } }", True),
    ("an unused fragment", "{ all { name } } fragment F on Named { name }", False),
    ("fragments in a circle", "{ all { ...F } } fragment F on Named { ...F }", False),
    ("a fragment that cannot be", '{ user(id: "1") { ... on Query { all { name } } } }', False),
    ("one name for two things", "{ all { name name: __typename } }", False),
    ("a directive of the schema, twice", "{ all @log @log(level: HIGH) { name } }", True),
    ("an unknown directive", "{ all @nolog { name } }", False),
    ("two operations without names", "{ all { name } } { all { name } }", False),
    ("a schema is no query", "type A { a: Int }", False),
    ("a description", '"what" query A { all { name } }', False),
]


@pytest.mark.parametrize(("note", "query", "expected"), QUERIES, ids=[row[0] for row in QUERIES])
def test_rules_for_queries(note: str, query: str, expected: bool) -> None:
    assert call("graphql.is_valid", query, SCHEMA) is expected
    is_valid, tree, schema = call("graphql.parse_and_verify", query, SCHEMA)
    assert is_valid is expected
    assert tree == (call("graphql.parse_query", query) if expected else {})
    assert schema == (call("graphql.parse_schema", SCHEMA) if expected else {})


def test_trees_are_taken_for_texts() -> None:
    query, schema = (
        call("graphql.parse_query", "{ all { name ...on User { name } } }"),
        call("graphql.parse_schema", SCHEMA),
    )
    assert call("graphql.parse", query, schema) == [query, schema]
    assert call("graphql.is_valid", query, SCHEMA) is True
    assert call("graphql.schema_is_valid", schema) is True


@pytest.mark.parametrize(
    "tree",
    [
        {"Operations": 1},
        {"Operations": [{"Operation": "walk"}]},
        {"Operations": [{"Name": "x"}]},
        {"Operations": [{1: 2}]},
    ],
)
def test_malformed_trees(tree: Any) -> None:
    assert call("graphql.is_valid", tree, SCHEMA) is False
    assert problem("graphql.parse", tree, SCHEMA).startswith("eval_builtin_error: the object is no GraphQL document")


def test_other_types_are_never_valid() -> None:
    assert call("graphql.is_valid", 1, SCHEMA) is False
    assert call("graphql.schema_is_valid", set_of("a")) is False
    expected = "eval_type_error: graphql.parse: operand 1 must be one of {string, object} but got number"
    assert problem("graphql.parse", 1, SCHEMA) == expected


def test_syntax_errors_say_where() -> None:
    said = problem("graphql.parse_query", "{a\n}{")
    assert said == "eval_builtin_error: Expected Name, found <EOF> in GraphQL string at location 2:3"


def test_deep_nesting_is_an_error() -> None:
    assert "nested too deeply" in problem("graphql.parse_query", "{a" * 5_000 + "}" * 5_000)
    assert "nested too deeply" in problem("graphql.parse_schema", "type A{a:" + "[" * 5_000 + "A" + "]" * 5_000 + "}")


def test_comparing_many_fields_is_paid_for() -> None:
    query = "{ all {" + " name" * 5_000 + "} }"
    with pytest.raises(BudgetExhausted):
        call("graphql.is_valid", query, SCHEMA, evaluation=Evaluation())


def test_many_interfaces_are_paid_for() -> None:
    names = [f"I{number}" for number in range(2_000)]
    schema = (
        "".join(f"interface {name} {{ a: Int }} " for name in names)
        + f"type A implements {'&'.join(names)} {{ a: Int }}"
    )
    assert call("graphql.schema_is_valid", schema) is True
    with pytest.raises(BudgetExhausted):
        call("graphql.schema_is_valid", schema, evaluation=Evaluation(budget=1_000_000))


def test_without_the_extra_the_functions_are_refused() -> None:
    script = """
import importlib.util as util
find = util.find_spec
util.find_spec = lambda name, *more: None if name == "graphql" else find(name, *more)
from tidegate.rego.builtins import REFUSED, TABLE
assert not any(name.startswith("graphql.") for name in TABLE)
print(len([name for name in REFUSED if name.startswith("graphql.")]))
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "6"
