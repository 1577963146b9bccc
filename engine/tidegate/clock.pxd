cdef class Clock:
    cdef readonly double now
    cdef object _loop, _beat, _next
    cdef list _phases
    cdef int _phase
