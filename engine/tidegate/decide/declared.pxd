cimport cython

from tidegate.decide.fields cimport Field
from tidegate.model cimport Call
from tidegate.values cimport Caller

@cython.final
cdef class Drawn:
    cdef readonly object limit
    cdef readonly bint usd
    cdef public object holder, bucket

@cython.final
cdef class Declared:
    cdef object _limit
    cdef list _fields
    cdef dict _made

    @cython.locals(field=Field, made=Drawn)
    cpdef Drawn of(self, Call call, Caller caller)
    @cython.locals(field=Field)
    cdef Drawn _of(self, Call call, Caller caller)
