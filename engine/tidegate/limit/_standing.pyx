# cython: boundscheck=False, wraparound=False, cdivision=True
"""The header lines about the limits of a call, which every answer has, with the words of `headers.py`.

The buckets and the clock are read here, so that the end of a budget is its end to the second. tests/limit/standing.py
is the same in plain Python.
"""

import re

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_REALTIME

from tidegate.limit._draw cimport ONCE, TOKENS, Bucket
from tidegate.limit._table cimport CONCURRENT, RATE, Table, clock_of

from tidegate.limit.headers import LINES, MEASURES

cdef int64_t FOREVER = <int64_t>1 << 62
cdef int64_t MILLISECOND = 1_000_000
cdef int64_t SECOND = 1_000_000_000
cdef int64_t DAY = 86_400
cdef enum:
    ROOM = 1024  # for all lines; `take_words` makes sure

cdef struct Words:  # the lines of one measure: what stands before, between and behind the three values
    const char* text[4]
    Py_ssize_t size[4]

cdef struct Standing:  # of the bucket of a measure that is nearest to its end
    bint known
    int64_t most, remaining, reset  # FOREVER: what is used of a total comes back at no time
    int64_t at  # Unix time of the reset in nanoseconds, or -1: `reset` from now

cdef char[200] PAIRS  # the numbers from 00 to 99
for _at in range(100):
    PAIRS[2 * _at], PAIRS[2 * _at + 1] = 48 + _at // 10, 48 + _at % 10
cdef tuple FORMS = ("openai", "anthropic")
cdef Words[2][2] WORDS
cdef list KEPT = []  # the texts that WORDS points into


cdef int take_words() except -1:
    cdef int form, measure, piece
    for form in range(2):
        for measure in range(2):
            pieces = re.split(rb"%[db]", LINES[FORMS[form], MEASURES[measure]])
            assert len(pieces) == 4 and sum(map(len, pieces)) + 3 * 24 <= ROOM // 2
            KEPT.append(pieces)
            for piece in range(4):
                WORDS[form][measure].text[piece] = PyBytes_AS_STRING(pieces[piece])
                WORDS[form][measure].size[piece] = PyBytes_GET_SIZE(pieces[piece])
    return 0

take_words()
assert MEASURES == ("requests", "tokens")


cpdef bytes lines(str form, buckets):
    """The lines for the buckets that a call draws from, a tuple or a list; `form` is that of the call's dialect."""
    cdef Standing[2] nearest
    cdef Bucket bucket
    cdef char[ROOM] room
    cdef char* out = room
    cdef int measure
    cdef bint openai = form == "openai"
    if not openai and form != "anthropic":
        raise ValueError(f"there is no form `{form}`")
    nearest[0].known = nearest[1].known = False
    for each in buckets:
        bucket = <Bucket?>each
        if bucket.draws == TOKENS:
            look(bucket, &nearest[1])
        elif bucket.draws == ONCE and bucket.sort != CONCURRENT:
            look(bucket, &nearest[0])
    for measure in range(2):
        if nearest[measure].known:
            out = write(out, &WORDS[0 if openai else 1][measure], &nearest[measure], openai)
    return PyBytes_FromStringAndSize(room, out - room)


cdef int look(Bucket bucket, Standing* nearest) except -1:
    """Takes the bucket's standing, if it is nearer to its end than what is there."""
    cdef int64_t remaining, reset = FOREVER, at = -1
    cdef int64_t now = bucket.table.now()
    if bucket.ends != FOREVER:
        bucket.follow()
        reset = bucket.ends - bucket.table.wall()
        at = bucket.ends
    elif bucket.sort == RATE:
        reset = bucket.owed(now)
    remaining = bucket.left(now)
    if nearest.known:
        if remaining > nearest.remaining or (remaining == nearest.remaining and reset <= nearest.reset):
            return 0
    if at < 0 and reset != FOREVER:
        at = (bucket.table.still_wall if bucket.table.still else clock_of(CLOCK_REALTIME)) + reset
    nearest.known = True
    nearest.most, nearest.remaining, nearest.reset, nearest.at = bucket.max, remaining, reset, at
    return 0


cdef char* write(char* out, const Words* words, const Standing* standing, bint openai) noexcept nogil:
    out = number(text(out, words, 0), standing.most, 1)
    out = number(text(out, words, 1), standing.remaining, 1)
    if standing.reset != FOREVER:
        out = text(out, words, 2)
        out = duration(out, standing.reset) if openai else instant(out, standing.at)
    return text(out, words, 3)


cdef inline char* text(char* out, const Words* words, int piece) noexcept nogil:
    memcpy(out, words.text[piece], words.size[piece])
    return out + words.size[piece]


cdef char* number(char* out, int64_t value, int digits) noexcept nogil:
    """A number of at least so many digits."""
    cdef char[20] room
    cdef char* end = room + 20
    cdef char* p = end
    cdef uint64_t left = <uint64_t>value
    cdef uint32_t low
    while left > UINT32_MAX:  # a few divisions of the slow kind
        low = <uint32_t>(left % 100)
        left //= 100
        p -= 2
        memcpy(p, &PAIRS[2 * low], 2)
    low = <uint32_t>left
    while low >= 10:
        p -= 2
        memcpy(p, &PAIRS[2 * (low % 100)], 2)
        low //= 100
    if low or p == end:
        p -= 1
        p[0] = <char>(48 + low)
    while end - p < digits:
        p -= 1
        p[0] = c"0"
    memcpy(out, p, end - p)
    return out + (end - p)


cdef inline char* put(char* out, char character) noexcept nogil:
    out[0] = character
    return out + 1


cdef char* duration(char* out, int64_t nanoseconds) noexcept nogil:
    """`headers.duration`."""
    cdef int64_t milliseconds = (nanoseconds + MILLISECOND - 1) // MILLISECOND
    cdef int64_t seconds = milliseconds // 1000, minutes = seconds // 60, hours = minutes // 60
    cdef int fraction = <int>(milliseconds % 1000)
    if milliseconds and not seconds:
        out = number(out, milliseconds, 1)
        return put(put(out, c"m"), c"s")
    if hours:
        out = put(number(out, hours, 1), c"h")
    if minutes:
        out = put(number(out, minutes % 60, 1), c"m")
    out = number(out, seconds % 60, 1)
    if fraction:
        out = number(put(out, c"."), fraction, 3)
        while (out - 1)[0] == c"0":
            out -= 1
    return put(out, c"s")


cdef char* instant(char* out, int64_t nanoseconds) noexcept nogil:
    """Unix time as RFC 3339 writes it; the years begin in March here, so that a leap day is the last of one."""
    cdef int64_t seconds = (nanoseconds + SECOND - 1) // SECOND
    cdef int64_t days = seconds // DAY + 719_468  # since the first of March of the year 0
    cdef int64_t era = days // 146_097, day = days % 146_097  # 400 years
    cdef int64_t year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    cdef int64_t month
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    seconds %= DAY
    year += 400 * era + (month >= 10)
    out = put(number(out, year, 4), c"-")
    out = put(number(out, month + 3 if month < 10 else month - 9, 2), c"-")
    out = put(number(out, day + 1, 2), c"T")
    out = put(number(out, seconds // 3600, 2), c":")
    out = put(number(out, seconds // 60 % 60, 2), c":")
    return put(number(out, seconds % 60, 2), c"Z")
