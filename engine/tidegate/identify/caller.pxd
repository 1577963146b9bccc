from tidegate.identify.held cimport Keys
from tidegate.model cimport Call
from tidegate.values cimport Caller
from tidegate.wire.keys cimport presented
from tidegate.wire.values cimport Route

cimport cython

cdef class Met:
    cdef readonly Caller caller
    cdef public object known
    cdef dict _headers
    cdef Route _route
    cdef object _said, _settings, _key
    cdef bytes _given
    cdef unsigned long _version
    cdef double _until

    cdef bint again(self, Call call, Keys keys, settings) except -1
    cdef bint proves(self, Keys keys) except -1
    cdef of(self, Call call, settings, key, Caller caller)
    cdef proved(self, bytes given, key, unsigned long version, double until)

@cython.locals(headers=dict, given=bytes, value=bytes, found=bytes, own=bint, spent=bint)
cpdef identify(Call call, ip, Keys keys, settings, Met met=*)
@cython.locals(digest=bytes, new=bint, old=bint)
cpdef prove(bytes given, Keys keys, Met met=*)
cdef bint _is(Caller caller, str mode, user, session, parent, tuple tags) except -1
cdef _user(Call call)
cdef _said(Call call)
cdef _text(bytes name, dict headers, form)
