# cython: boundscheck=False, wraparound=False
"""The figures of a provider's report, read out of a whole document of which nothing else is looked at (numbers.h)."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

cdef extern from "numbers.h" nogil:
    enum:
        NUMBER, WORD, INSIDE, EACH, KIND, REFUSED
        MOST_NAMES, MOST_OBJECTS, MOST_NUMBERS, MOST_WORDS, LONGEST_WORD
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
        memset(&self.shape, 0, sizeof(Shape))
        self.add(fields)

    cdef int add(self, dict fields) except -1:
        """Adds an object; its place."""
        cdef unsigned at = self.objects
        cdef Names* names = &self.shape.object[at]
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
                if self.shape.kind.length:
                    raise ValueError("one kind only can be refused")
                word.what = KIND
                spell(&self.shape.kind, what)
            else:
                word.what = REFUSED
            if self.numbers > MOST_NUMBERS or self.words > MOST_WORDS:
                raise ValueError("the figures are too many")
            names.lengths |= <uint32_t>1 << word.length
            names.count += 1
        return at

    cdef bint find(self, bytes document, Numbers* found) noexcept:
        """Reads a document's figures; False where only a full parse can say what it is."""
        return numbers_of(<const uint8_t*>PyBytes_AS_STRING(document), PyBytes_GET_SIZE(document), &self.shape, found)

    def read(self, bytes document not None):
        cdef Numbers found
        cdef unsigned i
        cdef list figures
        if not self.find(document, &found):
            return None
        figures = [found.number[i] if found.number[i] >= 0 else None for i in range(self.numbers)]
        for i in range(self.words):
            figures.append(found.word[i][:found.length[i]].decode() if found.word[i] != NULL else None)
        return figures
