cimport cython

@cython.locals(ratio=double)
cdef _rate(evidence, double general)
