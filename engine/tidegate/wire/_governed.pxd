cimport cython
from libc.stdint cimport int64_t, uint32_t

from tidegate.wire._strict cimport PLACES, Shape

cdef enum Kind:
    RAW, TEXT, FLAG, NUMBER, ANY

cdef struct Field:
    Kind kind
    bint nullable
    int64_t least  # of a number, or the length of a text
    int64_t most

@cython.final
cdef class Fields:
    cdef object struct
    cdef Shape shape
    cdef int count
    cdef Field[PLACES] fields
    cdef uint32_t required
    cdef tuple names
    cdef list decoders  # of fields of other types
    cdef uint32_t last  # the fields of the last body, and their names: most bodies of a route have the same
    cdef tuple last_names
    cdef list texts  # short ones that came last, by their size and letters

    cpdef read(self, bytes body, int depth)
    cdef value(self, bytes body, int place, Py_ssize_t start, Py_ssize_t end)
    cdef text(self, Field *field, const char *p, Py_ssize_t size)
