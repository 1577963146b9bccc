cdef class Call:
    cdef readonly bytes run, query, body
    cdef readonly object route, fields
    cdef readonly dict headers
    cdef readonly str model
    cdef readonly bint stream
