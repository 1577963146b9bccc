from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "stream.h" nogil:
    ctypedef struct Memo:
        pass
    ctypedef struct Shape:
        bint cased, contractions, whole_end
        unsigned digits
    ctypedef struct Pattern:
        Shape shape
    ctypedef struct Tables "Vocabulary":
        Pattern pattern
        uint32_t tokens
        size_t size
    ctypedef struct LongPiece:
        pass
    ctypedef struct Stream:
        LongPiece* piece


# the text's bytes; what is not Unicode is replaced
cdef bytes utf8(text)


cdef class _OwnMemo:
    cdef Memo* memo


cdef class Vocabulary:
    cdef Tables tables
    cdef bint ours  # the tables; else they lie in `mapping`
    cdef object mapping
    cdef _OwnMemo own
    cdef list idle  # memos that threads without the GIL have used and the next may use

    cdef int build(self, list tokens, bytes classes) except -1
    # for compiled callers: the tokens of a whole text of valid UTF-8, of which `room` bytes may be read
    cdef uint64_t count_utf8(self, const uint8_t* text, size_t length, size_t room) except? 0
    cdef uint64_t count_long(self, const uint8_t* text, size_t length) except? 0


cdef class Counter:
    cdef readonly Vocabulary vocabulary
    cdef Stream stream

    # for compiled callers: the text goes on with these bytes; the tokens of all of it so far
    cdef int feed_utf8(self, const uint8_t* text, size_t length) except -1
    cdef uint64_t total(self) noexcept
