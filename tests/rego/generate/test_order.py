"""The order of iteration: Rego's wherever it can be seen, as it comes wherever it cannot."""

from typing import Any

import pytest

from tests.rego.generate.compiled import compiled, value
from tidegate.rego.errors import EvaluationError

SHUFFLED = {"b": 2, "a": 1, "d": 4, "c": 3}

SEEN = [
    ("an array keeps it", "p := [x | some x in {3, 1, 2}]", [1, 2, 3]),
    ("an array of what an object holds", "p := [v | some k, v in input]", [1, 2, 3, 4]),
    ("an array of keys", "p := [k | some k, _ in input]", ["a", "b", "c", "d"]),
    ("an inner array", "p := {k: [x | some x in input] | some k in [1]}", {"1": [1, 2, 3, 4]}),
    ("pairs", "p := [[a, b] | some a in {2, 1}; some b in {4, 3}]", [[1, 3], [1, 4], [2, 3], [2, 4]]),
    (
        "mixed types",
        'p := [x | some x in {"a", 1, null, true, [0], {"k": 1}, {1}}]',
        [None, True, 1, "a", [0], {"k": 1}, [1]],
    ),
    ("through a rule", "s contains x if some x in input\np := [x | some x in s]", [1, 2, 3, 4]),
    ("walking", "p := [v | walk(input, [_, v]); is_number(v)]", [1, 2, 3, 4]),
]


@pytest.mark.parametrize(("rules", "wanted"), [case[1:] for case in SEEN], ids=[case[0] for case in SEEN])
def test_where_the_order_is_seen_it_is_regos(rules: str, wanted: Any) -> None:
    assert value(rules, SHUFFLED) == wanted


UNSEEN = [
    ("a set", "p contains x if some x in input"),
    ("an object", "p[k] := v if some k, v in input"),
    ("whether there is one", "p if { some x in input; x > 2 }"),
    ("a sum of a set", "p := sum({x | some x in input})"),
]


@pytest.mark.parametrize("rules", [case[1] for case in UNSEEN], ids=[case[0] for case in UNSEEN])
def test_where_it_is_not_seen_any_will_do(rules: str) -> None:
    program = compiled(rules)
    backwards = dict(reversed(SHUFFLED.items()))
    assert program.evaluate("p", SHUFFLED) == program.evaluate("p", backwards)


FAILING = [
    (
        "`every` is over before the member that fails",
        'p := "no" if not all\nall if { s := {c | c := input.a[_]}; every x in s { startswith(x.image, "a") } }',
        {"a": [{"image": 3.5}, {}]},
        "no",
    ),
    (
        "the first member fails",
        'p := "c" if { v := input.a[_].x; object.get(v, "k", 1) == 1 }',
        {"a": {"b": {"x": {}}, "a": {"x": True}}},
        None,
    ),
]


@pytest.mark.parametrize(
    ("rules", "input", "wanted"), [case[1:] for case in FAILING], ids=[case[0] for case in FAILING]
)
def test_what_fails_is_what_comes_first_in_order(rules: str, input: Any, wanted: Any) -> None:
    program = compiled(rules, strict=True)
    if wanted is None:
        with pytest.raises(EvaluationError):
            program.evaluate("p", input)
    else:
        assert program.evaluate("p", input) == [{"result": wanted}]


def test_a_member_that_fails_is_found_behind_one_that_holds() -> None:
    program = compiled('p contains "x" if { some v in input; upper(v) != "" }', strict=True)
    with pytest.raises(EvaluationError):
        program.evaluate("p", {"a": "1", "b": 2})
