"""Arithmetic, bits, aggregates and ranges."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rego.builtins.calls import call, problem
from tidegate.rego.errors import BudgetExhausted
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import UNDEFINED, equal, number, set_of, whole

HUGE = number("1e999999999")

RESULTS = [
    ("whole numbers are exact", "plus", (2**80, 1), 2**80 + 1),
    ("decimals add as written", "plus", (0.1, 0.2), 0.3),
    ("a whole result is an int", "plus", (0.5, 1.5), 2),
    ("cents", "minus", (1.1, 0.2), 0.9),
    ("a float and a long number", "plus", (2**60, 0.5), Decimal("1152921504606846976.5")),
    ("decimals multiply as written", "mul", (1.1, 1.1), 1.21),
    ("a division without rest is whole", "div", (6, -3), -2),
    ("a division with a rest", "div", (1, 8), 0.125),
    ("thirds are the nearest float", "div", (1, 3), 1 / 3),
    ("a long division keeps its half", "div", (2**60 + 1, 2), Decimal("576460752303423488.5")),
    ("decimals divide as written", "div", (0.3, 0.1), 3),
    ("the sign of a remainder is the dividend's", "rem", (-7, 3), -1),
    ("the sign of the divisor does not count", "rem", (7, -3), 1),
    ("a half goes away from zero", "round", (2.5,), 3),
    ("a negative half too", "round", (-2.5,), -3),
    ("ceil of a negative", "ceil", (-1.5,), -1),
    ("floor of a negative", "floor", (-1.5,), -2),
    ("floor of a tiny number", "floor", (number("-1e-999999999"),), -1),
    ("whole numbers stay", "round", (7,), 7),
    ("abs of a float", "abs", (-1.5,), 1.5),
    ("abs of what only a decimal can hold", "abs", (HUGE,), HUGE),
    ("up", "numbers.range", (1, 3), [1, 2, 3]),
    ("down", "numbers.range", (3, 1), [3, 2, 1]),
    ("both ends the same", "numbers.range", (2, 2), [2]),
    ("in steps", "numbers.range_step", (0, 7, 3), [0, 3, 6]),
    ("down in steps", "numbers.range_step", (7, 0, 3), [7, 4, 1]),
    ("hexadecimal", "format_int", (-255, 16), "-ff"),
    ("binary", "format_int", (5, 2), "101"),
    ("what is behind the point is left out", "format_int", (8.9, 8), "10"),
    ("common bits of a negative", "bits.and", (-2, 7), 6),
    ("either bits", "bits.or", (12, 3), 15),
    ("differing bits", "bits.xor", (12, 10), 6),
    ("every bit", "bits.negate", (5,), -6),
    ("to the left, beyond 64 bits", "bits.lsh", (1, 80), 2**80),
    ("to the right keeps the sign", "bits.rsh", (-8, 1), -4),
    ("to the right by much", "bits.rsh", (8, 10**30), 0),
    ("the sum of nothing", "sum", ([],), 0),
    ("the sum of decimals", "sum", ([0.1, 0.2, 0.3],), 0.6),
    ("a sum over a set", "sum", (set_of([1, 2]),), 3),
    ("the product of nothing", "product", (set_of([]),), 1),
    ("a product", "product", ([1.5, 4],), 6),
    ("the count of a string is of characters", "count", ("añ🙂",), 3),
    ("the count of a set", "count", (set_of([1, 1]),), 1),
    ("max goes by the order of types", "max", ([9, "a", [0], {"k": 0}, None],), {"k": 0}),
    ("min goes by the order of types", "min", (set_of(["b", 7, False]),), False),
    ("max of nothing", "max", ([],), UNDEFINED),
    ("min of nothing", "min", (set_of([]),), UNDEFINED),
    (
        "sorting puts types in order",
        "sort",
        (["b", 2, [1], None, "a", 1.5, True],),
        [None, True, 1.5, 2, "a", "b", [1]],
    ),
    ("a set sorted", "sort", (set_of("cab"),), ["a", "b", "c"]),
    ("all", "all", ([True, True],), True),
    ("all of what is no boolean", "all", ([True, 1],), False),
    ("all of nothing", "all", ([],), True),
    ("any", "any", (set_of([False, True]),), True),
    ("any of nothing", "any", ([],), False),
]


@pytest.mark.parametrize(("note", "name", "operands", "expected"), RESULTS, ids=[row[0] for row in RESULTS])
def test_results(note: str, name: str, operands: tuple[Any, ...], expected: Any) -> None:
    result = call(name, *operands)
    assert equal(result, expected)
    assert type(result) is type(expected)


DECIMALS = st.one_of(
    st.integers(-(10**18), 10**18),
    st.decimals(-(10**9), 10**9, places=6).map(str).map(number),
    st.floats(-1e12, 1e12).map(whole),
)


@given(DECIMALS, DECIMALS)
def test_results_are_the_nearest_to_the_exact_ones(x: Any, y: Any) -> None:
    first, second = Fraction(str(x)), Fraction(str(y))
    exact = {"plus": first + second, "minus": first - second, "mul": first * second}
    if second:
        exact["div"] = first / second
    for name, value in exact.items():
        result = call(name, x, y)
        if value.denominator == 1:
            assert result == value.numerator
            assert type(result) is int
        elif type(result) is float:
            assert result == value.numerator / value.denominator
        else:
            assert abs(Fraction(result) - value) <= abs(value) / 10**50


@given(DECIMALS)
def test_rounding_goes_by_the_decimal(x: Any) -> None:
    value = Fraction(str(x))
    assert call("floor", x) == math.floor(value)
    assert call("ceil", x) == math.ceil(value)
    assert abs(call("round", x)) == math.floor(abs(value) + Fraction(1, 2))


PROBLEMS = [
    ("div", (1, 0), "builtin", "divide by zero"),
    ("div", (1.5, 0), "builtin", "divide by zero"),
    ("rem", (1, 0), "builtin", "modulo by zero"),
    ("rem", (1.5, 2), "builtin", "modulo on floating-point number"),
    ("plus", ("a", 1), "type", "operand 1 must be number but got string"),
    ("plus", (1, True), "type", "operand 2 must be number but got boolean"),
    ("minus", (1, set_of([])), "type", "operand 2 must be number but got set"),
    ("minus", (set_of([]), 1), "type", "operand 2 must be set but got number"),
    ("minus", (None, 1), "type", "operand 1 must be one of {number, set} but got null"),
    ("round", (HUGE,), "builtin", "a number of more than 4300 digits"),
    ("format_int", (HUGE, 10), "builtin", "a number of more than 4300 digits"),
    ("format_int", (1, 3), "type", "operand 2 must be one of {2, 8, 10, 16}"),
    ("bits.lsh", (1, 10**12), "builtin", "a number of more than 4300 digits"),
    ("bits.lsh", (1, -1), "type", "operand 2 must be an unsigned integer number but got a negative integer"),
    ("bits.and", (1.5, 1), "type", "operand 1 must be integer number but got floating-point number"),
    ("numbers.range", (1, 1.5), "type", "operand 2 must be integer number but got floating-point number"),
    ("numbers.range_step", (1, 2, 0), "builtin", "step must be a positive integer"),
    ("sum", ([1, "a"],), "type", "operand 1 must be array of numbers but got array containing string"),
    ("sum", ({"a": 1},), "type", "operand 1 must be one of {set, array} but got object"),
    ("count", (1,), "type", "operand 1 must be one of {array, object, set, string} but got number"),
    ("max", ("a",), "type", "operand 1 must be one of {set, array} but got string"),
]


@pytest.mark.parametrize(("name", "operands", "kind", "message"), PROBLEMS)
def test_problems(name: str, operands: tuple[Any, ...], kind: str, message: str) -> None:
    assert problem(name, *operands) == f"eval_{kind}_error: {name}: {message}"


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("mul", (10**4299, 10)),
        ("mul", (HUGE, 2)),
        ("plus", (HUGE, 0.5)),
        ("sum", ([10**4300 - 1, 1],)),
        ("product", ([10**3000, 10**3000],)),
    ],
)
def test_numbers_that_could_not_be_written_are_not_made(name: str, operands: tuple[Any, ...]) -> None:
    assert problem(name, *operands) == "eval_builtin_error: a number of more than 4300 digits"


def test_a_long_range_ends_in_the_budget() -> None:
    with pytest.raises(BudgetExhausted):
        call("numbers.range", 1, 10**12)


def test_a_whole_of_shared_parts_is_not_sorted_for_ever() -> None:
    part: list[Any] = [1]
    for _ in range(60):
        part = [part, part]
    with pytest.raises(BudgetExhausted):
        call("sort", [part, part])


def test_a_random_number_stays_the_same_in_an_evaluation() -> None:
    evaluation = Evaluation()
    numbers = {call("rand.intn", "k", 1_000_000, evaluation=evaluation) for _ in range(20)}
    assert len(numbers) == 1
    assert 0 <= numbers.pop() < 1_000_000
    assert call("rand.intn", "k", 0) == 0
    drawn = {call("rand.intn", str(name), 1_000_000, evaluation=evaluation) for name in range(20)}
    assert len(drawn) > 1
