from tidegate.decide.admission cimport Admission

cdef class Ruling:
    cdef public frozenset phases, wanted
    cdef public dict declared
    cdef public Admission alone
