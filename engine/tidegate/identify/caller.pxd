from tidegate.identify.held cimport Keys
from tidegate.model cimport Call
from tidegate.wire.keys cimport presented

cimport cython

@cython.locals(headers=dict, given=bytes, value=bytes, key=bytes, own=bint, spent=bint)
cpdef identify(Call call, ip, Keys keys, settings)
@cython.locals(digest=bytes, new=bint, old=bint)
cpdef prove(bytes given, Keys keys)
cdef _user(Call call)
cdef _text(bytes name, dict headers, form)
