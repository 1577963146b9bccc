cimport cython

from tidegate.wire.values cimport Governed, Route

cdef class Call:
    cdef readonly bytes run, query, body
    cdef readonly Route route
    cdef readonly Governed fields
    cdef readonly object most, n
    cdef readonly dict headers
    cdef readonly str model
    cdef readonly bint stream

    @cython.locals(fields=Governed)
    cdef _read(self)
