cimport cython

from tidegate.count._prompt cimport Counts

@cython.no_gc
cdef class Tally(Counts):
    cpdef as_written(self, json)
    cpdef read(self, json, decoder)
