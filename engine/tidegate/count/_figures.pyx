# cython: boundscheck=False, wraparound=False
"""The figures of a provider's report, read out of a whole document of which nothing else is looked at (numbers.h)."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

cdef extern from "numbers.h" nogil:
    enum:
        NUMBER, WORD, INSIDE, EACH, KIND, REFUSED
        MOST_NAMES, MOST_OBJECTS, MOST_NUMBERS, MOST_WORDS, LONGEST_WORD
    ctypedef struct Word:
        uint8_t length, what, of
        char* text
    ctypedef struct Names:
        uint32_t lengths
        uint8_t count
        Word* word
    ctypedef struct Shape:
        Names* object
        Word kind
    ctypedef struct Numbers:
        int64_t* number
        const uint8_t** word
        size_t* length
    bint numbers_of(const uint8_t* p, size_t n, const Shape* shape, Numbers* found)


cdef int spell(Word* into, str text) except -1:
    cdef bytes name = text.encode()
    if not 0 < len(name) <= LONGEST_WORD:
        raise ValueError(f"`{text}` is too long")
    memcpy(into.text, PyBytes_AS_STRING(name), len(name))
    into.length = len(name)
    return 0


@cython.final
cdef class Figures:
    def __cinit__(self, dict fields not None):
        self.shape = calloc(1, sizeof(Shape))
        if self.shape == NULL:
            raise MemoryError
        self.add(fields)

    def __dealloc__(self):
        free(self.shape)

    cdef int add(self, dict fields) except -1:
        """Adds an object; its place."""
        cdef unsigned at = self.objects
        cdef Shape* shape = <Shape*>self.shape
        cdef Names* names = &shape.object[at]
        cdef Word* word
        if at == MOST_OBJECTS or len(fields) > MOST_NAMES:
            raise ValueError("the fields are too many")
        self.objects += 1
        for name, what in fields.items():
            word = &names.word[names.count]
            spell(word, name)
            if what is int:
                word.what = NUMBER
                word.of = self.numbers
                self.numbers += 1
            elif what is str:
                word.what = WORD
                word.of = self.words
                self.words += 1
            elif isinstance(what, dict):
                word.what = INSIDE
                word.of = self.add(what)
            elif isinstance(what, list):
                word.what = EACH
                word.of = self.add(what[0])
            elif isinstance(what, str):
                if shape.kind.length:
                    raise ValueError("one kind only can be refused")
                word.what = KIND
                spell(&shape.kind, what)
            else:
                word.what = REFUSED
            if self.numbers > MOST_NUMBERS or self.words > MOST_WORDS:
                raise ValueError("the figures are too many")
            names.lengths |= <uint32_t>1 << word.length
            names.count += 1
        return at

    cpdef list read(self, bytes document):
        cdef Numbers found
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(document)
        cdef unsigned i
        cdef list figures
        if document is None:
            raise TypeError("a document is `bytes`")
        if not numbers_of(start, PyBytes_GET_SIZE(document), <Shape*>self.shape, &found):
            return None
        figures = PyList_New(self.numbers)
        for i in range(self.numbers):
            each = found.number[i] if found.number[i] >= 0 else None
            Py_INCREF(each)
            PyList_SET_ITEM(figures, i, each)
        for i in range(self.words):
            figures.append(found.word[i][:found.length[i]].decode() if found.word[i] != NULL else None)
        return figures
