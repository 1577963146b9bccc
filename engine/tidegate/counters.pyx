# cython: boundscheck=False, wraparound=False
"""What a process counts of its calls, in memory that others may read at any moment.

A block is a list of rows, which only grows, and their words of 64 bits. A row is a line of text, `family TAB label TAB
label...`, and has as many words as its family; its words follow those of the row before it. So whoever reads a block
needs nobody to tell what it holds, and a process that takes over the block of a dead one goes on where that one was.

    0       8   bytes of text that count
    4096        rows, 64 KiB
    69632       words, 64 KiB

A block has one writer at a time and no lock: a word is one aligned store, a row counts when all of it is there. What
finds no place any more is counted in the row `other` of its family, which is always there. Labels are names from the
settings and codes of this program; nothing that a caller wrote becomes one.

Compiled because every call comes through here.
"""

import mmap
import time

cimport cython
from cpython.object cimport PyObject
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #define PUT(place, value) __atomic_store_n(&(place), (uint64_t)(value), __ATOMIC_RELEASE)
    """
    void PUT(uint64_t place, uint64_t value) noexcept nogil

cdef enum:
    LEFT = 499  # the client did, before there was an answer
    HEADER = 4096
    TEXT = 65536
    WORDS = 8192
    FASTER = 17
    SLOWER = 18
    KINDS_ = 4
    # the words of the row `worker`, which is the first of a block
    UNDER_WAY = 0
    STREAMS = 1
    CONNECTIONS = 2
    UNRECORDED = 3
    DROPPED = 4
    OVERDRAFTS = 5
    EPOCH = 6
    APPENDED = 7
    PROBLEMS = 8
    DECIDED = 9
    SENT = DECIDED + FASTER + 2
    POLICIES = SENT + FASTER + 2
    POLICY = 7
    # of a row `way`
    TOKENS = 0
    COST = 2 * KINDS_
    FAILED = COST + 1
    FIRST = FAILED + 1
    LAST = FIRST + SLOWER + 2

SIZE = HEADER + TEXT + 8 * WORDS
ROWS_AT = HEADER
WORDS_AT = HEADER + TEXT
KINDS = ("provider", "exact", "calibrated", "estimated")
cdef tuple NAMES = KINDS
ROLES = ("enforced", "shadow")
FAMILIES = {
    "worker": POLICIES + 2 * POLICY,
    "call": 1,  # endpoint, integration, action, outcome
    "answer": 6,  # endpoint
    "way": LAST + SLOWER + 2,  # integration
    "error": 1,  # code
    "refusal": 1,  # code
    "stop": 1,  # why
}
LABELS = {"call": 4, "answer": 1, "way": 1, "error": 1, "refusal": 1, "stop": 1}
OTHER = "other"
LONGEST = 96  # characters of a label

cdef int64_t[FASTER] FAST_NS = [
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000, 20_000_000, 50_000_000, 100_000_000, 1_000_000_000,
]
cdef int64_t[SLOWER] SLOW_NS = [
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000, 250_000_000, 500_000_000,
    1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000, 60_000_000_000, 120_000_000_000,
    300_000_000_000, 600_000_000_000,
]
cdef enum:
    COMPLETE
    PROVIDER_ERROR
    REFUSED
    FAILED_
    STOPPED
    CLIENT_LEFT
OUTCOMES = ("complete", "provider_error", "refused", "failed", "stopped", "client_left")

FAST = tuple([FAST_NS[at] for at in range(FASTER)])
SLOW = tuple([SLOW_NS[at] for at in range(SLOWER)])


@cython.final
cdef class Counters:
    def __init__(self, block=None):
        if self.words is not NULL:
            raise ValueError("a block is taken once")
        PyObject_GetBuffer(mmap.mmap(-1, SIZE) if block is None else block, &self.memory, PyBUF_WRITABLE)
        if self.memory.len != SIZE:
            raise ValueError(f"a block has {SIZE} bytes")
        self.text = <char*>self.memory.buf + HEADER
        self.words = <uint64_t*>(self.text + TEXT)
        self.calls, self.answers, self.ways, self.codes, self.refusals, self.stops = {}, {}, {}, {}, {}, {}
        self.kept = [None] * MET
        cdef Py_ssize_t at
        known = {"worker": {}, "call": self.calls, "answer": self.answers, "way": self.ways, "error": self.codes,
                 "refusal": self.refusals, "stop": self.stops}
        self.written = (<uint64_t*>self.memory.buf)[0]
        for line in self.text[: self.written].decode().splitlines():
            family, *labels = line.split("\t")
            known[family][labels[0] if len(labels) == 1 else tuple(labels)] = self.next
            self.next += FAMILIES[family]
        for family in FAMILIES:
            count = LABELS.get(family, 0)
            self.row(known[family], family, OTHER if count == 1 else (OTHER,) * count)
        for gauge in (UNDER_WAY, STREAMS, CONNECTIONS, EPOCH, APPENDED, PROBLEMS):
            PUT(self.words[gauge], 0)  # a dead process has none
        for role in range(2):
            at = POLICIES + POLICY * role
            if self.words[at] & 1:  # the one before was killed while it wrote the digest
                memset(&self.words[at + 1], 0, 32)
                PUT(self.words[at], self.words[at] + 1)
        self.unrecorded, self.dropped = self.words[UNRECORDED], self.words[DROPPED]

    def __dealloc__(self):
        if self.words is not NULL:
            PyBuffer_Release(&self.memory)

    # of calls

    cpdef ended(
        self, str endpoint, str integration, str action, int status, str error, bint left, str stopped,
        int64_t decided, int64_t sent, int64_t first, int64_t last):
        cdef int outcome
        cdef Rows* rows
        if left:
            outcome = CLIENT_LEFT
        elif stopped:
            outcome = STOPPED
        elif error is not None:
            outcome = FAILED_ if sent else REFUSED
        else:
            outcome = COMPLETE if status < 400 else PROVIDER_ERROR
        rows = self.rows(endpoint, integration, action, outcome)
        self.add(rows.call, 1)
        self.add(rows.answer + (0 if left and status == LEFT else status // 100 if 100 <= status < 600 else 0), 1)
        if error is not None:
            self.add(self.row(self.codes, "error", error), 1)
        if stopped:
            self.add(self.row(self.stops, "stop", stopped), 1)
        if decided:
            self.observe(DECIDED, FAST_NS, FASTER, decided)
        if sent:
            self.observe(SENT, FAST_NS, FASTER, sent)
        if first:
            self.observe(rows.way + FIRST, SLOW_NS, SLOWER, first)
        self.observe(rows.way + LAST, SLOW_NS, SLOWER, last)

    cpdef used(self, str integration, str kind, uint64_t input, uint64_t output, uint64_t cost):
        cdef Py_ssize_t way = self.way(integration), at = place_of(kind)
        self.add(way + at, input)
        self.add(way + at + 1, output)
        self.add(way + COST, cost)

    cpdef refused(self, str code):
        self.add(self.row(self.refusals, "refusal", code), 1)

    cpdef attempt_failed(self, str integration):
        self.add(self.way(integration) + FAILED, 1)

    cpdef under_way(self, int change):
        self.change(UNDER_WAY, change)

    cpdef streams(self, int change):
        self.change(STREAMS, change)

    cpdef overdrawn(self):
        self.add(OVERDRAFTS, 1)

    # of the process, now and then

    def look(self, uint64_t connections, uint64_t unrecorded, uint64_t dropped, uint64_t epoch, uint64_t appended):
        PUT(self.words[CONNECTIONS], connections)
        PUT(self.words[UNRECORDED], self.unrecorded + unrecorded)
        PUT(self.words[DROPPED], self.dropped + dropped)
        PUT(self.words[APPENDED], appended)
        PUT(self.words[EPOCH], epoch)

    def policy(self, str role, str digest, problems=0):
        cdef bytes raw = bytes.fromhex(digest.removeprefix("sha256:")).ljust(32, b"\0")[:32]
        cdef uint64_t* words = &self.words[POLICIES + POLICY * ROLES.index(role)]
        cdef uint64_t now[4]
        PUT(self.words[PROBLEMS], problems)
        memcpy(now, <const char*>raw, 32)
        if words[1] == now[0] and words[2] == now[1] and words[3] == now[2] and words[4] == now[3]:
            return
        PUT(words[0], words[0] + 1)  # odd: it is being written
        for at in range(4):
            PUT(words[1 + at], now[at])
        PUT(words[5], <uint64_t>time.time_ns())
        PUT(words[6], words[6] + (1 if digest else 0))
        PUT(words[0], words[0] + 1)

    # words

    cdef Rows* rows(self, str endpoint, str integration, str action, int outcome) except NULL:
        """The rows of calls of this kind. They are met by the same objects over and over, and found by where these lie."""
        cdef size_t at = <size_t><void*>endpoint >> 4 ^ <size_t><void*>integration >> 5 ^ <size_t><void*>action >> 6
        at = (at ^ <size_t>outcome) % MET
        cdef Rows* met = &self.met[at]
        if (
            met.endpoint == <PyObject*>endpoint and met.integration == <PyObject*>integration
            and met.action == <PyObject*>action and met.outcome == outcome
        ):
            return met
        met.endpoint = NULL
        self.kept[at] = (endpoint, integration, action)  # so that their places in memory stay theirs
        met.call = self.row(self.calls, "call", (endpoint, integration, action, OUTCOMES[outcome]))
        met.answer = self.row(self.answers, "answer", endpoint)
        met.way = self.row(self.ways, "way", integration)
        met.integration, met.action, met.outcome = <PyObject*>integration, <PyObject*>action, outcome
        met.endpoint = <PyObject*>endpoint
        return met

    cdef Py_ssize_t way(self, str integration) except -1:
        """The row of the integration; that of the last one is at hand."""
        if self.last is not integration:
            self.last_way = self.row(self.ways, "way", integration)
            self.last = integration
        return self.last_way

    cdef Py_ssize_t row(self, dict known, str family, object labels) except -1:
        """The first word of a row; it is made where there is none of these labels yet."""
        found = known.get(labels)
        if found is not None:
            return found
        each = (labels,) if isinstance(labels, str) else labels
        cdef bytes line = ("\t".join((family, *each)) + "\n").encode("utf-8", "replace")
        cdef Py_ssize_t width = FAMILIES[family], size = len(line), at = self.next
        odd = any(len(label) > LONGEST or not (label.isascii() and (label.isprintable())) for label in each)
        if odd or self.written + size > TEXT or at + width > WORDS:
            return known[OTHER if isinstance(labels, str) else (OTHER,) * len(labels)]
        memcpy(self.text + self.written, <const char*>line, size)
        self.written += size
        self.next += width
        PUT((<uint64_t*>self.memory.buf)[0], self.written)
        known[labels] = at
        return at

    cdef void add(self, Py_ssize_t at, uint64_t amount) noexcept:
        PUT(self.words[at], self.words[at] + amount)

    cdef void change(self, Py_ssize_t at, int change) noexcept:
        PUT(self.words[at], self.words[at] + <uint64_t><int64_t>change)

    cdef void observe(self, Py_ssize_t at, const int64_t* bounds, int count, int64_t span) noexcept:
        """A span of time into a histogram: a word for each bucket, one for what is longer, one for their sum."""
        cdef int bucket = 0
        while bucket < count and span > bounds[bucket]:
            bucket += 1
        self.add(at + bucket, 1)
        self.add(at + count + 1, <uint64_t>span)


cdef Py_ssize_t place_of(str kind) except -1:
    """Where the tokens of a kind are in a row."""
    cdef Py_ssize_t at
    for at in range(KINDS_):
        if kind is NAMES[at]:
            return TOKENS + 2 * at
    return TOKENS + 2 * KINDS.index(kind)
