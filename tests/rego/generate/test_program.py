"""Programs: what holds for generated functions whatever policy they were made from."""

import threading
from decimal import Decimal
from typing import Any

import pytest

from tests.rego.generate.compiled import compiled, value
from tidegate.rego.compile import compile_modules
from tidegate.rego.errors import BudgetExhausted, Conflict, EvaluationError, OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.generate import Program
from tidegate.rego.source import Source
from tidegate.rego.values import UNDEFINED, from_json, to_json


def test_loops_nested_deeper_than_python_allows() -> None:
    depth = 30
    loops = "\n".join(f"some x{number} in input" for number in range(depth))
    total = " + ".join(f"x{number}" for number in range(depth))
    assert value(f"p contains {total} if {{\n{loops}\n}}", [1]) == [depth]


def test_a_loop_that_deep_is_left_early() -> None:
    depth = 24
    loops = "\n".join(f"some x{number} in input.n" for number in range(depth))
    program = compiled(f'p := "found" if {{\n{loops}\nx{depth - 1} == 2\n}}')
    evaluation = Evaluation(budget=100_000)
    assert program.evaluate("p", {"n": [2, 2, 2, 2]}, evaluation) == [{"result": "found"}]


def test_negations_nested_deeper_than_python_allows() -> None:
    rules = "q0 if input\n" + "".join(f"q{number} if not q{number - 1}\n" for number in range(1, 40))
    assert value(rules + "p := 1 if q38", True) == 1
    assert value(rules + "p := 1 if q39", True) is None


@pytest.mark.parametrize("input", [None, True, 1, Decimal("1.00000000000000000000001"), "a", [1], {"a": {"b": 1}}])
def test_the_input_may_be_any_value(input: Any) -> None:
    assert value("p := input", input) == to_json(input)


def test_without_an_input_what_needs_one_is_undefined() -> None:
    program = compiled("p := 1 if input.x\nq := 2 if not input.x", "p", "q")
    assert program.evaluate("p") == []
    assert program.evaluate("q") == [{"result": 2}]


def test_a_missing_input_that_is_put_back_behind_a_with_is_still_missing() -> None:
    rules = """
q contains x if {input[_] = x}
p contains [x, y] if {
	data.test.q[x] with input as ["a", "b"]
	y = input
}
"""
    program = compiled(rules)
    assert to_json(program.evaluate("p")) == [{"result": []}]
    assert to_json(program.evaluate("p", 1)) == [{"result": [["a", 1], ["b", 1]]}]


def test_an_evaluation_leaves_nothing_behind() -> None:
    program = compiled("made contains x if some x in input\np := count(made)")
    assert [program.evaluate("p", [1] * n + list(range(n))) for n in (1, 5, 2)] == [
        [{"result": 2}],
        [{"result": 5}],
        [{"result": 2}],
    ]


def test_many_threads_ask_one_program() -> None:
    program = compiled("s contains x * 2 if some x in input\np := sum(s)")
    wrong = []

    def ask(n: int) -> None:
        wanted = [{"result": sum(2 * x for x in range(n))}]
        wrong.extend(n for _ in range(200) if program.evaluate("p", list(range(n))) != wanted)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_rule_that_depends_on_nothing_is_worked_out_beforehand() -> None:
    program = compiled("big := count([x | some x in numbers.range(1, 5000)])\np := big + input")
    evaluation = Evaluation(budget=10)
    assert program.evaluate("p", 1, evaluation) == [{"result": 5001}]


def test_what_fails_beforehand_fails_in_its_time() -> None:
    program = compiled("p := 1 if input.use == false\np := 1 / 0 if input.use", strict=True)
    assert program.evaluate("p", {"use": False}) == [{"result": 1}]
    with pytest.raises(EvaluationError, match="divide by zero"):
        program.evaluate("p", {"use": True})


def test_an_error_of_a_builtin_is_undefined_or_ends_the_evaluation() -> None:
    rules = 'p := upper(input)\nq := "none" if not p'
    assert compiled(rules, "q").evaluate("q", 1) == [{"result": "none"}]
    with pytest.raises(OperandError, match="upper: operand 1 must be string but got number"):
        compiled(rules, "q", strict=True).evaluate("q", 1)


def test_two_values_of_one_rule_are_a_conflict_in_either_mode() -> None:
    for strict in (False, True):
        program = compiled("p := x if some x in input", strict=strict)
        assert program.evaluate("p", [3, 3]) == [{"result": 3}]
        with pytest.raises(Conflict):
            program.evaluate("p", [3, 4])


def test_true_and_one_are_never_the_same() -> None:
    rules = """
s contains x if some x in input.values
o[x] := true if some x in input.values
p := {"set": count(s), "object": count(o), "one": [x | some x in input.values; x == 1], "in": true in input.values}
"""
    assert value(rules, {"values": [1, True, 0, False, 1.0]}) == {"set": 4, "object": 4, "one": [1, 1.0], "in": True}
    assert value(rules, {"values": [1, 0]}) == {"set": 2, "object": 2, "one": [1], "in": False}


def test_a_number_finds_its_text_in_the_data_but_not_in_the_input() -> None:
    data = {"table": {"2": "two"}}
    assert value("p := data.table[input]", 2, data) == "two"
    assert value("p := data.table[2]", None, data) == "two"
    assert value("p := input.table[2]", data) is None
    assert value("p contains v if v := data[_][2]", None, data) == ["two"]


def test_a_value_nested_without_end_is_an_error() -> None:
    deep = from_json("[" * 900 + "]" * 900)
    for _ in range(50_000):
        deep = [deep]
    program = compiled("p := {input}")
    with pytest.raises(EvaluationError):
        program.evaluate("p", deep)


def test_loops_inside_loops_end_with_the_budget() -> None:
    program = compiled("p := count([1 | some a in input; some b in input; some c in input])")
    assert program.evaluate("p", list(range(10)), Evaluation(budget=10_000)) == [{"result": 1000}]
    with pytest.raises(BudgetExhausted):
        program.evaluate("p", list(range(1000)), Evaluation(budget=10_000))


def test_functions_that_call_each_other_twice_end_with_the_budget() -> None:
    rules = "f0(x) := x\n" + "".join(f"f{n}(x) := f{n - 1}(x) + f{n - 1}(x)\n" for n in range(1, 40))
    with pytest.raises(BudgetExhausted):
        compiled(rules + "p := f39(input)").evaluate("p", 1)


def test_evaluations_under_other_inputs_count_their_loops() -> None:
    rules = "n := count([x | some x in input.xs])\np := sum([m | some y in input.xs; m := n with input.y as y])"
    program = compiled(rules)
    assert program.evaluate("p", {"xs": list(range(20))}, Evaluation(budget=100_000)) == [{"result": 400}]
    with pytest.raises(BudgetExhausted):
        program.evaluate("p", {"xs": list(range(2000))}, Evaluation(budget=100_000))


RULES = r"""
import data.lists

allow if { input.user in lists.users; not blocked }
blocked if input.user in lists.blocked
numbers_of[name] contains number if some name, number in input.pairs
text := sprintf("%v and %d", [input.user, count(lists.users)])
matching contains name if { some name in lists.users; regex.match(`^a.*\d$`, name) }
p := {"allow": allow, "numbers": numbers_of, "text": text, "matching": matching, "one": 1.5, "big": 1e30}
"""
DATA = {"lists": {"users": ["anna1", "bert", "aa22"], "blocked": ["bert"]}}


def test_a_program_that_was_kept_answers_as_before() -> None:
    program = compiled(RULES, data=DATA)
    again = Program.load(program.dump())
    for user in ("anna1", "bert", "nobody", 7):
        document = {"user": user, "pairs": {"a": 1, "b": 2}}
        assert again.evaluate("p", document) == program.evaluate("p", document)
    assert again.evaluate("p", {"user": "aa22", "pairs": {"a": 1}}) == [
        {
            "result": {
                "allow": True,
                "numbers": {"a": {1: 1}},
                "text": "aa22 and 3",
                "matching": {"anna1": "anna1", "aa22": "aa22"},
                "one": 1.5,
                "big": 10**30,
            }
        }
    ]


@pytest.mark.parametrize(
    "term",
    [
        "{1, true, [1, 2], {3}}",
        '{true: 1, [1]: 2, {"a": 1}: 3}',
        "1.00000000000000000000001",
        "[null, -1, -1.5, 1e500]",
        "set()",
        "123456789012345678901234567890",
    ],
)
def test_every_kind_of_constant_survives_being_kept(term: str) -> None:
    program = compiled(f"c := {term}\np := [c, input]")
    assert to_json(Program.load(program.dump()).evaluate("p", 1)) == to_json(program.evaluate("p", 1))


def test_the_results_of_an_entry_without_one() -> None:
    assert compiled("p := 1 if input == 2").evaluate("p", UNDEFINED) == []


DOUBLED = {
    "in an array": "x{n} := [[m, m] | some m in x{last}]",
    "under two keys": 'x{n} := {{"a": m, "b": m}} if some m in [x{last}]',
    "two members": "x{n} := [[m, o] | some m in x{last}; some o in x{last}]",
    "a member under many keys": 'x{n}[k] := m if {{ some k in ["a", "b"]; some m in [x{last}] }}',
}


@pytest.mark.parametrize("step", DOUBLED.values(), ids=DOUBLED)
def test_members_that_are_held_twice_count_twice(step: str) -> None:
    rules = "x0 := [input.a]\n" + "\n".join(step.format(n=n, last=n - 1) for n in range(1, 40))
    with pytest.raises(BudgetExhausted):
        compiled(rules + "\np := count({x39})").evaluate("p", {"a": 1}, Evaluation(budget=1_000_000))


def test_rules_that_are_evaluated_under_two_inputs_each_end_with_the_budget() -> None:
    step = "r{n} := a + b if {{\na := r{last} with input.a as 1\nb := r{last} with input.a as 2\n}}"
    rules = "r0 := input.a\n" + "\n".join(step.format(n=n, last=n - 1) for n in range(1, 40))
    with pytest.raises(BudgetExhausted):
        compiled(rules + "\np := r39").evaluate("p", {"a": 1}, Evaluation(budget=1_000_000))


def test_a_rule_that_is_found_by_its_name_is_evaluated_once() -> None:
    modules = [Source("a0.rego", "package a0\n\nv := input.n\n\nw := 1\n")]
    body = "v := x if {{\n\tx := data.a{last}[input.k]\n\ty := data.a{last}[input.k]\n\tx == y\n}}\n\nw := 1\n"
    modules += [Source(f"a{n}.rego", f"package a{n}\n\n" + body.format(last=n - 1)) for n in range(1, 40)]
    program = compile_modules(modules, {}, entries={"p": ("data", "a39", "v")})
    assert program.evaluate("p", {"k": "v", "n": 7}, Evaluation(budget=10_000)) == [{"result": 7}]


NUMBERS = [
    "startswith(data.n, input.a)",
    "contains(data.n, input.a)",
    "lower(data.n) == input.a",
    "object.get(data.n, input.a, 1) == 1",
    "data.n[input.a]",
    "count(data.n) == 1",
    "sprintf(data.n, [input.a])",
    "data.n == input.a",
    "data.n + input.a",
]


@pytest.mark.parametrize("expression", NUMBERS)
def test_a_number_where_something_else_is_meant_is_undefined(expression: str) -> None:
    for number in (5, -5, 1.5, 10**30):
        assert value(f"p if {{ input.a; not {expression} }}", {"a": "x"}, {"n": number}) is True
