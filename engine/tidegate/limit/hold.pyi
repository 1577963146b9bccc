from typing import Final, final

from tidegate.draws import Draws
from tidegate.limit._draw import Bucket
from tidegate.limit.limits import Limits
from tidegate.limit.refusal import Refusal
from tidegate.model import Limit

REMEMBERED: Final[int]
GROWING: Final[frozenset[str]]

@final
class Buckets:
    """Those of one set of limits, for one tenant."""

    asked: tuple[Limit, ...]
    all: tuple[Bucket, ...]
    stops: bool
    """Whether a stream may have to end at one of them."""

    def __init__(self, asked: tuple[Limit, ...], tenant: str, limits: Limits) -> None: ...
    def amounts(self, tokens: int, cost: int) -> list[int]:
        """What a call of so many tokens draws of each."""

@final
class Holder:
    """Takes what decisions ask for out of a process's limits."""

    limits: Limits

    def __init__(self, limits: Limits) -> None: ...
    def bucket(self, limit: Limit, tenant: str) -> Bucket:
        """The bucket of one limit, which nothing may be drawn from."""
    def buckets(self, asked: tuple[Limit, ...], tenant: str) -> Buckets:
        """The buckets of a decision's limits; its tenant has the places in the table."""
    def take(self, buckets: Buckets, tokens: int, cost: int) -> Held | Refusal:
        """All of it, or nothing and why."""

@final
class Held(Draws):
    """What one call holds, and what its records say of that: the buckets in the windows that were drawn in, also when
    those are over. Places of calls are not used up.
    """

    buckets: Buckets
    warned: bool
    """A limit that only warns was exceeded before the call left."""

    def __init__(self, *args: object, **options: object) -> None:
        """TypeError: a call holds what a Holder took."""
    @property
    def exceeded(self) -> tuple[Limit, ...]:
        """The limits that only warn, and were exceeded."""
    def grow(self, tokens: int, cost: int) -> Refusal | None:
        """Draws until so much is held; None, or why not, and then everything is as it was."""
    def use(self, tokens: int, cost: int) -> None:
        """What was really used; `recorded` charges it."""
    def use_nothing(self) -> None:
        """The call never left; `recorded` gives everything back."""
    def recorded(self, seq: int) -> None:
        """What was used takes the place of what was held, in full. The record of this number says so."""
    def release(self) -> None:
        """Nothing was used, and no record speaks of it."""
    def renew(self) -> None:
        """The call lives."""
