"""A head's reference binds variables for its body, as in OPA."""

from typing import Any

import pytest

from tests.rego.generate.compiled import compiled, value
from tidegate.rego.errors import PolicyRefused

HEADS = [
    ("an element", "p contains input.xs[i] if i > 1", [7, 8]),
    ("a value under a key", "p[i] := input.xs[i] if i > 1", {"2": 7, "3": 8}),
    ("a value", "p := input.xs[i] if i == 1", 6),
    ("under negation", "p contains input.xs[i] if not even(i)\neven(i) if i % 2 == 0", [6, 8]),
]


@pytest.mark.parametrize(("rules", "wanted"), [case[1:] for case in HEADS], ids=[case[0] for case in HEADS])
def test_a_body_may_use_what_only_its_head_binds(rules: str, wanted: Any) -> None:
    assert value(rules, {"xs": [5, 6, 7, 8]}) == wanted


def test_what_neither_binds_is_unsafe() -> None:
    with pytest.raises(PolicyRefused) as refused:
        compiled("p[j] := input.xs[i] if i > 1")
    assert [problem.message for problem in refused.value.problems] == ["var `j` is unsafe"]
