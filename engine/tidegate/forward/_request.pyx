# cython: boundscheck=False, wraparound=False, cdivision=True
"""The head of a request to a provider, written in one pass from what is the same for every call and what one brings."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.ref cimport PyObject
from libc.string cimport memcmp

from tidegate.wire._text cimport DIGITS, digits_of, put
from tidegate.wire.keys cimport presented

cdef enum:
    MOST = 16  # fields of the caller's that are passed on

cdef struct Line:  # of the caller's: a name with what stands around it, and its value
    const char* name
    Py_ssize_t size
    const char* value
    Py_ssize_t length


cdef class Form:
    """One route's requests to one integration."""

    def __init__(self, bytes start, bytes fields, forwarded, keyed, bint measured):
        """`start` is the first line up to the path's end, `fields` what stands behind the target: the version and our
        own fields. `forwarded` are the names of the caller's fields that go along, in lower case; those of `keyed` do
        so only where they have no virtual key. `measured`: there is a body.
        """
        self.start = start
        self.fields = fields
        self.names = tuple(forwarded)
        self.lines = tuple([b"\r\n%b: " % name for name in self.names])
        self.keyed = tuple([name in keyed for name in self.names])
        self.measured = measured
        if len(self.names) > MOST:
            raise ValueError(f"at most {MOST} fields are passed on")

    cpdef bytes head(self, dict headers, bytes query, Py_ssize_t length):
        """The head, from its first line to the empty one."""
        cdef Line[MOST] lines
        cdef int count = 0, each, place
        cdef char[DIGITS] digits
        cdef int digit_count = digits_of(digits, length)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.start) + PyBytes_GET_SIZE(self.fields) + 4
        cdef Py_ssize_t at = 0
        cdef PyObject* key
        cdef PyObject* said
        cdef bytes line, written
        cdef char* out
        if query:
            size += 1 + PyBytes_GET_SIZE(query)
        while PyDict_Next(headers, &at, &key, &said):
            place = self.place_of(<bytes>key)
            if place < 0 or (<object>self.keyed[place] and presented(<bytes>said) is not None):
                continue
            line = <bytes>self.lines[place]
            lines[count].name = PyBytes_AS_STRING(line)
            lines[count].size = PyBytes_GET_SIZE(line)
            lines[count].value = PyBytes_AS_STRING(<bytes>said)
            lines[count].length = PyBytes_GET_SIZE(<bytes>said)
            size += lines[count].size + lines[count].length
            count += 1
        if self.measured:
            size += 18 + digit_count
        written = PyBytes_FromStringAndSize(NULL, size)
        out = put(PyBytes_AS_STRING(written), PyBytes_AS_STRING(self.start), PyBytes_GET_SIZE(self.start))
        if query:
            out = put(out, b"?", 1)
            out = put(out, PyBytes_AS_STRING(query), PyBytes_GET_SIZE(query))
        out = put(out, PyBytes_AS_STRING(self.fields), PyBytes_GET_SIZE(self.fields))
        for each in range(count):
            out = put(out, lines[each].name, lines[each].size)
            out = put(out, lines[each].value, lines[each].length)
        if self.measured:
            out = put(out, b"\r\nContent-Length: ", 18)
            out = put(out, digits + DIGITS - digit_count, digit_count)
        put(out, b"\r\n\r\n", 4)
        return written

    cdef int place_of(self, bytes name) noexcept:
        """Which of the fields that go along it is, or -1. A name stands once in the caller's head, so that there is
        never one more of them.
        """
        cdef int place
        cdef bytes each
        for place in range(<int>len(self.names)):
            each = <bytes>self.names[place]
            if PyBytes_GET_SIZE(each) == PyBytes_GET_SIZE(name):
                if memcmp(PyBytes_AS_STRING(each), PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)) == 0:
                    return place
        return -1
