"""Strings as Go has them: positions count characters, case and white space are Unicode's, one character at a time."""

import re
from typing import Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import (
    array,
    integer,
    members,
    mistyped,
    no_string,
    object_,
    string,
    strings,
)
from tidegate.rego.builtins.text import display
from tidegate.rego.errors import BuiltinError, OperandError
from tidegate.rego.evaluation import Evaluation
from tidegate.rego.values import RegoSet, Value

_TEST: Final = "search: string, base: string -> result: boolean"
# Python's own strip() would take some control characters too.
_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


# what a string has in it


@builtin("contains", "haystack: string, needle: string -> result: boolean")
def contains(haystack: Value, needle: Value) -> bool:
    if type(haystack) is str and type(needle) is str:
        return needle in haystack
    raise no_string("contains", haystack, needle)


@builtin("startswith", _TEST)
def startswith(search: Value, base: Value) -> bool:
    if type(search) is str and type(base) is str:
        return search.startswith(base)
    raise no_string("startswith", search, base)


@builtin("endswith", _TEST)
def endswith(search: Value, base: Value) -> bool:
    if type(search) is str and type(base) is str:
        return search.endswith(base)
    raise no_string("endswith", search, base)


_MANY: Final = "any<string, array[string], set[string]>"


@builtin("strings.any_prefix_match", f"search: {_MANY}, base: {_MANY} -> result: boolean")
def any_prefix_match(search: Value, base: Value) -> bool:
    searched, prefixes = _any_match("strings.any_prefix_match", search, base)
    return any(one.startswith(prefixes) for one in searched)


@builtin("strings.any_suffix_match", f"search: {_MANY}, base: {_MANY} -> result: boolean")
def any_suffix_match(search: Value, base: Value) -> bool:
    searched, suffixes = _any_match("strings.any_suffix_match", search, base)
    return any(one.endswith(suffixes) for one in searched)


def _any_match(name: str, search: Value, base: Value) -> tuple[list[str], tuple[str, ...]]:
    return _one_or_many(name, 1, search), tuple(_one_or_many(name, 2, base))


def _one_or_many(name: str, position: int, value: Value) -> list[str]:
    if type(value) is str:
        return [value]
    if type(value) is not list and type(value) is not RegoSet:
        raise mistyped(name, position, value, "string", "set", "array")
    return strings(name, position, value)


@builtin("strings.count", "search: string, substring: string -> output: number")
def count(search: Value, substring: Value) -> int:
    return string("strings.count", 1, search).count(string("strings.count", 2, substring))


@builtin("indexof", "haystack: string, needle: string -> output: number")
def indexof(haystack: Value, needle: Value) -> int:
    if type(haystack) is not str or type(needle) is not str:
        raise no_string("indexof", haystack, needle)
    if not needle:
        raise BuiltinError("indexof: empty search character")
    return haystack.find(needle)


@builtin("indexof_n", "haystack: string, needle: string -> output: array[number]")
def indexof_n(haystack: Value, needle: Value) -> list[int]:
    """Every place, also those that overlap."""
    searched, sought = string("indexof_n", 1, haystack), string("indexof_n", 2, needle)
    if not sought:
        raise BuiltinError("indexof_n: empty search character")
    found = []
    at = searched.find(sought)
    while at >= 0:
        found.append(at)
        at = searched.find(sought, at + 1)
    return found


# case


@builtin("lower", "x: string -> y: string")
def lower(x: Value) -> str:
    if type(x) is not str:
        raise no_string("lower", x)
    lowered = x.lower()
    # Python lowers a final sigma in its own way, and some characters to two.
    if len(lowered) == len(x) and "Σ" not in x:
        return lowered
    return "".join(character.lower()[0] for character in x)


@builtin("upper", "x: string -> y: string")
def upper(x: Value) -> str:
    if type(x) is not str:
        raise no_string("upper", x)
    raised = x.upper()
    return raised if len(raised) == len(x) else "".join(map(_upper, x))


def _upper(character: str) -> str:
    """The upper case where it is one character."""
    for raised in (character.upper(), character.title()):
        if len(raised) == 1:
            return raised
    return character


# parts of a string


@builtin("substring", "value: string, offset: number, length: number -> output: string")
def substring(value: Value, offset: Value, length: Value) -> str:
    """To the end where the length is negative."""
    text = string("substring", 1, value)
    start, size = integer("substring", 2, offset), integer("substring", 3, length)
    if start < 0:
        raise BuiltinError("substring: negative offset")
    return text[start:] if size < 0 else text[start : start + size]


@builtin("split", "x: string, delimiter: string -> ys: array[string]", evaluation=True)
def split(evaluation: Evaluation, x: Value, delimiter: Value) -> list[str]:
    """Into its characters where the delimiter is empty."""
    if type(x) is str and type(delimiter) is str:
        evaluation.spend(x.count(delimiter))  # a part takes the memory of fifty characters
        return x.split(delimiter) if delimiter else list(x)
    raise no_string("split", x, delimiter)


_TRIM: Final = "value: string, cutset: string -> output: string"


@builtin("trim", _TRIM)
def trim(value: Value, cutset: Value) -> str:
    return string("trim", 1, value).strip(string("trim", 2, cutset))


@builtin("trim_left", _TRIM)
def trim_left(value: Value, cutset: Value) -> str:
    return string("trim_left", 1, value).lstrip(string("trim_left", 2, cutset))


@builtin("trim_right", _TRIM)
def trim_right(value: Value, cutset: Value) -> str:
    return string("trim_right", 1, value).rstrip(string("trim_right", 2, cutset))


@builtin("trim_prefix", "value: string, prefix: string -> output: string")
def trim_prefix(value: Value, prefix: Value) -> str:
    return string("trim_prefix", 1, value).removeprefix(string("trim_prefix", 2, prefix))


@builtin("trim_suffix", "value: string, suffix: string -> output: string")
def trim_suffix(value: Value, suffix: Value) -> str:
    return string("trim_suffix", 1, value).removesuffix(string("trim_suffix", 2, suffix))


@builtin("trim_space", "value: string -> output: string")
def trim_space(value: Value) -> str:
    return string("trim_space", 1, value).strip(_WHITE_SPACE)


@builtin("strings.reverse", "x: string -> y: string")
def reverse(x: Value) -> str:
    return string("strings.reverse", 1, x)[::-1]


# new strings, which can be much longer


@builtin("concat", "delimiter: string, collection: any<array[string], set[string]> -> output: string", evaluation=True)
def concat(evaluation: Evaluation, delimiter: Value, collection: Value) -> str:
    between, parts = string("concat", 1, delimiter), strings("concat", 2, collection)
    evaluation.spend((sum(map(len, parts)) + len(between) * len(parts)) // 8)
    return between.join(parts)


@builtin("replace", "x: string, old: string, new: string -> y: string", evaluation=True)
def replace(evaluation: Evaluation, x: Value, old: Value, new: Value) -> str:
    if type(x) is not str or type(old) is not str or type(new) is not str:
        raise no_string("replace", x, old, new)
    times = x.count(old)
    if not times:
        return x
    evaluation.spend((len(x) + times * len(new)) // 8)
    return x.replace(old, new)


@builtin("strings.replace_n", "patterns: object[string: string], value: string -> output: string", evaluation=True)
def replace_n(evaluation: Evaluation, patterns: Value, value: Value) -> str:
    """At every place the first pattern in order that stands there is replaced."""
    news = object_("strings.replace_n", 1, patterns)
    for old, new in news.items():
        if type(old) is not str or type(new) is not str:
            fault = "key" if type(old) is not str else "value"
            raise OperandError(f"strings.replace_n: operand 1 non-string {fault} found in pattern object")
    text = string("strings.replace_n", 2, value)
    if not news:
        return text
    evaluation.spend((len(text) + 1) * (1 + max(map(len, news.values()))) // 8)
    return re.sub("|".join(map(re.escape, sorted(news))), lambda found: news[found[0]], text)


@builtin("internal.template_string", "parts: array[any] -> string", evaluation=True)
def template_string(evaluation: Evaluation, parts: Value) -> str:
    """A part is text, or the set of the one value that an expression had; an empty set where it had none."""
    texts = []
    for part in array("internal.template_string", 1, parts):
        if type(part) is RegoSet:
            found = members("internal.template_string", 1, part)
            if len(found) > 1:
                raise BuiltinError("internal.template_string: an expression of a template string has several values")
            texts.append(display(evaluation, found[0]) if found else "<undefined>")
        else:
            texts.append(display(evaluation, part))
    evaluation.spend(sum(map(len, texts)) // 8)
    return "".join(texts)
