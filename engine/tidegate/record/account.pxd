from tidegate.model cimport Call
from tidegate.record.evidence cimport Evidence

cdef class Account:
    cdef readonly str mode
    cdef Evidence _evidence
    cdef Call _call
    cdef bytes _run, _prices, _asked, _sent
    cdef object _known, _decision, _estimated, _came, _went
    cdef str _integration, _model, _told
    cdef tuple _edits
    cdef long long _began, _start, _decided_at, _sent_at, _first_at
    cdef bint _answered

    cpdef came(self, bytes data)
    cpdef went(self, bytes data)
    cpdef intent(self, bytes body, tuple edits)
