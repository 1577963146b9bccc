cimport cython

from tidegate.count._prompt cimport Fields
from tidegate.count._tokens cimport Vocabulary
from tidegate.count.framing cimport Framing
from tidegate.count.tally cimport Tally

cdef class Scheme:
    cdef readonly str model, kind
    cdef readonly Vocabulary vocabulary
    cdef readonly bint public, framed
    cdef readonly Framing framing
    cdef readonly tuple tool_prompt

    cpdef bint counts_as(self, Scheme other) except -1
    cpdef str kind_of(self, str endpoint, Tally tally)

cdef dict _READ

cdef object _UNSET

@cython.locals(tally=Tally, of_endpoint=dict, read=Fields, at=Py_ssize_t)
cpdef Tally tallied(str endpoint, fields, Scheme scheme)

cpdef counted(Tally tally, str kind)

@cython.locals(size=Py_ssize_t, most=Py_ssize_t)
cdef bint _is_endless(value) except -1
