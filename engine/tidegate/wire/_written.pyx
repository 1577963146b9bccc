# cython: boundscheck=False, wraparound=False, cdivision=True
"""Heads written in one piece, with the body behind them where it is at hand."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from tidegate.wire._text cimport DIGITS, digits_of, put


cdef inline char* put_bytes(char* out, bytes text) noexcept:
    return put(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cpdef bytes answer(bytes first, bytes fields, bytes more, bytes run, bytes last, bytes body):
    """An answer: its first line, the fields, the run's id behind its name, the last fields, the length and the body."""
    cdef char[DIGITS] digits
    cdef int count = digits_of(digits, PyBytes_GET_SIZE(body))
    cdef bytes written = PyBytes_FromStringAndSize(
        NULL,
        PyBytes_GET_SIZE(first) + PyBytes_GET_SIZE(fields) + PyBytes_GET_SIZE(more) + 19 + PyBytes_GET_SIZE(run)
        + PyBytes_GET_SIZE(last) + 16 + count + 4 + PyBytes_GET_SIZE(body),
    )
    cdef char* out = PyBytes_AS_STRING(written)
    out = put_bytes(out, first)
    out = put_bytes(out, fields)
    out = put_bytes(out, more)
    out = put(out, b"x-tidegate-run-id: ", 19)
    out = put_bytes(out, run)
    out = put_bytes(out, last)
    out = put(out, b"Content-Length: ", 16)
    out = put(out, digits + DIGITS - count, count)
    out = put(out, b"\r\n\r\n", 4)
    put_bytes(out, body)
    return written
