cimport cython

from tidegate.decide.standings cimport Standings
from tidegate.model cimport Call
from tidegate.rego.generate.asking cimport at_path

cdef int _LIMITS

@cython.final
cdef class Field:
    cdef tuple _path
    cdef int _number
    cdef object _evaluated

    cdef of_call(self, Call call, caller)
    @cython.locals(standings=Standings)
    cpdef of(self, Call call, caller, estimate, ns, integration, limits)
    @cython.locals(number=int)
    cdef _of(self, Call call, caller, estimate, ns, integration, limits)
