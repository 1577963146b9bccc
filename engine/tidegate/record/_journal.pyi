from pathlib import Path
from typing import Literal, final

@final
class Journal:
    """The one writer of (worker, epoch) in a folder. All methods are for one thread; only drain and close wait.

    What append has returned a seq for, no kill of the process loses: it is in shared memory. What is durable, no power
    cut loses. A failed flush is never acknowledged: its segment is not written again, and what was not durable is
    written into another one. It has threads, so it is opened after a fork, and a later child cannot use it.
    """

    dropped: int
    """How many records were dropped, exactly; only under `best_effort`."""
    required: bool

    def __init__(
        self,
        folder: Path,
        worker: int,
        epoch: int,
        *,
        memory: Path | None = None,
        segment_size: int = ...,
        buffer: int = ...,
        limit: int = ...,
        audit: Literal["required", "best_effort"] = "required",
        stale: float = 2.0,
    ) -> None:
        """`memory` is the folder of the ring, best in shared memory; without it the ring lies beside the segments.

        `buffer` bounds what is appended and not durable, `limit` a record. OSError when the disk cannot hold the ring
        and the first segment, or the epoch has been written already.
        """
    def append(self, record: bytes, new: bool = False) -> int:
        """Takes a record; returns its seq. `new` is what begins something, such as a call's intent.

        Under `required` a new record is refused with Unrecorded while the journal is in trouble or three quarters full,
        so that what has begun can still be recorded; any other one only when the ring is full. Under `best_effort`
        nothing is refused: what finds no room is dropped and counted, and 0 returned.
        """
    def crowded(self) -> bool:
        """Whether half of the buffer waits for the disk, under `required`: what is new had better wait."""
    def idle(self) -> bool:
        """Whether the writer sleeps, and does not come to commit what is appended before it is woken."""
    def want(self, seq: int) -> bool:
        """Somebody waits for this record: True when it is durable already, else a commit follows after `turn`.

        The writer hears of it then, not before: one commit is for all that a turn appends, and the eventfd tells when
        it is done. What became durable until then is only seen in `durable`.
        """
    def turn(self) -> bool:
        """To be called once a turn of the loop: wakes the writer if it sleeps and there is reason to.

        False while the last write has failed, or a commit takes longer than `stale`: whoever waits should not any more.
        """
    def acknowledge(self) -> int:
        """Empties the eventfd; returns the last durable record."""
    @property
    def durable(self) -> int:
        """The last durable record."""
    @property
    def appended(self) -> int:
        """The last appended record."""
    @property
    def failures(self) -> int:
        """How many commits have failed. Each one is told by the eventfd: none that waited then has been recorded."""
    @property
    def trouble(self) -> str | None:
        """Why new records are refused at this moment."""
    def keep(self, seq: int) -> None:
        """Recovery needs no record before this one: no call that runs began before it."""
    def fileno(self) -> int:
        """An eventfd, readable when something that somebody waits for is durable, or a commit has failed."""
    def drain(self, timeout: float) -> bool:
        """Waits until everything appended is durable; False when it is not after so many seconds."""
    def close(self, timeout: float = 5.0) -> bool:
        """Makes everything durable and seals the epoch's end. False: the rest is left to recovery, and is not lost."""
