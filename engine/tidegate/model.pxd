cimport cython

@cython.no_gc  # a tree of finished values: no cycle can lead through it
@cython.freelist(16)
cdef class Call:
    cdef readonly bytes run, query, body
    cdef readonly object route, fields, most, n
    cdef readonly dict headers
    cdef readonly str model
    cdef readonly bint stream
