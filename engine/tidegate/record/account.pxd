from libc.stdint cimport int64_t

from tidegate.model cimport Call
from tidegate.record._subject cimport Sha256
from tidegate.record.evidence cimport Evidence, Known

cdef extern from "leaf.h" nogil:
    ctypedef struct Leaf:
        unsigned char* at
        unsigned char* end
        int full


cdef class Account:
    cdef readonly str mode
    cdef Evidence _evidence
    cdef Call _call
    cdef Known _known
    cdef object _decision, _estimate
    cdef str _capture, _integration, _model, _told, _stopped
    cdef bytes _policy, _prices
    cdef tuple _draws, _seen, _attempts, _flags, _edits
    cdef unsigned char _run[13]
    cdef unsigned char _asked[32]
    cdef unsigned char _sent[32]
    cdef Sha256 _came, _went
    cdef bint _has_asked, _has_sent, _has_come, _has_gone
    cdef bint _kept, _leaving, _answered
    cdef int64_t _began, _start
    cdef readonly int64_t decided_at, sent_at, first_at, last_at  # ns from its beginning, 0: not yet

    cpdef decided(self, decision, estimate)
    cpdef seen(self, tuple states)
    cpdef routed(self, str integration, str model, str prices)
    cpdef held(self, tuple draws)
    cpdef attempted(self, long status, str error)
    cpdef came(self, bytes data)
    cpdef went(self, bytes data)
    cpdef stopped(self, str why, tuple reasons)
    cpdef flagged(self, tuple reasons)
    cpdef intent(self, bytes body, tuple edits)
    cpdef outcome(
        self, ended, reported, counted, cost, tuple draws=*, bint overdraft=*, bint shared=*, then=*
    )
    cpdef refused(self, error, tuple draws=*)
    cdef int _ask(self) except -1
    cdef object _write(self, Leaf* leaf, unsigned char* start, bint new)
    cdef int _put_head(self, Leaf* leaf, size_t fields, const char* kind, size_t length) except -1
    cdef int _put_intent(self, Leaf* leaf) except -1
    cdef int _put_outcome(
        self, Leaf* leaf, ended, error, reported, counted, cost, tuple draws, bint overdraft, bint shared, int64_t last
    ) except -1
    cdef int _put_decisions(self, Leaf* leaf) except -1
    cdef int _put_cut(self, Leaf* leaf) except -1
    cdef int _put_attempts(self, Leaf* leaf, ended, error) except -1
    cdef int _put_bodies(self, Leaf* leaf, bint whole) except -1
    cdef int _put_words(self, Leaf* leaf) except -1
