cimport cython

from tidegate.decide.standings cimport Standings
from tidegate.model cimport Call
from tidegate.rego.generate.asking cimport at_path
from tidegate.values cimport Caller, Estimate

cdef int _LIMITS

@cython.final
cdef class Field:
    cdef tuple _path
    cdef int _number
    cdef object _evaluated

    cdef of_call(self, Call call, Caller caller)
    @cython.locals(standings=Standings)
    cpdef of(self, Call call, Caller caller, Estimate estimate, ns, integration, limits)
    @cython.locals(number=int)
    cdef _of(self, Call call, Caller caller, Estimate estimate, ns, integration, limits)
