# cython: boundscheck=False, wraparound=False
"""The one maker of run ids: time-ordered, unique across workers, cheap.

An id is 26 lower-case hexadecimal digits: 12 of the Unix time in milliseconds, 6 of a counter, 8 of the worker's tag.
Ids of one worker rise strictly, also when the wall clock is set back. Compiled because formatting alone costs more in
Python than the rest of a call's bookkeeping (bench in tests/record/test_runs.py).
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

cdef inline void put_hex(char* out, unsigned long long value, int digits) noexcept nogil:
    while digits:
        digits -= 1
        out[digits] = b"0123456789abcdef"[value & 15]
        value >>= 4


cdef class RunIds:
    """Makes ids for one worker process; `tag` is what tells workers apart."""

    def __init__(self, tag=None):
        self.tag = (int.from_bytes(os.urandom(4), "big") if tag is None else tag) & 0xFFFFFFFF
        self.time = 0
        self.count = 0

    cpdef bytes new(self):
        """The next id."""
        cdef timespec now
        cdef long long milliseconds
        cdef bytes made = PyBytes_FromStringAndSize(NULL, 26)
        cdef char* out = PyBytes_AS_STRING(made)
        clock_gettime(CLOCK_REALTIME, &now)
        milliseconds = <long long>now.tv_sec * 1000 + now.tv_nsec // 1000000
        if milliseconds > self.time:
            self.time = milliseconds
            self.count = 0
        else:
            self.count += 1
            if self.count == 1 << 24:
                self.time += 1
                self.count = 0
        put_hex(out, self.time, 12)
        put_hex(out + 12, self.count, 6)
        put_hex(out + 18, self.tag, 8)
        return made
