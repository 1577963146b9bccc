# cython: boundscheck=False, wraparound=False
"""A stream as it arrives: its events, the tokens of the model's text in them, and what the provider reports.

One call takes one network read. What works on bytes is C: where events end (frames.h), what stands in them (walk.h, alike.h)
and what their texts count (texts.h). Here they are joined, and here is what is rare and so may be Python: a full parse of
events that the walker does not decide, reports of usage, reasons why a choice ended, the question whether a stream may
go on.

What an event says is taken in in two steps: first its texts, which are counted whatever becomes of it, then what it
says of the stream. Between them it may be stopped: so what the meter says of the stream is what has passed on.

Counting uses the vocabulary's memo, which all streams share, and so needs the GIL.
"""

import sys

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from tidegate.count._tokens cimport Vocabulary, utf8

from tidegate.count import paths
from tidegate.count.output import LONGEST_SAID, Output
from tidegate.count.paths import STREAMS, Leaf, Text
from tidegate.count.usage_reports import report

cdef extern from "stream.h" nogil:
    ctypedef struct Memo:
        pass
    ctypedef struct Tables "Vocabulary":
        pass

cdef extern from "frames.h" nogil:
    ctypedef struct Frames:
        size_t start, line, room
        uint32_t lines
        bint failed
        uint8_t* joined
    ctypedef enum Framed:
        UNFINISHED
        EVENT
        NO_ROOM
    void frames_go_on(Frames* f, const uint8_t* s, size_t n)
    Framed frames_next(Frames* f, const uint8_t* s, size_t n)
    bint frames_end(Frames* f, const uint8_t* s, size_t n)
    const uint8_t* frames_data(const Frames* f, const uint8_t* s, size_t* n)
    void frames_done(Frames* f)
    void frames_drop(Frames* f)

cdef extern from "walk.h" nogil:
    enum:
        NOTHING, OBJECT, LIST, TEXT, REASON, CHOICE, PART, SUBPART, TYPE, USAGE, REPORT, ERROR, NOISE
        DELTA, NAME, FUNCTION_NAME, FUNCTION_ARGUMENTS
        MOST_FIELDS, MOST_PLACES, MOST_TYPES, LONGEST_NAME
    ctypedef struct Field:
        uint8_t length, what, of
        char* name
    ctypedef struct Place:
        uint64_t lengths
        uint8_t first, count, numbered
    ctypedef struct Type:
        uint8_t length, kind
        bint ends, fails, begins, closes, keeps
        char* name
    ctypedef struct Paths:
        bint typed
        uint8_t fields, places, types
        Field* field
        Place* place
        Type* type
    ctypedef struct Found:
        unsigned choice, part, subpart, kind
        bint escaped
        const uint8_t* text
        size_t length
    ctypedef struct Walk:
        const Type* type
        const uint8_t* usage
        const uint8_t* usage_end
        bint reported, asked, listed, chosen
        uint32_t choices
        int32_t part
        unsigned count
        Found* found
    bint walk(Walk* w, const Paths* paths, const uint8_t* s, size_t n)
    unsigned counted_as(const Walk* w, const Found* each)
    bint of_call(unsigned kind)
    bint ended_by(const Walk* w)
    size_t unescape(const uint8_t** p, const uint8_t* end, uint8_t* out, size_t room)

cdef extern from "alike.h" nogil:
    ctypedef struct Like:
        pass
    bint read_document(Walk* w, const Paths* paths, Like* like, const uint8_t* s, size_t n)

cdef extern from "tail.h" nogil:
    ctypedef struct Tail:
        size_t limit
        uint64_t total
    bint tail_begin(Tail* t, size_t limit)
    size_t tail_read(const Tail* t, uint8_t* out)

cdef extern from "texts.h" nogil:
    enum:
        LIVE
    ctypedef struct Texts:
        const Tables* vocabulary
        Memo* memo
        uint64_t size, foreign, characters
        Tail tail
    uint64_t text_key(const Found* found)
    bint text_feed(Texts* t, uint64_t key, const uint8_t* s, size_t n, bint escaped)
    uint64_t texts_most(const Texts* t)
    uint64_t texts_count(Texts* t)
    uint64_t texts_count_of(Texts* t, unsigned choice)
    size_t texts_size(const Texts* t)
    void texts_free(Texts* t)


cdef enum:
    SPARE = 1024  # bytes of room that a stream may keep for its unfinished events
    LONGEST_REASON = 64  # characters; the reasons that providers give are words
    CALLS = 128  # calls of tools that are told apart: a bit each in `calls`


cdef int spell(char* into, str name) except -1:
    cdef bytes text = name.encode()
    if not 0 < len(text) <= LONGEST_NAME:
        raise ValueError(f"`{name}` is too long")
    memcpy(into, PyBytes_AS_STRING(text), len(text))
    return len(text)


cdef class _Compiled:
    """An endpoint's paths, as the walker reads them."""

    cdef Paths paths
    cdef object shape
    cdef bint keeps    # an ending of ours repeats what was put out
    cdef bint by_part  # a call of a tool is a part, and is closed as one; else it ends with its choice

    def __cinit__(self, shape):
        memset(&self.paths, 0, sizeof(Paths))
        self.shape = shape
        self.paths.typed = shape.typed
        self.add(shape.paths, NOTHING)
        for number, (name, rule) in enumerate(shape.types.items()):
            if number == MOST_TYPES:
                raise ValueError("the types are too many")
            self.paths.type[number].length = spell(self.paths.type[number].name, name)
            self.paths.type[number].kind = rule.text.value if rule.text else 0
            self.paths.type[number].ends = rule.ends
            self.paths.type[number].fails = rule.fails
            self.paths.type[number].begins = rule.begins
            self.paths.type[number].closes = rule.closes
            self.paths.type[number].keeps = rule.keeps
            self.by_part |= <bint>rule.closes
            self.keeps |= <bint>rule.keeps
            self.paths.types = number + 1

    cdef int add(self, dict fields, int numbered) except -1:
        """Adds an object on the way; its number."""
        cdef int place = self.paths.places, first = self.paths.fields, at = first, number
        cdef Field* field
        self.paths.places += 1
        self.paths.fields += len(fields)
        if self.paths.places > MOST_PLACES or self.paths.fields > MOST_FIELDS:
            raise ValueError("the paths are too many")
        self.paths.place[place] = Place(lengths=0, first=first, count=len(fields), numbered=numbered)
        for name, leaf in fields.items():
            field = &self.paths.field[at]
            at += 1
            field.length = spell(field.name, name)
            self.paths.place[place].lengths |= <uint64_t>1 << field.length
            if isinstance(leaf, tuple):
                leaf = leaf[0]  # the list is for the full parse
            if isinstance(leaf, dict):
                field.what = OBJECT
                field.of = self.add(leaf, NOTHING)
            elif isinstance(leaf, list):
                field.what = LIST
                number = next((_WHAT[each] for each in leaf[0].values() if each in (Leaf.CHOICE, Leaf.PART)), NOTHING)
                field.of = self.add(leaf[0], number)
            elif isinstance(leaf, Text):
                field.what = TEXT
                field.of = leaf.value
            else:
                field.what = _WHAT[leaf]
        return place


_WHAT = {
    Leaf.CHOICE: CHOICE, Leaf.PART: PART, Leaf.SUBPART: SUBPART, Leaf.REASON: REASON, Leaf.TYPE: TYPE,
    Leaf.USAGE: USAGE, Leaf.REPORT: REPORT, Leaf.ERROR: ERROR, Leaf.NOISE: NOISE,
}
if (DELTA, NAME, FUNCTION_NAME, FUNCTION_ARGUMENTS) != (
    Text.DELTA.value, Text.NAME.value, Text.FUNCTION_NAME.value, Text.FUNCTION_ARGUMENTS.value
):
    raise AssertionError("walk.h names the kinds of text otherwise")
_ENDPOINTS = {endpoint: _Compiled(shape) for endpoint, shape in STREAMS.items()}
cdef _Compiled _USAGE = _Compiled(paths.Shape({"usage": Leaf.USAGE}))  # finds null usage where the rest is undecided
NOTHING_SAID = object()  # in a document that is none
cdef size_t SAID = LONGEST_SAID
_STRIPPED = frozenset(endpoint for endpoint, shape in STREAMS.items() if Leaf.USAGE in shape.paths.values())


cdef class _Fed:
    cpdef bytes feed(self, bytes read):
        raise NotImplementedError


@cython.final
cdef class Meter(_Fed):
    cdef readonly Vocabulary vocabulary
    cdef readonly str endpoint
    cdef readonly bint stopped, done, error
    cdef readonly unsigned choices
    cdef readonly bytes opening, held_back
    cdef _Compiled compiled
    cdef object report
    cdef object put_out           # what an ending of ours repeats of it
    cdef size_t told              # how much of the end of the text others asked for
    cdef dict reasons
    cdef object reached           # is asked when the tokens are more than the threshold
    cdef int64_t threshold
    cdef bint strip, shut, asking
    cdef bint many_calls          # calls of tools that cannot be told apart were begun
    cdef uint64_t[2] calls        # those that have begun and not ended
    cdef Frames frames
    cdef Texts texts
    cdef Like like
    cdef uint8_t* held            # the bytes of an unfinished event, and a zero behind them
    cdef size_t size, room, limit
    cdef bytes shorter            # while a read is dealt with: what goes on of it, if that is not all
    cdef size_t written, taken    # how many bytes `shorter` has, and of how many bytes that is what is left

    def __cinit__(self, str endpoint not None, Vocabulary vocabulary not None, *, size_t limit, bint strip_usage=False):
        if endpoint not in _ENDPOINTS:
            raise ValueError(f"`{endpoint}` is no endpoint that can be metered; those are `{'`, `'.join(_ENDPOINTS)}`")
        if strip_usage and endpoint not in _STRIPPED:
            raise ValueError(f"usage comes unasked from `{endpoint}`, and cannot be taken out")
        self.vocabulary = vocabulary
        self.endpoint = endpoint
        self.compiled = _ENDPOINTS[endpoint]
        self.limit = limit
        self.strip = strip_usage
        memset(&self.frames, 0, sizeof(Frames))
        memset(&self.texts, 0, sizeof(Texts))
        memset(&self.like, 0, sizeof(Like))
        self.texts.vocabulary = &vocabulary.tables
        self.texts.memo = vocabulary.own.memo

    def __dealloc__(self):
        texts_free(&self.texts)
        free(self.frames.joined)
        free(self.held)

    def watch(self, threshold, reached not None):
        cdef int64_t bound = threshold
        if bound < 0:
            raise ValueError("a threshold cannot be negative")
        self.threshold = bound
        self.reached = reached
        if self.compiled.keeps and self.texts.tail.limit < SAID and not tail_begin(&self.texts.tail, SAID):
            raise MemoryError

    def unwatch(self):
        self.reached = None

    def keep_text(self, size_t limit):
        self.told = limit
        if self.compiled.keeps and self.reached is not None:
            limit = max(limit, SAID)
        if not tail_begin(&self.texts.tail, limit):
            raise MemoryError

    cpdef bytes feed(self, bytes read):
        if read is None:
            raise TypeError("a read is bytes")
        cdef const uint8_t* s = <const uint8_t*>PyBytes_AS_STRING(read)
        cdef size_t n = PyBytes_GET_SIZE(read), cut
        cdef bint apart = self.size != 0
        cdef Framed framed
        cdef bytes passed
        if self.shut:
            return self.nothing()
        if apart:
            self.hold(s, n)
            s = self.held
            n = self.size
        frames_go_on(&self.frames, s, n)
        while True:
            framed = frames_next(&self.frames, s, n)
            if framed != EVENT:
                break
            if not self.event(s, n):
                return self.stop(s)
        if framed == NO_ROOM:
            raise MemoryError
        cut = self.frames.start
        passed = read if cut == n and not apart and self.shorter is None else self.passed(s, cut)
        frames_drop(&self.frames)
        if apart:
            self.size -= cut
            memmove(self.held, self.held + cut, self.size)
            self.held[self.size] = 0
            if self.room > SPARE and self.room / 4 > self.size:
                self.shrink()
        elif cut < n:
            self.hold(s + cut, n - cut)
        self.overflow = self.size > self.limit
        if self.overflow:
            self.shut = True
            frames_done(&self.frames)
        if self.size == 0 or self.overflow:
            self.let_go()
        return passed

    def rest(self):
        cdef bytes left
        cdef size_t n = self.size
        if n == 0 or self.shut:
            return self.nothing()
        if not frames_end(&self.frames, self.held, n):
            raise MemoryError
        if not self.event(self.held, n):
            return self.stop(self.held)
        left = self.passed(self.held, n)
        frames_drop(&self.frames)
        self.let_go()
        return left

    cdef bytes nothing(self):
        """What goes on when nothing more does."""
        if self.asking:
            raise RuntimeError("a meter that asks whether its stream may go on takes no more of it")
        return b""

    cdef bytes stop(self, const uint8_t* s):
        """What goes on of a read in which the stream stops: what stands before the event that it stops at."""
        cdef bytes passed = self.passed(s, self.frames.start)
        self.close()
        return passed

    cdef void close(self) noexcept:
        """The stream is stopped."""
        self.stopped = self.shut = True
        self.reached = self.shorter = None
        frames_done(&self.frames)
        self.let_go()

    cdef int hold(self, const uint8_t* s, size_t n) except -1:
        """Keeps bytes behind those that are kept."""
        cdef size_t room = 2 * (self.size + n) + 1
        cdef uint8_t* more
        if self.size + n + 1 > self.room:
            more = <uint8_t*>realloc(self.held, room)
            if more == NULL:
                raise MemoryError
            self.held = more
            self.room = room
        memcpy(self.held + self.size, s, n)
        self.size += n
        self.held[self.size] = 0
        return 0

    cdef void shrink(self) noexcept:
        """Gives back what a large read took: between two reads a stream keeps little more than its unfinished event."""
        cdef size_t room = 2 * self.size + 1
        cdef uint8_t* less = <uint8_t*>realloc(self.held, room)
        if less != NULL:
            self.held = less
            self.room = room

    cdef void let_go(self) noexcept:
        if self.held != NULL:
            free(self.held)
        self.held = NULL
        self.size = self.room = 0

    cdef bytes passed(self, const uint8_t* s, size_t cut):
        """The bytes up to the cut without those that were taken out."""
        cdef bytes shorter = self.shorter
        cdef size_t more = cut - self.taken
        if shorter is None:
            return PyBytes_FromStringAndSize(<const char*>s, cut)
        memcpy(PyBytes_AS_STRING(shorter) + self.written, s + self.taken, more)
        self.shorter = None
        more += self.written
        self.written = self.taken = 0
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(shorter), more)

    cdef int take_out(self, const uint8_t* s, size_t n, size_t start, size_t end) except -1:
        """Of the n bytes these do not go on."""
        if self.shorter is None:
            self.shorter = PyBytes_FromStringAndSize(NULL, n)
        memcpy(PyBytes_AS_STRING(self.shorter) + self.written, s + self.taken, start - self.taken)
        self.written += start - self.taken
        self.taken = end
        return 0

    cdef int event(self, const uint8_t* s, size_t n) except -1:
        """Reads the event that has ended, and begins the next; false if the stream stops at this one."""
        cdef size_t length
        cdef bint spare, grown
        cdef Walk found
        cdef object said = None
        cdef const uint8_t* data = frames_data(&self.frames, s, &length)
        if data != NULL and length >= 6 and memcmp(data, b"[DONE]", 6) == 0:
            self.error |= self.frames.failed
            self.done = True
        elif data != NULL:
            if read_document(&found, &self.compiled.paths, &self.like, data, length):
                grown = self.take_in(&found, data, length)
                spare = found.asked and found.listed and not found.chosen
            else:
                said, grown, spare = self.parse(PyBytes_FromStringAndSize(<const char*>data, length))
                if not self.strip or not walk(&found, &_USAGE.paths, data, length):
                    found.usage = NULL
            if grown and self.reached is not None and not self.may_go_on():
                self.held_back = PyBytes_FromStringAndSize(<const char*>data, length)
                return False
            self.error |= self.frames.failed
            if said is None:
                self.note(&found, data, length)
            elif said is not NOTHING_SAID:
                self.note_said(said, PyBytes_FromStringAndSize(<const char*>data, length))
            if self.strip and spare:
                self.take_out(s, n, self.frames.start, self.frames.line)
            elif self.strip and found.usage != NULL and self.frames.lines == 1:
                self.take_out(s, n, found.usage - s, found.usage_end - s)
        frames_done(&self.frames)
        return True

    cdef bint may_go_on(self) except -1:
        """Whether the stream goes on after an event in which text came."""
        cdef uint64_t tokens
        if texts_most(&self.texts) <= <uint64_t>self.threshold:
            return True
        tokens = texts_count(&self.texts)
        if tokens <= <uint64_t>self.threshold:
            return True
        self.asking = self.shut = True
        try:
            self.threshold = self.reached(tokens)
        except BaseException:
            self.close()
            raise
        finally:
            self.asking = False
        self.shut = self.stopped
        return self.threshold >= 0

    cdef bint take_in(self, Walk* walked, const uint8_t* data, size_t length) except -1:
        """The texts that the walker has found in an event's data, and what is reported; whether there are any."""
        cdef unsigned i, kind
        cdef bint grown = False
        cdef Found* each
        for i in range(walked.count):
            each = &walked.found[i]
            kind = counted_as(walked, each) if each.kind else 0
            if kind:
                each.kind = kind
                grown = True
                if not text_feed(&self.texts, text_key(each), each.text, each.length, each.escaped):
                    raise MemoryError
        if walked.reported:
            self.reported(PyBytes_FromStringAndSize(<const char*>data, length))
        return grown

    cdef int note(self, const Walk* walked, const uint8_t* data, size_t length) except -1:
        """What the event says of the stream."""
        cdef unsigned i
        cdef const Found* each
        for i in range(walked.count):
            each = &walked.found[i]
            if each.kind and counted_as(walked, each):
                self.choices = max(self.choices, <unsigned>(each.choice + 1))
                if of_call(each.kind):
                    self.call(each.part if self.compiled.by_part else each.choice, True)
        for i in range(walked.count):  # a choice may end in the event in which its call is made
            if walked.found[i].kind == 0 and ended_by(walked):
                self.ended(&walked.found[i])
        self.choices = max(self.choices, walked.choices)
        if walked.type != NULL:
            self.done |= walked.type.ends
            self.error |= walked.type.fails
            if walked.type.closes and walked.part >= 0:
                self.call(<unsigned>walked.part, False)
            if walked.type.begins and self.reached is not None:
                self.opening = paths.opening(PyBytes_FromStringAndSize(<const char*>data, length))
            if walked.type.keeps and self.reached is not None:
                self.keep(PyBytes_FromStringAndSize(<const char*>data, length))
        return 0

    cdef int keep(self, bytes data) except -1:
        """An event opens or ends a part of what is put out."""
        if self.put_out is None:
            self.put_out = Output()
        self.put_out.event(data, self.texts.tail.total)
        return 0

    cdef void call(self, unsigned number, bint open) noexcept:
        """A call of a tool goes on, or ends."""
        cdef uint64_t bit = <uint64_t>1 << (number & 63)
        if number >= CALLS:
            self.many_calls |= open
        elif open:
            self.calls[number >> 6] |= bit
        else:
            self.calls[number >> 6] &= ~bit

    cdef int ended(self, const Found* each) except -1:
        """A reason why a choice has ended."""
        cdef uint8_t reason[4 * LONGEST_REASON + 4]
        cdef const uint8_t* text = each.text
        cdef size_t length = unescape(&text, each.text + each.length, reason, sizeof(reason))
        self.end(each.choice, reason[:length].decode("utf-8", "replace"))
        return 0

    cdef int end(self, unsigned choice, str reason) except -1:
        if self.reasons is None:
            self.reasons = {}
        if choice < LIVE:
            self.reasons[choice] = reason[:LONGEST_REASON]
        if not self.compiled.by_part:
            self.call(choice, False)
        return 0

    cdef int reported(self, bytes data) except -1:
        if self.report is None:
            self.report = report(self.endpoint)
        if self.report is not None:
            self.report.event(data)
        return 0

    cdef tuple parse(self, bytes data):
        """What the walker did not decide: what the event says, whether text came, and whether the event is there for
        those who asked for usage, and for no other."""
        cdef Found place
        cdef bytes text
        cdef bint grown = False
        document = paths.parsed(data)
        event = paths.said(self.compiled.shape.paths, document)
        if event is None:
            return NOTHING_SAID, False, False
        for each, kind in paths.counted(self.compiled.shape, event):
            grown = True
            place.choice, place.kind, place.part, place.subpart = each.choice, kind.value, each.part, each.subpart
            text = utf8(each.text)
            if not text_feed(
                &self.texts, text_key(&place), <const uint8_t*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), False
            ):
                raise MemoryError
        if event.reported:
            self.reported(data)
        return event, grown, event.asked and document.get("choices") == []

    cdef int note_said(self, event, bytes data) except -1:
        """What an event says of the stream that the walker did not decide."""
        for each, kind in paths.counted(self.compiled.shape, event):
            self.choices = max(self.choices, <unsigned>(each.choice + 1))
            if of_call(kind.value):
                self.call(each.part if self.compiled.by_part else each.choice, True)
        for each in paths.reasons(self.compiled.shape, event):
            self.end(each.choice, utf8(each.text).decode())
        self.choices = max(self.choices, <unsigned>event.choices)
        self.error |= <bint>event.fails
        rule = self.compiled.shape.types.get(event.type)
        if rule is not None:
            self.done |= <bint>rule.ends
            self.error |= <bint>rule.fails
            if rule.closes and event.part is not None:
                self.call(event.part, False)
            if rule.begins and self.reached is not None:
                self.opening = paths.opening(data)
            if rule.keeps and self.reached is not None:
                self.keep(data)
        return 0

    @property
    def tokens(self):
        return texts_count(&self.texts)

    def tokens_of(self, unsigned choice):
        return texts_count_of(&self.texts, choice)

    @property
    def size(self):
        return self.texts.size

    @property
    def foreign(self):
        return self.texts.foreign

    @property
    def characters(self):
        return self.texts.characters

    @property
    def usage(self):
        return self.report.usage if self.report is not None else None

    @property
    def calling(self):
        return self.many_calls or self.calls[0] != 0 or self.calls[1] != 0

    @property
    def tail(self):
        if self.told == 0:
            return ""
        return self.end_of_text(self.told).decode("utf-8", "replace")

    cdef bytes end_of_text(self, size_t most):
        """So many bytes of what is kept of it at most, in whole characters."""
        cdef bytes kept = PyBytes_FromStringAndSize(NULL, self.texts.tail.limit)
        cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(kept)
        cdef size_t size = tail_read(&self.texts.tail, <uint8_t*>text), start = size - most if size > most else 0
        while 0 < start < size and (text[start] & 0xC0) == 0x80:
            start += 1
        return kept[start:size]

    @property
    def output(self):
        if self.put_out is None or self.held_back is None:
            return None
        return self.put_out.so_far(self.end_of_text(self.texts.tail.limit), self.texts.tail.total, self.held_back)

    @property
    def finish(self):
        return self.reasons.copy() if self.reasons is not None else {}

    def __sizeof__(self):
        own = object.__sizeof__(self) + texts_size(&self.texts) + self.room + self.frames.room
        return own + sum(sys.getsizeof(each) for each in (self.opening, self.held_back) if each is not None)
