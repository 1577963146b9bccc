cimport cython

from tidegate.forward._request cimport Form
from tidegate.forward.origin cimport Origin
from tidegate.forward.request cimport asks_usage, rewritten
from tidegate.model cimport Call
from tidegate.values cimport Caller

cdef class Way:
    cdef readonly str name, provider
    cdef readonly tuple models, dialects
    cdef readonly dict aliases
    cdef readonly Origin origin
    cdef bint _include_usage, _keyless
    cdef str _secret
    cdef bytes _host, _path
    cdef dict _forms

    cpdef bint admits(self, Caller caller)
    cpdef bint lacks_key(self, Caller caller)
    @cython.locals(form=Form)
    cpdef bytes head(self, Call call, Py_ssize_t length)
    cpdef str model(self, str asked)
    cpdef bint asks_usage(self, Call call)
    cpdef tuple body(self, Call call, str model, most)

cdef class Ways:
    cdef list _ways
    cdef dict _origins
    cdef readonly Py_ssize_t most

    @cython.locals(way=Way)
    cpdef Way choose(self, Call call, Caller caller, str model)
