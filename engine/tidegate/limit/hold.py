"""Takes what a decision asks for before the call leaves, and settles afterwards. Without limits nothing is held."""

from tidegate.model import Decision, Hold, Usage

NOTHING = Hold()


def acquire(decision: Decision) -> Hold:
    """Takes all that the decision asks for, or nothing."""
    return NOTHING


def settle(hold: Hold, usage: Usage | None) -> None:
    """Turns a hold into what was really used; called once for every acquire, however the call ended."""
