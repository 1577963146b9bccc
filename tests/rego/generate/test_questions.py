"""What an evaluation asked is all that its result depends on: the same answers, the same result."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.rego.compile import program_of
from tidegate.rego.errors import EvaluationError
from tidegate.rego.generate import Program
from tidegate.rego.generate.asking import at_path
from tidegate.rego.generate.typed import Known, Read, Record, Typed
from tidegate.rego.parser import parse
from tidegate.rego.source import Source
from tidegate.rego.values import to_json

RULES = ("p", "q", "r")
FIELDS: dict[str, Known | Read | Record] = {
    "version": Known("v1"),
    "tenant": Read("given['tenant']", "string", few=True),
    "live": Read("given['live']", "boolean", few=True),
    "n": Read("given['n']"),
    "size": Read("given['size']", "number"),
    "name": Read("given['name']"),
    "box": Read("opened(given)", "object", costly=True),
}
WHOLE = "{" + ", ".join(f"{name!r}: given[{name!r}]" for name in FIELDS if name != "version") + ", 'version': 'v1'}"
TYPED = Typed(
    params=("given",),
    moment="0",
    input=Record({"part": Record(FIELDS, WHOLE)}, f"{{'part': {WHOLE}}}"),
    names={"opened": lambda given: given["box"]},
    rules={f"g0.data.test.{name}": None for name in RULES},
)
DATA = {"most": {"a": 3, "b": 2.5, "c": "x"}, "names": ["x", "y"]}


def compiled(rules: str) -> Program:
    entries = {name: ("data", "test", name) for name in RULES}
    module = parse(Source("test.rego", f"package test\n\n{rules}"))
    return program_of([module], DATA, entries=entries, strict=True, typed=TYPED)


def answered(notes: list[Any], given: dict[str, Any]) -> bool:
    """Whether an evaluation that noted these would be answered the same way by another input."""
    for question, other, answer in notes:
        if not question.anything:
            value = eval(question.text, {**TYPED.names, "given": given})
            if question.answer(at_path(value, question.path), other) is not answer:
                return False
    return True


def plainly(program: Program, name: str, given: dict[str, Any]) -> Any:
    [result] = program.evaluate(name, {"part": {**given, "version": "v1"}}) or [None]
    return result and to_json(result["result"])


def shown(value: Any) -> Any:
    return None if repr(value) == "undefined" else to_json(value)


TESTS = [
    "i.n > data.most[i.tenant]",
    "data.most[i.tenant] > i.n",
    "i.n <= 2",
    "i.size >= data.most[i.tenant]",
    "i.size < 2",
    "i.n == null",
    "i.n != null",
    "i.n == 2",
    "i.n",
    "i.name == i.tenant",
    "i.name != data.names[0]",
    "i.name in data.names",
    "is_number(i.n)",
    "is_string(i.name)",
    "is_null(i.name)",
    "is_boolean(i.n)",
    "is_number(i.size)",
    "is_string(i.size)",
    "i.box.a.b > data.most[i.tenant]",
    "i.box.a.b",
    "i.box.a",
    "i.box.a == {}",
    "is_number(i.box.a.b)",
    "i.box.c != 2",
    "x := i.box.a.b; is_number(x); x > 1",
    "x := i.box.a; y := x.b; y == 2",
    "i.box[i.name]",
    "some x in data.names; i.name == x",
    "every x in data.names { i.name != x }",
    "some x in i.box.d; x > 1",
    "count(i.box.d) > 1",
    "startswith(i.name, i.tenant)",
    "i.live",
    'i.tenant == "a"',
    "big",
    "twice(2) > i.n",
    "above(2)",
    "over(i.n)",
    "depth == 2",
    "big with input.part.n as 9",
    'i.version == "v1"',
    "i.n > i.size",
    "sum([i.size, 1]) > 3",
    "true",
]
LINES = st.one_of(
    st.sampled_from([test for test in TESTS if ":=" not in test and not test.startswith(("some", "every"))]),
    st.integers(0, len(TESTS) - 1).map("t{}".format),
    st.integers(0, len(TESTS) - 1).map("not t{}".format),
)
BODY = st.lists(LINES, min_size=1, max_size=3).map("\n\t".join)
HELPERS = """
big if i.n > data.most[i.tenant]
big if i.box.a.b == 2
depth := 1 if { i.live; not big } else := 2 if i.size > 1 else := 3
twice(x) := x * 2
above(x) if i.size > x
over(x) if x > 1
"""


@st.composite
def policies(draw: st.DrawFn) -> str:
    bodies = [[draw(BODY) for _ in range(draw(st.integers(1, 3)))] for _ in RULES]
    p = [f"p contains {number} if {{\n\t{body}\n}}" for number, body in enumerate(bodies[0])]
    q = [f"q := {number} if {{\n\t{body}\n}}" for number, body in enumerate(bodies[1])]
    r = [f"r contains [i.tenant, i.n, {number}] if {{\n\t{body}\n}}" for number, body in enumerate(bodies[2])]
    tests = [f"t{number} if {{\n\t{test}\n}}" for number, test in enumerate(TESTS)]
    return "\n".join([*p, *q, *r, *tests, HELPERS]).replace("i.", "input.part.")


INPUTS = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from(["a", "b", "c", "d"]),
        "live": st.booleans(),
        "n": st.sampled_from([None, 0, 2, 3, 2.5, 9, "x", True, {}]),
        "size": st.sampled_from([0, 1, 2, 3, 7.5]),
        "name": st.sampled_from([None, "a", "x", "y", "abc", 1]),
        "box": st.fixed_dictionaries(
            {},
            optional={
                "a": st.sampled_from([{}, {"b": 1}, {"b": 2}, {"b": None}, {"b": 9.5}, 3, {"b": False}]),
                "c": st.sampled_from([1, 2, None]),
                "d": st.sampled_from([[], [1], [1, 2]]),
                "x": st.just(1),
            },
        ),
    }
)


def results(program: Program, given: dict[str, Any]) -> Any:
    try:
        return [plainly(program, name, given) for name in RULES]
    except EvaluationError as error:
        return type(error)


def agree(rules: str, inputs: list[dict[str, Any]]) -> None:
    """What is kept of each input holds for all that come later, if they are answered the same."""
    program = compiled(rules)
    kept: list[tuple[Any, list[Any], Any]] = []
    for one in inputs:
        wanted = results(program, one)
        few = [eval(text, {"given": one}) for text in program.few]
        try:
            said, notes = program.noted(one)
        except EvaluationError:
            continue  # a rule may have been left in its middle
        kept.append((few, notes, said))
        for before, asked, told in kept:
            if before == few and answered(asked, one):
                every = {n for question, _, _ in asked if question.anything for n in question.reach}
                try:
                    found: Any = [shown(each) for each in program.again(one, told, every)]
                except EvaluationError as error:
                    found = type(error)
                assert found == wanted


@settings(max_examples=300, deadline=None)
@given(policies(), st.lists(INPUTS, min_size=2, max_size=8))
def test_the_same_answers_are_the_same_result(rules: str, inputs: list[dict[str, Any]]) -> None:
    agree(rules, inputs)


def of_each(body: str, values: list[Any]) -> str:
    """Bodies of one shape."""
    return "\n".join(f"p contains {at} if {{\n\t{body % (value,)}\n}}" for at, value in enumerate(values))


SHAPES = [
    ("many bodies that ask for one field", of_each('input.part.name == "%s"', ["a", "x", "y", "abc", "z"])),
    ("many of few values", of_each('input.part.tenant == "%s"\n\tinput.part.n > 2', ["a", "b", "c", "d"])),
    ("loops over the same", of_each("some x in input.part.box.d\n\tx > %d", [0, 1, 2])),
    ("loops that begin alike", of_each("x := input.part.box\n\tsome y in data.names\n\ty != x.a.b; %d > 0", [1, 2])),
    ("a part that a loop asks", "p if {\n\tx := input.part.box\n\tsome y in data.names\n\tx.a.b > count(y)\n}"),
    ("paths that begin alike", of_each("input.part.box.a.b > %d", [0, 1, 5])),
    ("a rule of few values", 'p if h\nh if upper(input.part.tenant) == "A"'),
    ("a function of few values", 'p if h(2)\nh(x) if {\n\tx == 2\n\tinput.part.tenant == "d"\n}'),
    ("what others read", "p if input.part.n > 2\nq := 1 if not p\nr contains 1 if q == 1"),
]
GRID = [
    {"tenant": tenant, "live": True, "n": n, "size": 2, "name": name, "box": box}
    for tenant in ("a", "d")
    for n in (None, 1, 3)
    for name in ("x", "y", 1)
    for box in ({}, {"a": {"b": 2}}, {"a": {"b": 9}, "d": [1, 2]})
]


@pytest.mark.parametrize("rules", [case[1] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_what_is_otherwise_done_once_for_several_bodies(rules: str) -> None:
    agree(rules, GRID)


ASKED = [
    ("a comparison", "p if input.part.n > 5", ["given['n']"]),
    ("of several, each", "p if input.part.n > 5\np if input.part.size > 7", ["given['n']", "given['size']"]),
    ("a path, once for the way and the test", "p if input.part.box.a.b > 5", ["opened(given).a.b"]),
    ("a path before what is beyond a question", "p if some x in input.part.box.d", ["opened(given).d", "anything"]),
    ("a type that is promised", "p if is_number(input.part.size)", []),
    ("few values", 'p if input.part.tenant == "a"', []),
    ("what is known", 'p if input.part.version == "v1"', []),
    ("what a helper asks", "p if not h\nh if input.part.n == null", ["given['n']"]),
    ("a value that is used", "p := input.part.n", ["anything"]),
    ("a whole part", "p if count(input.part) > 1", ["anything"]),
    ("another document", "p if q with input.part.n as 1\nq if input.part.n", ["anything", "given['n']"]),
    ("chance", "p if rand.intn(input.part.tenant, 5) > 7", ["anything"]),
]
ONE = {"tenant": "a", "live": True, "n": 1, "size": 2, "name": "x", "box": {"d": [1]}}


@pytest.mark.parametrize(("rules", "wanted"), [case[1:] for case in ASKED], ids=[case[0] for case in ASKED])
def test_what_is_asked(rules: str, wanted: list[str]) -> None:
    _, notes = compiled(rules).noted(ONE)
    asked = [each[0] for each in notes]
    assert ["anything" if one.anything else ".".join([one.text, *one.path]) for one in asked] == wanted


def test_a_question_reaches_the_rules_that_can_come_to_it_and_no_others() -> None:
    rules = "p if h\nq if h\nr := 1 if input.part.size > 5\nh if input.part.n > 5"
    _, notes = compiled(rules).noted(ONE)
    assert {question.text: question.reach for question, _, _ in notes} == {
        "given['n']": frozenset((0, 1)),
        "given['size']": frozenset((2,)),
    }
