cimport cython
from libc.stdint cimport int64_t

from tidegate.rego.generate.asking cimport at_path

@cython.final
cdef class Standing:
    cdef readonly str name
    cdef readonly bint usd
    cdef readonly int64_t used, remaining, reset

    cdef begin(self, str name, bint usd, int64_t used, int64_t remaining, int64_t reset)
    cpdef field(self, str name)
    cdef _amount(self, amount)
    cpdef told(self)

cdef class Standings:
    cdef list _all

    cpdef list look(self)
    @cython.locals(standing=Standing)
    cpdef at(self, tuple path)
    cpdef told(self)
    cdef list _looked(self)
