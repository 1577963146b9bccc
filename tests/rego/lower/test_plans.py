"""What plans look like: what is in them, what is not, and where the statements come from."""

import pytest

from tests.rego.lower.planned import function, planned, printed
from tidegate.rego import ast, plan
from tidegate.rego.check import check
from tidegate.rego.errors import PolicyRefused
from tidegate.rego.lower import lower
from tidegate.rego.parser import parse
from tidegate.rego.source import Source

FUNCTIONS = [
    (
        "one rule returns its value",
        "p := input.a if input.b == 1",
        """\
Dot 0 'b' 3
Make 1 4
Equal 3 4
Dot 0 'a' 5
Assign 5 2
Return 2
--
Return 2""",
    ),
    (
        "a constant leaves the scan it is found in",
        "p if { some x in input.a; x > 1 }\ndefault p := false",
        """\
Dot 0 'a' 3
Scan 3 4 5
  Make 1 6
  Call 'gt' [5, 6] 7
  NotEqual 7 False
  Assign True 2
  Break 1
--
IsUndefined 2
Assign False 2
--
Return 2""",
    ),
    (
        "a value that can differ does not",
        "p := x if some x in input.a",
        """\
Dot 0 'a' 3
Scan 3 4 5
  AssignOnce 5 2
--
Return 2""",
    ),
    (
        "rules of one constant are tried until one holds",
        "p if input.a[_] == 1\np if input.b",
        """\
Dot 0 'a' 3
Scan 3 4 5
  Make 1 6
  Equal 5 6
  Assign True 2
  Break 1
--
IsUndefined 2
Dot 0 'b' 7
NotEqual 7 False
Assign True 2
Return 2
--
Return 2""",
    ),
    (
        "rules of several values are all tried",
        "p := 1 if input.a\np := 2 if input.b",
        """\
Dot 0 'a' 3
NotEqual 3 False
Make 1 4
AssignOnce 4 2
--
Dot 0 'b' 5
NotEqual 5 False
Make 2 6
AssignOnce 6 2
--
Return 2""",
    ),
    (
        "an else is reached where nothing before gave a value",
        "p := 1 if { input.a } else := x if { x := input.b[_] } else := 3",
        """\
Blocks
  Dot 0 'a' 3
  NotEqual 3 False
  Make 1 4
  Assign 4 2
  Return 2
  --
  Dot 0 'b' 5
  Scan 5 6 7
    AssignOnce 7 2
  --
  IsUndefined 2
  Make 3 8
  Assign 8 2
  Return 2
--
Return 2""",
    ),
    (
        "an else beside another rule is compared with it",
        "p := 1 if { input.a } else := 2\np := input.b",
        """\
Reset 3
Blocks
  Dot 0 'a' 4
  NotEqual 4 False
  Make 1 5
  AssignOnce 5 3
  Break 1
  --
  Make 2 6
  AssignOnce 6 3
  Break 1
--
IsDefined 3
AssignOnce 3 2
--
Dot 0 'b' 7
AssignOnce 7 2
--
Return 2""",
    ),
    (
        "a set, of which every member is looked at",
        "p contains 1 if some x in input.a\np contains x if some x in input.b",
        """\
MakeSet 2
--
Dot 0 'a' 3
Scan 3 4 5
  Make 1 6
  Add 6 2
--
Dot 0 'b' 7
Scan 7 8 9
  Add 9 2
--
Return 2""",
    ),
    (
        "not",
        "p if not input.a",
        """\
Not
  Dot 0 'a' 3
  NotEqual 3 False
Assign True 2
Return 2
--
Return 2""",
    ),
    (
        "not of what scans",
        "p if { x := {1}; not input.a[x] = input.b[x] }",
        """\
MakeSet 3
Make 1 4
Add 4 3
Not
  Dot 0 'b' 5
  Dot 5 3 6
  Dot 0 'a' 7
  Dot 7 3 8
  Equal 6 8
Assign True 2
Return 2
--
Return 2""",
    ),
    (
        "every stops at the first that fails",
        "p if every x in [1, 2] { x == input.a[_] }",
        """\
MakeArray 3
Make 1 4
Append 4 3
Make 2 5
Append 5 3
Reset 6
Blocks
  Scan 3 7 8
    Reset 12
    Blocks
      Dot 0 'a' 9
      Scan 9 10 11
        Equal 8 11
        Assign True 12
        Break 1
    IsUndefined 12
    Assign True 6
    Break 1
IsUndefined 6
Assign True 2
Return 2
--
Return 2""",
    ),
    (
        "wildcards of a pattern are not read",
        "p := x if [_, x] = input.a",
        """\
Dot 0 'a' 3
IsArray 3
Len 3 5
Make 2 6
Equal 5 6
Make 1 7
Dot 3 7 8
Assign 8 2
Return 2
--
Return 2""",
    ),
    (
        "a statement under with that does not scan ends there",
        "p := [x, input.b] if { x := input.a with input.a as 1 }",
        """\
Make 1 3
With 0 ['a'] 3
  Dot 0 'a' 4
MakeArray 5
Append 4 5
Dot 0 'b' 6
Append 6 5
Assign 5 2
Return 2
--
Return 2""",
    ),
    (
        "after a scan the input is put back inside",
        "p contains input.b if { input.a[_] with input.a as [1] }",
        """\
MakeSet 2
--
MakeArray 3
Make 1 4
Append 4 3
Assign 0 8
With 0 ['a'] 3
  Dot 0 'a' 5
  Scan 5 6 7
    NotEqual 7 False
    With 0 [] 8
      Dot 0 'b' 9
      Add 9 2
--
Return 2""",
    ),
    ("print is erased", "p if { print(input.a) }", "Assign True 2\nReturn 2\n--\nReturn 2"),
    (
        "a template is a call",
        'p := $"a{input.b}"',
        """\
MakeArray 3
Append 'a' 3
MakeSet 4
Blocks
  Dot 0 'b' 5
  Add 5 4
Append 4 3
Call 'internal.template_string' [3] 6
Assign 6 2
Return 2
--
Return 2""",
    ),
    (
        "what many results have is scanned",
        "p contains v if walk(input.a, [_, v])",
        """\
MakeSet 2
--
Dot 0 'a' 3
Call 'walk' [3] 4
Scan 4 5 6
  IsArray 6
  Len 6 8
  Make 2 9
  Equal 8 9
  Make 1 10
  Dot 6 10 11
  Add 11 2
--
Return 2""",
    ),
]


@pytest.mark.parametrize(("note", "rules", "expected"), FUNCTIONS)
def test_functions(note: str, rules: str, expected: str) -> None:
    assert function(planned(f"package t\n{rules}", entry="t.p"), "g0.data.t.p") == expected


def test_only_what_entries_reach_is_planned() -> None:
    made = planned(
        "package t\np if q\nq if f(1)\nf(x) if x\nunused if alsounused\nalsounused if true",
        "package u\nr if data.t.q",
        "package v\nx if true",
        entry="t.p",
    )
    assert {one.name for one in made.functions} == {"g0.data.t.p", "g0.data.t.q", "g0.data.t.f"}
    assert made.files == ["0.rego", "1.rego", "2.rego"]


def test_functions_are_named_and_placed_as_opa_does() -> None:
    made = planned("package a.b\nc.d := f(1, 2)\nf(x, y) := x + y", entry="a.b.c.d")
    found = {one.name: (one.path, one.params, one.result) for one in made.functions}
    assert found == {
        "g0.data.a.b.c.d": (("g0", "a", "b", "c", "d"), [0, 1], 2),
        "g0.data.a.b.f": (("g0", "a", "b", "f"), [0, 1, 3, 4], 2),
    }


def test_an_entry_that_is_a_path_gives_one_result() -> None:
    made = planned("package t\np := 1", **{"t/p": "t.p"})
    assert [one.name for one in made.entries] == ["t/p"]
    assert printed(made.entries[0].blocks) == (
        "Call 'g0.data.t.p' [0, 1] 2\nMakeObject 3\nInsert 'result' 2 3\nResultAdd 3"
    )


def test_an_entry_that_is_a_query_gives_its_bindings() -> None:
    made = planned("package t\np := 1", query="data.t.p = x")
    assert printed(made.entries[0].blocks) == ("Call 'g0.data.t.p' [0, 1] 2\nMakeObject 3\nInsert 'x' 2 3\nResultAdd 3")


def test_a_package_is_its_rules_and_the_base_document() -> None:
    made = planned("package t\np := 1\nf(x) := x\nq.r := 2", entry="t")
    assert (
        printed(made.entries[0].blocks)
        == """\
MakeObject 2
Blocks
  Call 'g0.data.t.p' [0, 1] 3
  Insert 'p' 3 2
MakeObject 4
Blocks
  Call 'g0.data.t.q.r' [0, 1] 5
  Insert 'r' 5 4
Insert 'q' 4 2
Blocks
  Blocks
    Dot 1 't' 7
    Merge 7 2 6
    Break 1
  Assign 2 6
MakeObject 8
Insert 'result' 6 8
ResultAdd 8"""
    )


def test_a_rule_whose_name_is_known_when_it_is_reached_is_looked_up() -> None:
    made = planned("package t\np := data.u[input.a].c", "package u.b\nc := 1", entry="t.p")
    assert {one.name for one in made.functions} == {"g0.data.t.p", "g0.data.u.b.c"}
    assert (
        function(made, "g0.data.t.p")
        == """\
Dot 0 'a' 3
Reset 4
Blocks
  CallDynamic ['g0', 'u', 3, 'c'] [0, 1] 4
  --
  IsUndefined 4
  Dot 1 'u' 5
  Dot 5 3 6
  Dot 6 'c' 7
  Assign 7 4
IsDefined 4
Assign 4 2
Return 2
--
Return 2"""
    )


WITH = """\
package t
p if { q with data.t.base as 1; q with data.u.w as 2 }
r if { v := input.a; q with f as v; v == 1; q with f as v }
s if { v := input.b; q with f as v }
q if { f(1) == data.t.other }
f(x) := x
other := data.u.w
"""


def test_only_what_replaces_rules_or_functions_makes_new_functions() -> None:
    made = planned(WITH, "package u\nw := 1", entry="t")
    generations: dict[str, set[str]] = {}
    for one in made.functions:
        generation, _, name = one.name.partition(".data.")
        generations.setdefault(generation, set()).add(name)
    assert generations == {
        "g0": {"t.p", "t.q", "t.r", "t.s", "t.f", "t.other", "u.w"},
        "g1": {"t.q", "t.f", "t.other"},  # u.w is replaced
        "g2": {"t.q", "t.other", "u.w"},  # f is, by a value that every function takes as a parameter
    }
    captured = [one for one in made.functions if one.name.endswith("t.q") and len(one.params) == 3]
    assert [(one.params, one.result) for one in captured] == [([0, 1, 2], 3)]


def test_statements_say_where_they_come_from() -> None:
    made = planned("package t\np := 1 if {\n  input.a\n\n  some x in input.b\n  x\n}", entry="t.p")
    [one] = made.functions
    rows: dict[str, tuple[int, int, int]] = {}

    def note(block: plan.Block) -> None:
        for statement in block:
            rows[type(statement).__name__] = (statement.file, statement.row, statement.col)
            for inner in [*getattr(statement, "blocks", []), getattr(statement, "block", [])]:
                note(inner)

    note(one.blocks[0])
    assert rows["Scan"] == (0, 5, 3)
    assert rows["NotEqual"] == (0, 6, 3)
    assert rows["AssignOnce"] == (0, 2, 1)


def test_a_variable_that_nothing_binds_is_refused() -> None:
    source = Source("t.rego", "package t\np if y > 1")
    module = parse(source)
    path = ast.Ref(
        start=0,
        end=0,
        head=ast.Var(start=0, end=0, name="data"),
        path=tuple(ast.Scalar(start=0, end=0, value=name) for name in ("t", "p")),
    )
    head = ast.Head(start=0, end=0, kind="value", path=path, value=ast.Scalar(start=0, end=0, value=True))
    rule = ast.Rule(start=10, end=20, head=head, body=module.rules[0].body)

    class Unchecked:
        modules = (ast.Module(start=0, end=0, source=source, package=("data", "t"), imports=(), rules=(rule,)),)

    with pytest.raises(PolicyRefused) as refused:
        lower(Unchecked, {"t/p": ("data", "t", "p")})
    assert str(refused.value).splitlines() == [
        "t.rego:2:6: rego_unsafe_var_error: var `y` is unsafe",
        "  p if y > 1",
        "       ^",
    ]


def test_long_bodies_and_chains_of_rules_are_no_deep_recursion() -> None:
    body = "\n".join(f"some x{number} in input" for number in range(500))
    chain = "\n".join(f"r{number} if r{number + 1}" for number in range(1000))
    checked = check([parse(Source("t.rego", f"package t\np contains x0 if {{\n{body}\n}}\n{chain}\nr1000 if p"))])
    assert len(lower(checked, {"t/r0": ("data", "t", "r0")}).functions) == 1002
