from tidegate.count._prompt cimport Counts
from tidegate.count.framing cimport Framing

cdef class Tally(Counts):
    cdef public Framing around

    cpdef as_written(self, json)
    cpdef read(self, json, decoder)
