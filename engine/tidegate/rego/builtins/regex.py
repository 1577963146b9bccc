"""Regular expressions on RE2, which is the syntax of Go's and takes time in proportion to the text.

An empty match right behind a match does not count, as in Go.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeAlias

import re2  # type: ignore[import-untyped]

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.intersection import intersect
from tidegate.rego.builtins.literals import required
from tidegate.rego.builtins.operands import integer, no_string, string
from tidegate.rego.builtins.text import utf8
from tidegate.rego.errors import BuiltinError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import Value

_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 4 << 20  # for one pattern
_KEPT: Final = 256  # patterns
_UNANCHORED: Final = re2._Anchor.UNANCHORED
_NOWHERE: Final = (-1, -1)


@lru_cache(maxsize=_KEPT)
def compiled(pattern: str) -> Any:
    """The pattern as RE2 has it; only the most recent ones are kept."""
    try:
        return re2._Regexp(utf8(pattern).decode(), _OPTIONS)
    except re2.error as error:
        raise BuiltinError(f"error parsing regexp: {_detail(error)}: `{pattern}`") from None


def _detail(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


@lru_cache(maxsize=_KEPT)
def tester(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is in a text. RE2 itself is asked, because the places, which cost as much again, are not."""
    find = compiled(pattern)._regexp.Match
    literal = required(pattern)

    def found(text: str) -> bool:
        if literal not in text:
            return False
        try:
            octets = text.encode()
        except UnicodeEncodeError:
            octets = utf8(text)
        return find(_UNANCHORED, octets, 0, len(octets))[0] != _NOWHERE  # type: ignore[no-any-return]

    return found


def matcher(pattern: Value) -> Callable[[str], bool]:
    return tester(string("regex.match", 1, pattern))


@builtin("regex.match", "pattern: string, value: string -> result: boolean", specialised=matcher)
def match(pattern: Value, value: Value) -> bool:
    if type(pattern) is str and type(value) is str:
        return tester(pattern)(value)
    raise no_string("regex.match", pattern, value)


@builtin("re_match", "pattern: string, value: string -> result: boolean", deprecated="it is called `regex.match` now")
def re_match(pattern: Value, value: Value) -> bool:
    return tester(string("re_match", 1, pattern))(string("re_match", 2, value))


@builtin("regex.is_valid", "pattern: string -> result: boolean")
def is_valid(pattern: Value) -> bool:
    if type(pattern) is not str:
        return False
    try:
        compiled(pattern)
    except BuiltinError:
        return False
    return True


# The first and the last place of a match, and then of each group; (-1, -1) for a group that took no part.
_Spans: TypeAlias = list[tuple[int, int]]


def _matches(evaluation: Evaluation, pattern: str, octets: bytes) -> Iterator[_Spans]:
    find = compiled(pattern)._regexp.Match
    at = 0
    behind = -1
    while at <= len(octets):
        evaluation.spend(4)
        spans = find(_UNANCHORED, octets, at, len(octets))
        start, end = spans[0]
        if start < 0:
            return
        if end > start or start != behind:
            yield spans
        behind = end
        at = end if end > at else _next(octets, at)


def _next(octets: bytes, at: int) -> int:
    """Where the character behind the one at this place begins."""
    at += 1
    while at < len(octets) and octets[at] & 0xC0 == 0x80:
        at += 1
    return at


def _first(evaluation: Evaluation, pattern: str, octets: bytes, limit: int) -> Iterator[_Spans]:
    """So many matches; all where the limit is negative."""
    found = _matches(evaluation, pattern, octets)
    return found if limit < 0 else islice(found, min(limit, len(octets) + 1))


@builtin("regex.find_n", "pattern: string, value: string, number: number -> output: array[string]", evaluation=True)
def find_n(evaluation: Evaluation, pattern: Value, value: Value, number: Value) -> list[str]:
    expression, octets = string("regex.find_n", 1, pattern), utf8(string("regex.find_n", 2, value))
    limit = integer("regex.find_n", 3, number)
    return [octets[start:end].decode() for (start, end), *_ in _first(evaluation, expression, octets, limit)]


@builtin(
    "regex.find_all_string_submatch_n",
    "pattern: string, value: string, number: number -> output: array[array[string]]",
    evaluation=True,
)
def find_all_string_submatch_n(evaluation: Evaluation, pattern: Value, value: Value, number: Value) -> list[list[str]]:
    """Each match with its groups; a group that took no part is empty."""
    name = "regex.find_all_string_submatch_n"
    expression, octets = string(name, 1, pattern), utf8(string(name, 2, value))
    results = []
    for spans in _first(evaluation, expression, octets, integer(name, 3, number)):
        evaluation.spend(len(spans))
        results.append([octets[max(start, 0) : max(end, 0)].decode() for start, end in spans])
    return results


@builtin("regex.split", "pattern: string, value: string -> output: array[string]", evaluation=True)
def split(evaluation: Evaluation, pattern: Value, value: Value) -> list[str]:
    expression, octets = string("regex.split", 1, pattern), utf8(string("regex.split", 2, value))
    if not octets and expression:
        return [""]
    parts = []
    at = start = 0
    for (start, end), *_ in _matches(evaluation, expression, octets):
        if end:
            parts.append(octets[at:start].decode())
        at = end
    return [*parts, octets[at:].decode()] if start != len(octets) else parts


_TEMPLATE: Final = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>\w+)\}|(?P<name>\w+))")


@builtin("regex.replace", "s: string, pattern: string, value: string -> output: string", evaluation=True)
def replace(evaluation: Evaluation, s: Value, pattern: Value, value: Value) -> str:
    """`$1`, `$name` and `${name}` in the new text stand for a group, `$$` for a dollar."""
    if type(s) is not str or type(pattern) is not str or type(value) is not str:
        raise no_string("regex.replace", s, pattern, value)
    octets = utf8(s)
    template = _template(value, compiled(pattern))
    constant = template[0] if len(template) == 1 and isinstance(template[0], bytes) else None
    parts = []
    at = 0
    for spans in _matches(evaluation, pattern, octets):
        new = constant or b"".join([_filled(part, spans, octets) for part in template])
        evaluation.spend(len(new) // 8)
        parts += [octets[at : spans[0][0]], new]
        at = spans[0][1]
    return (b"".join(parts) + octets[at:]).decode()


def _filled(part: bytes | int, spans: _Spans, octets: bytes) -> bytes:
    if isinstance(part, bytes):
        return part
    start, end = spans[part]
    return octets[max(start, 0) : max(end, 0)]


def _template(written: str, expression: Any) -> list[bytes | int]:
    """Text, and the numbers of groups. A group that there is not is empty."""
    parts: list[bytes | int] = []
    at = 0
    for found in _TEMPLATE.finditer(written):
        parts.append(utf8(written[at : found.start()]))
        at = found.end()
        name = found["braced"] or found["name"]
        if found["dollar"]:
            parts.append(b"$")
        elif name.isdecimal():
            parts += [int(name)] if len(name) < 5 and int(name) <= expression.groups else []
        else:
            parts += [expression.groupindex[name]] if name in expression.groupindex else []
    return [part for part in [*parts, utf8(written[at:])] if part != b""]


@builtin(
    "regex.template_match",
    "template: string, value: string, delimiter_start: string, delimiter_end: string -> result: boolean",
)
def template_match(template: Value, value: Value, delimiter_start: Value, delimiter_end: Value) -> bool:
    """The template is literal text with regular expressions between the delimiters."""
    name = "regex.template_match"
    written, text = string(name, 1, template), string(name, 2, value)
    start, end = string(name, 3, delimiter_start), string(name, 4, delimiter_end)
    for position, delimiter in ((3, start), (4, end)):
        if len(delimiter) != 1:
            raise BuiltinError(f"{name}: operand {position} must be one character")
    return tester(_expression(written, start, end))(text)


def _expression(template: str, start: str, end: str) -> str:
    """The regular expression of a template. Delimiters nest; those outside must come in pairs."""
    parts = []
    depth = opened = closed = 0
    for at, character in enumerate(template):
        if character == start:
            depth += 1
            if depth == 1:
                opened = at
        elif character == end:
            depth -= 1
            if depth == 0:
                parts += [re.escape(template[closed:opened]), f"({template[opened + 1 : at]})"]
                closed = at + 1
            elif depth < 0:
                break
    if depth:
        raise BuiltinError(f"regex.template_match: unbalanced braces in `{template}`")
    return f"^{''.join(parts)}{re.escape(template[closed:])}$"


@builtin("regex.globs_match", "glob1: string, glob2: string -> result: boolean", evaluation=True)
def globs_match(evaluation: Evaluation, glob1: Value, glob2: Value) -> bool:
    """Whether there is a text, not empty, that both describe."""
    first, second = string("regex.globs_match", 1, glob1), string("regex.globs_match", 2, glob2)
    evaluation.spend((4 + len(first)) * (4 + len(second)))
    return intersect(first, second)
