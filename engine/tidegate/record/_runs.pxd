cdef class RunIds:
    cdef unsigned long long tag
    cdef long long time, count

    cpdef bytes new(self)
