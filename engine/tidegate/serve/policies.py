"""The policies of the settings, in a worker. What decides is imported only where there is one: it takes memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidegate.errors import StartError
from tidegate.settings import Settings

if TYPE_CHECKING:
    from tidegate.decide.live import Live

# What a gateway acts upon by now. A policy that says more is refused, and not half obeyed.
CARRIED_OUT: Final = frozenset(("deny", "warn", "evidence"))


def live(settings: Settings, told: Callable[[str], None]) -> Live | None:
    """The policies in force, following their files; None where the settings name none."""
    made = _live(settings, told)
    if made is not None:
        made.follow(settings.policy.settle)
    return made


def check_policies(settings: Settings) -> None:
    """Refuses to start with a policy that cannot be in force. It leaves the compiled policy to the workers."""
    made = _live(settings, lambda words: None)
    if made is not None and made.problems:
        raise StartError("\n".join(made.problems))


def _live(settings: Settings, told: Callable[[str], None]) -> Live | None:
    section = settings.policy
    if not section.path and not section.shadow:
        return None
    from tidegate.decide.cache import Cache
    from tidegate.decide.live import Live

    return Live(
        Path(section.path) if section.path else None,
        Path(section.shadow) if section.shadow else None,
        carries_out=CARRIED_OUT,
        budget=section.budget,
        cache=Cache(Path(settings.data, "policies")),
        told=told,
    )
