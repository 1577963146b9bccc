cimport cython

cdef class Price:
    cdef readonly str model, provider, source
    cdef readonly object context, max_output
    cdef dict _schedules
    cdef tuple _standard

    @cython.locals(schedule=tuple, row=tuple)
    cpdef cost(self, usage, double at)

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
