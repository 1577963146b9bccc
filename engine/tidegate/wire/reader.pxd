from tidegate.wire._governed cimport Fields
from tidegate.wire._strict cimport Fault

cdef class Reader:
    cdef Fields _fields
    cdef object _decode
    cdef int _depth
    cdef bint _later

    cpdef read(self, bytes body)
    cdef _decoded(self, bytes body)
