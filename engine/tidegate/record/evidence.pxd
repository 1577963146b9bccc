cimport cython

from tidegate.record._journal cimport Journal
from tidegate.record._open cimport Begun, OpenRuns
from tidegate.record._subject cimport Subject
from tidegate.values cimport Caller

cdef class Known:
    cdef readonly bytes said
    cdef readonly Subject about
    cdef readonly long long since

cdef class Evidence:
    cdef readonly Py_ssize_t worker, lost
    cdef readonly unsigned long long epoch
    cdef Journal _journal
    cdef object _subjects, _loop, _failures, _since
    cdef list _policies
    cdef object _waiting, _vanished, _dropped, _late
    cdef long long _destroyed
    cdef bint _turning, _closed
    cdef OpenRuns _open
    cdef dict _refused, _known
    cdef double _next

    @cython.locals(destroyed=cython.longlong)
    cpdef Known at_hand(self, Caller caller, Known before=*)
    cpdef write(self, make, bint new=*)
    cpdef begun(self, Begun run, unsigned long long seq)
    cpdef ended(self, Begun run)
    cpdef bint wait(self, seq, waiting) except -1
    cpdef unsigned long long behind(self) except? 1
    cdef _rouse(self)
    cdef _soon(self)
