cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from tidegate.draws cimport Draws
from tidegate.limit._table cimport Entry, Key, Table

ctypedef struct Part:
    PyObject* bucket
    int64_t slot
    uint64_t word
    int64_t amount
    int64_t cost
    int64_t used  # at the end
    bint over

cdef enum:  # what a call draws
    ONCE
    TOKENS
    COST


@cython.final
cdef class Bucket:
    cdef Table table
    cdef readonly object limit
    cdef readonly str kind
    cdef readonly bytes key  # under which the table keeps it, in the window that it draws from now
    cdef int measure  # its place in MEASURES
    cdef int draws
    cdef int64_t until
    cdef readonly int64_t max, burst, ends
    cdef readonly bint warns
    cdef Key aimed, owner
    cdef uint64_t word, ahead, units
    cdef int64_t slot, depth, one
    cdef uint32_t sort
    cdef object roll, full

    cdef int64_t amount(self, int64_t tokens, int64_t cost) noexcept
    cdef int64_t cost(self, int64_t amount) noexcept
    cdef int64_t find(self) noexcept
    cdef follow(self)
    cpdef (int64_t, int64_t, int64_t) standing(self)
    cdef int64_t owed(self, int64_t now) noexcept
    cdef int64_t drawn(self) noexcept
    cdef int64_t left(self, int64_t now) noexcept
    cdef int draw(self, Part* part, int64_t amount, int64_t now, bint force) except -1


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Hold:
    cdef Holds holds
    cdef Part[4] few
    cdef Part* parts
    cdef Py_ssize_t count
    cdef Py_ssize_t index
    cdef int64_t deadline
    cdef int state, life
    cdef bint leaks  # what it holds would be held for ever if nobody gave it back

    cdef bint draw(self, Bucket bucket, int64_t amount, int64_t now) except -1
    cdef int tell(self, Draws said) except -1
    cdef bint tell_used(self, Draws said, int64_t tokens, int64_t cost) noexcept
    cdef bint over(self) noexcept
    cpdef charge(self, int64_t tokens, int64_t cost, uint64_t seq)
    cdef int end(self, uint64_t seq) except -1
    cdef shrink(self, list before)
    cdef bint prepare(self, Py_ssize_t count) except 0
    cdef int undo(self, Part* part, int64_t amount, int64_t cost, int64_t now) noexcept
    cdef int turn_into(self, Bucket bucket, Part* part, int64_t used, int64_t now, uint64_t seq) noexcept
    cdef int stage(self) noexcept
    cdef finish(self, int state)


@cython.final
cdef class Holds:
    cdef readonly Table table
    cdef PyObject** open  # holds, which it owns
    cdef Py_ssize_t count, room
    cdef int64_t span
    cdef int life
    cdef object refuse

    cpdef take(self, tuple buckets, int64_t tokens, int64_t cost)
    cdef Hold begin(self, Py_ssize_t count)
    cdef Hold kept(self, Hold made, int64_t now)
    cdef int reserve(self) except -1
    cdef close(self, Hold hold)
    cdef close_all(self)
