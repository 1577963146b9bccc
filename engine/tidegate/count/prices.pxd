cimport cython
from cython cimport longlong

from tidegate.values cimport Usage

@cython.final
cdef class Row:
    cdef readonly long long above
    cdef readonly tuple rates
    cdef bint small
    cdef long long _input, _cached, _write, _write_1h, _heard, _seen, _output, _thought, _spoken, _drawn, _search, _request

    @cython.locals(
        read=longlong, said=longlong, searches=longlong, cached=longlong, wrote=longlong, kept=longlong, heard=longlong,
        seen=longlong, thought=longlong, spoken=longlong, drawn=longlong, written=longlong, total=longlong
    )
    cdef cost(self, Usage usage)
    cdef texts(self, long long read, long long said)

cdef _exactly(tuple rates, usage)

cdef class Price:
    cdef readonly str model, provider, source
    cdef readonly object context, max_output
    cdef readonly long long writes
    cdef readonly bint steady
    cdef dict _schedules
    cdef tuple _standard, _always

    @cython.locals(service=str, row=Row, read=longlong)
    cpdef cost(self, Usage usage, double at)
    @cython.locals(row=Row)
    cpdef standard(self, long long read, long long said, double at)

@cython.locals(row=Row)
cdef Row _row(tuple steps, long long read)

@cython.locals(second=Py_ssize_t, steps=tuple)
cdef tuple _rows(tuple schedule, double at)

cdef class Prices:
    cdef readonly object table
    cdef readonly str digest
    cdef object _names, _unknown
    cdef dict _override, _found

    cpdef Price of(self, str model, str provider=*)
    @cython.locals(price=Price)
    cpdef cost(self, str model, Usage usage, str provider=*, at=*)
