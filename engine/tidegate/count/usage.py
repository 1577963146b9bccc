"""What a call consumed. Without a meter only the provider's own report would be known."""

from tidegate.model import Call, Usage


def usage(call: Call) -> Usage | None:
    """What the call consumed, as far as it is known when the answer has ended."""
    return None
