cimport cython

@cython.final
cdef class Rate:
    cdef readonly double ratio
    cdef readonly int error
    cdef readonly str kind

    cpdef Py_ssize_t of(self, Py_ssize_t tokens) except? -1
    cpdef Py_ssize_t back(self, Py_ssize_t tokens) except? -1

@cython.locals(ratio=double)
cdef _rate(evidence, double general)
