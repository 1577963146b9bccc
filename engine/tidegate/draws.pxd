from libc.stdint cimport int64_t, uint64_t

ctypedef struct Draw:
    unsigned char bucket[16]  # its place in the table of limits
    int measure  # its place in MEASURES
    int64_t held, settled
    int64_t end  # of the bucket's window, Unix time in seconds; 0: it has none


cdef class Draws:
    cdef Draw few[4]
    cdef Draw* all
    cdef Py_ssize_t count
    cdef readonly bint overdraft

    cdef Draw* room(self, Py_ssize_t count) except NULL
    cpdef recorded(self, uint64_t seq)
