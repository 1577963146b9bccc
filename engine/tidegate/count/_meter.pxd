cdef class _Fed:
    """What compiled callers ask of a Meter with every read."""

    cdef readonly bint overflow

    cpdef bytes feed(self, bytes read)
