cimport cython

@cython.no_gc
@cython.freelist(16)
cdef class Request:
    cdef readonly bytes method
    cdef readonly bytes path
    cdef readonly bytes query
    cdef readonly dict headers
    cdef readonly bint http11
    cdef readonly bint keep_alive
    cdef public bytes body
    cdef public object route
    cdef public object refusal
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t length
    cdef readonly bint whole

cpdef Request scan(bytes data, Py_ssize_t line_limit, Py_ssize_t head_limit, int count_limit)
