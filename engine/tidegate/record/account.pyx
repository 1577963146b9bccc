# cython: boundscheck=False, wraparound=False, nonecheck=True
"""What is recorded of one call: gathered on its way, said in an intent before it leaves and an outcome after.

Compiled, because every call has both, and told in Python they cost five times as much: for each of the hundred values a
C instruction or two stands here in place of an object. The leaf is written as msgpack as it stands; records.py has the
same fields in the same order, and tests/record/test_account_leaves.py holds both against each other.
"""

from functools import partial

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec

from tidegate.draws cimport Draw, Draws
from tidegate.record._subject cimport (
    CLIENT_REQUEST,
    CLIENT_RESPONSE,
    DOCUMENT,
    UPSTREAM_REQUEST,
    UPSTREAM_RESPONSE,
    Part,
    sha256_add,
    sha256_end,
    sha256_prepare,
)
from tidegate.record.values cimport Attempt, Seen
from tidegate.values cimport Decision, Estimate, Outcome, Reason, Usage


from msgspec.msgpack import encode as encoded
from msgspec.structs import replace

from tidegate.draws import MEASURES
import tidegate._values  # it proves the fields that are read here
import tidegate.model
from tidegate.record import leaves, records
from tidegate.record.evidence import stamped
from tidegate.record.leaves import MOST_DRAWS, decode, encode, plain, raw_digest, words
from tidegate.record.unrecorded import Unrecorded

cdef extern from "leaf.h" nogil:
    void put_raw(Leaf*, const void*, size_t)
    void put_byte(Leaf*, unsigned char)
    void put_uint(Leaf*, unsigned long long)
    void put_uints(Leaf*, const uint64_t*, size_t)
    void put_int(Leaf*, long long)
    void put_nil(Leaf*)
    void put_bool(Leaf*, int)
    void put_array(Leaf*, size_t)
    void put_text(Leaf*, const void*, size_t)
    void put_bytes(Leaf*, const void*, size_t)
    ctypedef struct Short:
        unsigned char length
        unsigned char* bytes
    void put_draw(Leaf*, const unsigned char*, const Short*, uint64_t, uint64_t, uint64_t)
    int is_plain(const unsigned char*, size_t)
    int read_run(const char*, size_t, unsigned char*)

cdef extern from *:
    """
    /* The value of an int of at most 60 bits, which nearly all are. */
    static inline int small_int(PyObject *number, int64_t *value) {
        if (!PyLong_CheckExact(number)) return 0;
    #if PY_VERSION_HEX >= 0x030C0000
        if (!PyUnstable_Long_IsCompact((PyLongObject *)number)) return 0;
        *value = PyUnstable_Long_CompactValue((PyLongObject *)number);
        return 1;
    #else
        const digit *digits = ((PyLongObject *)number)->ob_digit;
        switch (Py_SIZE(number)) {
        case 0: *value = 0; return 1;
        case 1: *value = digits[0]; return 1;
        case 2: *value = (int64_t)digits[1] << PyLong_SHIFT | digits[0]; return 1;
        default: return 0;
        }
    #endif
    }
    """
    int small_int(PyObject*, int64_t*) noexcept
    bint PyUnicode_Check(PyObject*) noexcept
    bint PyUnicode_IS_COMPACT_ASCII(PyObject*) noexcept
    void* PyUnicode_1BYTE_DATA(PyObject*) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject*) noexcept
    const char* PyUnicode_AsUTF8AndSize(PyObject*, Py_ssize_t*) except NULL
    long long PyLong_AsLongLong(PyObject*) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(PyObject*) except? 0xFFFFFFFFFFFFFFFF
    bint PyBytes_Check(PyObject*) noexcept
    Py_ssize_t PyBytes_GET_SIZE_OF "PyBytes_GET_SIZE"(PyObject*) noexcept
    char* PyBytes_AS_STRING_OF "PyBytes_AS_STRING"(PyObject*) noexcept

cdef enum:
    ROOM = 16384  # for a leaf before it is shortened
    SECOND = 1_000_000_000
    MOST_WAYS = 64  # that are remembered

sha256_prepare()
cdef size_t LEAF = records.LEAF
cdef unsigned long long VERSION = records.VERSION
cdef Py_ssize_t MOST = MOST_DRAWS
cdef Py_ssize_t MOST_REASONS = leaves.MOST_REASONS
cdef Py_ssize_t MOST_SEEN = leaves.MOST_SEEN


cdef inline int put_string(Leaf* leaf, PyObject* text) except -1:
    cdef Py_ssize_t length
    cdef const char* at
    if PyUnicode_Check(text) and PyUnicode_IS_COMPACT_ASCII(text):
        put_text(leaf, PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text))
    else:
        at = PyUnicode_AsUTF8AndSize(text, &length)
        put_text(leaf, at, length)
    return 0


cdef inline bint same(PyObject* one, PyObject* other) noexcept:
    """Whether two texts are the same, of which the second is of ASCII alone."""
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(other)
    if not PyUnicode_Check(one) or not PyUnicode_IS_COMPACT_ASCII(one) or PyUnicode_GET_LENGTH(one) != length:
        return False
    return not memcmp(PyUnicode_1BYTE_DATA(one), PyUnicode_1BYTE_DATA(other), length)


cdef inline bint stands(PyObject* text, int most) noexcept:
    """Whether a name stands in a leaf as it is."""
    if not PyUnicode_Check(text) or not PyUnicode_IS_COMPACT_ASCII(text) or PyUnicode_GET_LENGTH(text) > most:
        return False
    return is_plain(<const unsigned char*>PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text))


cdef inline int put_name(Leaf* leaf, PyObject* text, int most) except -1:
    """A name as `plain` makes it."""
    if stands(text, most):
        put_text(leaf, PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text))
        return 0
    made = plain(<object>text, most)
    return put_string(leaf, <PyObject*>made)


cdef inline uint64_t count_of(PyObject* number) except? 0xFFFFFFFFFFFFFFFF:
    """OverflowError for what is below zero or does not fit into 64 bits."""
    cdef int64_t value
    if small_int(number, &value) and value >= 0:
        return value
    return PyLong_AsUnsignedLongLong(number)


cdef inline int put_count(Leaf* leaf, PyObject* number) except -1:
    put_uint(leaf, count_of(number))
    return 0


cdef inline void put_own(Leaf* leaf, bytes content) noexcept:
    put_bytes(leaf, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))


cdef inline void put_said(Leaf* leaf, bytes encoded) noexcept:
    put_raw(leaf, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))


cdef int put_used(Leaf* leaf, Usage usage) except -1:
    if usage is None:
        put_nil(leaf)
        return 0
    cdef uint64_t[11] counts = [
        count_of(<PyObject*>usage.input_tokens),
        count_of(<PyObject*>usage.output_tokens),
        count_of(<PyObject*>usage.cached_tokens),
        count_of(<PyObject*>usage.cache_write_tokens),
        count_of(<PyObject*>usage.cache_write_1h_tokens),
        count_of(<PyObject*>usage.input_audio_tokens),
        count_of(<PyObject*>usage.input_image_tokens),
        count_of(<PyObject*>usage.reasoning_tokens),
        count_of(<PyObject*>usage.output_audio_tokens),
        count_of(<PyObject*>usage.output_image_tokens),
        count_of(<PyObject*>usage.web_searches),
    ]
    put_array(leaf, 13)
    put_string(leaf, <PyObject*>usage.kind)
    put_uints(leaf, counts, 11)
    return put_name(leaf, <PyObject*>usage.service, 32)


cdef int put_expected(Leaf* leaf, Estimate estimate) except -1:
    """An estimate, as a usage of which only so much is known."""
    if estimate is None:
        put_nil(leaf)
        return 0
    put_array(leaf, 13)
    put_string(leaf, <PyObject*>estimate.prompt_kind)
    put_count(leaf, <PyObject*>estimate.prompt_tokens)
    put_known(leaf, <PyObject*>estimate.output_tokens)
    put_raw(leaf, b"\0\0\0\0\0\0\0\0\0\xa0", 10)
    return 0


cdef inline int put_known(Leaf* leaf, PyObject* number) except -1:
    """A number, or 0 where it is unknown."""
    if <object>number is None:
        put_byte(leaf, 0)
        return 0
    return put_count(leaf, number)


cdef int put_reasons(Leaf* leaf, given) except -1:
    """So many of them as are written."""
    cdef tuple reasons = <tuple?>given
    cdef Py_ssize_t index, count = min(len(reasons), MOST_REASONS)
    cdef Reason reason
    put_array(leaf, count)
    for index in range(count):
        reason = reasons[index]
        put_array(leaf, 2)
        put_name(leaf, <PyObject*>reason.code, 64)
        put_name(leaf, <PyObject*>reason.rule, 64)
    return 0


cdef Short[4] SAID  # MEASURES


cdef int say_measures() except -1:
    cdef bytes said
    cdef Py_ssize_t at
    for at, measure in enumerate(MEASURES):
        said = encoded(measure)
        if at >= 4 or len(said) > 16:
            raise ValueError(f"`{measure}` is one measure too many, or too long")
        memcpy(SAID[at].bytes, PyBytes_AS_STRING(said), PyBytes_GET_SIZE(said))
        SAID[at].length = <unsigned char>PyBytes_GET_SIZE(said)
    return 0

say_measures()


cdef void put_draws(Leaf* leaf, Draws draws) noexcept:
    cdef Draw* draw = draws.all
    put_array(leaf, draws.count)
    for _ in range(draws.count):
        put_draw(leaf, draw.bucket, &SAID[draw.measure], draw.held, draw.settled, draw.end)
        draw += 1


cdef int put_seen(Leaf* leaf, tuple states) except -1:
    cdef Py_ssize_t index, count = min(len(states), MOST_SEEN)
    cdef Seen seen
    cdef PyObject* left
    cdef int64_t remaining
    put_array(leaf, count)
    for index in range(count):
        seen = states[index]
        left = <PyObject*>seen.remaining
        put_array(leaf, 4)
        put_name(leaf, <PyObject*>seen.name, 96)
        put_count(leaf, <PyObject*>seen.used)
        put_int(leaf, remaining if small_int(left, &remaining) else PyLong_AsLongLong(left))  # -1: nobody knows
        put_count(leaf, <PyObject*>seen.reset)
    return 0


cdef inline int64_t now() noexcept:
    return time_of(CLOCK_MONOTONIC)


cdef inline int64_t time_of(int clock) noexcept:
    cdef timespec at
    clock_gettime(clock, &at)
    return <int64_t>at.tv_sec * 1000000000 + at.tv_nsec


cdef inline Leaf leaf_in(unsigned char* start) noexcept:
    cdef Leaf leaf
    leaf.at = start
    leaf.end = start + ROOM
    leaf.full = 0
    return leaf


cdef Draws NOTHING = Draws()


@cython.final
cdef class Digest:
    """Bytes of the digest that was read last: of call after call it is the same."""

    cdef object text
    cdef bytes said

    cdef bytes raw(self, PyObject* text):
        if <PyObject*>self.text != text:
            self.said = raw_digest(<object>text)
            self.text = <object>text
        return self.said


cdef Digest POLICY = Digest()


@cython.final
cdef class Way:
    """What the records of all calls that go one way have in common, as it stands in a leaf."""

    def __init__(self, str integration, str model, str prices):
        self.integration, self.model, self.prices = integration, model, prices  # kept: their places stay theirs
        self.stands = plain(model)
        self.said_integration, self.said_model = encoded(plain(integration)), encoded(self.stands)
        self.said = self.said_integration + self.said_model
        self.digest = raw_digest(prices)


cdef list WAYS = [None] * MOST_WAYS
cdef Way NO_WAY = Way("", "", "")


cdef Way way_of(str integration, str model, str prices):
    """Found by where the names lie in memory, which is the same for call after call."""
    cdef size_t at = (<size_t><void*>integration >> 4 ^ <size_t><void*>model >> 5) % MOST_WAYS
    found = WAYS[at]
    if found is not None:
        if (<Way>found).integration is integration and (<Way>found).model is model and (<Way>found).prices is prices:
            return <Way>found
    found = WAYS[at] = Way(integration, model, prices)
    return <Way>found


@cython.final
@cython.freelist(64)
@cython.no_gc  # nothing that it leads to leads back
cdef class Account:
    def __init__(self, Evidence evidence, Call call, Known known, str mode):
        self.mode = mode
        self._evidence = evidence
        self._call = call
        self._known = known
        if not read_run(PyBytes_AS_STRING(call.run), PyBytes_GET_SIZE(call.run), self._run):
            raise ValueError("a run's id has 26 hexadecimal digits")
        self._began = time_of(CLOCK_REALTIME)
        self._start = now()
        self._capture = self._told = self._stopped = ""
        self._policy = b""
        self._way = NO_WAY
        self._draws = NOTHING
        self._seen = self._attempts = self._flags = self._edits = ()
        self._kept = True

    # as it becomes known

    cpdef decided(self, Decision decision, Estimate estimate):
        if decision is None or estimate is None:
            raise TypeError("a decision is told with the estimate that it had")
        self._decision = decision
        self._estimate = estimate
        self._policy = POLICY.raw(<PyObject*>decision.digest)
        if decision.evidence is not None:
            self.mode = decision.evidence
        if decision.capture is not None:
            self._capture = decision.capture
            self._kept = self._capture != "none"
        else:
            self._capture = ""
            self._kept = True
        self.decided_at = now() - self._start

    cpdef shadowed(self, Decision shadow):
        self._decision = replace(self._decision, shadow=shadow)

    cpdef seen(self, tuple states):
        self._seen = states

    cpdef routed(self, str integration, str model, str prices):
        self._way = way_of(integration, model, prices)

    cpdef held(self, Draws draws):
        if draws.count > MOST:
            raise ValueError(f"a call draws from at most {MOST} limits, not {draws.count}")
        self._draws = draws

    cpdef attempted(self, long status, str error):
        self._attempts = (*self._attempts, records.Attempt(self._way.integration, status, error))
        self._leaving = self._answered = self._has_come = False
        self.first_at = 0

    cpdef came(self, bytes data):
        if not self._answered:
            self._answered = True
            self.first_at = now() - self._start
        if self._kept:
            if not self._has_come:
                self._has_come = True
                self._known.about.begin(self._run, UPSTREAM_RESPONSE, &self._came)
            sha256_add(&self._came, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cpdef went(self, bytes data):
        if self._kept:
            if not self._has_gone:
                self._has_gone = True
                self._known.about.begin(self._run, CLIENT_RESPONSE, &self._went)
            sha256_add(&self._went, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cpdef stopped(self, str why, tuple reasons):
        self._stopped = why
        self._flags += reasons

    cpdef flagged(self, tuple reasons):
        self._flags += reasons

    # the records

    cpdef unsigned long long intent(self, bytes body, tuple edits) except? 0:
        cdef unsigned char room[ROOM]
        cdef Leaf leaf = leaf_in(room)
        cdef unsigned long long seq
        cdef int64_t sent
        self._edits = edits
        if self._kept:
            self._ask()
            commit(self, UPSTREAM_REQUEST, body, self._sent)
            self._has_sent = True
        sent = now() - self._start
        self._put_intent(&leaf, sent)
        seq = self._write(&leaf, room, True)
        if seq:
            if self._begun is None:
                self._begun = Begun.__new__(Begun)
            self._evidence.begun(self._begun, seq)
        self._leaving = True
        self.sent_at = sent
        return seq

    cpdef unsigned long long outcome(
        self, Outcome ended, Usage reported, Usage counted, cost, Draws draws=None
    ) except? 0:
        cdef unsigned char room[ROOM]
        cdef unsigned long long seq
        cdef Leaf leaf = leaf_in(room)
        cdef int64_t last = now() - self._start
        self.last_at = last
        error = ended.error
        if draws is None:
            draws = NOTHING
        if error is not None and ended.status >= 400:
            self._has_gone = False  # the caller is told the error in place of whatever waited to go
        self._put_outcome(&leaf, ended, error, reported, counted, cost, draws, last)
        try:
            seq = self._write(&leaf, room, False)
        except Unrecorded as unrecorded:
            error = unrecorded.code  # what the caller gets in place of its end
            leaf = leaf_in(room)
            self._put_outcome(&leaf, ended, error, reported, counted, cost, draws, last)
            record = decode(taken(&leaf, room))
            self._evidence.later(self._begun, partial(stamped, record), (<object>draws).recorded)
            raise
        self._evidence.ended(self._begun)
        draws.recorded(seq)
        return seq

    cpdef unsigned long long refused(self, error, Draws draws=None) except? 0:
        self._told = error.message
        return self.unsent(tidegate.model.Outcome(error.status, error.code), draws)

    cpdef unsigned long long unsent(self, Outcome ended, Draws draws=None) except? 0:
        if self._kept:
            self._ask()
        return self.outcome(ended, None, None, 0, draws)

    cdef int _ask(self) except -1:
        """Commits to what the client asked, once."""
        if not self._has_asked:
            commit(self, CLIENT_REQUEST, self._call.body, self._asked)
            self._has_asked = True
        return 0

    cdef unsigned long long _write(self, Leaf* leaf, unsigned char* start, bint new) except? 0:
        """Hands the leaf to the journal; one that is too long is shortened first."""
        cdef bytes short
        cdef size_t length = leaf.at - start
        if not leaf.full and length <= LEAF:
            self._evidence._rouse()
            return self._evidence._journal.take(start, length, new)
        short = encode(decode(taken(leaf, start)))
        self._evidence._rouse()
        return self._evidence._journal.append(short, new)

    # what they say

    cdef int _put_head(self, Leaf* leaf, size_t fields, const char* kind, size_t length, int64_t span) except -1:
        """Its time is so long after the call began; after a second the clock is read again, which may have been set."""
        cdef Evidence evidence = self._evidence
        put_array(leaf, fields)
        put_text(leaf, kind, length)
        put_uint(leaf, VERSION)
        put_uint(leaf, evidence.worker)
        put_uint(leaf, evidence.epoch)
        put_uint(leaf, evidence._journal.following())
        put_uint(leaf, self._began + span if span < SECOND else time_of(CLOCK_REALTIME))
        put_bytes(leaf, self._run, 13)
        put_raw(leaf, PyBytes_AS_STRING(self._known.said), PyBytes_GET_SIZE(self._known.said))
        return put_string(leaf, <PyObject*>self.mode)

    cdef int _put_intent(self, Leaf* leaf, int64_t sent) except -1:
        self._put_head(leaf, 17, b"intent", 6, sent)
        put_said(leaf, self._way.said)
        put_own(leaf, self._policy)
        put_own(leaf, self._way.digest)
        put_draws(leaf, self._draws)
        put_expected(leaf, self._estimate)
        if self._estimate is None:
            put_byte(leaf, 0)
        else:
            put_known(leaf, <PyObject*>self._estimate.cost)
        return self._put_bodies(leaf, False)

    cdef int _put_outcome(
        self, Leaf* leaf, Outcome ended, error, Usage reported, Usage counted, cost, Draws draws, int64_t last
    ) except -1:
        self._put_head(leaf, 35, b"outcome", 7, last)
        put_string(leaf, <PyObject*>self._call.route.endpoint)
        put_said(leaf, self._way.said_model)
        put_bool(leaf, self._call.stream)
        put_count(leaf, <PyObject*>ended.status)
        if error is None:
            error = ""
        put_string(leaf, <PyObject*>error)
        put_bool(leaf, ended.client_left is True)
        self._put_decisions(leaf)
        put_draws(leaf, draws)
        put_bool(leaf, draws.overdraft)
        put_bool(leaf, False)  # `shared`: no call draws from a fleet's limits yet
        put_used(leaf, reported)
        put_used(leaf, counted)
        put_expected(leaf, self._estimate)
        put_own(leaf, self._way.digest)
        put_count(leaf, <PyObject*>cost)
        put_uint(leaf, self._began)
        put_array(leaf, 4)
        put_uint(leaf, self.decided_at)
        put_uint(leaf, self.sent_at)
        put_uint(leaf, self.first_at)
        put_uint(leaf, last)
        self._put_attempts(leaf, ended, error)
        put_array(leaf, len(self._edits))
        for edit in self._edits:
            put_string(leaf, <PyObject*>edit)
        put_string(leaf, <PyObject*>self._capture)
        self._put_bodies(leaf, True)
        self._put_cut(leaf)
        put_string(leaf, <PyObject*>self._stopped)
        put_reasons(leaf, self._flags)
        return put_seen(leaf, self._seen)

    cdef int _put_decisions(self, Leaf* leaf) except -1:
        """The decision, and its shadow's or nil."""
        cdef Decision decision = self._decision
        cdef Decision shadow
        if decision is None:
            put_array(leaf, 3)
            put_text(leaf, b"none", 4)
            put_own(leaf, b"")
            put_array(leaf, 0)
            put_nil(leaf)
            return 0
        put_array(leaf, 3)
        put_string(leaf, <PyObject*>decision.action)
        put_own(leaf, self._policy)
        put_reasons(leaf, decision.reasons)
        shadow = decision.shadow
        if shadow is None:
            put_nil(leaf)
            return 0
        put_array(leaf, 3)
        put_string(leaf, <PyObject*>shadow.action)
        put_own(leaf, <bytes?>raw_digest(shadow.digest))
        return put_reasons(leaf, shadow.reasons)

    cdef int _put_cut(self, Leaf* leaf) except -1:
        """What is left out already, because of its number."""
        cdef Py_ssize_t reasons = 0, shadow = 0
        cdef Py_ssize_t flags = max(0, len(self._flags) - MOST_REASONS), seen = max(0, len(self._seen) - MOST_SEEN)
        cdef Decision other
        if self._decision is not None:
            reasons = max(0, len(<tuple>self._decision.reasons) - MOST_REASONS)
            other = self._decision.shadow
            if other is not None:
                shadow = max(0, len(<tuple>other.reasons) - MOST_REASONS)
        if not (reasons or shadow or flags or seen):
            put_nil(leaf)
            return 0
        put_array(leaf, 5)
        put_uint(leaf, reasons)
        put_uint(leaf, shadow)
        put_uint(leaf, 0)
        put_uint(leaf, flags)
        put_uint(leaf, seen)
        return 0

    cdef int _put_attempts(self, Leaf* leaf, Outcome ended, error) except -1:
        cdef Attempt attempt
        put_array(leaf, len(self._attempts) + self._leaving)
        for attempt in self._attempts:
            put_array(leaf, 3)
            put_name(leaf, <PyObject*>attempt.integration, 96)
            put_count(leaf, <PyObject*>attempt.status)
            put_string(leaf, <PyObject*>attempt.error)
        if self._leaving:
            put_array(leaf, 3)
            put_said(leaf, self._way.said_integration)
            if self._answered:
                put_count(leaf, <PyObject*>ended.status)
            else:
                put_byte(leaf, 0)
            put_string(leaf, <PyObject*>error)
        return 0

    cdef int _put_bodies(self, Leaf* leaf, bint whole) except -1:
        """The commitments; those to the answer only where the `whole` call is over."""
        cdef unsigned char digest[32]
        put_array(leaf, 5)
        put_bytes(leaf, self._asked, 32 if self._has_asked else 0)
        put_bytes(leaf, self._sent, 32 if self._has_sent else 0)
        if not whole or not self._kept:
            put_raw(leaf, b"\xc4\0\xc4\0\xc4\0", 6)
            return 0
        if self._has_come:
            sha256_end(&self._came, digest)
        put_bytes(leaf, digest, 32 if self._has_come else 0)
        if self._has_gone:
            sha256_end(&self._went, digest)
        put_bytes(leaf, digest, 32 if self._has_gone else 0)
        return self._put_words(leaf)

    cdef int _put_words(self, Leaf* leaf) except -1:
        """The commitment to what was said in words; empty where all of it stands in the leaf."""
        cdef unsigned char digest[32]
        cdef tuple reasons = ()
        if self._decision is not None:
            reasons = <tuple?>self._decision.reasons
        model = "" if same(<PyObject*>self._call.model, <PyObject*>self._way.stands) else self._call.model
        if not (model or reasons or self._told or self._flags):
            put_own(leaf, b"")
            return 0
        commit(self, DOCUMENT, words(model, reasons, self._told, self._flags), digest)
        put_bytes(leaf, digest, 32)
        return 0


cdef int commit(Account account, Part part, bytes content, unsigned char* digest) except -1:
    cdef Sha256 state
    account._known.about.begin(account._run, part, &state)
    sha256_add(&state, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))
    sha256_end(&state, digest)
    return 0


cdef bytes taken(Leaf* leaf, unsigned char* start):
    """A leaf as it is written, of any length that it can have."""
    if leaf.full:
        raise records.RecordError(f"a record is longer than {ROOM} bytes")
    return PyBytes_FromStringAndSize(<char*>start, leaf.at - start)
