"""Terms and statements: what the parser makes of each construct, in the notation of `notation.py`."""

import pytest

from tests.rego.notation import shown
from tidegate.rego import ast
from tidegate.rego.errors import PolicyRefused
from tidegate.rego.parser import parse_body, parse_term
from tidegate.rego.source import Source

TERMS = [
    ("null", "null", "null"),
    ("booleans", "[true, false]", "[true, false]"),
    ("a negative number", "-1.5", "-1.5"),
    ("a negative number with a space", "- 1", "-1"),
    ("a negative number of many digits", "-1.00000000000000000000000000000001", "-1.00000000000000000000000000000001"),
    ("a variable", "x", "x"),
    ("a wildcard", "_", "_"),
    ("parentheses", "((x))", "x"),
    # references
    ("a dotted reference", "input.a.b", 'input["a"]["b"]'),
    ("brackets", 'input["a b"][x][_]', 'input["a b"][x][_]'),
    ("spaces in brackets", "x[ 1 ]", "x[1]"),
    ("a new line in brackets", "x[\n1\n]", "x[1]"),
    ("keywords in a reference", "input.if.contains.in", 'input["if"]["contains"]["in"]'),
    ("a keyword at the beginning of a reference", "else.x", 'else["x"]'),
    ("a constant at the beginning of a reference", "true.x", 'true["x"]'),
    ("a reference in a reference", "x[y[z]]", "x[y[z]]"),
    ("a term with operators in brackets", "x[y + 1]", "x[plus(y, 1)]"),
    ("a membership with a key in brackets", "x[k, v in y]", "x[internal.member_3(k, v, y)]"),
    ("a reference into an array", "[1, 2][x]", "[1, 2][x]"),
    ("a reference into an object", '{"a": 1}.a', '{"a": 1}["a"]'),
    ("a reference into a set", "{1}[x]", "<1>[x]"),
    ("a reference into a comprehension", "[x | x := 1][0]", "[x | assign(x, 1)][0]"),
    ("a reference into a call", "f(x).a[1]", 'f(x)["a"][1]'),
    ("a reference into a variable in parentheses", "(x).a", 'x["a"]'),
    # calls
    ("a call", "f(x, 1)", "f(x, 1)"),
    ("a call without arguments", "time.now_ns()", "time.now_ns()"),
    ("a call of a name in brackets", 'io["jwt"].decode(x)', "io.jwt.decode(x)"),
    ("a call of a keyword", "foo.if(x)", "foo.if(x)"),
    ("a comma after the last argument", "f(x,)", "f(x)"),
    ("arguments on lines", "f(\n  x,\n  y\n)", "f(x, y)"),
    ("a call as an argument", "f(g(x), [h(y)])", "f(g(x), [h(y)])"),
    ("an operator as an argument", "f(x + 1, y == z)", "f(plus(x, 1), equal(y, z))"),
    ("a membership as an argument", "f(k, v in xs)", "f(k, internal.member_2(v, xs))"),
    ("a membership with a key in parentheses", "f((k, v in xs))", "f(internal.member_3(k, v, xs))"),
    ("the builtin `contains`", "contains(x, y)", "contains(x, y)"),
    ("the empty set", "set()", "<>"),
    ("a function named set", "set(x)", "set(x)"),
    # operators
    ("comparisons", "[a == b, a != b, a < b]", "[equal(a, b), neq(a, b), lt(a, b)]"),
    ("more comparisons", "[a <= b, a > b, a >= b]", "[lte(a, b), gt(a, b), gte(a, b)]"),
    ("sets", "[a & b, (a | b)]", "[and(a, b), or(a, b)]"),
    ("arithmetic", "[a + b, a - b, a * b, a / b, a % b]", "[plus(a, b), minus(a, b), mul(a, b), div(a, b), rem(a, b)]"),
    ("membership", "a in b", "internal.member_2(a, b)"),
    ("membership with a key", "k, v in xs", "internal.member_3(k, v, xs)"),
    ("products bind stronger than sums", "a + b * c - d", "minus(plus(a, mul(b, c)), d)"),
    ("parentheses bind strongest", "(a + b) * c", "mul(plus(a, b), c)"),
    ("sums bind stronger than intersections", "a & b + c", "and(a, plus(b, c))"),
    ("intersections bind stronger than unions", "a | b & c", "or(a, and(b, c))"),
    ("unions bind stronger than comparisons", "a == b | c", "equal(a, or(b, c))"),
    ("comparisons bind stronger than membership", "a in b == c", "internal.member_2(a, equal(b, c))"),
    ("sums group to the left", "a - b - c", "minus(minus(a, b), c)"),
    ("comparisons group to the left", "a == b == c", "equal(equal(a, b), c)"),
    ("memberships group to the left", "a in b in c", "internal.member_2(internal.member_2(a, b), c)"),
    ("weaker and weaker operators", "a * b + c | d == e", "equal(or(plus(mul(a, b), c), d), e)"),
    (
        "stronger and stronger operators",
        "a in b < c | d & e - f / g",
        "internal.member_2(a, lt(b, or(c, and(d, minus(e, div(f, g))))))",
    ),
    ("an operator on the next line", "a\n+ b", "plus(a, b)"),
    ("a difference without spaces", "a-1", "minus(a, 1)"),
    ("a difference of a negative number", "a - -1", "minus(a, -1)"),
    # collections
    ("the empty array", "[]", "[]"),
    ("an array", '[1, "a", x]', '[1, "a", x]'),
    ("a comma after the last element", "[1,]", "[1]"),
    ("an array on lines", "[\n  1,\n  2,\n]", "[1, 2]"),
    ("the empty object", "{}", "{}"),
    ("an object", '{"a": 1, x: y, [1]: {2}}', '{"a": 1, x: y, [1]: <2>}'),
    ("an object with operators", "{a + 1: b * 2}", "{plus(a, 1): mul(b, 2)}"),
    ("a comma after the last pair", "{1: 2,}", "{1: 2}"),
    ("a set", "{1, x, f(y)}", "<1, x, f(y)>"),
    ("a set with operators", "{a + 1, b == c}", "<plus(a, 1), equal(b, c)>"),
    ("a set with a membership", "{1 in x}", "<internal.member_2(1, x)>"),
    ("a comma after the last member", "{1,}", "<1>"),
    ("a union in an array", "[a | b, c]", "[or(a, b), c]"),
    ("a union as the last element", "[a, b | c]", "[a, or(b, c)]"),
    ("a union in a set", "{a | b, c}", "<or(a, b), c>"),
    ("a union in an object", "{k: a | b, c: d}", "{k: or(a, b), c: d}"),
    ("unions with calls", "[f(a, b) | g(c, d), e]", "[or(f(a, b), g(c, d)), e]"),
    ("a union before a membership", "[a | b, c, d in e]", "[or(a, b), c, internal.member_2(d, e)]"),
    # comprehensions
    ("an array comprehension", "[x | some x in xs]", "[x | some x in xs]"),
    ("a set comprehension", "{x | x := xs[_]}", "<x | assign(x, xs[_])>"),
    ("an object comprehension", "{k: v | some k, v in xs}", "{k: v | some k, v in xs}"),
    (
        "an object comprehension with operators in its key",
        "{k + 1: v | some k, v in xs}",
        "{plus(k, 1): v | some k, v in xs}",
    ),
    ("a comprehension's statements", "[x | xs[x]; x > 1; not y[x]]", "[x | xs[x]; gt(x, 1); not y[x]]"),
    ("a comprehension on lines", "[x |\n  some x in xs\n  x > 1\n]", "[x | some x in xs; gt(x, 1)]"),
    ("operators in parentheses", "[(x + 1) | some x in xs]", "[plus(x, 1) | some x in xs]"),
    ("one bar is a comprehension", "{a | b}", "<a | b>"),
    ("a comprehension with a membership of keys", "[a | b, c in d]", "[a | internal.member_3(b, c, d)]"),
    ("a comprehension with declared variables", "[a | some b, c; d[b][c]]", "[a | some b, c; d[b][c]]"),
    ("comprehensions in comprehensions", "[[y | y := x[_]] | x := z[_]]", "[[y | assign(y, x[_])] | assign(x, z[_])]"),
    ("a union in a comprehension", "[x | x := a | b]", "[x | assign(x, or(a, b))]"),
    # templates
    ("a template", '$"a {x} b"', '$("a ", x, " b")'),
    ("a template of an expression only", '$"{x}"', "$(x)"),
    ("a template of constants", '$"{1}{"a"}"', '$(1, "a")'),
    ("a template without expressions", '$"a"', '"a"'),
    ("a raw template", "$`a\n{x}`", '$("a\\n", x)'),
    ("a template with an operator", '$"{1 + x}"', "$(plus(1, x))"),
    ("a template with a set", '$"{{x}}"', "$(<x>)"),
    ("a template with a comprehension", '$"{[x | some x in xs]}"', "$([x | some x in xs])"),
    ("a template in a template", '$"{$"{x}"}"', "$($(x))"),
    ("a template with a modifier", '$"{x with input as 1}"', "$(x with input as 1)"),
    ("a template on lines", '$"{\nx\n}"', "$(x)"),
]


@pytest.mark.parametrize(("note", "text", "expected"), TERMS, ids=[case[0] for case in TERMS])
def test_terms(note: str, text: str, expected: str) -> None:
    assert shown(parse_term(Source("a.rego", text))) == expected


STATEMENTS = [
    ("one", "x", "x"),
    ("semicolons", "x; y;z", "x; y; z"),
    ("lines", "x\n\ny # comment\n\n\nz\n", "x; y; z"),
    ("a semicolon and a line", "x;\ny", "x; y"),
    ("a bracket on a new line begins a statement", "x\n[y]", "x; [y]"),
    ("a parenthesis on a new line begins a statement", "x\n(y)", "x; y"),
    ("an assignment", "x := y + 1", "assign(x, plus(y, 1))"),
    ("an assignment of a pattern", '[x, {"a": y}] := z', 'assign([x, {"a": y}], z)'),
    ("an assignment over lines", "x :=\n  y", "assign(x, y)"),
    ("a unification", "x = y.z", 'eq(x, y["z"])'),
    ("an assignment of a comparison", "x := y == z", "assign(x, equal(y, z))"),
    ("an assignment of a membership", "x := y in z", "assign(x, internal.member_2(y, z))"),
    ("an assignment of a membership with a key", "x := k, v in z", "assign(x, internal.member_3(k, v, z))"),
    ("a membership with a key", "k, v in xs", "internal.member_3(k, v, xs)"),
    ("a negation", "not x.y", 'not x["y"]'),
    ("a negation of a comparison", "not x == 1", "not equal(x, 1)"),
    ("a negation of a membership", "not x in xs", "not internal.member_2(x, xs)"),
    ("a negation with a modifier", "not x with input as 1", "not x with input as 1"),
    ("a reference that begins with a keyword", "not.x == 1\nin.y", 'equal(not["x"], 1); in["y"]'),
    ("a modifier", "x with input.a as 1", 'x with input["a"] as 1'),
    ("modifiers", "x with input as {} with data.a.b as y", 'x with input as {} with data["a"]["b"] as y'),
    ("modifiers on lines", "x\n  with input as 1\n  with data.a as 2", 'x with input as 1 with data["a"] as 2'),
    ("a replaced function", "x with time.now_ns as f with count as g", 'x with time["now_ns"] as f with count as g'),
    ("a modifier with operators", "x with input as y + 1", "x with input as plus(y, 1)"),
    ("an assignment with a modifier", "x := y with input as 1", "assign(x, y) with input as 1"),
    ("a modifier whose value follows directly", 'x with input as["a"]', 'x with input as ["a"]'),
    ("declarations", "some x\nsome y, z", "some x; some y, z"),
    ("an element", "some x in xs", "some x in xs"),
    ("a key and an element", "some k, v in input.xs", 'some k, v in input["xs"]'),
    ("a pattern", 'some {"a": [x, 1]} in xs', 'some {"a": [x, 1]} in xs'),
    ("a constant key", 'some "a", v in xs', 'some "a", v in xs'),
    ("elements of a union", "some x in a | b", "some x in or(a, b)"),
    ("elements with a modifier", "some x in xs with input as 1", "some x in xs with input as 1"),
    ("every", "every x in xs { x > 1; y }", "every x in xs {gt(x, 1); y}"),
    ("every with a key", "every k, v in xs { k < v }", "every k, v in xs {lt(k, v)}"),
    ("every of a set", "every x in {1, 2} { x }", "every x in <1, 2> {x}"),
    ("every with a modifier", "every x in xs { x } with input as 1", "every x in xs {x} with input as 1"),
    ("every on lines", "every x in xs {\n  x\n  y\n}\nz", "every x in xs {x; y}; z"),
    ("every in every", "every x in xs { every y in x { y } }", "every x in xs {every y in x {y}}"),
]


@pytest.mark.parametrize(("note", "text", "expected"), STATEMENTS, ids=[case[0] for case in STATEMENTS])
def test_statements(note: str, text: str, expected: str) -> None:
    assert shown(parse_body(Source("a.rego", text))) == expected


def test_operators_are_told_from_calls() -> None:
    operator = parse_term(Source("a.rego", "1 + 2"))
    call = parse_term(Source("a.rego", "plus(1, 2)"))
    assert isinstance(operator, ast.Call)
    assert isinstance(call, ast.Call)
    assert operator.name == call.name
    assert operator.name_end == operator.start
    assert call.name_end == call.start + len("plus")


@pytest.mark.parametrize("text", ["", "x y", "x; y", "x := 1", "{1", "x with input as 1"])
def test_a_term_is_the_whole_text(text: str) -> None:
    with pytest.raises(PolicyRefused):
        parse_term(Source("a.rego", text))


@pytest.mark.parametrize("text", ["", "x y", "x;", "x }", "p if { x }", "some x in xs { x }"])
def test_a_query_is_the_whole_text(text: str) -> None:
    with pytest.raises(PolicyRefused):
        parse_body(Source("a.rego", text))
