"""Regular expressions and globs."""

import re
from typing import Any

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from tests.rego.builtins.calls import call, problem
from tidegate.rego.builtins import TABLE
from tidegate.rego.builtins.literals import required
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import equal

RESULTS = [
    ("a match anywhere", "regex.match", ("b+", "abbc"), True),
    ("no match", "regex.match", ("^b", "ab"), False),
    ("a match beside a text that must be there", "regex.match", (r"key-\d+", "my key-x"), False),
    ("classes of Unicode", "regex.match", (r"^\p{Greek}+$", "αβγ"), True),
    ("half of a surrogate pair", "regex.match", ("^.$", "\ud800"), True),
    ("the old name", "re_match", ("a", "a"), True),
    ("valid", "regex.is_valid", ("a(b|c)",), True),
    ("not valid", "regex.is_valid", ("a(b",), False),
    ("no string is not valid either", "regex.is_valid", (1,), False),
    ("found", "regex.find_n", ("[oa]", "foobar", 2), ["o", "o"]),
    ("all found", "regex.find_n", ("[oa]", "foobar", -1), ["o", "o", "a"]),
    ("none asked for", "regex.find_n", ("o", "foo", 0), []),
    ("more asked for than there can be", "regex.find_n", ("o", "foo", 10**30), ["o", "o"]),
    ("empty matches behind a match do not count", "regex.find_n", ("a*", "baac", -1), ["", "aa", ""]),
    ("empty matches stand between characters", "regex.find_n", ("", "äb", -1), ["", "", ""]),
    ("groups", "regex.find_all_string_submatch_n", ("(a)(x)?", "aax", -1), [["a", "a", ""], ["ax", "a", "x"]]),
    ("split", "regex.split", ("/+", "a//b/c"), ["a", "b", "c"]),
    ("split at the ends", "regex.split", ("/", "/a/"), ["", "a", ""]),
    ("split where nothing is", "regex.split", ("x*", "axbxc"), ["a", "b", "c"]),
    ("nothing split", "regex.split", (",", ""), [""]),
    ("not split", "regex.split", (",", "ab"), ["ab"]),
    ("replaced", "regex.replace", ("foobar", "o+", "0"), "f0bar"),
    ("groups by number", "regex.replace", ("john smith", r"(\w+) (\w+)", "$2, $1"), "smith, john"),
    ("groups by name", "regex.replace", ("ab", "(?P<one>a)", "${one}${one}"), "aab"),
    ("a name takes all it can", "regex.replace", ("ab", "(a)", "$1x"), "b"),
    ("a group that is not there", "regex.replace", ("ab", "a", "<$1>"), "<>b"),
    ("a dollar", "regex.replace", ("ab", "a", "$$1 $"), "$1 $b"),
    ("empty matches", "regex.replace", ("abc", "x*", "-"), "-a-b-c-"),
    ("characters of several octets", "regex.replace", ("äöü", "ö|$", "·"), "ä·ü·"),
    ("a template", "regex.template_match", ("urn:{[a-z]+}:v{.}", "urn:abc:v1", "{", "}"), True),
    ("a template is literal outside", "regex.template_match", ("a.b{c}", "axbc", "{", "}"), False),
    ("a template must match as a whole", "regex.template_match", ("a{b}", "abc", "{", "}"), False),
    ("delimiters nest", "regex.template_match", ("a<(?P<x>b)>", "ab", "<", ">"), True),
    ("globs that meet", "regex.globs_match", ("a[0-9]+z", "a.5*.*"), True),
    ("globs that do not meet", "regex.globs_match", ("[a-m]+", "[n-z]+"), False),
    ("only the empty text would do", "regex.globs_match", ("a*", "b*"), False),
    ("what is escaped is itself", "regex.globs_match", (r"a\*", "a[*]"), True),
    ("one star", "glob.match", ("*.example.com", [], "api.example.com"), True),
    ("one star stays within delimiters", "glob.match", ("*.example.com", [], "a.b.example.com"), False),
    ("two stars do not", "glob.match", ("**.example.com", [], "a.b.example.com"), True),
    ("without delimiters", "glob.match", ("*.example.com", None, "a.b.example.com"), True),
    ("own delimiters", "glob.match", ("models/*/read", ["/"], "models/gpt.4/read"), True),
    ("several delimiters", "glob.match", ("a*d", ["/", ":"], "ab:cd"), False),
    ("one character", "glob.match", ("?at", [], "cat"), True),
    ("one character that is no delimiter", "glob.match", ("?at", [], ".at"), False),
    ("one of a list", "glob.match", ("[cb]at", [], "bat"), True),
    ("none of a list", "glob.match", ("[!cb]at", [], "bat"), False),
    ("one of a range", "glob.match", ("[a-c]at", [], "bat"), True),
    ("none of a range", "glob.match", ("[!a-c]at", [], "dat"), True),
    ("a hyphen in a list", "glob.match", ("[ab-]x", [], "-x"), True),
    ("one of several patterns", "glob.match", ("{gpt,claude}-*", [], "claude-3"), True),
    ("patterns nest", "glob.match", ("a{b{c,d},e}f", [], "abdf"), True),
    ("an empty one of several", "glob.match", ("a{,b}c", [], "ac"), True),
    ("a comma outside of braces", "glob.match", ("a,b", [], "a,b"), True),
    ("what is escaped means itself", "glob.match", (r"a\*", [], "ab"), False),
    ("line ends are characters", "glob.match", ("a*c", None, "a\nc"), True),
    ("the whole text", "glob.match", ("a", None, "ab"), False),
    ("what means something in regular expressions", "glob.match", ("a.b+(c)|d$", None, "a.b+(c)|d$"), True),
    ("quoted", "glob.quote_meta", ("*.a[b]{c}?",), r"\*.a\[b\]\{c\}\?"),
]


@pytest.mark.parametrize(("note", "name", "operands", "expected"), RESULTS, ids=[row[0] for row in RESULTS])
def test_results(note: str, name: str, operands: tuple[Any, ...], expected: Any) -> None:
    assert equal(call(name, *operands), expected)


PROBLEMS = [
    ("regex.match", ("a", 1), "type", "operand 2 must be string but got number"),
    ("regex.template_match", ("a{b", "ab", "{", "}"), "builtin", "unbalanced braces in `a{b`"),
    ("regex.template_match", ("a}b", "ab", "{", "}"), "builtin", "unbalanced braces in `a}b`"),
    ("regex.template_match", ("a", "a", "{{", "}"), "builtin", "operand 3 must be one character"),
    ("glob.match", ("a", "b", "c"), "type", "operand 2 must be one of {array, null} but got string"),
    ("glob.match", (1, [], "c"), "type", "operand 1 must be string but got number"),
    ("glob.match", ("a", [], None), "type", "operand 3 must be string but got null"),
    ("glob.match", ("[a", [], "a"), "builtin", "`[` of `[a` is not closed"),
    ("glob.match", ("[z-a]", [], "a"), "builtin", "a range of `[z-a]` must have two ends, the lower one first"),
]


@pytest.mark.parametrize(("name", "operands", "kind", "message"), PROBLEMS)
def test_problems(name: str, operands: tuple[Any, ...], kind: str, message: str) -> None:
    assert problem(name, *operands) == f"eval_{kind}_error: {name}: {message}"


@pytest.mark.parametrize(
    ("name", "constants"),
    [
        ("regex.match", (1,)),
        ("regex.match", ([],)),
        ("regex.match", ("(",)),
        ("glob.match", ({}, [])),
        ("glob.match", ("a", 1)),
    ],
)
def test_what_cannot_be_specialised_is_a_builtins_problem(name: str, constants: tuple[Any, ...]) -> None:
    make = TABLE[name].specialised
    assert make is not None
    with pytest.raises(BuiltinError):
        make(*constants)


def test_what_is_specialised_gives_the_same_results() -> None:
    for name, constants in (("regex.match", ("^a+",)), ("glob.match", ("a*", [])), ("glob.match", ("a*", None))):
        make = TABLE[name].specialised
        assert make is not None
        for text in ("aab", "a.b", "b", ""):
            assert make(*constants)(text) is call(name, *constants, text)


@pytest.mark.parametrize("pattern", ["a(b", "[", "*a", "(?=a)", r"\1", "a{2000}"])
def test_what_is_no_regular_expression(pattern: str) -> None:
    message = problem("regex.match", pattern, "a")
    assert message.startswith("eval_builtin_error: error parsing regexp: ")
    assert message.endswith(f": `{pattern}`")


@pytest.mark.parametrize("glob", ["a]", "*a", "a**", "[", "[]", "[b-a]", "a\\"])
def test_what_is_no_glob_to_be_compared(glob: str) -> None:
    assert "the input provided is invalid" in problem("regex.globs_match", glob, "a")


TEXTS = [
    ("plain characters", "abc", "abc"),
    ("the longest run", r"\bkey-[a-z]secret", "secret"),
    ("escaped punctuation", r"\.com$", ".com"),
    ("what may be missing", "abc?d*ef", "ab"),
    ("what comes once or more often", "ab+c", "ab"),
    ("counted", "ab{0,3}c", "a"),
    ("groups do not count", "(abc)d(?:ef)?", "d"),
    ("alternatives inside of groups", "(a|b)cd", "cd"),
    ("alternatives", "abc|abd", ""),
    ("flags", "(?i)abc", ""),
    ("octets by number", r"\x61bc", ""),
    ("quoted", r"\Qa|b\E", ""),
    ("a bracket in a class", "[]a]bc", "bc"),
    ("characters that can be written in two ways", "äbc", "bc"),
]


@pytest.mark.parametrize(("note", "pattern", "text"), TEXTS, ids=[row[0] for row in TEXTS])
def test_the_text_that_every_match_has(note: str, pattern: str, text: str) -> None:
    assert required(pattern) == text


ATOMS = st.sampled_from(
    [
        *"abc.|*+?^$]-}{\\é",
        *(r"\.", r"\b", r"\d", r"\-", r"\Q", r"\E", r"\x61"),
        *("[ab]", "[^a]", "[]b]", "[[:alpha:]]", "[a", "{2}", "{0}", "{0,1}"),
        *("(a|b)", "(?:ab)", "(ab", "b)", "(?i)", "(?i:b)", "(?s:.)", "(?P<x>b)", "(?"),
    ]
)
OPTIONS = re2.Options()
OPTIONS.log_errors = False


@given(st.lists(ATOMS, max_size=7).map("".join), st.lists(st.text("abcABé.-1\n{}2|", max_size=8), min_size=6))
def test_a_match_has_the_required_text(pattern: str, texts: list[str]) -> None:
    try:
        compiled = re2.compile(pattern, OPTIONS)
    except re2.error:
        return
    for text in texts:
        assert required(pattern) in text or compiled.search(text) is None


@given(st.text("ab*+.", max_size=5), st.text("ab*+.", max_size=5))
def test_patterns_meet_where_a_short_text_fits_both(first: str, second: str) -> None:
    try:
        patterns = [re.compile(first), re.compile(second)]
        met = call("regex.globs_match", first, second)
    except Exception:  # one of them is no pattern
        return
    texts = [""]
    for _ in range(5):
        texts += [text + character for text in texts for character in "ab"]
        texts = list(dict.fromkeys(texts))
    if any(text and all(pattern.fullmatch(text) for pattern in patterns) for text in texts):
        assert met
