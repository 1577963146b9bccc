# cython: boundscheck=False, wraparound=False
"""The governed fields of a body, made where the strict walk has found them.

The walk has seen every byte, so that nothing is looked for twice: texts, numbers and the like are made where they stand,
and what stays as it is (`msgspec.Raw`) is only pointed at. Only usual forms are made here: where a value is of another
form or type, or something is missing, the answer is None, and msgspec reads the whole body and says what is wrong.
"""

from typing import get_type_hints

import msgspec
from msgspec import Raw, inspect

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memchr, memcmp

cimport cython

from tidegate.wire._strict cimport PLACES, Fault, Shape, Spans, walked

cdef extern from "Python.h":
    object PyObject_Vectorcall(object callable, PyObject **args, size_t count, PyObject *names)
    PyObject **items_of "&PyTuple_GET_ITEM" (tuple of, Py_ssize_t at)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_ASCII(object text)
    const void *PyUnicode_1BYTE_DATA(object text)

cdef enum:
    SHORT = 64  # bytes of a text that is kept: the name of a model
    KEPT = 64  # so many of them

cdef int64_t NO_END = <int64_t>1 << 62


@cython.no_gc
@cython.freelist(16)
cdef class Span:
    """A part of a body, as a buffer."""
    cdef bytes body
    cdef Py_ssize_t start, end

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(
            buffer, self, PyBytes_AS_STRING(self.body) + self.start, self.end - self.start, True, flags
        )


cdef class Fields:
    """Reads the bodies that one Struct describes."""

    def __init__(self, struct, Shape shape):
        """`shape` is that of `struct`."""
        cdef int place
        self.struct = struct
        self.shape = shape
        self.names = tuple(shape.fields)
        self.count = len(self.names)
        self.required = 0
        self.last = 0
        self.last_names = ()
        self.texts = [""] * KEPT
        self.decoders = [None] * self.count
        hints = get_type_hints(struct, include_extras=True)
        known = {field.encode_name: field for field in inspect.type_info(struct).fields}
        if self.count > PLACES or list(known) != list(self.names):
            raise TypeError(f"`{struct}` has too many fields, or others than its shape")
        for place in range(self.count):
            field = known[self.names[place]]
            self.fields[place] = field_of(field.type)
            if self.fields[place].kind == ANY:
                self.decoders[place] = msgspec.json.Decoder(hints[field.name]).decode
            if field.required:
                self.required |= <uint32_t>1 << place

    cpdef read(self, bytes body, int depth):
        """The Struct; the Fault of a body that has no one meaning; None where msgspec must read it."""
        cdef Spans spans
        cdef Fault fault = walked(body, self.shape, depth, &spans)
        cdef tuple values
        cdef int place
        cdef Py_ssize_t at = 0
        if fault is not None:
            return fault
        if spans.found & self.required != self.required:
            return None
        if spans.found != self.last:
            self.last_names = tuple([self.names[place] for place in range(self.count) if spans.found >> place & 1])
            self.last = spans.found
        values = PyTuple_New(PyTuple_GET_SIZE(self.last_names))
        for place in range(self.count):
            if spans.found >> place & 1:
                value = self.value(body, place, spans.start[place], spans.end[place])
                if value is NotImplemented:
                    return None
                Py_INCREF(value)
                PyTuple_SET_ITEM(values, at, value)
                at += 1
        return PyObject_Vectorcall(self.struct, items_of(values, 0), 0, <PyObject *>self.last_names)

    cdef value(self, bytes body, int place, Py_ssize_t start, Py_ssize_t end):
        """The value that stands there; NotImplemented where it is of no usual form."""
        cdef const char *p = PyBytes_AS_STRING(body) + start
        cdef Py_ssize_t size = end - start
        cdef Field *field = &self.fields[place]
        cdef int64_t number = 0
        cdef Span span
        cdef tuple held
        if field.kind == RAW:
            span = Span.__new__(Span)
            span.body = body
            span.start = start
            span.end = end
            held = (span,)
            return (<PyTypeObject *>Raw).tp_new(Raw, <PyObject *>held, NULL)  # `Raw(span)`, in half the time
        if field.kind == ANY:
            try:
                return self.decoders[place](body[start:end])
            except msgspec.MsgspecError:
                return NotImplemented
        if p[0] == c"n" and field.nullable:
            return None
        if field.kind == TEXT and p[0] == c'"':
            return self.text(field, p + 1, size - 2)
        if field.kind == FLAG and (p[0] == c"t" or p[0] == c"f"):
            return p[0] == c"t"
        if field.kind == NUMBER and size <= 10:
            while size:
                if not c"0" <= p[0] <= c"9":
                    return NotImplemented
                number = number * 10 + p[0] - c"0"
                p += 1
                size -= 1
            if field.least <= number <= field.most:
                return number
        return NotImplemented

    cdef text(self, Field *field, const char *p, Py_ssize_t size):
        """A text without escapes."""
        cdef str text
        cdef int slot = 0
        cdef bint short = field.most <= 256 and 0 < size <= SHORT
        if short:
            slot = <int>(size * 5 + p[size - 1] * 3 + p[size >> 1]) & (KEPT - 1)
            text = <str>self.texts[slot]
            if PyUnicode_GET_LENGTH(text) == size and memcmp(PyUnicode_1BYTE_DATA(text), p, size) == 0:
                return text
        if memchr(p, c"\\", size) != NULL:
            return NotImplemented
        text = PyUnicode_DecodeUTF8(p, size, NULL)
        if not field.least <= PyUnicode_GET_LENGTH(text) <= field.most:
            return NotImplemented
        if short and PyUnicode_IS_ASCII(text):
            self.texts[slot] = text
        return text


cdef Field field_of(kind) except *:
    """How a value of this type is read."""
    cdef Field field
    field.kind = ANY
    field.nullable = False
    field.least = 0
    field.most = NO_END
    kinds = list(kind.types) if isinstance(kind, inspect.UnionType) else [kind]
    if any(isinstance(each, inspect.NoneType) for each in kinds):
        field.nullable = True
        kinds = [each for each in kinds if not isinstance(each, inspect.NoneType)]
    if len(kinds) != 1:
        return field
    one = kinds[0]
    if isinstance(one, inspect.Metadata):
        one = one.type
    if isinstance(one, inspect.RawType):
        field.kind = RAW
    elif isinstance(one, inspect.BoolType):
        field.kind = FLAG
    elif isinstance(one, inspect.StrType) and one.pattern is None:
        field.kind = TEXT
        field.least = one.min_length or 0
        field.most = NO_END if one.max_length is None else one.max_length
    elif isinstance(one, inspect.IntType) and one.gt is None and one.lt is None and one.multiple_of is None:
        field.kind = NUMBER
        field.least = one.ge or 0
        field.most = NO_END if one.le is None else one.le
    return field
