"""Hints: the name that was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

NAMED = 12  # names listed where there is none near


def did_you_mean(name: str, candidates: Iterable[str], nearness: float = 0.6) -> str | None:
    """The nearest of the candidates, as a question."""
    near = get_close_matches(name, list(dict.fromkeys(candidates)), n=1, cutoff=nearness)
    return f"did you mean `{near[0]}`?" if near else None


def listed(names: Iterable[str]) -> str:
    """Some names in a row."""
    found = sorted(names)
    row = ", ".join(f"`{name}`" for name in found[:NAMED])
    return f"{row}, ..." if len(found) > NAMED else row
