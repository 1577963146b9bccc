from collections.abc import Callable, Sequence
from typing import Literal, final

def size_of(slots: int, workers: int) -> int:
    """The bytes of a table."""

@final
class Table:
    """One process's view of a table that is mapped at `memory`, zeroed or as another process left it."""

    joined: bool
    slots: int
    workers: int

    def __init__(self, memory: object, slots: int, workers: int, quota: int) -> None: ...
    def format(self, boot: bytes, seed: bytes) -> None:
        """Makes zeroed memory a table; the magic comes last, so that one half made is none."""
    def flaw(self, boot: bytes) -> str | None:
        """Why this memory cannot be used as it is; None when it can."""
    @property
    def seed(self) -> bytes:
        """The key of the keyed hash; nobody outside can choose keys that share a place."""
    def set_clock(self, now: int | None, wall: int | None = None) -> None:
        """Stands still at these times from now on, in simulations and tests; None goes with the machine's again."""
    def time(self) -> int:
        """CLOCK_MONOTONIC in nanoseconds, as draws see it."""
    def wall_time(self) -> int:
        """Unix time in nanoseconds as windows see it: never before a time at which one was chosen."""
    def window_chosen(self, wall: int) -> None:
        """A window was chosen at `wall`: nobody chooses an earlier one any more."""
    def life(self, worker: int) -> tuple[int, bool, int, int]:
        """(epoch, joined, pid, born) of a worker's place."""
    def join(self, worker: int, pid: int, born: int) -> int | None:
        """Draws as this worker from now on; returns its epoch, or None where one that joined was not reaped yet."""
    def turn(self) -> None:
        """No draw of this worker is under way at this moment; said once a loop turn, or now and then."""
    def counters(self) -> dict[str, int]:
        """What was counted by all workers since the table was made."""
    def used(self) -> int:
        """How many entries are taken."""
    def reap(
        self,
        worker: int,
        epoch: int,
        charges: Callable[[Sequence[tuple[bytes, Literal["budget", "concurrent"], int]]], Sequence[int]],
    ) -> bool:
        """Settles what a dead worker held, and frees its place; False where that was done before."""
    def restore(self, key: bytes, ends: int, settled: int) -> bool:
        """A total from before: what was settled in a budget's window. Said again it stands once; False: no place."""
    def retire(self) -> None:
        """Marks what is idle. It is cleared after every worker has passed a turn, unless somebody needed it by then."""
    def turned(self) -> bool:
        """Whether every worker has passed a turn since entries were retired."""
    def clear(self) -> int:
        """Frees what was retired and stayed idle, and counts the entries of every owner; returns how many it freed."""
