cimport cython

from tidegate.decide.known cimport Known, Told
from tidegate.model cimport Call
from tidegate.values cimport Caller, Estimate

@cython.final
cdef class Elements:
    cdef readonly str place
    cdef readonly object rule
    cdef dict _sets

    cpdef finished(self, list elements)

@cython.final
cdef class Admission:
    cdef object _noted, _again, _carries_out
    cdef str _digest
    cdef Known _known
    cdef dict _passes

    @cython.locals(told=Told)
    cpdef decide(self, Call call, Caller caller, Estimate estimate, ns, integration, limits)
    cdef Told _asked(self, Call call, Caller caller, Estimate estimate, ns, integration, limits)
    cdef _settled(self, tuple said)
    cdef _passed(self, tuple said, limit, most)
