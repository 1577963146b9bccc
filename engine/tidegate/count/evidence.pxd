cimport cython

@cython.final
cdef class Rate:
    cdef readonly double ratio
    cdef readonly int error
    cdef readonly str kind

    cpdef Py_ssize_t of(self, Py_ssize_t tokens) except? -1
    cpdef Py_ssize_t back(self, Py_ssize_t tokens) except? -1

@cython.locals(total=double, calls=double)
cdef double _total(tuple errors) except? -1

cdef bint _is_enough(double counted, tuple errors) except -1

@cython.locals(left=double, calls=double, step=Py_ssize_t)
cdef int _within(tuple errors) except -1

@cython.locals(bound=double, last=Py_ssize_t, step=Py_ssize_t)
cdef Py_ssize_t _step(double percent) except -1

@cython.locals(decay=double, calls=double, left=list, step=Py_ssize_t)
cdef tuple _faded(tuple errors, Py_ssize_t another)

@cython.locals(counted=double, billed=double, general=double)
cpdef tuple rates(str model, list every)

@cython.locals(counted=double, billed=double, errors=tuple, lean=double, ratio=double)
cdef Rate _rate(evidence, double general)
