# cython: boundscheck=False, wraparound=False
"""What is counted of one prompt, and the messages that hold nothing but texts.

What works on bytes is C (messages.h). Plain messages are most of all that are sent; they are counted where they stand, and
what is no plain message goes back to who asked, for a full parse.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_GET_LENGTH
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from msgspec import Raw

from tidegate.count._tokens cimport Vocabulary

cdef extern from "messages.h" nogil:
    enum:
        SAID, CALLED, SPOKEN, SORT, PARTS, ODD
        MOST_NAMES, MOST_WORDS, LONGEST_WORD
    const uint8_t* blank(const uint8_t* p, const uint8_t* end)
    const uint8_t* past(const uint8_t* p, const uint8_t* end)
    const uint8_t* message_at(const uint8_t* p, const uint8_t* end, const Plain* form, Message* m)
    bint paired(const uint8_t* p, const uint8_t* end)
    size_t unescaped(const uint8_t* p, const uint8_t* end, uint8_t* out)
    bint kinds_add(Kinds* kinds, const uint8_t* s, size_t n)


cdef extern from *:
    """
    #include <structmember.h>

    /* Where a Struct keeps a field; -1 where that is not a field of a Struct. */
    static Py_ssize_t place_of(PyObject *member) {
        if (!Py_IS_TYPE(member, &PyMemberDescr_Type)) return -1;
        PyMemberDef *found = ((PyMemberDescrObject *)member)->d_member;
        return found->type == T_OBJECT_EX ? found->offset : -1;
    }
    static inline PyObject *field_of(PyObject *of, Py_ssize_t place) {
        PyObject *found = *(PyObject **)((char *)of + place);
        return found ? found : Py_None;
    }
    """
    Py_ssize_t place_of(object)
    PyObject* field_of(object, Py_ssize_t) noexcept


cdef enum:
    ON_STACK = 1024  # bytes of a text with escapes that need no memory of their own


cdef int spell(Word* into, str text, int what) except -1:
    cdef bytes name = text.encode()
    if not 0 < len(name) <= LONGEST_WORD:
        raise ValueError(f"`{text}` is too long")
    memcpy(into.text, PyBytes_AS_STRING(name), len(name))
    into.length = len(name)
    into.what = what
    return 0


cdef int add(Words* words, texts) except -1:
    for text in texts:
        if words.count == MOST_WORDS:
            raise ValueError("the words are too many")
        spell(&words.word[words.count], text, 0)
        words.count += 1
    return 0


cdef int name_fields(Names* names, fields, dict meanings) except -1:
    for field in fields:
        if names.count == MOST_NAMES:
            raise ValueError("the fields are too many")
        spell(&names.word[names.count], field, meanings.get(field, ODD))
        names.lengths |= <uint32_t>1 << names.word[names.count].length
        names.count += 1
    return 0


@cython.final
cdef class Form:

    def __cinit__(self, message not None, part not None, texts not None, *, roles=(), sorts=(), bint named=False):
        cdef dict meanings = {"role": SPOKEN, "content": PARTS}
        memset(&self.form, 0, sizeof(Plain))
        if named:
            meanings["name"] = CALLED
        if sorts:
            meanings["type"] = SORT
        name_fields(&self.form.message, message, meanings)
        name_fields(&self.form.part, part, {"type": SORT, "text": SAID})
        add(&self.form.texts, texts)
        add(&self.form.roles, roles)
        add(&self.form.sorts, sorts)


@cython.final
cdef class Fields:
    def __cinit__(self, kind, dict by not None):
        if len(by) > MOST_FIELDS:
            raise ValueError("the fields are too many")
        for name in by:
            self._places[self.count] = place_of(getattr(kind, name))
            if self._places[self.count] < 0:
                raise TypeError(f"`{name}` is not a field of {kind.__name__}")
            self.count += 1
        self._kind = kind
        self.by = tuple(by.values())

    cpdef object of(self, fields, Py_ssize_t at):
        if type(fields) is not self._kind:
            raise TypeError(f"these are not the fields of {self._kind.__name__}")
        return <object>field_of(fields, self._places[at])


@cython.no_gc  # a vocabulary leads nowhere
@cython.freelist(16)
cdef class Counts:
    def __cinit__(self, str model not None, Vocabulary vocabulary not None):
        self.model = model
        self.vocabulary = vocabulary
        self.plain = True

    cpdef text(self, text):
        cdef Py_ssize_t length
        cdef const uint8_t* start
        cdef Kinds kinds
        cdef bytes whole
        if not text:
            return
        if not isinstance(text, str):
            raise TypeError("a text is `str`")
        try:
            start = <const uint8_t*>PyUnicode_AsUTF8AndSize(text, &length)
        except UnicodeEncodeError:  # half of a pair of surrogates
            whole = (<str>text).encode("utf-8", "replace")
            start = <const uint8_t*>PyBytes_AS_STRING(whole)
            length = PyBytes_GET_SIZE(whole)
        memset(&kinds, 0, sizeof(kinds))
        kinds_add(&kinds, start, length)
        self.characters += PyUnicode_GET_LENGTH(text)
        self.size += length
        self.foreign += kinds.foreign
        self.counted += self.vocabulary.count_utf8(start, length, length)

    cpdef odd(self, json, Form form, Py_ssize_t framing, Py_ssize_t name):
        cdef Py_buffer view
        PyObject_GetBuffer(json, &view, PyBUF_SIMPLE)
        try:
            return self.walk(<const uint8_t*>view.buf, view.len, &form.form, framing, name)
        finally:
            PyBuffer_Release(&view)

    cdef walk(self, const uint8_t* p, size_t n, const Plain* form, Py_ssize_t framing, Py_ssize_t name):
        """Adds the plain messages; the others, or None where nothing was added because it is no list of values."""
        cdef const uint8_t* end = p + n
        cdef const uint8_t* after
        cdef Sums sums
        cdef Message message
        cdef list others = None
        if n < 2 or p[0] != b"[" or p[n - 1] != b"]":
            return None
        memset(&sums, 0, sizeof(sums))
        p = blank(p + 1, end)
        while p[0] != b"]":
            after = message_at(p, end, form, &message)
            if after != NULL and self.add(&message, end, &sums):
                sums.messages += 1
                sums.framing += framing
                if message.named:
                    sums.framing += name
            else:
                after = past(p, end)
                if after == NULL:
                    return None
                if others is None:
                    others = []
                others.append(Raw(PyBytes_FromStringAndSize(<const char*>p, after - p)))
            p = blank(after, end)
            if p[0] == b",":
                p = blank(p + 1, end)
                if p[0] == b"]":
                    return None
            elif p[0] != b"]":
                return None
        if p + 1 != end:
            return None
        self.messages += sums.messages
        self.framing += sums.framing
        self.counted += sums.counted
        self.size += sums.kinds.size
        self.foreign += sums.kinds.foreign
        self.characters += sums.kinds.characters
        return [] if others is None else others

    cdef bint add(self, const Message* message, const uint8_t* end, Sums* sums) except -1:
        """Adds the texts of a message, or none of them if one is no Unicode."""
        cdef Sums before = sums[0]
        cdef unsigned i
        cdef const Piece* each
        cdef bint right
        for i in range(message.count):
            each = &message.piece[i]
            if each.escaped:
                right = paired(each.start, each.start + each.length) and self.add_escaped(each, sums)
            else:
                right = kinds_add(&sums.kinds, each.start, each.length)
                if right:
                    sums.counted += self.vocabulary.count_utf8(each.start, each.length, end - each.start)
            if not right:
                sums[0] = before
                return False
        return True

    cdef bint add_escaped(self, const Piece* text, Sums* sums) except -1:
        cdef uint8_t some[ON_STACK]
        cdef uint8_t* out = some
        cdef size_t length
        cdef bint right
        if text.length > ON_STACK:
            out = <uint8_t*>malloc(text.length)
            if out == NULL:
                raise MemoryError
        try:
            length = unescaped(text.start, text.start + text.length, out)
            right = kinds_add(&sums.kinds, out, length)
            if right:
                sums.counted += self.vocabulary.count_utf8(out, length, length)
            return right
        finally:
            if out != some:
                free(out)
