cimport cython
from libc.stdint cimport uint32_t

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

    cdef Request like(self, bint whole)

cdef enum:
    GAPS = 16

cdef struct Gap:  # in a head: a value that may be another one when it comes again
    uint32_t start
    uint32_t end
    bint length  # it is the body's length

@cython.final
cdef class Last:
    cdef Request request
    cdef bytes text
    cdef Py_ssize_t head_limit
    cdef int count
    cdef Gap[GAPS] gaps

    cpdef Request again(self, bytes data)

cpdef Request scan(bytes data, Py_ssize_t line_limit, Py_ssize_t head_limit, int count_limit)
