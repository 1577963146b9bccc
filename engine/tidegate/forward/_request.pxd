cimport cython

@cython.final
cdef class Form:
    cdef bytes start, fields
    cdef tuple names, lines, keyed
    cdef bint measured

    cpdef bytes head(self, dict headers, bytes query, Py_ssize_t length)
    cdef int place_of(self, bytes name) noexcept
