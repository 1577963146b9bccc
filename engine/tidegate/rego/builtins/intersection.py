"""Whether two patterns have a text in common: characters, `.`, sets like `[a-z]`, each perhaps with `*` or `+`.

Both are walked together, as pairs of positions: a pair is reached when some text leads the first pattern to the one
and the second to the other.
"""

from collections.abc import Iterator

from msgspec import Struct

from tidegate.rego.errors import BuiltinError

_LAST = 0x10FFFF


class Part(Struct, frozen=True):
    """One place of a pattern: ranges of characters, and whether it may be left out or come again."""

    ranges: tuple[tuple[int, int], ...]
    optional: bool = False
    repeated: bool = False

    def meets(self, other: "Part") -> bool:
        return any(low <= high2 and low2 <= high for low, high in self.ranges for low2, high2 in other.ranges)


def intersect(first: str, second: str) -> bool:
    """Whether a text that is not empty is described by both."""
    a, b = _parse(first), _parse(second)
    waiting = [(0, 0, False)]
    seen = set(waiting)
    while waiting:
        i, j, moved = waiting.pop()
        if moved and i == len(a) and j == len(b):
            return True
        for state in _steps(a, b, i, j, moved):
            if state not in seen:
                seen.add(state)
                waiting.append(state)
    return False


def _steps(a: list[Part], b: list[Part], i: int, j: int, moved: bool) -> Iterator[tuple[int, int, bool]]:
    if i < len(a) and a[i].optional:
        yield i + 1, j, moved
    if j < len(b) and b[j].optional:
        yield i, j + 1, moved
    if i < len(a) and j < len(b) and a[i].meets(b[j]):
        for after_i in {i + 1, i if a[i].repeated else i + 1}:
            for after_j in {j + 1, j if b[j].repeated else j + 1}:
                yield after_i, after_j, True


def _parse(text: str) -> list[Part]:
    """The places of a pattern. `x+` is `x` and then `x*`, so that no place repeats without being optional."""
    parts: list[Part] = []
    at = 0
    flagged = True  # there is nothing yet that a `*` or `+` could belong to
    while at < len(text):
        character = text[at]
        if character in "*+":
            if flagged:
                raise _invalid(text, at, f"flag '{character}' must be preceded by a character, '.' or a set")
            ranges = parts[-1].ranges
            parts[-1 if character == "*" else len(parts) :] = [Part(ranges, optional=True, repeated=True)]
            flagged, at = True, at + 1
            continue
        ranges, at = _place(text, at)
        parts.append(Part(ranges))
        flagged = False
    return parts


def _place(text: str, at: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """What stands at one place, and where the next begins."""
    character = text[at]
    if character == ".":
        return ((0, _LAST),), at + 1
    if character == "[":
        return _set(text, at)
    if character == "]":
        raise _invalid(text, at, "set-close ']' with no preceding '['")
    code, after = _character(text, at)
    return ((code, code),), after


def _set(text: str, start: int) -> tuple[tuple[tuple[int, int], ...], int]:
    ranges: list[tuple[int, int]] = []
    at = start + 1
    while at < len(text) and text[at] != "]":
        low, at = _character(text, at)
        high = low
        if text[at : at + 1] == "-" and text[at + 1 : at + 2] not in ("", "]"):
            high, at = _character(text, at + 1)
            if high < low:
                raise _invalid(text, at, "a range must go upwards")
        ranges.append((low, high))
    if at >= len(text) or not ranges:
        raise _invalid(text, start, "set-open '[' with no following ']'" if ranges else "a set must not be empty")
    return tuple(ranges), at + 1


def _character(text: str, at: int) -> tuple[int, int]:
    if text[at] == "\\":
        at += 1
        if at == len(text):
            raise _invalid(text, at - 1, "an escape must be followed by a character")
    return ord(text[at]), at + 1


def _invalid(text: str, at: int, detail: str) -> BuiltinError:
    return BuiltinError(f"regex.globs_match: input:{text}, pos:{at + 1}, {detail}: the input provided is invalid")
