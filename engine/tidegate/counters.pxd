from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    MET = 32

cdef struct Rows:  # of calls of one kind
    PyObject* endpoint  # NULL: none is known here
    PyObject* integration
    PyObject* action
    int outcome
    Py_ssize_t call, answer, way


cdef class Counters:
    cdef Py_buffer memory
    cdef uint64_t* words
    cdef char* text
    cdef Py_ssize_t written, next
    cdef dict calls, answers, ways, codes, refusals, stops
    cdef Rows[MET] met
    cdef list kept
    cdef str last
    cdef Py_ssize_t last_way
    cdef uint64_t unrecorded, dropped  # what predecessors in this block had counted

    cpdef ended(
        self, str endpoint, str integration, str action, int status, str error, bint left, str stopped,
        int64_t decided, int64_t sent, int64_t first, int64_t last)
    cpdef used(self, str integration, str kind, uint64_t input, uint64_t output, uint64_t cost)
    cpdef refused(self, str code)
    cpdef attempt_failed(self, str integration)
    cpdef under_way(self, int change)
    cpdef streams(self, int change)
    cpdef overdrawn(self)

    cdef Rows* rows(self, str endpoint, str integration, str action, int outcome) except NULL
    cdef Py_ssize_t way(self, str integration) except -1
    cdef Py_ssize_t row(self, dict known, str family, object labels) except -1
    cdef void add(self, Py_ssize_t at, uint64_t amount) noexcept
    cdef void change(self, Py_ssize_t at, int change) noexcept
    cdef void observe(self, Py_ssize_t at, const int64_t* bounds, int count, int64_t span) noexcept
