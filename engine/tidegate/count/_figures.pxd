cimport cython


@cython.final
cdef class Figures:
    cdef void* shape  # only _figures.pyx knows what it points to
    cdef unsigned objects, numbers, words

    cdef int add(self, dict fields) except -1
    cpdef list read(self, bytes document)
