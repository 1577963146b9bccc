cimport cython
from libc.stdint cimport uint8_t, uint64_t

from tidegate.count._fields cimport Names, Word
from tidegate.count._tokens cimport Vocabulary

cdef extern from "messages.h" nogil:
    ctypedef struct Words:
        uint8_t count
        Word* word
    ctypedef struct Plain "Form":
        Names message, part
        Words roles, sorts, texts
    ctypedef struct Piece:
        const uint8_t* start
        size_t length
        bint escaped
    ctypedef struct Message:
        unsigned count
        bint named
        Piece* piece
    ctypedef struct Kinds:
        uint64_t size, foreign, characters


cdef enum:
    MOST_FIELDS = 8  # of a body are counted


cdef struct Sums:
    Py_ssize_t counted, framing, messages
    Kinds kinds


@cython.final
cdef class Form:
    cdef Plain form


@cython.final
cdef class Fields:
    cdef readonly tuple by
    cdef readonly Py_ssize_t count
    cdef object _kind
    cdef Py_ssize_t[MOST_FIELDS] _places

    cpdef object of(self, fields, Py_ssize_t at)


cdef class Counts:
    cdef readonly str model
    cdef readonly Vocabulary vocabulary
    cdef public Py_ssize_t counted, framing, media    # tokens
    cdef public Py_ssize_t characters, size, foreign  # of the texts
    cdef public Py_ssize_t messages, tools, images, others, strange
    cdef public Py_ssize_t prompts, best               # how many answers there will be
    cdef public bint plain

    cpdef text(self, text)
    cpdef odd(self, json, Form form, Py_ssize_t framing, Py_ssize_t name)
    cdef walk(self, const uint8_t* p, size_t n, const Plain* form, Py_ssize_t framing, Py_ssize_t name)
    cdef bint add(self, const Message* message, const uint8_t* end, Sums* sums) except -1
    cdef bint add_escaped(self, const Piece* text, Sums* sums) except -1
