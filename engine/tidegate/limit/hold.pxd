cimport cython

cdef class Buckets:
    cdef readonly tuple asked, all
    cdef readonly bint stops

    cpdef list amounts(self, tokens, cost)

cdef class Holder:
    cdef readonly object limits
    cdef object _holds
    cdef dict _known, _bucket

    @cython.locals(key=tuple, found=tuple)
    cpdef bucket(self, limit, str tenant)
    @cython.locals(key=tuple)
    cpdef Buckets buckets(self, tuple asked, str tenant)
    cpdef take(self, Buckets buckets, tokens, cost)

@cython.freelist(16)
cdef class Held:
    cdef readonly Buckets buckets
    cdef readonly bint overdraft
    cdef object _hold, _tokens, _cost
    cdef bint _left
    cdef tuple _drawn

    cpdef grow(self, tokens, cost)
    cpdef use(self, tokens, cost)
    cpdef use_nothing(self)
    cpdef release(self)
    cpdef renew(self)
    cpdef tuple drawn(self)
