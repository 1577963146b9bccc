cimport cython
from libc.stdint cimport int64_t, uint64_t

from tidegate.draws cimport Draws
from tidegate.model cimport Call
from tidegate.record._open cimport Begun
from tidegate.record._subject cimport Sha256
from tidegate.record.evidence cimport Evidence, Known
from tidegate.values cimport Decision, Estimate, Outcome, Usage

cdef extern from "leaf.h" nogil:
    ctypedef struct Leaf:
        unsigned char* at
        unsigned char* end
        int full


@cython.final
cdef class Way:
    cdef str integration, model, prices
    cdef str stands  # the model as leaves have it
    cdef bytes said, said_integration, said_model, digest


cdef class Account:
    cdef readonly str mode
    cdef Evidence _evidence
    cdef Call _call
    cdef Known _known
    cdef Decision _decision
    cdef Estimate _estimate
    cdef str _capture, _told, _stopped
    cdef bytes _policy
    cdef Way _way
    cdef Begun _begun  # from its first intent on
    cdef Draws _draws
    cdef tuple _seen, _attempts, _flags, _edits
    cdef unsigned char _run[13]
    cdef unsigned char _asked[32]
    cdef unsigned char _sent[32]
    cdef Sha256 _came, _went
    cdef bint _has_asked, _has_sent, _has_come, _has_gone
    cdef bint _kept, _leaving, _answered
    cdef int64_t _began, _start
    cdef readonly int64_t decided_at, sent_at, first_at, last_at  # ns from its beginning, 0: not yet

    cpdef decided(self, Decision decision, Estimate estimate)
    cpdef shadowed(self, Decision shadow)
    cpdef seen(self, tuple states)
    cpdef routed(self, str integration, str model, str prices)
    cpdef held(self, Draws draws)
    cpdef attempted(self, long status, str error)
    cpdef came(self, bytes data)
    cpdef went(self, bytes data)
    cpdef stopped(self, str why, tuple reasons)
    cpdef flagged(self, tuple reasons)
    cpdef unsigned long long intent(self, bytes body, tuple edits) except? 0
    cpdef unsigned long long outcome(
        self, Outcome ended, Usage reported, Usage counted, cost, Draws draws=*
    ) except? 0
    cpdef unsigned long long refused(self, error, Draws draws=*) except? 0
    cpdef unsigned long long unsent(self, Outcome ended, Draws draws=*) except? 0
    cdef int _ask(self) except -1
    cdef unsigned long long _write(self, Leaf* leaf, unsigned char* start, bint new) except? 0
    cdef int _put_head(self, Leaf* leaf, size_t fields, const char* kind, size_t length, int64_t span) except -1
    cdef int _put_intent(self, Leaf* leaf, int64_t sent) except -1
    cdef int _put_outcome(
        self, Leaf* leaf, Outcome ended, error, Usage reported, Usage counted, cost, Draws draws, int64_t last
    ) except -1
    cdef int _put_decisions(self, Leaf* leaf) except -1
    cdef int _put_cut(self, Leaf* leaf) except -1
    cdef int _put_attempts(self, Leaf* leaf, Outcome ended, error) except -1
    cdef int _put_bodies(self, Leaf* leaf, bint whole) except -1
    cdef int _put_words(self, Leaf* leaf) except -1
