cdef class Reader:
    cdef object _shape, _decode, _depth

    cpdef read(self, bytes body)
