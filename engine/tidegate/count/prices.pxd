cimport cython
from cython cimport longlong

cdef class Price:
    cdef readonly str model, provider, source
    cdef readonly object context, max_output
    cdef readonly bint timely
    cdef dict _schedules
    cdef tuple _standard

    @cython.locals(
        service=str, schedule=tuple, row=tuple, read=longlong, said=longlong, wrote=longlong, cached=longlong, kept=longlong, written=longlong,
        heard=longlong, seen=longlong, thought=longlong, spoken=longlong, drawn=longlong, searches=longlong, total=object
    )
    cpdef cost(self, usage, double at)
    @cython.locals(row=tuple)
    cpdef standard(self, read, said, double at)

@cython.locals(row=tuple)
cdef tuple _row(tuple schedule, double at, read)

@cython.locals(second=Py_ssize_t, steps=tuple)
cdef tuple _rows(tuple schedule, double at)

cdef class Prices:
    cdef readonly object table
    cdef readonly str digest
    cdef object _names, _unknown
    cdef dict _override, _found

    cpdef Price of(self, str model, str provider=*)
    @cython.locals(price=Price)
    cpdef cost(self, str model, usage, str provider=*, at=*)
