from tidegate.clock cimport Clock
from tidegate.forward._answer cimport AnswerHead, Body, copied, scan
from tidegate.forward.relay cimport Relay

cdef class Upstream:
    cdef readonly object origin
    cdef public Relay relay
    cdef readonly bint closed
    cdef object _transport, _reader
    cdef bytearray _buffer
    cdef Py_ssize_t _head_limit
    cdef double _first_byte, _idle, _longest, _keep_alive
    cdef Clock _clock
    cdef double _deadline, _total
    cdef AnswerHead _head
    cdef Body _body

    cpdef carry(self, Relay relay, bytes head, bytes body)
    cpdef abort(self)
    cdef _read_head(self, bytes data)
    cdef _release(self)
    cdef _fail(self, error)
