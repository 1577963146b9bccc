cimport cython

cdef enum:
    MOST = 16  # fields of the caller's that are passed on

cdef struct Forwarded:  # a field that is passed on
    const char* line  # an end of line, its name, a colon and a blank
    Py_ssize_t size
    bint keyed  # it may have a virtual key, which stays here

@cython.final
cdef class Form:
    cdef bytes start, fields
    cdef list lines  # that the following ones point into
    cdef Forwarded[MOST] forwarded
    cdef int count
    cdef bint measured

    cpdef bytes head(self, dict headers, bytes query, Py_ssize_t length)
    cdef Forwarded* field(self, bytes name) noexcept
