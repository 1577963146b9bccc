from libc.stdint cimport int64_t, uint64_t

cimport cython

from tidegate.draws cimport Draws

# `_holds` and `_hold` are those of _draw.pyx. Their types are not named here: the header of the table has names that
# those who cimport this have, too.


@cython.final
cdef class Buckets:
    cdef readonly tuple asked, all
    cdef readonly bint stops
    cdef str tenant

    cpdef list amounts(self, tokens, cost)


@cython.final
cdef class Holder:
    cdef readonly object limits
    cdef object _holds
    cdef dict _known, _single
    cdef list _recent, _recent_single

    cpdef bucket(self, limit, str tenant)
    cpdef Buckets buckets(self, tuple asked, str tenant)
    cpdef take(self, Buckets buckets, int64_t tokens, int64_t cost)


@cython.final
cdef class Held(Draws):
    cdef readonly Buckets buckets
    cdef readonly bint warned
    cdef object _hold
    cdef int64_t _tokens, _cost
    cdef bint _left

    cpdef grow(self, tokens, cost)
    cpdef use(self, int64_t tokens, int64_t cost)
    cpdef use_nothing(self)
    cpdef release(self)
    cpdef renew(self)
