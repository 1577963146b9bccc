"""Bodies of one shape become one loop; each still gives what it would give alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rego.generate.compiled import compiled, value

MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {}, optional={"role": st.sampled_from(["user", "system", 1]), "text": st.sampled_from(["A b", "c", "B", 5])}
        ),
        st.sampled_from(["a", 1, None]),
    ),
    max_size=4,
)
BODIES = [
    'contains(lower(m.text), "a")',
    'lower(m.text) == "b"',
    'm.role == "user"; startswith(m.text, "c")',
    'm.role != "system"',
    "not m.text",
    "is_number(m.text); m.text > input.n",
    "some other in input.others; m.text == other",
]


def rules(bodies: list[str], *, apart: bool) -> str:
    """A set of the numbers of the bodies that hold for a message, as one rule or as one each."""
    name = "r{}" if apart else "p"
    made = [
        f"{name.format(number)} contains {number} if {{\n  some m in input.messages\n  {body}\n}}"
        for number, body in enumerate(bodies)
    ]
    union = " | ".join(name.format(number) for number in range(len(bodies)))
    return "\n".join(made + ([f"p := {union}"] if apart else []))


@given(
    st.lists(st.sampled_from(BODIES), min_size=2, max_size=6),
    MESSAGES,
    st.sampled_from([0, 9]),
    st.lists(st.sampled_from(["c", 5])),
)
def test_together_and_apart_are_the_same(bodies: list[str], messages: list[Any], n: int, others: list[Any]) -> None:
    document = {"messages": messages, "n": n, "others": others}
    assert value(rules(bodies, apart=False), document) == value(rules(bodies, apart=True), document)


def test_a_body_that_fails_does_not_stop_the_next() -> None:
    found = """
p contains "first" if { some m in input; m.a.b == 1 }
p contains "second" if { some m in input; m.c == 2 }
p contains "third" if { some m in input; m.c == 2; m.a == 3 }
"""
    assert value(found, [{"c": 2}]) == ["second"]
    assert value(found, [{"c": 2, "a": 3}, {"a": {"b": 1}}]) == ["first", "second", "third"]


@pytest.mark.parametrize("input", [{"a": 1}, {"b": 2}, {"a": 1, "b": 2}, {}, 5, [1]])
def test_fields_that_several_rules_read(input: Any) -> None:
    found = """
p contains "a" if input.a == 1
p contains "b" if input.b == 2
p contains "both" if { input.a == 1; input.b == 2 }
p contains "other" if { input.b == 2 with input as {"b": 2} }
"""
    wanted = [
        name
        for name, holds in [
            ("a", isinstance(input, dict) and input.get("a") == 1),
            ("b", isinstance(input, dict) and input.get("b") == 2),
            ("both", isinstance(input, dict) and len(input) == 2),
            ("other", True),
        ]
        if holds
    ]
    assert compiled(found).evaluate("p", input) == [{"result": {name: name for name in wanted}}]
