"""What the processes see of each other without a message: one heartbeat word for every worker slot.

Anonymous shared memory, made before the workers are forked. A word has one writer at a time, on a cache line of its
own, and an aligned eight-byte store is seen whole or not at all.
"""

import mmap
import time

LINE = 64


class Board:
    """Heartbeats by slot, in CLOCK_MONOTONIC nanoseconds."""

    def __init__(self, slots: int) -> None:
        self._words = memoryview(mmap.mmap(-1, slots * LINE)).cast("q")

    def beat(self, slot: int) -> None:
        """The worker's loop turns."""
        self._words[slot * LINE // 8] = time.monotonic_ns()

    def silent_for(self, slot: int) -> float:
        """Seconds since the last beat."""
        return (time.monotonic_ns() - self._words[slot * LINE // 8]) / 1e9
