cimport cython

from tidegate.clock cimport Clock
from tidegate.forward._answer cimport AnswerHead, Events, frame
from tidegate.model cimport Call
from tidegate.wire.reply cimport head, whole

@cython.freelist(16)
cdef class Relay:
    cdef readonly Call call
    cdef readonly object hold
    cdef public object upstream
    cdef readonly bint over
    cdef object _client, _settings, _ended
    cdef Clock _clock
    cdef AnswerHead _head
    cdef Events _events
    cdef list _pieces
    cdef Py_ssize_t _held
    cdef bint _sent, _paused
    cdef double _left_at, _spoke

    cpdef start(self, AnswerHead head)
    cpdef receive(self, bytes payload, bint done)
    cdef _stream(self, Events events, bytes payload, bint done)
    cdef _write_stream(self, client, bytes events, bint done)
    cdef _write_whole(self, bytes body)
    cdef _gather(self, bytes payload, bint done)
    cdef _write_piece(self, bytes body, bint done)
    cdef bytes _start(self, client, bytes framing)
    cdef _cancel(self)
    cdef _end(self, error)
