"""The place in the tokens where the parser is, and how it says that something else should be there."""

from collections.abc import Callable
from functools import cached_property
from typing import Final, Never, TypeVar

from tidegate.rego.errors import PolicyRefused, Problem
from tidegate.rego.lexer import KEYWORDS, PROBLEMS, Lexer
from tidegate.rego.source import Source

Parsed = TypeVar("Parsed")

# Brackets in brackets. Python recurses 1,000 calls deep; here a level takes ten at most, and those who walk the tree
# take some too.
DEPTH: Final = 50

SIZE: Final = 2_000_000  # characters of a text

BRACKETS: Final = {"(": ")", "[": "]", "{": "}", "template": "template end"}
CLOSINGS: Final = frozenset((*BRACKETS.values(), "end"))

WORDS: Final = {
    "and": "everything in a body must hold: write one condition a line, or `;` between them",
    "or": "write the rule once for each alternative, or `x in {a, b}` for one of several values",
    "elif": "write `else := value if { ... }`",
    "elsif": "write `else := value if { ... }`",
    "for": "write `some x in xs`",
    "return": "a rule's value is written in its head, `name := value if { ... }`",
    "let": "a variable is declared by `x := value`",
    "var": "a variable is declared by `x := value`",
    "const": "a rule is a constant: `name := value`",
    "def": "a function is written `f(x) := value if { ... }`",
    "func": "a function is written `f(x) := value if { ... }`",
    "function": "a function is written `f(x) := value if { ... }`",
    "where": "conditions are written after `if`",
    "when": "conditions are written after `if`",
    "is": "equality is written `==`",
}


class Stop(Exception):
    """A rule cannot be read any further. The problem is None where the lexer has reported it."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__()
        self.problem = problem


class Cursor:
    """A position in the tokens of a source. All parsing moves it forward, save where a set turns out to be a body."""

    def __init__(self, source: Source) -> None:
        if len(source.text) > SIZE:
            message = f"the text has more than {SIZE:,} characters"
            raise PolicyRefused([Problem("rego_parse_error", message, source)])
        lexer = Lexer(source)
        self.source = source
        self.lexer = lexer
        self.kinds = lexer.kinds
        self.starts = lexer.starts
        self.ends = lexer.ends
        self.fresh = lexer.fresh
        self.values = lexer.values
        self.problems = lexer.problems
        self.at = 0
        self.depth = 0
        self.operators = 0  # met in the rule, as a chain of them makes a deep tree too

    @cached_property
    def partners(self) -> dict[int, int]:
        """The closing bracket of each bracket that has one."""
        found: dict[int, int] = {}
        open_ones: list[int] = []
        for at, kind in enumerate(self.kinds):
            if kind in BRACKETS:
                open_ones.append(at)
            elif kind in CLOSINGS:
                self._close(at, open_ones, found)
        return found

    def _close(self, at: int, open_ones: list[int], found: dict[int, int]) -> None:
        """Pairs with the innermost bracket of its kind; those opened since have no partner."""
        for depth in range(len(open_ones) - 1, max(-1, len(open_ones) - DEPTH), -1):
            if BRACKETS[self.kinds[open_ones[depth]]] == self.kinds[at]:
                found[open_ones[depth]] = at
                del open_ones[depth:]
                return

    def refused(self) -> PolicyRefused:
        """All that was found, in the order of the text."""
        return PolicyRefused(sorted(self.problems[:PROBLEMS], key=lambda problem: problem.start))

    def problem(self, message: str, start: int, end: int, hint: str | None = None) -> Problem:
        return Problem("rego_parse_error", message, self.source, start, end, hint)

    def fail(self, message: str, start: int, end: int, hint: str | None = None) -> Never:
        raise Stop(self.problem(message, start, end, hint))

    def shown(self, at: int) -> str:
        """A token as a message names it."""
        if self.kinds[at] == "end":
            return "end of text"
        text = self.source.text[self.starts[at] : self.ends[at]].split("\n")[0]
        return f"`{text if len(text) <= 40 else text[:37] + '...'}`"

    def one_line(self, start: int, end: int) -> str:
        """A part of the text as a hint shows it."""
        return " ".join(line.strip() for line in self.source.text[start:end].split("\n")).strip()

    def unexpected(self, wanted: str | None = None, hint: str | None = None) -> Never:
        """The token here cannot stand here."""
        at = self.at
        if self.kinds[at] == "bad":
            raise Stop(None)
        message = f"unexpected {self.shown(at)}"
        if wanted is not None:
            message += f", expected {wanted}"
        if hint is None:
            hint = self._advice(at)
        self.fail(message, self.starts[at], self.ends[at], hint)

    def _advice(self, at: int) -> str | None:
        """On a call that is torn apart, or a word of another language here or just before."""
        if self.kinds[at] == "(" and self.kinds[at - 1] == "name":
            return "the arguments of a call follow its name directly, `f(x)`"
        for each in (at, at - 1):
            if self.kinds[each] == "name" and self.values[each] in WORDS:
                return WORDS[self.values[each]]
        return None

    def expect(self, kind: str) -> None:
        if self.kinds[self.at] != kind:
            self.unexpected(f"`{kind}`")
        self.at += 1

    def word(self, wanted: str) -> str:
        """A name, where keywords are names too."""
        kind = self.kinds[self.at]
        if kind != "name" and kind not in KEYWORDS:
            self.unexpected(wanted)
        self.at += 1
        word: str = self.values[self.at - 1]
        return word

    def whole(self, parse: Callable[[], Parsed]) -> Parsed:
        """What takes the whole text; raises PolicyRefused with what is wrong."""
        try:
            parsed = parse()
            if self.kinds[self.at] != "end":
                self.unexpected("end of text")
        except Stop as stop:
            if stop.problem is not None:
                self.problems.append(stop.problem)
        if self.problems:
            raise self.refused()
        return parsed

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            at = self.at
            hint = "give a part of it a name of its own"
            self.fail(f"brackets in brackets, more than {DEPTH} deep", self.starts[at], self.ends[at], hint)
