# cython: boundscheck=False, wraparound=False
"""The bytes of a provider's answer: its head, the framing of its body, the boundaries of its events.

`scan` reads plain heads only and answers None for the rest, which `answer.py` reads by httptools. `Body` undoes the
framing strictly: what is not a chunk as RFC 9112 7.1 writes it is `broken`, and so are bytes behind the end, which
would be taken for the next answer. `Events` passes on whole events, so that an error event can follow at any moment.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy, memmove

from tidegate.forward.fields import KEPT, LIMITS

from tidegate.wire._text cimport end_of_value, put, same_name

cdef enum:
    LENGTH, CHUNKED, UNTIL_CLOSE                                     # how a body ends
    SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF  # where a chunked body stands
    EXTENSION_LIMIT = 4096
    TRAILER_LIMIT = 16384
    KEPT_MOST = 32
    KEPT_LONGEST = 32
    LINES = 16  # stretches of a head's lines that go on
    STAYS_BEHIND, IS_KEPT, IS_LIMIT                                  # what becomes of a field

cdef struct Name:
    Py_ssize_t length
    bint prefix
    char text[KEPT_LONGEST]

cdef Name NAMES[KEPT_MOST]
cdef unsigned char NAMED[256]  # the characters of names


@cython.no_gc
@cython.freelist(16)
cdef class AnswerHead:
    """The head of an answer: what its framing says, and the fields that the client may see, as they were sent."""

    def __init__(self, int status, Py_ssize_t length, bint chunked, bint keep_alive, bint events, bint coded,
                 bytes kept, bytes limits, Py_ssize_t size):
        self.status = status
        self.length = length
        self.chunked = chunked
        self.keep_alive = keep_alive
        self.events = events
        self.coded = coded
        self.kept = kept
        self.limits = limits
        self.size = size
        self.whole = None


cdef inline bint is_name(const char* p, Py_ssize_t n, const char* name, Py_ssize_t length) noexcept nogil:
    return n == length and same_name(p, name, length)


cdef int fill_names() except -1:
    cdef Py_ssize_t i
    for i in range(256):
        NAMED[i] = chr(i) in "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for names, table, prefix in ((sorted(KEPT), 0, False), (LIMITS, len(KEPT), True)):
        for number, name in enumerate(names):
            if table + number >= KEPT_MOST or len(name) > KEPT_LONGEST or not all(byte & 32 for byte in name):
                raise AssertionError(name)
            NAMES[table + number].length = len(name)
            NAMES[table + number].prefix = prefix
            for i in range(len(name)):
                NAMES[table + number].text[i] = name[i]
    return 0

fill_names()

cdef int fate(const char* p, Py_ssize_t n) noexcept nogil:
    """Whether the client may see this field."""
    cdef int i = 0
    while i < KEPT_MOST and NAMES[i].length:
        if NAMES[i].length == n or (NAMES[i].prefix and n > NAMES[i].length):
            if same_name(p, NAMES[i].text, NAMES[i].length):
                return IS_LIMIT if NAMES[i].prefix else IS_KEPT
        i += 1
    return STAYS_BEHIND


cpdef AnswerHead scan(bytes data):
    """The plain head at the start of `data`, or None: it is not whole, or httptools must read it."""
    return read(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cpdef AnswerHead found(bytearray buffer, Py_ssize_t size):
    """The same from the first bytes of a buffer that will be written over; it keeps nothing of it."""
    return read(PyByteArray_AS_STRING(buffer), size)


cdef struct Lines:  # of a head, that go on together
    int count
    const char* start[LINES]
    Py_ssize_t size[LINES]

cdef inline bint take(Lines* lines, const char* start, const char* end) noexcept nogil:
    """Adds a line, or to the line before; False where there is no room."""
    cdef int at = lines.count
    if at and lines.start[at - 1] + lines.size[at - 1] == start:
        lines.size[at - 1] += end - start
        return True
    if at == LINES:
        return False
    lines.start[at] = start
    lines.size[at] = end - start
    lines.count = at + 1
    return True

cdef bytes joined(Lines* lines):
    cdef Py_ssize_t size = 0
    cdef int each
    cdef bytes text
    cdef char* out
    if not lines.count:
        return b""
    for each in range(lines.count):
        size += lines.size[each]
    text = PyBytes_FromStringAndSize(NULL, size)
    out = PyBytes_AS_STRING(text)
    for each in range(lines.count):
        out = put(out, lines.start[each], lines.size[each])
    return text


cdef AnswerHead read(const char* start, Py_ssize_t size):
    cdef const char* end = start + size
    cdef const char* p
    cdef const char* name
    cdef const char* value
    cdef const char* stop
    cdef Py_ssize_t length = -1, n
    cdef bint chunked = False, keep_alive = True, events = False, coded = False, typed = False
    cdef int status, seen
    cdef AnswerHead head
    cdef Lines kept, limits
    kept.count = limits.count = 0
    if end - start < 19 or memcmp(start, b"HTTP/1.1 ", 9) != 0:
        return None
    p = start + 9
    if not (50 <= p[0] <= 53 and 48 <= p[1] <= 57 and 48 <= p[2] <= 57 and p[3] == 32):
        return None
    status = (p[0] - 48) * 100 + (p[1] - 48) * 10 + p[2] - 48
    if status == 204 or status == 304:
        return None
    p = end_of_value(p, end)
    if p == NULL:
        return None
    p += 2
    while True:
        if end - p < 2:
            return None
        if p[0] == 13:
            if p[1] != 10:
                return None
            p += 2
            break
        name = p
        while p < end and NAMED[<unsigned char>p[0]]:
            p += 1
        if p == name or p == end or p[0] != 58:
            return None
        n = p - name
        p += 1
        while p < end and (p[0] == 32 or p[0] == 9):
            p += 1
        value = p
        stop = end_of_value(p, end)
        if stop == NULL:
            return None
        p = stop + 2
        if is_name(name, n, b"content-length", 14):
            if length >= 0 or value == stop or stop - value > 12:
                return None
            length = 0
            while value < stop:
                if not 48 <= value[0] <= 57:
                    return None
                length = length * 10 + value[0] - 48
                value += 1
        elif is_name(name, n, b"transfer-encoding", 17):
            if chunked or not is_name(value, stop - value, b"chunked", 7):
                return None
            chunked = True
        elif is_name(name, n, b"connection", 10):
            if is_name(value, stop - value, b"close", 5):
                keep_alive = False
            elif not is_name(value, stop - value, b"keep-alive", 10):
                return None
        elif is_name(name, n, b"content-encoding", 16):
            if not is_name(value, stop - value, b"identity", 8):
                coded = True
        else:
            seen = fate(name, n)
            if seen == STAYS_BEHIND:
                continue
            if not take(&limits if seen == IS_LIMIT else &kept, name, p):
                return None
            if seen == IS_LIMIT:
                continue
            if is_name(name, n, b"content-type", 12):
                if typed:
                    return None
                typed = True
                events = stop - value >= 17 and is_name(value, 17, b"text/event-stream", 17)
    if (length < 0) != chunked:
        return None
    head = AnswerHead.__new__(AnswerHead)
    head.status = status
    head.length = length
    head.chunked = chunked
    head.keep_alive = keep_alive
    head.events = events
    head.coded = coded
    head.kept = joined(&kept)
    head.limits = joined(&limits)
    head.size = p - start
    if end - p == length:
        head.whole = PyBytes_FromStringAndSize(p, length)
    return head


cdef class Body:
    """Undoes the framing of one body, read by read."""

    def __init__(self, AnswerHead head):
        self.mode = CHUNKED if head.chunked else LENGTH if head.length >= 0 else UNTIL_CLOSE
        self.left = head.length if self.mode == LENGTH else 0
        self.state = SIZE
        self.line = 0
        self.digits = 0
        self.done = self.mode == LENGTH and self.left == 0
        self.broken = False

    @property
    def until_close(self) -> bool:
        return self.mode == UNTIL_CLOSE

    cpdef bytes take(self, bytearray read, Py_ssize_t offset, Py_ssize_t size):
        """The body's bytes among the first `size` of a read from `offset` on, where they are moved together if there
        are several chunks; sets `done` at the end of the body and `broken` on a fault."""
        cdef char* start = PyByteArray_AS_STRING(read) + offset
        cdef Py_ssize_t n = size - offset
        if not 0 <= offset <= size <= PyByteArray_GET_SIZE(read):
            raise ValueError("a read has no such bytes")
        if self.mode == CHUNKED:
            n = self.chunks(&start, n)
        elif self.mode == LENGTH:
            if n > self.left:
                self.broken = True
                n = self.left
            self.left -= n
            self.done = self.left == 0
        return PyBytes_FromStringAndSize(start, n)

    cdef Py_ssize_t chunks(self, char** start, Py_ssize_t size) noexcept:
        """Moves the data of chunks together to where the first of them stand, from now on the `start`; how many."""
        cdef char* p = start[0]
        cdef char* end = p + size
        cdef char* out = p
        cdef Py_ssize_t n
        cdef unsigned char c
        cdef int digit
        if self.done and size:
            self.broken = True
            return 0
        while p < end and not self.broken:
            if self.state == DATA:
                n = end - p
                if n > self.left:
                    n = self.left
                if out == start[0]:
                    start[0] = out = p
                else:
                    memmove(out, p, n)
                out += n
                p += n
                self.left -= n
                if self.left == 0:
                    self.state = DATA_CR
                continue
            c = <unsigned char>p[0]
            p += 1
            if self.state == SIZE:
                digit = c - 48 if 48 <= c <= 57 else (c | 32) - 87 if 97 <= (c | 32) <= 102 else -1
                if digit >= 0:
                    self.digits += 1
                    self.left = self.left * 16 + digit
                    self.broken = self.digits > 12
                elif self.digits == 0:
                    self.broken = True
                elif c == 13:
                    self.state = SIZE_LF
                elif c == 59:
                    self.state = EXTENSION
                    self.line = 0
                else:
                    self.broken = True
            elif self.state == EXTENSION:
                self.line += 1
                if c == 13:
                    self.state = SIZE_LF
                elif c == 10 or c == 0 or self.line > EXTENSION_LIMIT:
                    self.broken = True
            elif self.state == SIZE_LF:
                self.broken = c != 10
                self.state = DATA if self.left else TRAILER
                self.digits = 0
                self.line = 0
                self.trailer = 0
            elif self.state == DATA_CR:
                self.broken = c != 13
                self.state = DATA_LF
            elif self.state == DATA_LF:
                self.broken = c != 10
                self.state = SIZE
            elif self.state == TRAILER:
                self.trailer += 1
                if c == 13:
                    self.state = TRAILER_LF
                else:
                    self.line += 1
                    self.broken = c == 10 or c == 0 or self.trailer > TRAILER_LIMIT
            else:
                self.broken = c != 10
                if self.line == 0:
                    self.done = not self.broken
                    if p < end:
                        self.broken = True
                    break
                self.line = 0
                self.state = TRAILER
        return out - start[0]


cpdef bytes copied(bytearray buffer, Py_ssize_t size):
    """The first bytes of a buffer that will be written over."""
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(buffer), size)


cpdef bytes frame(bytes payload):
    """`payload` as one chunk of a chunked body."""
    cdef Py_ssize_t n = PyBytes_GET_SIZE(payload), size = n
    cdef char digits[16]
    cdef int count = 0
    cdef bytes framed
    cdef char* out
    while size:
        digits[15 - count] = b"0123456789abcdef"[size & 15]
        size >>= 4
        count += 1
    framed = PyBytes_FromStringAndSize(NULL, n + count + 4)
    out = PyBytes_AS_STRING(framed)
    memcpy(out, digits + 16 - count, count)
    out += count
    out[0] = 13
    out[1] = 10
    memcpy(out + 2, PyBytes_AS_STRING(payload), n)
    out[n + 2] = 13
    out[n + 3] = 10
    return framed
