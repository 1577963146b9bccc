cimport cython

from tidegate.accept._head cimport Request
from tidegate.accept.connection cimport Connection
from tidegate.clock cimport Clock
from tidegate.count.usage cimport usage
from tidegate.decide.decision cimport decide
from tidegate.forward.relay cimport Relay
from tidegate.forward.way cimport Way, Ways
from tidegate.identify.caller cimport identify
from tidegate.limit.hold cimport acquire, settle
from tidegate.model cimport Call
from tidegate.record._runs cimport RunIds
from tidegate.record.entries cimport intent, outcome, refused
from tidegate.wire.reader cimport Reader

cdef class Pipeline:
    cdef readonly Clock clock
    cdef public bint draining
    cdef readonly set connections
    cdef readonly object settings, limits
    cdef RunIds _runs
    cdef Ways _ways
    cdef object _policy
    cdef dict _readers
    cdef Py_ssize_t _buffered

    @cython.locals(call=Call)
    cpdef begin(self, Connection client, Request request)
    @cython.locals(reader=Reader)
    cdef Call _read(self, Request request, bytes run)
    @cython.locals(way=Way, relay=Relay, body=bytes)
    cdef _forward(self, Connection client, Call call, decision, hold)
    cpdef bytes new_run(self)
