"""Versions as semver.org orders them."""

import re
from typing import Final

from tidegate.rego.builtins import builtin
from tidegate.rego.builtins.operands import string
from tidegate.rego.errors import BuiltinError
from tidegate.rego.values import Value

_IDENTIFIERS: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION: Final = re.compile(
    rf"(?P<major>\d{{1,18}})\.(?P<minor>\d{{1,18}})\.(?P<patch>\d{{1,18}})(?:-(?P<before>{_IDENTIFIERS}))?(?:\+{_IDENTIFIERS})?",
    re.ASCII,
).fullmatch


@builtin("semver.is_valid", "vsn: any -> result: boolean")
def is_valid(version: Value) -> bool:
    return type(version) is str and _VERSION(version) is not None


@builtin("semver.compare", "a: string, b: string -> result: number")
def compare(a: Value, b: Value) -> int:
    """-1, 0 or 1. What stands behind a `+` does not count."""
    first, second = _rank(1, string("semver.compare", 1, a)), _rank(2, string("semver.compare", 2, b))
    return (first > second) - (first < second)


# A version without pre-release is above those with one; a number is below a word.
_Rank = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def _rank(position: int, version: str) -> _Rank:
    found = _VERSION(version)
    if found is None:
        raise BuiltinError(f"semver.compare: operand {position}: string {version!r} is not a valid SemVer")
    before = found["before"]
    identifiers = tuple(
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in (before or "").split(".")
    )
    return int(found["major"]), int(found["minor"]), int(found["patch"]), before is None, identifiers
