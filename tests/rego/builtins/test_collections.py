"""Arrays, sets, objects, membership, comparison, paths into documents, graphs and kinds of values."""

from typing import Any

import pytest

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import equal, key, number, set_of

DOCUMENT = {"a": {"b": 1, "c": [10, {"d": 2}]}, "e": 3}
LINES = {"a": ["b", "c"], "b": ["c"], "c": []}

RESULTS = [
    ("concatenated", "array.concat", ([1], [2, 1]), [1, 2, 1]),
    ("one level is flattened", "array.flatten", ([1, [2, [3]], set_of([4])],), [1, 2, [3], set_of([4])]),
    ("reversed", "array.reverse", ([1, 2],), [2, 1]),
    ("a slice", "array.slice", ([1, 2, 3, 4], 1, 3), [2, 3]),
    ("a slice beyond the ends", "array.slice", ([1, 2], -5, 9), [1, 2]),
    ("a slice from behind its end", "array.slice", ([1, 2], 2, 1), []),
    ("what two sets have", "and", (set_of([1, 2, True]), set_of([2, 1])), set_of([1, 2])),
    ("what either set has", "or", (set_of([1]), set_of([True])), set_of([1, True])),
    ("what only the first has", "minus", (set_of([1, 2]), set_of([2])), set_of([1])),
    ("the union of many", "union", (set_of([set_of([1]), set_of([2])]),), set_of([1, 2])),
    ("the union of none", "union", (set_of([]),), set_of([])),
    ("the intersection of many", "intersection", (set_of([set_of([1, 2]), set_of([2, 3])]),), set_of([2])),
    ("the intersection of none", "intersection", (set_of([]),), set_of([])),
    ("a member of an array", "internal.member_2", ([1], [0, [1]]), True),
    ("true is not 1", "internal.member_2", (True, [1, "true"]), False),
    ("1 is not true", "internal.member_2", (1, [True, False]), False),
    ("1 is behind true", "internal.member_2", (1, [True, 1]), True),
    ("a member of a set", "internal.member_2", (False, set_of([0, False])), True),
    ("a value of an object", "internal.member_2", ("v", {"k": "v"}), True),
    ("a key is no value", "internal.member_2", ("k", {"k": "v"}), False),
    ("nothing is in a string", "internal.member_2", ("a", "abc"), False),
    ("a member at its place", "internal.member_3", (1, "b", ["a", "b"]), True),
    ("a member at another place", "internal.member_3", (0, "b", ["a", "b"]), False),
    ("a member at no place", "internal.member_3", (number("1e999999999"), "b", ["a"]), False),
    ("1 and 1.0 are equal", "equal", (1, 1.0), True),
    ("1 and true are not, at any depth", "equal", ({"a": [1]}, {"a": [True]}), False),
    ("neither are they here", "neq", (0, False), True),
    ("numbers are below strings", "lt", (9, "1"), True),
    ("arrays are below objects", "lte", ([9], {}), True),
    ("a longer array is above", "gt", ([1, 2], [1]), True),
    ("objects go by their keys first", "gte", ({"b": 0}, {"a": 9}), True),
    ("a key", "object.get", ({"a": None}, "a", 1), None),
    ("a default", "object.get", ({}, "a", 1), 1),
    ("a path", "object.get", (DOCUMENT, ["a", "c", 1, "d"], 0), 2),
    ("a path into nothing", "object.get", (DOCUMENT, ["e", "x"], 0), 0),
    ("a path without parts", "object.get", (DOCUMENT, [], 0), DOCUMENT),
    ("a path through a set", "object.get", ({"s": set_of([[1]])}, ["s", [1], 0], 0), 1),
    ("a number as a key", "object.get", ({1: "x"}, 1, 0), "x"),
    ("keys of all kinds", "object.keys", ({"a": 1, key([1]): 2},), set_of(["a", [1]])),
    ("kept by an array", "object.filter", (DOCUMENT, ["e", "x"]), {"e": 3}),
    ("kept by an object's keys", "object.filter", (DOCUMENT, {"e": None}), {"e": 3}),
    ("removed by a set", "object.remove", (DOCUMENT, set_of(["a"])), {"e": 3}),
    ("true is not the key 1", "object.remove", ({1: "x"}, [True]), {1: "x"}),
    ("united to any depth", "object.union", ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}), {"a": {"b": 1, "c": 3}}),
    ("the second wins where one is no object", "object.union", ({"a": {"b": 1}}, {"a": 2}), {"a": 2}),
    ("many united", "object.union_n", ([{"a": 1}, {"b": {"c": 1}}, {"b": {"d": 2}}],), {"a": 1, "b": {"c": 1, "d": 2}}),
    ("a part of an object", "object.subset", (DOCUMENT, {"a": {"b": 1}}), True),
    ("not a part of an object", "object.subset", (DOCUMENT, {"a": {"b": 2}}), False),
    ("a part of an array stands together", "object.subset", ([1, 2, 3], [2, 3]), True),
    ("a scattered one does not", "object.subset", ([1, 2, 3], [1, 3]), False),
    ("an array has what a set has", "object.subset", ([1, 2, 3], set_of([3, 1])), True),
    ("a part of a set", "object.subset", (set_of([1, 2]), set_of([2])), True),
    ("true is no part of 1", "object.subset", ({"a": 1}, {"a": True}), False),
    ("filtered along paths", "json.filter", (DOCUMENT, ["a/b", "a/c/1/d"]), {"a": {"b": 1, "c": [{"d": 2}]}}),
    ("filtered along an array", "json.filter", (DOCUMENT, [["a", "b"]]), {"a": {"b": 1}}),
    ("the shorter path wins", "json.filter", (DOCUMENT, ["a/b", "a"]), {"a": DOCUMENT["a"]}),
    ("the shorter path wins in any order", "json.filter", (DOCUMENT, ["a", "a/b"]), {"a": DOCUMENT["a"]}),
    ("an escaped slash", "json.filter", ({"x/y": 1, "x": 2}, ["x~1y"]), {"x/y": 1}),
    ("nothing filtered", "json.filter", (DOCUMENT, []), {}),
    ("removed along paths", "json.remove", (DOCUMENT, set_of(["a/c/0", "e"])), {"a": {"b": 1, "c": [{"d": 2}]}}),
    ("removed along no path", "json.remove", (DOCUMENT, ["x/y", "e/f"]), DOCUMENT),
    ("reachable nodes", "graph.reachable", (LINES, ["b"]), set_of(["b", "c"])),
    ("nothing is reachable from outside", "graph.reachable", (LINES, ["x"]), set_of([])),
    ("a circle ends", "graph.reachable", ({"a": ["a"]}, ["a"]), set_of(["a"])),
    ("ways", "graph.reachable_paths", (LINES, set_of(["a"])), set_of([["a", "b", "c"], ["a", "c"]])),
    ("a way back is no way", "graph.reachable_paths", ({"a": ["b"], "b": ["a"]}, ["a"]), set_of([["a", "b"]])),
    ("a way out of the graph ends before", "graph.reachable_paths", ({"a": ["x"]}, ["a"]), set_of([["a"]])),
    ("walked", "walk", ({"a": [1]},), [[[], {"a": [1]}], [["a"], [1]], [["a", 0], 1]]),
    ("a scalar walked", "walk", ("x",), [[[], "x"]]),
    ("null has a name", "type_name", (None,), "null"),
    ("a set has a name", "type_name", (set_of([]),), "set"),
    ("a boolean is no number", "is_number", (True,), False),
    ("an object is no set", "is_set", ({},), False),
    ("a number from text", "to_number", ("-1.50",), -1.5),
    ("a number from an exponent", "to_number", ("1E3",), 1000),
    ("a number from a boolean", "to_number", (True,), 1),
    ("a number from null", "to_number", (None,), 0),
    ("a set as an array", "cast_array", (set_of([2, 1]),), [1, 2]),
    ("an array as a set", "cast_set", ([2, 2],), set_of([2])),
]


@pytest.mark.parametrize(("note", "name", "operands", "expected"), RESULTS, ids=[row[0] for row in RESULTS])
def test_results(note: str, name: str, operands: tuple[Any, ...], expected: Any) -> None:
    before = key(list(operands))
    assert equal(call(name, *operands), expected)
    assert key(list(operands)) == before, "an operand is never changed"


PROBLEMS = [
    ("array.concat", ({}, []), "type", "operand 1 must be array but got object"),
    ("array.slice", ([], 0.5, 1), "type", "operand 2 must be integer number but got floating-point number"),
    ("and", (set_of([]), []), "type", "operand 2 must be set but got array"),
    ("union", (set_of([1]),), "type", "operand 1 must be set of sets but got set containing number"),
    ("object.get", ([], 0, 0), "type", "operand 1 must be object but got array"),
    ("object.filter", ({}, "a"), "type", "operand 2 must be one of {object, set, array} but got string"),
    ("object.subset", ({}, []), "type", "both arguments must be of the same type, or an array and a set"),
    ("object.union_n", ([1],), "type", "operand 1 must be array of objects but got array containing number"),
    ("json.remove", ({}, "a"), "type", "operand 2 must be one of {set, array} but got string"),
    (
        "json.filter",
        ({}, [1]),
        "type",
        "operand 2 must be one of {set, array} containing string paths or array of path segments but got number",
    ),
    ("graph.reachable", (1, []), "type", "operand 1 must be object but got number"),
    ("to_number", ("0x1",), "builtin", "`0x1` is not written as a number"),
    ("to_number", ("Infinity",), "type", "operand 1 must be valid number string but got Infinity"),
    ("to_number", ([],), "type", "operand 1 must be one of {null, boolean, number, string} but got array"),
    ("cast_string", (1,), "type", "operand 1 must be string but got number"),
]


@pytest.mark.parametrize(("name", "operands", "kind", "message"), PROBLEMS)
def test_problems(name: str, operands: tuple[Any, ...], kind: str, message: str) -> None:
    assert problem(name, *operands) == f"eval_{kind}_error: {name}: {message}"


def test_walking_spends_the_budget() -> None:
    part: list[Any] = [1]
    for _ in range(60):
        part = [part, part]
    with pytest.raises(BudgetExhausted):
        call("walk", part, evaluation=Evaluation(budget=10_000))


def test_a_long_chain_of_nodes_needs_no_deep_stack() -> None:
    chain = {number: [number + 1] for number in range(2000)}
    assert len(call("graph.reachable", chain, [0])) == 2000
    (way,) = call("graph.reachable_paths", chain, [0]).values()
    assert way == list(range(2000))
