"""The order of iteration: Rego's wherever it can be seen, as it comes wherever it cannot."""

from typing import Any

import pytest

from tests.rego.generate.compiled import compiled, value

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
