"""Whatever the text, the parser gives a tree or refuses, soon, and says where."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rego.notation import MIXED
from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.parser import parse, parse_body, parse_term
from tidegate.rego.source import Source

# Every token, and pieces of some.
WORDS = """
p q x _ input data 0 -1 1.5 007 1e999999 .5 "a" "\\n" `r` "a\\q" " ` $" $` $"a{ } }" $"{x}" ' ! @ é
( ) [ ] { } , ; : . := = == != < <= > >= & + - * / % | && || => package import default if else contains every some in
not with as true false null set() rego.v1 future.keywords x[ f( p.q #
"""
PIECES = [*WORDS.split(), "\n", "\n  ", "\t", "# METADATA\n# title: a\n", "# METADATA\n# [", "\ufeff", "\ud800", "\x00"]


TOKENS = st.lists(st.sampled_from(PIECES), max_size=60).flatmap(
    lambda pieces: st.sampled_from(["", " "]).map(lambda between: between.join(pieces))
)
CUTS = st.lists(
    st.tuples(st.integers(0, len(MIXED)), st.integers(0, 12), st.sampled_from(["", *PIECES])), min_size=1, max_size=5
)


def check(text: str) -> None:
    for parser in (parse, parse_body, parse_term):
        try:
            parser(Source("a.rego", text))
        except PolicyRefused as refusal:
            check_problems(text, refusal.problems)


def check_problems(text: str, problems: list[Problem]) -> None:
    assert problems
    for problem in problems:
        assert problem.code == "rego_parse_error"
        assert 0 <= problem.start <= problem.end <= len(text)
        assert str(problem)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    check(text)


@settings(deadline=None)
@given(st.text(alphabet='pqx_.[](){}|,;:=\n"`$\\#0-+ ', max_size=100).map("package a\np := ".__add__))
def test_any_text_of_rego_characters(text: str) -> None:
    check(text)


@settings(max_examples=300, deadline=None)
@given(TOKENS)
def test_any_tokens(text: str) -> None:
    check(text)
    check(f"package a\n{text}")
    check(f"package a\np if {{ {text} }}\nq := 1")


@settings(max_examples=300, deadline=None)
@given(CUTS)
def test_a_module_with_pieces_cut_and_put_in(cuts: list[tuple[int, int, str]]) -> None:
    text = MIXED
    for at, length, piece in cuts:
        text = text[:at] + piece + text[at + length :]
    check(text)


@settings(deadline=None)
@given(st.lists(st.sampled_from([*"[]{}-:?&*!|>'\"%@`#,", "- ", ": ", "a", "1", "\n# ", "\n#   "]), max_size=80))
def test_any_metadata(pieces: list[str]) -> None:
    check("package a\n# METADATA\n# " + "".join(pieces) + "\np := 1")
