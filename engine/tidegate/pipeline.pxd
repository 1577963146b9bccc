cimport cython

from tidegate.accept._head cimport Request
from tidegate.accept.connection cimport Connection
from tidegate.clock cimport Clock
from tidegate.count.metering cimport Metering, Meters
from tidegate.decide.decision cimport decide
from tidegate.forward.relay cimport Relay
from tidegate.forward.way cimport Way, Ways
from tidegate.identify.caller cimport identify
from tidegate.identify.held cimport Keys
from tidegate.limit.hold cimport acquire, settle
from tidegate.model cimport Call
from tidegate.record._runs cimport RunIds
from tidegate.record.account cimport Account
from tidegate.record.evidence cimport Evidence
from tidegate.wire.reader cimport Reader

cdef class Snapshot:
    cdef readonly object settings, policy
    cdef readonly Ways ways
    cdef readonly Meters meters
    cdef dict readers

    @cython.locals(reader=Reader)
    cdef Call read(self, Request request, bytes run)

cdef class Pipeline:
    cdef readonly Clock clock
    cdef public bint draining
    cdef readonly set connections
    cdef readonly Snapshot snapshot
    cdef readonly object limits
    cdef Keys _keys
    cdef Evidence _evidence
    cdef RunIds _runs
    cdef object _threads
    cdef Py_ssize_t _buffered, _most

    @cython.locals(now=Snapshot, call=Call)
    cpdef begin(self, Connection client, Request request)
    @cython.locals(way=Way, account=Account)
    cpdef _go_on(self, Snapshot now, Connection client, Call call, caller, known)
    @cython.locals(underway=Underway, relay=Relay, head=bytes, body=bytes)
    cpdef _admit(self, Snapshot now, Connection client, Call call, caller, Account account, Way way, Metering metering)
    cpdef bytes new_run(self)

@cython.freelist(16)
cdef class Underway:
    cdef readonly Call call
    cdef Evidence _evidence
    cdef Account _account
    cdef object _seq, _hold, _meter
    cdef Way _way
    cdef Metering _metering

    cpdef bytes feed(self, bytes read)
    cpdef bint first(self, Relay relay) except -1
    cpdef bint ended(self, ended, Relay relay) except -1

cdef class Departure:
    cdef Way _way
    cdef Relay _relay
    cdef bytes _head, _body
