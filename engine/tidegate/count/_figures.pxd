cimport cython
from libc.stdint cimport int64_t, uint8_t

from tidegate.count._fields cimport Names, Word

cdef extern from "numbers.h" nogil:
    ctypedef struct Shape:
        Names* object
        Word kind
    ctypedef struct Numbers:
        int64_t* number
        const uint8_t** word
        size_t* length


@cython.final
cdef class Figures:
    cdef Shape shape
    cdef unsigned objects, numbers, words

    cdef int add(self, dict fields) except -1
    # for compiled callers; a number that is absent is -1, a word NULL. The words lie in the document
    cdef bint find(self, bytes document, Numbers* found) noexcept
