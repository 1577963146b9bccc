cimport cython

cdef class Calibration:
    cdef public list flaws
    cdef object _path
    cdef dict _own, _others, _rates

    cpdef prompt(self, str provider, str model, count)
    cpdef estimate(self, str provider, str model, tokens, features)
    @cython.locals(key=tuple)
    cpdef tuple rates(self, str provider, str model, str side)
    @cython.locals(key=tuple, kinds=list)
    cpdef learn(self, str provider, str model, features, counted, billed)

cpdef bint teaches_prompt(str provider, count, usage) except -1
cpdef bint teaches_output(usage) except -1
