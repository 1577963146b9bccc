cimport cython
from cpython.object cimport PyObject


@cython.final
@cython.freelist(64)
@cython.no_gc  # its neighbours are the list's
cdef class Begun:
    cdef unsigned long long seq  # of its last intent; 0: it is in no list
    cdef PyObject* before
    cdef PyObject* after


@cython.final
cdef class OpenRuns:
    cdef PyObject* oldest  # holds what it has: a run is only left out when it has ended
    cdef PyObject* newest

    cpdef begin(self, Begun run, unsigned long long seq)
    cpdef end(self, Begun run)
