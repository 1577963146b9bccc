cimport cython

from tidegate.count._usage_chat cimport quick_usage
from tidegate.values cimport Usage

cpdef Usage chat_usage(bytes answer)

cdef class ChatReport:
    cdef readonly object usage

    cpdef plain(self, bytes body)
    cpdef event(self, bytes data)

cdef class ResponseReport:
    cdef readonly object usage

    @cython.locals(figures=list)
    cpdef plain(self, bytes body)
    cpdef event(self, bytes data)
    cdef _take(self, response)

cdef Usage _chat_usage(chat)
cdef list _response_figures(said, tier)
cdef _response_usage(list figures, Py_ssize_t searches)
