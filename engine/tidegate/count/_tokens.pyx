# cython: boundscheck=False, wraparound=False
"""Exact token counts, of whole texts and of texts that arrive in parts.

The counting itself is C (pieces.h, merges.h, stream.h). Here is what Python may call: `Vocabulary`, which owns the
tables, and `Counter`, which owns one text's state. Counters share their vocabulary's memo and so need the GIL; a long
text is counted without it, with a memo of its own.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_GET_BUFFER
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "build.h" nogil:
    enum:
        CODE_POINTS
        ALIGNED
    ctypedef enum Built:
        BUILT
        NO_MEMORY
        TOO_MANY
        WRONG_LENGTH
        TWICE
        NO_BYTE
        MADE_OF_LATER
    Built vocabulary_begin(Tables* v, size_t tokens, size_t size, const uint8_t* classes)
    Built spell(Tables* v, const uint8_t* s, size_t n)
    Built pair_up(Tables* v)
    void vocabulary_free(Tables* v)
    size_t image_size(const Tables* v)
    void image_write(const Tables* v, uint8_t* image)
    bint image_read(Tables* v, const uint8_t* image, size_t size)

cdef extern from "stream.h" nogil:
    uint64_t text_count(const Tables* v, Memo* memo, const uint8_t* s, size_t n, size_t room)
    void stream_begin(Stream* x, const Tables* v, Memo* memo)
    bint stream_feed(Stream* x, const uint8_t* s, size_t n)
    uint64_t stream_count(Stream* x)
    size_t whole_characters(const uint8_t* s, size_t n)


cdef size_t LONG_TEXT = 1 << 13  # bytes; counting less takes less than 0.1 ms, and other threads can wait for it


cdef bytes utf8(text):
    """The text's bytes, what is not Unicode replaced: lone surrogates as the reference tokenizer does."""
    cdef size_t length
    if type(text) is bytes:
        length = PyBytes_GET_SIZE(text)
        whole = whole_characters(<const uint8_t*>PyBytes_AS_STRING(text), length) == length
        return text if whole else text.decode("utf-8", "replace").encode()
    if not isinstance(text, str):
        raise TypeError("a text is `str` or `bytes`")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


cdef class _OwnMemo:
    def __cinit__(self):
        self.memo = <Memo*>calloc(1, sizeof(Memo))
        if self.memo is NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.memo)


cdef object _MAPPED = object()  # in place of tokens: the tables are there already


@cython.final
cdef class Vocabulary:
    def __cinit__(
        self, tokens, bytes classes not None, *, bint cased, bint contractions, unsigned digits, bint whole_end
    ):
        memset(&self.tables, 0, sizeof(Tables))
        if tokens is _MAPPED:
            return
        self.ours = True  # said in C: when the collector ends a cycle, `mapping` is gone before the tables are
        self.tables.pattern.shape = Shape(cased=cased, contractions=contractions, whole_end=whole_end, digits=digits)
        if len(classes) != CODE_POINTS or classes.translate(None, bytes(range(8))) or digits < 1:
            raise ValueError("a class for each code point and at least one digit are needed")
        self.own = _OwnMemo()
        self.idle = []
        self.build(list(tokens), classes)

    def __dealloc__(self):
        if self.ours:
            vocabulary_free(&self.tables)

    @staticmethod
    def mapped(image):
        cdef object held = memoryview(image)
        cdef Py_buffer* lies = PyMemoryView_GET_BUFFER(held)
        cdef Vocabulary made = Vocabulary(
            _MAPPED, b"", cased=False, contractions=False, digits=1, whole_end=False
        )
        made.mapping = held
        if <size_t>lies.buf % ALIGNED or not image_read(&made.tables, <const uint8_t*>lies.buf, lies.len):
            raise ValueError("it is no image of a vocabulary that this build has written")
        made.own = _OwnMemo()
        made.idle = []
        return made

    def image(self):
        cdef bytearray written = bytearray(image_size(&self.tables))
        image_write(&self.tables, <uint8_t*>PyByteArray_AS_STRING(written))
        return bytes(written)

    cdef int build(self, list tokens, bytes classes) except -1:
        cdef const uint8_t* each = <const uint8_t*>PyBytes_AS_STRING(classes)
        cdef Built built = vocabulary_begin(&self.tables, len(tokens), sum(map(len, tokens)), each)
        cdef bytes token
        if built == BUILT:
            for token in tokens:
                built = spell(&self.tables, <const uint8_t*>PyBytes_AS_STRING(token), PyBytes_GET_SIZE(token))
                if built != BUILT:
                    break
        if built == BUILT:
            built = pair_up(&self.tables)
        if built == NO_MEMORY:
            raise MemoryError
        if built != BUILT:
            raise ValueError(_PROBLEMS[built])

    @property
    def tokens(self):
        return self.tables.tokens

    def count(self, text):
        cdef bytes whole
        cdef Py_ssize_t length
        cdef const uint8_t* start
        if type(text) is str and text.isascii():
            start = <const uint8_t*>PyUnicode_AsUTF8AndSize(text, &length)
        else:
            whole = utf8(text)
            start = <const uint8_t*>PyBytes_AS_STRING(whole)
            length = PyBytes_GET_SIZE(whole)
        return self.count_utf8(start, length, length)

    cdef uint64_t count_utf8(self, const uint8_t* text, size_t length, size_t room) except? 0:
        if length < LONG_TEXT:
            return text_count(&self.tables, self.own.memo, text, length, room)
        return self.count_long(text, length)

    cdef uint64_t count_long(self, const uint8_t* text, size_t length) except? 0:
        cdef _OwnMemo other = self.idle.pop() if self.idle else _OwnMemo()
        cdef uint64_t count
        with nogil:
            count = text_count(&self.tables, other.memo, text, length, length)
        self.idle.append(other)
        return count

    def __sizeof__(self):
        return sizeof(Tables) + self.tables.size + (1 + len(self.idle)) * sizeof(Memo)


_PROBLEMS = {
    TOO_MANY: "too many tokens, or classes that are not those of Unicode",
    WRONG_LENGTH: "a token is empty or longer than 128 bytes",
    TWICE: "a token is there twice",
    NO_BYTE: "there is not a token for each byte",
    MADE_OF_LATER: "a token is merged from later ones",
}


cdef class Counter:
    def __cinit__(self, Vocabulary vocabulary not None):
        self.vocabulary = vocabulary
        stream_begin(&self.stream, &vocabulary.tables, vocabulary.own.memo)

    def __dealloc__(self):
        free(self.stream.piece)

    cdef int feed_utf8(self, const uint8_t* text, size_t length) except -1:
        if not stream_feed(&self.stream, text, length):
            raise MemoryError
        return 0

    cdef uint64_t total(self) noexcept:
        return stream_count(&self.stream)

    def feed(self, text):
        if type(text) is not bytes:
            text = utf8(text)
        self.feed_utf8(<const uint8_t*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    @property
    def count(self):
        return stream_count(&self.stream)

    def __sizeof__(self):
        cdef size_t more = sizeof(LongPiece) if self.stream.piece is not NULL else 0
        return object.__sizeof__(self) + more
