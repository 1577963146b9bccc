"""A text that every match of a regular expression has in it: looking for that costs a twentieth of asking RE2.

Only what is sure counts: plain ASCII characters outside of all brackets, of an expression without an alternative there
and without flags. Anything unknown gives the empty text, which is in every text.
"""

import re
from typing import Final

_SKIPPED: Final = re.compile(
    r"\\[bBdDwWsSAz]"  # stands for something else than itself
    r"|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]"
    r"|[.^$]"
    r"|[^\x00-\x7f]",  # the text might have it in another form
    re.DOTALL | re.ASCII,
)
_REPETITION: Final = re.compile(r"[*?]|\{\d+(?:,\d*)?\}", re.ASCII)
_LITERAL: Final = re.compile(r"\\([!-/:-@\[-`{-~])|([^\\\[\]().*+?{}^$|])", re.ASCII)
_OPENING: Final = re.compile(r"\((?:\?:|\?s:|\?P?<\w+>)?(?!\?)", re.ASCII)


def required(pattern: str) -> str:
    """The longest of them that is easily seen; empty where there is none."""
    runs = [""]
    depth = at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "|" and depth == 0:
            return ""
        if character in ")|+":
            depth -= character == ")"
            runs.append("")
            at += 1
        elif found := _SKIPPED.match(pattern, at):
            runs.append("")
            at = found.end()
        elif found := _REPETITION.match(pattern, at):
            runs[-1] = runs[-1][:-1]  # the last character may be missing
            runs.append("")
            at = found.end()
        elif found := _LITERAL.match(pattern, at):
            if depth == 0:
                runs[-1] += found[1] or found[2]
            at = found.end()
        elif found := _OPENING.match(pattern, at):
            depth += 1
            runs.append("")
            at = found.end()
        else:
            return ""
    return max(runs, key=len)
