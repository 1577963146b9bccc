cimport cython

from tidegate.count._tokens cimport Counter, Vocabulary
from tidegate.model cimport Call

cdef class Meters:
    cdef readonly object registry, calibration, prices
    cdef readonly Py_ssize_t limit
    cdef dict _known
    cdef object _sellers

    cpdef bint is_long(self, Call call) except -1
    cpdef Metering open(self, Call call, str model, str provider)

@cython.freelist(16)
cdef class Metering:
    cdef readonly object estimate, price
    cdef Meters _meters
    cdef str _provider, _endpoint, _model
    cdef object _prompt
    cdef object _meter
    cdef Counter _counter
    cdef object _reported
    cdef Py_ssize_t _tokens
    cdef bint _approximate

    cpdef stream(self, bint strip)
    cpdef plain(self, bytes body)
    cpdef piece(self, bytes body)
