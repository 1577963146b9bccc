cimport cython

from tidegate.clock cimport Clock
from tidegate.forward.relay cimport Relay
from tidegate.forward.upstream cimport Upstream

cdef class Origin:
    cdef readonly str host
    cdef readonly object port, private, settings
    cdef readonly Clock clock
    cdef readonly bytearray buffer
    cdef object _tls, _waiting, _addresses, _resolve_at, _dialling, _open, _closed
    cdef list _idle, _leaving

    @cython.locals(idle=list, upstream=Upstream)
    cpdef send(self, Relay relay, bytes head, bytes body)
    cpdef free(self, Upstream upstream)
    cpdef leaves(self, Upstream upstream)
    @cython.locals(upstream=Upstream, leaving=list)
    cpdef _send_all(self)
    cpdef lost(self, Upstream upstream)
