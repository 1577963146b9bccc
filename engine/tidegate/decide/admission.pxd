from tidegate.model cimport Call

cdef class Elements:
    cdef readonly str place
    cdef readonly object rule
    cdef dict _sets

    cpdef finished(self, list elements)

cdef class Admission:
    cdef object _said, _carries_out
    cdef str _digest
    cdef dict _passes

    cpdef decide(self, Call call, caller, estimate, ns, integration, limits)
    cdef _passed(self, tuple said, limit, most)
