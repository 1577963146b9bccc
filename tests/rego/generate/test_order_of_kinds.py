"""Comparisons that were made into expressions say what the order of all values says."""

from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from tests.rego.generate.compiled import compiled
from tidegate.rego.values import compare, set_of

VALUES: list[Any] = [
    None, False, True, -1, 0, 1, 2**60, 0.5, -0.5, 1.5, 1e300, Decimal("1.00000000000000000001"), "", "a",
    [], [1], {}, {"a": 1}, set_of([]), set_of([1]),
]  # fmt: skip
SIGNS = {">": lambda way: way > 0, "<": lambda way: way < 0, ">=": lambda way: way >= 0, "<=": lambda way: way <= 0}


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("tested", ["", "is_number(input.b)", "is_number(input.a)"], ids=["any", "b", "a"])
def test_every_kind_of_value_against_every_other(sign: str, tested: str) -> None:
    program = compiled(f"p if {{\n\t{tested}\n\tinput.a {sign} input.b\n}}")
    numbers = (int, float, Decimal)
    for a, b in product(VALUES, VALUES):
        holds = SIGNS[sign](compare(a, b))
        if tested:
            holds = holds and type(b if tested.endswith("b)") else a) in numbers
        assert bool(program.evaluate("p", {"a": a, "b": b})) is holds, (a, sign, b)


@pytest.mark.parametrize("sign", SIGNS)
def test_against_a_constant(sign: str) -> None:
    for constant in (None, 1, 0.5, "a"):
        written = {None: "null", "a": '"a"'}.get(constant, str(constant))  # type: ignore[arg-type]
        first = compiled(f"p if input.a {sign} {written}")
        second = compiled(f"p if {written} {sign} input.a")
        for a in VALUES:
            assert bool(first.evaluate("p", {"a": a})) is SIGNS[sign](compare(a, constant)), (a, sign, constant)
            assert bool(second.evaluate("p", {"a": a})) is SIGNS[sign](compare(constant, a)), (constant, sign, a)
