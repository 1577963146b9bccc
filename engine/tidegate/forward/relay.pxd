cimport cython

from tidegate.clock cimport Clock
from tidegate.forward._answer cimport AnswerHead, frame
from tidegate.model cimport Call
from tidegate.wire.reply cimport head, whole

cdef class Framer:
    cdef public bint overflow, judges
    cdef public object stopping

    cpdef bytes feed(self, bytes read)
    cpdef bytes rest(self)

cdef class Relay:
    cdef readonly Call call
    cdef public object upstream
    cdef public bint reached
    cdef readonly bint over
    cdef object _course, _client, _write, _settings, _failure
    cdef Framer _events
    cdef Clock _clock
    cdef AnswerHead _head
    cdef str _stopped
    cdef list _pieces, _withheld
    cdef Py_ssize_t _held
    cdef int _waits
    cdef bint _chunked, _begun, _sent, _paused, _unsure
    cdef double _left_at, _spoke

    cpdef bint start(self, AnswerHead head) except -1
    cpdef receive(self, bytes payload, bint done)
    cdef _receive(self, bytes payload, bint done)
    cdef _flow(self)
    cdef _stream(self, Framer events, bytes payload, bint done)
    cdef _stop(self, error, bytes passed)
    cdef _write_stream(self, client, bytes events, bint done)
    cdef _write_whole(self, bytes body)
    cdef _gather(self, bytes payload, bint done)
    cdef _write_piece(self, bytes body, bint done)
    cdef bytes _start(self, client, bytes framing)
    cdef _put(self, client, bytes out, bint last)
    cdef _withhold(self, bytes out)
    cdef _tell(self, client, error)
    cdef _finish(self, client)
    cdef _cancel(self)
    @cython.locals(waits=bint)
    cdef bint _end(self, error) except -1
