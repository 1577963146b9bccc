cimport cython

from tidegate.accept._head cimport Last, Request, scan
from tidegate.accept.routes cimport admit
from tidegate.clock cimport Clock

cdef class Connection:
    cdef readonly object gate
    cdef readonly bint http11
    cdef readonly object ip
    cdef public bint closing
    cdef public object answering, met
    cdef Clock _clock
    cdef readonly object write  # sends bytes of the answer
    cdef object _transport, _parser
    cdef object _limits
    cdef Last _last
    cdef Request _current, _pending
    cdef list _parts
    cdef Py_ssize_t _line, _headers, _most
    cdef int _count
    cdef Py_ssize_t _need, _held, _discarded, _waiting
    cdef double _began, _deadline, _idle
    cdef bint _busy, _stopped, _paused, _ending, _gone

    @cython.locals(request=Request)
    cpdef data_received(self, bytes data)
    cpdef finish(self)
    cdef _use(self, limits)
    cdef bytes _take(self, Request request, bytes data)
    cdef bytes _gather(self, Request request, bytes data)
    cdef _feed(self, bytes data)
    cdef _rest(self)
    cdef _wait_for(self, parser)
    cdef _stop_reading(self)
    cdef _read_on(self)
    cdef _begin(self, Request request)
    cdef Py_ssize_t _bodies(self)
    cdef _hold(self, Py_ssize_t size)
    cdef _refuse_and_close(self, error, Request request=*)
    cdef _end(self)
    cdef _discard(self, bytes data)
