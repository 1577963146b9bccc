"""Globs as the gobwas library for Go has them, translated to RE2.

`*` is any text without a delimiter, `**` any text, `?` one character that is no delimiter, `[ab]` `[a-z]` `[!ab]` one
character of these, `{x,y}` one of several patterns, and a backslash takes the meaning from what follows it.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import NAMES, mistyped, string
from tidegate.rego.builtins.regex import tester
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.values import Value

_ANY: Final = "(?s:.)"
_SPECIAL: Final = str.maketrans({character: "\\" + character for character in "*?\\[]{}"})


def matcher(pattern: Value, delimiters: Value) -> Callable[[str], bool]:
    """The test for a glob: no delimiters at all with null, the point with an empty array."""
    glob = string("glob.match", 1, pattern)
    if delimiters is None:
        return _matcher(glob, "")
    if type(delimiters) is not list:
        raise mistyped("glob.match", 2, delimiters, "array", "null")
    if not delimiters:
        return _matcher(glob, ".")
    for one in delimiters:
        if type(one) is not str or len(one) != 1:
            kind = NAMES[type(one)] if type(one) is not str else "string of another length"
            raise OperandError(f"glob.match: operand 2 must be array of single characters but got array with {kind}")
    return _matcher(glob, "".join(delimiters))


@builtin(
    "glob.match",
    "pattern: string, delimiters: any<null, array[string]>, match: string -> result: boolean",
    specialised=matcher,
)
def match(pattern: Value, delimiters: Value, text: Value) -> bool:
    test = matcher(pattern, delimiters)
    if type(text) is str:
        return test(text)
    raise mistyped("glob.match", 3, text, "string")


@builtin("glob.quote_meta", "pattern: string -> output: string")
def quote_meta(pattern: Value) -> str:
    return string("glob.quote_meta", 1, pattern).translate(_SPECIAL)


@lru_cache(maxsize=256)
def _matcher(pattern: str, delimiters: str) -> Callable[[str], bool]:
    return tester(f"^{_Translation(pattern, delimiters).expression}$")


class _Translation:
    """The regular expression of one glob."""

    def __init__(self, pattern: str, delimiters: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.open = 0  # braces
        self.one = f"[^{_in_class(delimiters)}]" if delimiters else _ANY
        parts = []
        while self.at < len(pattern):
            parts.append(self.part())
        self.expression = "".join(parts) + ")" * self.open

    def part(self) -> str:
        character = self.pattern[self.at]
        self.at += 1
        if character == "*":
            if self.pattern.startswith("*", self.at):
                self.at += 1
                return f"{_ANY}*"
            return f"{self.one}*"
        if character == "?":
            return self.one
        if character == "[":
            return self.characters()
        if character == "{":
            self.open += 1
            return "(?:"
        if character == "}" and self.open:
            self.open -= 1
            return ")"
        if character == "," and self.open:
            return "|"
        return re.escape(self.escaped(character))

    def escaped(self, character: str) -> str:
        """The character, or the one behind a backslash; a backslash at the end is nothing."""
        if character != "\\":
            return character
        following = self.pattern[self.at : self.at + 1]
        self.at += 1
        return following

    def characters(self) -> str:
        """Behind `[`: either one range or a list."""
        refused = self.pattern.startswith("!", self.at)
        self.at += refused
        if self.pattern[self.at + 1 : self.at + 2] == "-":
            low, high = self.pattern[self.at], self.pattern[self.at + 2 : self.at + 3]
            self.at += 3
            if not high or low > high:
                raise BuiltinError(f"glob.match: a range of `{self.pattern}` must have two ends, the lower one first")
            inner = f"{_in_class(low)}-{_in_class(high)}"
        else:
            inner = ""
            while self.at < len(self.pattern) and self.pattern[self.at] != "]":
                character = self.pattern[self.at]
                self.at += 1
                inner += _in_class(self.escaped(character))
        if not inner or not self.pattern.startswith("]", self.at):
            raise BuiltinError(f"glob.match: `[` of `{self.pattern}` is not closed")
        self.at += 1
        return f"[{'^' if refused else ''}{inner}]"


def _in_class(characters: str) -> str:
    """Characters inside the brackets of a regular expression."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in characters)
