# cython: boundscheck=False, wraparound=False, cdivision=True
"""The head of a request to a provider, written in one pass from what is the same for every call and what one brings."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Next
from cpython.ref cimport PyObject
from libc.string cimport memcmp

from tidegate.wire._text cimport DIGITS, digits_of, put
from tidegate.wire.keys cimport presented

cdef struct Line:  # of a head: a name with what stands around it, and its value
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
        cdef bytes line
        names = list(forwarded)
        self.start = start
        self.fields = fields
        self.measured = measured
        self.lines = [b"\r\n%b: " % name for name in names]
        self.count = <int>len(self.lines)
        if self.count > MOST:
            raise ValueError(f"at most {MOST} fields are passed on")
        for each, (name, line) in enumerate(zip(names, self.lines)):
            self.forwarded[each].line = PyBytes_AS_STRING(line)
            self.forwarded[each].size = PyBytes_GET_SIZE(line)
            self.forwarded[each].keyed = name in keyed

    cpdef bytes head(self, dict headers, bytes query, Py_ssize_t length):
        """The head, from its first line to the empty one."""
        cdef Line[MOST] lines
        cdef int count = 0, each
        cdef char[DIGITS] digits
        cdef int digit_count = digits_of(digits, length)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.start) + PyBytes_GET_SIZE(self.fields) + 4
        cdef Py_ssize_t at = 0
        cdef PyObject* key
        cdef PyObject* said
        cdef Forwarded* field
        cdef bytes written
        cdef char* out
        if query:
            size += 1 + PyBytes_GET_SIZE(query)
        while PyDict_Next(headers, &at, &key, &said):
            field = self.field(<bytes>key)
            if field == NULL or (field.keyed and presented(<bytes>said) is not None):
                continue
            lines[count].name = field.line
            lines[count].size = field.size
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

    cdef Forwarded* field(self, bytes name) noexcept:
        """The field that goes along, or NULL. A name stands once in the caller's head, so there are no more of them than
        here.
        """
        cdef Py_ssize_t size = PyBytes_GET_SIZE(name)
        cdef int each
        for each in range(self.count):
            if self.forwarded[each].size == size + 4:  # an end of line, a colon and a blank
                if memcmp(self.forwarded[each].line + 2, PyBytes_AS_STRING(name), size) == 0:
                    return &self.forwarded[each]
        return NULL
