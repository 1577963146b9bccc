cdef class Clock:
    cdef readonly double now
    cdef readonly object loop
    cdef object _beat, _next
    cdef list _phases
    cdef int _phase
