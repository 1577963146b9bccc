"""What happened is written: the intent before a call leaves, the outcome when it has ended, refusals too."""

from tidegate.errors import TidegateError
from tidegate.model import Call, Decision, Outcome


def intent(call: Call, decision: Decision) -> None:
    """The call is about to leave."""


def outcome(call: Call, ended: Outcome) -> None:
    """The call has ended."""


def refused(call: Call, error: TidegateError) -> None:
    """The call will not leave."""
