# What the fields of a document are found by, for those who fill such tables.
from libc.stdint cimport uint8_t, uint32_t

cdef extern from "fields.h" nogil:
    ctypedef struct Word:
        uint8_t length, what, of
        char* text
    ctypedef struct Names:
        uint32_t lengths
        uint8_t count
        Word* word
