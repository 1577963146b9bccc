"""The policies of the settings, in a worker: those that the settings name, or the ones that came with this version."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import tidegate
from tidegate.decide.cache import Cache
from tidegate.decide.live import Live
from tidegate.errors import StartError
from tidegate.settings import Settings

# What a gateway acts upon by now. A policy that says more is refused, and not half obeyed.
CARRIED_OUT: Final = frozenset(
    ("deny", "warn", "limit", "route", "capture.digest", "capture.none", "evidence", "max_output", "stop", "flag")
)


def live(settings: Settings, told: Callable[[str], None]) -> Live:
    """The policies in force, following their files."""
    made = _live(settings, told, Path(settings.data, "policies"))
    made.follow(settings.policy.settle)
    return made


def shipped() -> Path:
    """The policies that came with this version: in the package, or in a checkout beside it."""
    package = Path(tidegate.__file__).parent
    inside = package / "_policies"
    return inside if inside.is_dir() else package.parent.parent / "policies"


def check_policies(settings: Settings, into: Path | None = None) -> None:
    """Compiles the policies, and leaves them to the workers in the data directory, or in another folder. StartError
    with what cannot be in force. For a process of its own: no other needs the compiler.
    """
    made = _live(settings, lambda words: None, into or Path(settings.data, "policies"))
    if made.problems:
        raise StartError("\n".join(made.problems))


def _live(settings: Settings, told: Callable[[str], None], cache: Path) -> Live:
    section = settings.policy
    return Live(
        Path(section.path) if section.path else shipped(),
        Path(section.shadow) if section.shadow else None,
        carries_out=CARRIED_OUT,
        budget=section.budget,
        cache=Cache(cache),
        told=told,
    )
