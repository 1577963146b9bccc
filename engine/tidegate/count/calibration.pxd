cimport cython

from tidegate.count.evidence cimport Rate, rates
from tidegate.values cimport Usage

cdef class Calibration:
    cdef public list flaws
    cdef object _path
    cdef dict _own, _others, _rates

    @cython.locals(key=tuple, of_side=dict)
    cpdef tuple rates(self, str provider, str model, str side)
    @cython.locals(key=tuple, kinds=list, known=list, rate=Rate, estimate=Py_ssize_t, error=double)
    cpdef teach(self, str provider, str model, str side, Py_ssize_t bucket, Py_ssize_t counted, Py_ssize_t billed)

cpdef bint teaches_input(str provider, Usage usage) except -1
cpdef bint teaches_output(Usage usage) except -1
