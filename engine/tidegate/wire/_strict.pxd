from libc.stdint cimport uint32_t

ctypedef const unsigned char *Text

cdef enum:
    PLACES = 32  # so many governed fields of the top level are noted, the first ones

cdef struct Spans:  # where the values stand of a body's governed fields, from the first byte to behind the last
    uint32_t found  # a bit for each that is there
    uint32_t[PLACES] start
    uint32_t[PLACES] end

cdef struct Names

cdef struct Name:  # a governed name
    Text text  # NULL: a free slot
    uint32_t length
    uint32_t hash
    Names *child  # of the objects in the field; NULL: not decoded
    int place  # in the order of the Shape

cdef struct Names:  # the governed names of an object: an open-addressed table
    Name *slots
    uint32_t mask

cdef class Shape:
    cdef readonly object fields
    cdef tuple texts
    cdef Names names

    cdef void add(self, bytes text, Shape child, int place)

cdef class Fault:
    cdef readonly str kind
    cdef readonly Py_ssize_t position
    cdef readonly str key
    cdef str reason

cdef Fault walked(bytes body, Shape shape, int depth, Spans *spans)
