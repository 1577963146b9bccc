cimport cython

from tidegate.forward.origin cimport Origin
from tidegate.model cimport Call

cdef class Way:
    cdef readonly str name
    cdef readonly tuple models, dialects
    cdef readonly dict aliases
    cdef readonly Origin origin
    cdef str _secret
    cdef bytes _host, _path
    cdef dict _heads

    @cython.locals(headers=dict, parts=list, forwarded=dict, standing=tuple)
    cpdef bytes head(self, Call call, Py_ssize_t length)
    cpdef bytes body(self, Call call)

cdef class Ways:
    cdef list _ways
    cdef dict _origins

    @cython.locals(way=Way)
    cpdef Way choose(self, Call call)
