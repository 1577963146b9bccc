from collections.abc import Callable, Sequence
from typing import Literal, final

from tidegate.limit._table import Table
from tidegate.limit.refusal import Refusal
from tidegate.model import Limit, Measure

@final
class Bucket:
    """A limit, ready to be drawn from. It takes a place in the table when it is drawn from for the first time."""

    limit: Limit
    kind: Literal["rate", "budget", "concurrent"]
    max: int
    burst: int
    ends: int
    warns: bool
    key: bytes

    def __init__(
        self,
        table: Table,
        limit: Limit,
        kind: str,
        max: int,
        burst: int,
        rate: tuple[int, int, int],
        owner: bytes,
        warns: bool,
        roll: Callable[[Bucket], None],
        full: Callable[[Bucket, bool], None],
    ) -> None: ...
    def aim(self, key: bytes, ends: int) -> None:
        """Draws from this key from now on: the one of a window that ends then."""
    def missing(self, amount: int) -> tuple[int, int | None, bool] | None:
        """Why `amount` cannot be drawn now: (remaining, retry, never); None when it can. It draws nothing."""
    def state(self) -> tuple[int, int | None]:
        """(remaining, reset): what could be drawn now, and the nanoseconds until all of it is there again, or None."""
    def standing(self) -> tuple[int, int, int]:
        """(used, remaining, reset): `used` and `state` in one, where 0 is a reset that is no question of time."""
    @property
    def used(self) -> int:
        """What is drawn of it: by calls that ended, as far as it is still owed, and by calls under way."""
    def settled(self) -> int:
        """What was settled in a budget's window."""
    def held(self) -> int:
        """What is held of it at this moment."""

@final
class Hold:
    """What was drawn for one call, bucket by bucket in the order in which they were asked for."""

    @property
    def amounts(self) -> tuple[int, ...]:
        """What is held, in the order of the buckets."""
    @property
    def drawn(self) -> tuple[tuple[bytes, Measure, int, int], ...]:
        """What a record says of each bucket: its key, measure, what is held, and when its window ends, in seconds."""
    @property
    def exceeded(self) -> tuple[Limit, ...]:
        """The limits that only warn, and were exceeded."""
    @property
    def open(self) -> bool:
        """Whether it is neither settled nor released nor expired."""
    def grow(self, totals: Sequence[int]) -> Refusal | None:
        """Draws until so much is held of every bucket; None, or a Refusal, and then everything is as it was."""
    def settle(self, actual: Sequence[int], seq: int = 0) -> tuple[int, ...]:
        """What was really used takes the place of what was held; returns how much more it was, `()` if it was not.

        `seq` is the record of the worker's journal that says so, appended just before.
        """
    def charge(self, tokens: int, cost: int, seq: int) -> None:
        """As `settle`, of a call that used so many tokens at that cost; also of more than could be drawn."""
    def release(self) -> None:
        """Gives everything back: nothing was used. Once settled it changes nothing."""
    def renew(self) -> None:
        """The call lives: its deadline is a whole span away again."""

@final
class Holds:
    """The open holds of one process on one table."""

    table: Table

    def __init__(
        self, table: Table, span: int, refuse: Callable[[Sequence[tuple[Bucket, int]], int], Refusal]
    ) -> None: ...
    def __len__(self) -> int: ...
    def acquire(self, pairs: Sequence[tuple[Bucket, int]]) -> Hold | Refusal:
        """Draws every (bucket, amount), or nothing; a Hold, or what `refuse` makes of it."""
    def take(self, buckets: tuple[Bucket, ...], tokens: int, cost: int) -> Hold | Refusal:
        """As `acquire`, for a call of so many tokens at that cost. More than MOST_AMOUNT is refused, and counts as so
        much where a limit only warns: a caller may ask for it.
        """
    def expire(self) -> int:
        """Gives up every open hold whose deadline is over; returns how many there were."""
    def forget(self) -> None:
        """After a fork: what is open belongs to the parent, which settles it itself."""
