cimport cython

cdef class MessageReport:
    cdef object _so_far, _whole

    @cython.locals(figures=list)
    cpdef plain(self, bytes body)
    cpdef event(self, bytes data)

cdef list _figures(said)
cdef _usage(list figures)
