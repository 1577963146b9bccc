cimport cython

from tidegate.rego.values cimport compare, equal, lookup

cdef int _ABOVE, _AT_LEAST, _BELOW, _AT_MOST, _KIND, _EQUAL, _DEFINED, _ANYTHING

cdef class Question:
    cdef readonly str text
    cdef readonly tuple path
    cdef readonly frozenset reach
    cdef readonly bint anything
    cdef int _test
    cdef frozenset _kinds

    cpdef bint answer(self, value, other) except -1
    @cython.locals(order=int)
    cdef bint _compared(self, int test, value, other) except -1

cpdef at_path(value, tuple path)
cpdef bint ask(list notes, Question question, value, other) except -1
