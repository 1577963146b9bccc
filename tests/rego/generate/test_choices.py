"""Many bodies that ask for the same field: only those for its text are tried, and the answer is as if all were."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rego.generate.compiled import compiled, value
from tidegate.rego.errors import Conflict

NAMES = ["a", "b", "c", "d", "e"]
BODIES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "input.n > 1", "input.n == 1", "not input.n"])),
    min_size=4,
    max_size=9,
)
INPUTS = st.fixed_dictionaries(
    {}, optional={"x": st.sampled_from([*NAMES, "z", 1, None, ["a"], True]), "n": st.sampled_from([1, 2, "s"])}
)


def rules(bodies: list[tuple[str, str]], *, backwards: bool) -> str:
    """Bodies that test the field first, or last, where nothing is chosen."""
    made = []
    for number, (name, more) in enumerate(bodies):
        tests = [f'input.x == "{name}"', *([more] if more else [])]
        made.append(f"p contains {number} if {{\n" + "\n".join(reversed(tests) if backwards else tests) + "\n}")
    return "\n".join(made)


@given(BODIES, INPUTS)
def test_chosen_and_tried_one_by_one_are_the_same(bodies: list[tuple[str, str]], document: dict[str, Any]) -> None:
    bodies = [(name, more or "input.n != 7") for name, more in bodies]
    assert value(rules(bodies, backwards=False), document) == value(rules(bodies, backwards=True), document)


def test_two_values_for_one_text_are_a_conflict() -> None:
    values = "\n".join(f'p := {number} if input.x == "{name}"' for number, name in enumerate("abcda"))
    program = compiled(values)
    assert [program.evaluate("p", {"x": name}) for name in "bcdz"] == [
        [{"result": 1}],
        [{"result": 2}],
        [{"result": 3}],
        [],
    ]
    with pytest.raises(Conflict):
        program.evaluate("p", {"x": "a"})


@pytest.mark.parametrize("document", [None, {}, {"x": {"y": "a"}}, [1], "a"])
def test_a_field_that_is_not_there_chooses_nothing(document: Any) -> None:
    texts = "\n".join(f'p contains "{name}" if input.x == "{name}"' for name in NAMES)
    assert value(texts, document) == []
