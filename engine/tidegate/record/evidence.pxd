cdef class Known:
    cdef readonly object who, about

cdef class Evidence:
    cdef readonly Py_ssize_t worker, lost
    cdef readonly object epoch
    cdef object _journal, _subjects, _loop, _failures, _since
    cdef list _waiting, _policies
    cdef Py_ssize_t _count
    cdef object _dropped, _late
    cdef bint _turning
    cdef dict _begun, _refused
    cdef double _next

    cpdef Known at_hand(self, caller)
    cpdef write(self, make, bint new=*)
    cpdef bint wait(self, seq, waiting) except -1
    cdef _soon(self)
