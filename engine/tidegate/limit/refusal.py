"""Why a draw was refused, and what a bucket has left. Amounts are in the bucket's unit, times are nanoseconds."""

from typing import Final, Literal

from msgspec import Struct

from tidegate.model import Limit

STRENGTH: Final = {"block": 0, "throttle": 1, "warn": 2}


class State(Struct, frozen=True):
    """What a bucket has left, and when it will have all of it again."""

    remaining: int
    reset: int


class Exceeded(Struct, frozen=True):
    """A limit that refused: what it has left, and after how long the same draw passes if nobody else draws."""

    limit: Limit
    remaining: int
    retry: int | None  # None: that cannot be known
    never: bool = False  # it never passes: more is asked for than the limit gives at once


class Refusal(Struct, frozen=True):
    """All limits that refused a draw, the strongest first; nothing was drawn."""

    exceeded: tuple[Exceeded, ...]

    def __bool__(self) -> bool:
        return False

    @property
    def action(self) -> Literal["block", "throttle"]:
        """What the strongest of the limits asks for; a draw that never passes is blocked."""
        first = self.exceeded[0]
        return "block" if first.never or first.limit.exceed == "block" else "throttle"

    @property
    def retry(self) -> int | None:
        """After how long the same draw passes, if nobody else draws; None: that cannot be known."""
        times = [one.retry for one in self.exceeded if not one.never and one.retry is not None]
        return max(times) if len(times) == len(self.exceeded) else None
