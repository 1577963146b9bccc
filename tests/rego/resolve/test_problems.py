"""What is told of names that mean nothing, of wrong declarations, and of variables that nothing binds."""

import pytest

from tests.rego.resolve.resolved import resolved, told
from tidegate.rego.builtins import REFUSED

NO_TARGET = "`with` replaces `input`, `data`, parts of them and functions"

# line: the text pointed to: message (hint)
PROBLEMS = [
    # variables
    ("unsafe", "p if x > 1", ["2: x: var `x` is unsafe"]),
    ("once in a rule", "p if { x > 1; x > 2; not x }", ["2: x: var `x` is unsafe"]),
    ("again in another", "p if x\nq if x", ["2: x: var `x` is unsafe", "3: x: var `x` is unsafe"]),
    ("nothing that depends on it", "p := z if { y := x + 1; z := y }", ["2: x: var `x` is unsafe"]),
    ("the cause, though it stands behind", "p if { y > 1; y = x + 1 }", ["2: x: var `x` is unsafe"]),
    ("in a circle", "p if { x = y + 1; y = x - 1 }", ["2: x: var `x` is unsafe"]),
    ("two", "p if { x > 1; y > 1 }", ["2: x: var `x` is unsafe", "2: y: var `y` is unsafe"]),
    ("a negation binds nothing", "p := i if not input[i]", ["2: i: var `i` is unsafe"]),
    ("a comprehension binds nothing outside", "p := x if [x | x = 1]", ["2: x: var `x` is unsafe"]),
    ("`every` binds nothing outside", "p := y if every x in [1] { y = x }", ["2: y: var `y` is unsafe"]),
    ("a set has no order to match", "p if {x} = {1}", ["2: x: var `x` is unsafe"]),
    ("keys are looked up", "p if {k: v} = input", ["2: k: var `k` is unsafe"]),
    (
        "different keys",
        'p if {"a": x, "b": 1} = {"a": 1, "c": y}',
        ["2: x: var `x` is unsafe"],
    ),
    ("what replaces the input is known before", "p if count([], x) with input as x", ["2: x: var `x` is unsafe"]),
    ("different lengths", "p if [x] = [1, 2]", ["2: x: var `x` is unsafe"]),
    ("what a function takes", "p if count(x, 1)", ["2: x: var `x` is unsafe"]),
    ("its own closure", "p if x = [y | y = x]", ["2: x: var `x` is unsafe"]),
    ("in an argument that is no pattern", "f({x}) := 1", ["2: x: var `x` is unsafe"]),
    ("in a template that is an argument", 'f($"{x}") := 1', ["2: x: var `x` is unsafe"]),
    ("in a template", 'p if $"{input[i]}"', ["2: i: var `i` is unsafe"]),
    (
        "declared below",
        "p if { x := [y | z; y := 1]; z := x }",
        ["2: z: var `z` is unsafe (its declaration does not reach here)"],
    ),
    ("nearly a rule", "p if alowed\nallowed := 1", ["2: alowed: var `alowed` is unsafe (did you mean `allowed`?)"]),
    ("nearly a variable", "p if { user := 1; usr }", ["2: usr: var `usr` is unsafe (did you mean `user`?)"]),
    ("a package", "p := text.x", ["2: text: var `text` is unsafe (write `import data.lib.text`)"]),
    (
        "a function without arguments",
        "p if count > 1",
        ["2: count: var `count` is unsafe (`count` is a function: `count(...)`)"],
    ),
    # functions
    ("no such function", "p := zzz(1)", ["2: zzz: undefined function `zzz`"]),
    ("nearly one", "p := cuont([])", ["2: cuont: undefined function `cuont` (did you mean `count`?)"]),
    (
        "with dots",
        "p := json.unmarshall(1)",
        ["2: json.unmarshall: undefined function `json.unmarshall` (did you mean `json.unmarshal`?)"],
    ),
    (
        "nearly a rule's",
        "p := shorter(1)\nshorten(x) := x",
        ["2: shorter: undefined function `shorter` (did you mean `shorten`?)"],
    ),
    (
        "not imported",
        "p := text.short(1)",
        ["2: text.short: undefined function `text.short` (write `import data.lib.text`)"],
    ),
    (
        "in an import",
        "import data.lib.text\np := text.shrt(1)",
        ["3: text.shrt: undefined function `text.shrt` (did you mean `text.short`?)"],
    ),
    ("a value is none", "p := q(1)\nq := 1", ["2: q: undefined function `q`"]),
    ("its results are not told", "p := x if { zzz(1, x); x > 1 }", ["2: zzz: undefined function `zzz`"]),
    ("refused", "p := opa.runtime()", [f"2: opa.runtime: `opa.runtime` is refused: {REFUSED['opa.runtime']}"]),
    (
        "shadowed",
        "p if { count := 1; count([count]) }",
        ["2: count: called function `count` shadowed (`count` is a variable in this body)"],
    ),
    (
        "metadata of something",
        "p := rego.metadata.rule(1)",
        ["2: rego.metadata.rule: function `rego.metadata.rule` takes no arguments"],
    ),
    # `with`
    (
        "`with` of nothing",
        "p if input with inpt as 1",
        [f"2: inpt: {NO_TARGET}, and `inpt` is none of these (did you mean `input`?)"],
    ),
    (
        "`with` of what varies",
        "p if { some i; input with input[i] as 1 }",
        ["2: i: declared var `i` unused", "2: input[i]: `with` replaces something that has a constant name"],
    ),
    # declarations
    ("assigned twice", "p if { x := 1; x := 2 }", ["2: x: var `x` assigned above"]),
    ("declared twice", "p if { some x, x; input[x] }", ["2: x: var `x` declared above"]),
    ("declared and assigned", "p if { some x; x := 1 }", ["2: x: var `x` declared above"]),
    ("used before", "p if { x > 0; x := 1 }", ["2: x: var `x` referenced above"]),
    ("used in its own value", "p if { x := x + 1 }", ["2: x: var `x` referenced above"]),
    ("a rule that is hidden below", "p if { q; q := 1 }\nq := 2", ["2: q: var `q` referenced above"]),
    ("an argument", "f(x) if { x := 1 }", ["2: x: var `x` already an argument"]),
    ("in a loop twice", "p if { some x in [1]; some x in [2] }", ["2: x: var `x` declared above"]),
    ("what `every` declares", "p if every x in [1] { x := 2 }", ["2: x: var `x` declared above"]),
    ("never used", "p if { some x; input.y }", ["2: x: declared var `x` unused"]),
    (
        "`input` as a variable",
        "p if { input := 1; input }",
        ["2: input: variables must not shadow `input` (use a different name)"],
    ),
    ("`data` as an argument", "f(data) := 1", ["2: data: variables must not shadow `data` (use a different name)"]),
    ("`input` as a rule", "input := 1", ["2: input: rules must not shadow `input` (use a different name)"]),
    (
        "`input` as an import",
        "import data.x as input",
        ["2: import data.x as input: imports must not shadow `input` (use a different name)"],
    ),
    ("to a reference", "p if input.x := 1", ["2: input.x: cannot assign to a reference"]),
    ("to a constant", "p if 1 := 2", ["2: 1: cannot assign to a constant"]),
    ("to a set in a pattern", "p if [{1}] := input", ["2: {1}: cannot assign to a set"]),
    ("to a comprehension", "p if [1 | true] := input", ["2: [1 | true]: cannot assign to a comprehension"]),
    (
        "in a negation",
        "p if not x := 1",
        ["2: x := 1: cannot assign vars inside negated expression (write `==`, or assign before)"],
    ),
]
LIBRARY = "package lib.text\nshort(x) := x"


@pytest.mark.parametrize(("note", "text", "expected"), PROBLEMS, ids=[case[0] for case in PROBLEMS])
def test_says_what_is_wrong_and_where(note: str, text: str, expected: list[str]) -> None:
    assert [told(problem) for problem in resolved(text, LIBRARY).problems] == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("p if x", "rego_unsafe_var_error"),
        ("p if zzz(1)", "rego_type_error"),
        ("p if http.send({})", "rego_type_error"),
        ("p if { x := 1; x := 2 }", "rego_compile_error"),
    ],
)
def test_codes_are_those_of_opa(text: str, code: str) -> None:
    assert [problem.code for problem in resolved(text).problems] == [code]


def test_problems_come_in_the_order_of_the_text() -> None:
    found = resolved("p if x\nq if { y := 1; y := zzz(1) }\nr if z", "p if w")
    assert [told(problem).partition(":")[0] for problem in found.problems] == ["2", "3", "3", "4", "2"]
