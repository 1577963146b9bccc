"""How long a thread wants a core at a time."""

from libc.stdint cimport int64_t

cdef extern from "turns.h":
    void c_take_turns "take_turns"(int64_t)


def take_turns(double seconds):
    c_take_turns(<int64_t>(seconds * 1e9))
