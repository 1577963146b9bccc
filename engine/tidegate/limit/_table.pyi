from collections.abc import Iterable
from typing import Literal, final

def size_of(slots: int, workers: int) -> int:
    """The bytes of a table."""

def numbers_of(head: bytes, boot: bytes) -> tuple[int, int] | None:
    """(slots, workers) of the table of this boot that begins with these bytes; None where that is none."""

@final
class Table:
    """One process's view of a table that is mapped at `memory`, zeroed or as another process left it."""

    joined: bool
    slots: int
    workers: int

    def __init__(self, memory: object, slots: int, workers: int, quota: int) -> None: ...
    def format(self, boot: bytes, seed: bytes) -> None:
        """Makes zeroed memory a table; the magic comes last, so that one half made is none."""
    def flaw(self, boot: bytes, seed: bytes | None = None) -> str | None:
        """Why this memory cannot be used as it is; None when it can. Without a `seed` any will do."""
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
    def journal(self, worker: int) -> int:
        """The epoch of the journal that records what the life of this place settles; 0: there is none."""
    def join(self, worker: int, pid: int, born: int, journal: int = 0) -> int | None:
        """Draws as this worker from now on; returns its epoch, or None where one that joined was not reaped yet."""
    def turn(self) -> None:
        """No draw of this worker is under way at this moment; said once a loop turn, or now and then."""
    def counters(self) -> dict[str, int]:
        """What was counted by all workers since the table was made."""
    def used(self) -> int:
        """How many entries are taken."""
    def left(self, worker: int, epoch: int) -> list[tuple[bytes, Literal["budget", "concurrent"], int, int]] | None:
        """What a life that is over left: [(key, kind, held, seq of the last record settled)]; None: it was freed."""
    def charge(self, worker: int, epoch: int, key: bytes, charges: Iterable[tuple[int, int]]) -> None:
        """Settles in one bucket what a life that is over used, and frees what it held there, both at once.

        Of the (seq, amount) it adds those whose record is not settled there yet, so that saying it again adds nothing.
        One without a record, of seq 0, stands for what is held, and adds nothing where nothing is.
        """
    def free(self, worker: int, epoch: int) -> None:
        """Gives a life's place to the next, with the entries that it was about to claim; nothing may be held by it."""
    def restore(self, key: bytes, ends: int, settled: int) -> bool:
        """A total from before: what was settled in a budget's window. Said again it stands once; False: no place."""
    def retire(self) -> None:
        """Marks what is idle. It is cleared after every worker has passed a turn, unless somebody needed it by then."""
    def turned(self) -> bool:
        """Whether every worker has passed a turn since entries were retired."""
    def clear(self) -> int:
        """Frees what was retired and stayed idle, and counts the entries of every owner; returns how many it freed."""
