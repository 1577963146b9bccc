"""Characters to tokens."""

from decimal import Decimal

import pytest

from tidegate.rego.lexer import Lexer
from tidegate.rego.source import Source


def lexed(text: str) -> Lexer:
    return Lexer(Source("a.rego", text))


def kinds(text: str) -> list[str]:
    """Without the two ends."""
    return lexed(text).kinds[:-2]


OPERATORS = [":=", "=", "==", "!=", "<", "<=", ">", ">=", "&", "+", "-", "*", "/", "%"]
KINDS = [
    ("nothing", "", []),
    ("spaces and a comment", " \t\r\n# x := 1", []),
    ("names", "a _ b2 A_b", ["name"] * 4),
    ("every keyword", "as default else every", ["as", "default", "else", "every"]),
    ("every other keyword", "if import in not package", ["if", "import", "in", "not", "package"]),
    ("words of statements", "some with true false null", ["some", "with", "true", "false", "null"]),
    ("words that are names", "contains set data input", ["name"] * 4),
    ("marks", "( ) [ ] { } , ; : . |", ["(", ")", "[", "]", "{", "}", ",", ";", ":", ".", "|"]),
    (
        "operators",
        ":= = == != < <= > >= & + - * / %",
        OPERATORS,
    ),
    ("operators without spaces", "a:=b==c<=-1", ["name", ":=", "name", "==", "name", "<=", "-", "number"]),
    ("a number and a name apart", "1 a", ["number", "name"]),
    ("a reference", "input.a[0]", ["name", ".", "name", "[", "number", "]"]),
    ("keywords after a dot", "input.if.in", ["name", ".", "name", ".", "name"]),
    ("a keyword before a dot", "if.x", ["name", ".", "name"]),
    ("a keyword before a bracket", 'in["x"]', ["name", "[", "string", "]"]),
    ("a keyword that begins a reference in a body", "if not.x", ["if", "name", ".", "name"]),
    ("a keyword before a dot after a term on the same line", 'x as["a"]', ["name", "as", "[", "string", "]"]),
    ("a keyword before a dot after a term on the line before", "x\nin.y", ["name", "name", ".", "name"]),
    ("a keyword after a dot that stands apart", "a. if", ["name", ".", "if"]),
    ("a template", '$"a {x} b"', ["template", "name", "template end"]),
    ("a template of two expressions", '$"{x}{y}"', ["template", "name", "template middle", "name", "template end"]),
    ("braces in a template", '$"{ {1} }"', ["template", "{", "number", "}", "template end"]),
    (
        "templates in templates",
        '$"{$`{x}`}" y',
        ["template", "template", "name", "template end", "template end", "name"],
    ),
    ("a template without expressions", '$"a"', ["string"]),
    ("a byte order mark", "\ufeffpackage a", ["package", "name"]),
]


@pytest.mark.parametrize(("note", "text", "expected"), KINDS, ids=[case[0] for case in KINDS])
def test_finds_tokens(note: str, text: str, expected: list[str]) -> None:
    assert kinds(text) == expected
    assert lexed(text).problems == []


VALUES = [
    ("an integer", "42", 42),
    ("zero", "0", 0),
    ("a big integer", "123456789012345678901234567890", 123456789012345678901234567890),
    ("a fraction", "1.5", 1.5),
    ("a fraction without digits before the point", ".5", 0.5),
    ("an exponent", "1e3", 1000),
    ("a signed exponent", "15E-1", 1.5),
    ("more digits than a float has", "0.12345678901234567890123", Decimal("0.12345678901234567890123")),
    ("a string", '"a b"', "a b"),
    ("an empty string", '""', ""),
    ("escapes", r'"\"\\\/\b\f\n\r\t"', '"\\/\b\f\n\r\t'),
    ("an escape of a character", r'"\u00e9\u20AC"', "é€"),
    ("a surrogate pair", r'"\ud83d\ude00"', "😀"),
    ("half of a surrogate pair", r'"\ud83d!"', "\ufffd!"),
    ("other characters as they are", '"é😀\t"', "é😀\t"),
    ("a raw string", r'`a\n"b"`', r'a\n"b"'),
    ("a raw string of several lines", "`a\nb`", "a\nb"),
    ("a template's escapes", r'$"\t\"\{x}\\"', '\t"{x}\\'),
    ("a raw template's only escape", r"$`\t\{x}`", r"\t{x}"),
]


@pytest.mark.parametrize(("note", "text", "expected"), VALUES, ids=[case[0] for case in VALUES])
def test_values_of_literals(note: str, text: str, expected: object) -> None:
    found = lexed(text)
    assert (found.values[:-2], type(found.values[0])) == ([expected], type(expected))


def test_texts_of_a_template() -> None:
    assert lexed(r'$"a\n{x} \{ {y}"').values[:-2] == ["a\n", "x", " { ", "y", ""]
    assert lexed("$`a\n{x}\\n`").values[:-2] == ["a\n", "x", "\\n"]


def test_places() -> None:
    text = 'package a # b\n\n  x := $"é {"y"} `"'
    found = lexed(text)
    pieces = [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    assert pieces == ["package", "a", "x", ":=", '$"é {', '"y"', '} `"', "", ""]
    assert found.fresh == [True, False, True, False, False, False, False, True, False]
    assert [text[start:].split("\n")[0] for start in found.comments] == ["# b"]


PROBLEMS = [
    ("a string over two lines", '"abc\nx', '`"abc`', "the string is not closed"),
    ("a string that ends in a backslash", '"abc\\', '`"abc\\`', "the string is not closed"),
    ("a raw string without an end", "x `abc\ny", "```", "the string is never closed"),
    ("a template without an end", '$"abc', '`$"abc`', "the string is not closed"),
    ("a raw template without an end", "$`abc\n", "`$`", "the string is never closed"),
    ("a template without an end after an expression", '$"a {x} b', "`} b`", "the string is not closed"),
    ("an escape that is none", r'"a\qb"', r"`\q`", r"`\q` is not an escape"),
    ("an escape of too few digits", r'"\u12"', r"`\u`", r"`\u` is not an escape"),
    ("a template's brace in a string", r'"\{"', r"`\{`", r"`\{` is not an escape"),
    ("an escape that is none in a template", r'$"\q{x}"', r"`\q`", r"`\q` is not an escape"),
    ("leading zeros", "007", "`007`", "`007` is not a number"),
    ("a point without digits", "1.", "`1.`", "`1.` is not a number"),
    ("two points", "1.2.3", "`1.2.3`", "`1.2.3` is not a number"),
    ("letters after digits", "5x", "`5x`", "`5x` is not a number"),
    ("an exponent without digits", "1e+", "`1e+`", "`1e+` is not a number"),
    ("hexadecimal digits", "0x1F", "`0x1F`", "`0x1F` is not a number"),
    ("an exponent that is too large", "1e30000", "`1e30000`", "the number has more than 30,000 digits"),
    ("an exponent that is too small", "1e-99999999999999999999", None, "the number has more than 30,000 digits"),
    ("too many digits", "1" * 30_000, None, "the number has more than 30,000 digits"),
    ("single quotes", "'a'", "`'a'`", "unexpected `'`"),
    ("a single quote alone", "'a", "`'`", "unexpected `'`"),
    ("typographic quotes", "“a”", "`“a”`", "unexpected `“`"),
    ("a logical and", "a && b", "`&&`", "unexpected `&&`"),
    ("a logical or", "a || b", "`||`", "unexpected `||`"),
    ("a logical not", "!a", "`!`", "unexpected `!`"),
    ("a letter that is not of ASCII", "größe", "`öße`", "unexpected `öße`"),
    ("a control character", "a \x00", "`\x00`", "unexpected character U+0000"),
    ("a no-break space", "a\u00a0b", "`\u00a0`", "unexpected `\u00a0`"),
]


@pytest.mark.parametrize(("note", "text", "place", "message"), PROBLEMS, ids=[case[0] for case in PROBLEMS])
def test_says_what_is_no_token(note: str, text: str, place: str | None, message: str) -> None:
    found = lexed(text)
    assert "bad" in found.kinds
    first = found.problems[0]
    assert first.message == message
    assert first.code == "rego_parse_error"
    if place is not None:
        assert text[first.start : first.end] == place[1:-1]


def test_goes_on_after_a_bad_token() -> None:
    found = lexed('x := "abc\ny := 007\nz')
    assert found.kinds == ["name", ":=", "bad", "name", ":=", "bad", "name", "end", "end"]
    assert [problem.line for problem in found.problems] == [1, 2]


def test_tells_of_a_hundred_problems_at_most() -> None:
    assert len(lexed("@" * 5000).problems) == 100
