cimport cython

from tidegate.count._meter cimport _Fed
from tidegate.count.metering cimport Metering
from tidegate.count.prices cimport Price
from tidegate.counters cimport Counters
from tidegate.decide.decision cimport decide
from tidegate.decide.ruling cimport Ruling
from tidegate.forward.relay cimport Framer
from tidegate.limit._standing cimport lines as standing
from tidegate.limit.hold cimport Buckets, Held, Holder
from tidegate.model cimport Call
from tidegate.record.account cimport Account
from tidegate.standings cimport Told
from tidegate.values cimport Caller, Decision, Estimate, Outcome, Usage

cdef class Rules:
    cdef readonly object policy
    cdef readonly Py_ssize_t reserve, step, every, tail, text

cdef class Run(Framer):
    cdef readonly Call call
    cdef readonly Caller caller
    cdef readonly Decision decision
    cdef readonly Estimate estimate
    cdef readonly Usage usage
    cdef readonly _Fed meter
    cdef readonly object cost
    cdef readonly Account account
    cdef readonly str why
    cdef readonly bint decided
    cdef Rules _rules
    cdef Holder _holder
    cdef Counters _counters
    cdef bint _left
    cdef Ruling _policy
    cdef readonly Metering counted
    cdef Metering _metering
    cdef str _integration
    cdef Buckets _buckets
    cdef Held _held
    cdef dict _document
    cdef object _standings
    cdef long long _covered, _ahead, _ask_at
    cdef long long _judged
    cdef bytes _unjudged

    @cython.locals(price=Price)
    cpdef metered(self, Metering metering, str integration, str prices)
    @cython.locals(decision=Decision, policy=Ruling)
    cpdef decide(self)
    @cython.locals(held=Held, decision=Decision)
    cpdef take(self)
    cdef _begin(self, Rules rules, Holder holder, Counters counters, Call call, Caller caller, Account account)
    @cython.locals(told=Told)
    cdef _limits(self, Ruling policy)
    cdef _reserved(self)
    cdef _stated(self)
    @cython.locals(price=Price)
    cpdef lowered(self)
    cdef _answers(self)
    cpdef plain(self, bytes body)
    cpdef came(self, bytes body)
    cpdef went(self, bytes body)
    cpdef bytes lines(self)
    cpdef leave(self, bytes body, tuple edits)
    cpdef stream(self, bint strip)
    @cython.locals(meter=_Fed)
    cpdef bytes feed(self, bytes read)
    cpdef bytes rest(self)
    cdef _pass(self, bytes events)
    cdef _passed(self)
    @cython.locals(held=Held, usage=Usage)
    cpdef settle(self, Outcome ended)
    @cython.locals(counters=Counters, account=Account)
    cpdef _over(self, Outcome ended)
