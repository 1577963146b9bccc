cimport cython

from tidegate.clock cimport Clock
from tidegate.forward._answer cimport AnswerHead, Body, copied, found
from tidegate.forward.relay cimport Relay

cdef Py_ssize_t WHOLE

cdef class Upstream:
    cdef readonly object origin
    cdef public Relay relay
    cdef readonly bint closed
    cdef bint _kept
    cdef object _transport, _write, _is_closing, _reader
    cdef bytearray _buffer
    cdef Py_ssize_t _head_limit
    cdef double _first_byte, _idle, _longest, _keep_alive
    cdef Clock _clock
    cdef double _deadline, _total
    cdef bytes _request, _long_body
    cdef AnswerHead _head
    cdef Body _body

    @cython.locals(relay=Relay, body=Body, head=AnswerHead, read=bytearray, offset=Py_ssize_t)
    cpdef buffer_updated(self, Py_ssize_t size)
    cpdef bint usable(self) except -1
    cpdef carry(self, Relay relay, bytes head, bytes body)
    @cython.locals(request=bytes, body=bytes, relay=Relay)
    cpdef send(self)
    cpdef abort(self)
    cpdef keep(self)
    cdef _read_head(self, bytes data)
    cdef _release(self)
    cdef _fail(self, error)
