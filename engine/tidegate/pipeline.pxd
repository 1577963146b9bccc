cimport cython

from tidegate.accept._head cimport Request
from tidegate.accept.connection cimport Connection
from tidegate.clock cimport Clock
from tidegate.count.metering cimport Metering, Meters
from tidegate.forward.relay cimport Relay
from tidegate.forward.way cimport Way, Ways
from tidegate.identify.caller cimport Met, identify
from tidegate.identify.held cimport Keys
from tidegate.counters cimport Counters
from tidegate.limit.hold cimport Holder
from tidegate.model cimport Call
from tidegate.record._runs cimport RunIds
from tidegate.record.account cimport Account
from tidegate.record.evidence cimport Evidence
from tidegate.run cimport Rules, Run
from tidegate.values cimport Caller, Decision, Outcome
from tidegate.wire.reader cimport Reader
from tidegate.wire.values cimport Route

cdef class Snapshot:
    cdef readonly object settings, forward, identify
    cdef readonly str evidence
    cdef readonly Ways ways
    cdef readonly Meters meters
    cdef readonly Rules rules
    cdef dict readers

    @cython.locals(reader=Reader, route=Route)
    cdef Call read(self, Request request, bytes run)

cdef class Pipeline:
    cdef readonly Clock clock
    cdef public bint draining
    cdef readonly set connections
    cdef readonly Snapshot snapshot
    cdef readonly object limits
    cdef Keys _keys
    cdef Holder _holder
    cdef Counters _counters
    cdef Evidence _evidence
    cdef RunIds _runs
    cdef object _threads
    cdef Py_ssize_t _buffered, _most

    @cython.locals(behind=cython.ulonglong)
    cpdef begin(self, Connection client, Request request)
    @cython.locals(now=Snapshot, call=Call, caller=Caller, met=Met)
    cpdef go(self, Connection client, Request request, bytes run)
    @cython.locals(passage=Passage, account=Account)
    cpdef _go_on(self, Snapshot now, Connection client, Call call, Caller caller, known)
    @cython.locals(meters=Meters, call=Call)
    cpdef bint _metered(self, Connection client, Passage passage, Way way, str model) except -1
    @cython.locals(way=Way, caller=Caller, decision=Decision)
    cpdef _decide(self, Connection client, Passage passage)
    @cython.locals(relay=Relay)
    cpdef _leave(self, Connection client, Passage passage)
    cpdef bytes new_run(self)

cdef class Passage(Run):
    cdef readonly Snapshot now
    cdef readonly Way way
    cdef readonly str model
    cdef public tuple fallback
    cdef Evidence _evidence
    cdef object _threads, _seq

    cpdef set_out(
        self, Snapshot now, Holder holder, Counters counters, Call call, Caller caller, Account account, Evidence evidence,
        threads
    )
    cpdef goes(self, Way way, str model, Metering metering)
    @cython.locals(way=Way, body=bytes, head=bytes)
    cpdef depart(self, Relay relay)
    cpdef bint again(self, int status, error, Relay relay) except -1
    cpdef bint first(self, Relay relay) except -1
    cpdef bint ended(self, Outcome ended, Relay relay) except -1

cdef class Departure:
    cdef Way _way
    cdef Relay _relay
    cdef bytes _head, _body
