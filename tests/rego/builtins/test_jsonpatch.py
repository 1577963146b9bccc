"""json.patch: the examples of RFC 6902's appendix, and what Rego adds: sets, paths as arrays, no errors."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import UNDEFINED, RegoSet, equal, key, set_of

APPLIED = [
    ("a member is added", {"foo": "bar"}, [("add", "/baz", "qux")], {"foo": "bar", "baz": "qux"}),
    ("an element is added", {"foo": ["bar", "baz"]}, [("add", "/foo/1", "qux")], {"foo": ["bar", "qux", "baz"]}),
    ("a member is removed", {"baz": "qux", "foo": "bar"}, [("remove", "/baz")], {"foo": "bar"}),
    ("an element is removed", {"foo": [1, 2, 3]}, [("remove", "/foo/1")], {"foo": [1, 3]}),
    ("a value is replaced", {"baz": "qux"}, [("replace", "/baz", "boo")], {"baz": "boo"}),
    ("a value is moved", {"a": {"b": 1}, "c": {}}, [("move", "/c/d", "/a/b")], {"a": {}, "c": {"d": 1}}),
    ("an element is moved", {"foo": [1, 2, 3, 4]}, [("move", "/foo/3", "/foo/1")], {"foo": [1, 3, 4, 2]}),
    ("a test holds", {"baz": ["a", 2]}, [("test", "/baz/1", 2)], {"baz": ["a", 2]}),
    ("a nested object is added", {"foo": "bar"}, [("add", "/child", {"x": {}})], {"foo": "bar", "child": {"x": {}}}),
    ("an element is appended", {"foo": [1]}, [("add", "/foo/-", [2])], {"foo": [1, [2]]}),
    ("an escaped path", {"/": 9, "~1": 10}, [("test", "/~01", 10), ("remove", "/~1")], {"~1": 10}),
    ("null is a value", {"a": 1}, [("add", "/b", None)], {"a": 1, "b": None}),
    ("the whole document", {"a": 1}, [("replace", "", [1])], [1]),
    ("a path without its slash", {"a": {"b": 1}}, [("remove", "a/b")], {"a": {}}),
    ("a path as an array", {"a/b": [1]}, [("add", ["a/b", 0], 0)], {"a/b": [0, 1]}),
    ("a key that is no string", {1: "x"}, [("replace", [1], "y")], {1: "y"}),
    ("copies change apart", {"a": [1]}, [("copy", "/b", "/a"), ("add", "/b/-", 2)], {"a": [1], "b": [1, 2]}),
    ("what was moved can change", {"a": [1]}, [("move", "/b", "/a"), ("add", "/b/-", 2)], {"b": [1, 2]}),
    ("an element of a set is added", {"s": set_of("a")}, [("add", "/s/b", "b")], {"s": set_of("ab")}),
    ("an element of a set is removed", set_of("ab"), [("remove", "/b")], set_of("a")),
    ("an element of a set changes", set_of([[1]]), [("add", [[1], 1], 2)], set_of([[1, 2]])),
]


@pytest.mark.parametrize(("note", "document", "patch", "expected"), APPLIED, ids=[row[0] for row in APPLIED])
def test_what_applies(note: str, document: Any, patch: list[tuple[Any, ...]], expected: Any) -> None:
    before = key(document)
    assert equal(call("json.patch", document, operations(patch)), expected)
    assert key(document) == before, "an operand is never changed"


REFUSED = [
    ("a test fails", {"baz": "qux"}, [("test", "/baz", "bar")]),
    ("numbers and booleans differ", {"a": 1}, [("test", "/a", True)]),
    ("the place is not there", {"a": 1}, [("add", "/b/c", 1)]),
    ("nothing to remove", {"a": 1}, [("remove", "/b")]),
    ("nothing to replace", [1], [("replace", "/1", 2)]),
    ("an index out of bounds", [1], [("add", "/2", 2)]),
    ("an index with a leading zero", [1, 2], [("add", "/01", 2)]),
    ("an index that is no number", [1, 2], [("add", "1.2", 2)]),
    ("a negative index", [1, 2], [("remove", [-1])]),
    ("an element under another name", set_of("a"), [("add", "/b", "c")]),
    ("a scalar has no members", {"a": "xyz"}, [("remove", "/a/0")]),
    ("all or nothing", {"a": 1}, [("remove", "/a"), ("remove", "/a")]),
    ("the document itself is gone", {"a": 1}, [("remove", "")]),
]


@pytest.mark.parametrize(("note", "document", "patch"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_does_not_apply(note: str, document: Any, patch: list[tuple[Any, ...]]) -> None:
    assert call("json.patch", document, operations(patch)) is UNDEFINED


@pytest.mark.parametrize(
    "operation", [{}, {"op": "ad", "path": "a"}, {"op": "add", "path": "a"}, {"op": "move", "path": "a"}, "add", None]
)
def test_malformed_operations_have_no_result(operation: Any) -> None:
    assert call("json.patch", {"a": 1}, [operation]) is UNDEFINED


def test_a_patch_is_an_array() -> None:
    expected = "eval_type_error: json.patch: operand 2 must be array but got object"
    assert problem("json.patch", {}, {}) == expected


def test_a_document_is_copied_once_and_copies_are_paid_for() -> None:
    document = {"a": list(range(80_000))}
    appending = operations([("add", "/a/-", 1)] * 50)
    evaluation = Evaluation(budget=11_000)  # a copy costs 10,001
    assert len(call("json.patch", document, appending, evaluation=evaluation)["a"]) == 80_050
    multiplying = operations([("copy", "/b", "/a"), ("add", "/b/-", 1)] * 50)
    with pytest.raises(BudgetExhausted):
        call("json.patch", document, multiplying, evaluation=Evaluation(budget=400_000))


def operations(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    third = {"move": "from", "copy": "from"}
    return [
        {"op": row[0], "path": row[1]} | ({third.get(row[0], "value"): row[2]} if len(row) > 2 else {}) for row in rows
    ]


def test_the_result_is_a_value_of_its_own() -> None:
    held = set_of([[1]])
    patched = call("json.patch", {"s": held}, operations([("add", "/s/b", "b")]))
    assert type(patched["s"]) is RegoSet
    assert len(held) == 1
