"""The one maker of run ids: time-ordered, unique across workers, cheap.

An id is 26 lower-case hexadecimal digits: 12 of the Unix time in milliseconds, 6 of a counter, 8 of the worker's tag.
Ids of one worker rise strictly, also when the wall clock is set back.
"""

import os
import time

COUNTER = 1 << 24


class RunIds:
    """Makes ids for one worker process; `tag` is what tells workers apart."""

    def __init__(self, tag: int | None = None) -> None:
        self._tag = int.from_bytes(os.urandom(4)) if tag is None else tag & 0xFFFFFFFF
        self._time = 0
        self._count = 0

    def new(self) -> bytes:
        """The next id."""
        now = time.time_ns() // 1_000_000
        if now > self._time:
            self._time = now
            self._count = 0
        else:
            self._count += 1
            if self._count == COUNTER:
                self._time += 1
                self._count = 0
        return b"%012x%06x%08x" % (self._time, self._count, self._tag)
