# cython: boundscheck=False, wraparound=False
"""The head of an ordinary request, read in one pass over the bytes.

Only heads that are whole in one read and of the plainest form are read here; for anything else `scan` answers None
and the strict parser over httptools decides. So this reader never refuses: it recognises, or it stands aside. The two
must mean the same wherever both accept; tests/accept/test_plain_head.py holds them against each other.

The heads of one connection are mostly alike, and `Last` recognises one that was read before.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from tidegate.accept.fields import KNOWN, NOT_PLAIN

from tidegate.wire._text cimport eight, end_of_value, same_name

cdef enum:
    NAMES = 64          # slots of the name table, by a hash of length and two letters
    LONGEST = 24

cdef struct Name:
    int length
    int seen            # its number, for the mask of what was seen
    bint plain
    char text[LONGEST]

cdef Name TABLE[NAMES]
cdef list SPELT = []    # number -> the bytes object that is the key in `headers`
cdef unsigned char TOKEN[256]
cdef unsigned char TARGET[256]
cdef int HOST_NUMBER, LENGTH_NUMBER, CONNECTION_NUMBER

cdef inline int slot_of(const char* p, Py_ssize_t n) noexcept nogil:
    return <int>(n * 7 + (p[0] | 32) * 3 + (p[n - 1] | 32) + (p[n >> 1] | 32) * 5) & (NAMES - 1)

cdef int fill_tables() except -1:
    cdef int i, at
    for i in range(256):
        TOKEN[i] = chr(i) in "!#$%&'*+-.^`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        TARGET[i] = chr(i) in "/-._~%=&:,0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for number, name in enumerate(sorted(KNOWN)):
        SPELT.append(name)
        if len(name) > LONGEST or not all(byte & 32 for byte in name):  # which `same_name` needs
            raise AssertionError(name)
        at = slot_of(name, len(name))
        while TABLE[at].length:                     # linear probing; the table is never more than half full
            at = (at + 1) & (NAMES - 1)
        TABLE[at].length = len(name)
        TABLE[at].seen = number
        TABLE[at].plain = name not in NOT_PLAIN
        for i in range(<int>len(name)):
            TABLE[at].text[i] = name[i]
    return 0

fill_tables()
HOST_NUMBER = SPELT.index(b"host")
LENGTH_NUMBER = SPELT.index(b"content-length")
CONNECTION_NUMBER = SPELT.index(b"connection")

cdef inline const Name* known(const char* p, Py_ssize_t n) noexcept nogil:
    cdef int at
    if n > LONGEST:
        return NULL
    at = slot_of(p, n)
    while TABLE[at].length:
        if TABLE[at].length == n:
            if same_name(p, TABLE[at].text, n):
                return &TABLE[at]
        at = (at + 1) & (NAMES - 1)
    return NULL

cdef inline bint plain_host(const char* p, const char* end) noexcept nogil:
    """A registered name or an IPv4 address, with or without a port; brackets go to the strict parser."""
    cdef const char* start = p
    while p < end and (48 <= p[0] <= 57 or 65 <= p[0] <= 90 or 97 <= p[0] <= 122 or p[0] == 45 or p[0] == 46):
        p += 1
    if p == start or p - start > 253:
        return False
    if p == end:
        return True
    if p[0] != 58 or end - p > 6 or end - p < 2:
        return False
    p += 1
    while p < end and 48 <= p[0] <= 57:
        p += 1
    return p == end


cdef inline void trim(const char** value, const char** stop) noexcept nogil:
    """Takes the blanks off both ends of a value."""
    while value[0] < stop[0] and (value[0][0] == 32 or value[0][0] == 9):
        value[0] += 1
    while value[0] < stop[0] and ((stop[0] - 1)[0] == 32 or (stop[0] - 1)[0] == 9):
        stop[0] -= 1

cdef inline Py_ssize_t number(const char* value, const char* stop) noexcept nogil:
    """A number of one to ten digits, or -1."""
    cdef Py_ssize_t result = 0
    if value == stop or stop - value > 10:
        return -1
    while value < stop:
        if not 48 <= value[0] <= 57:
            return -1
        result = result * 10 + value[0] - 48
        value += 1
    return result


@cython.no_gc  # no cycle leads through it
@cython.freelist(16)
cdef class Request:
    """One request as its connection received it: the fields that mean something here, and its body once whole.

    Nobody writes to `headers`: requests with the same head may share them.
    """

    def __init__(self, bytes method, bytes path, bytes query, dict headers, bint http11, bint keep_alive):
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.http11 = http11
        self.keep_alive = keep_alive
        self.body = b""

    cdef Request like(self, bint whole):
        """Another one with the same head."""
        cdef Request other = Request.__new__(Request)
        other.method = self.method
        other.path = self.path
        other.query = self.query
        other.headers = self.headers
        other.http11 = self.http11
        other.keep_alive = self.keep_alive
        other.route = self.route
        other.refusal = self.refusal
        other.whole = whole
        return other


cpdef Request scan(bytes data, Py_ssize_t line_limit, Py_ssize_t head_limit, int count_limit):
    """The Request whose head stands at the start of `data`, with its body where that is `.whole` in `data` too."""
    cdef const char* start = PyBytes_AS_STRING(data)
    cdef const char* end = start + PyBytes_GET_SIZE(data)
    cdef const char* p = start
    cdef const char* path
    cdef const char* query = NULL
    cdef const char* path_end
    cdef const char* name
    cdef const char* value
    cdef const char* stop
    cdef const Name* field
    cdef Py_ssize_t length = -1
    cdef unsigned long long seen = 0
    cdef int count = 0
    cdef bint post
    cdef Request request
    if end - p < 20:
        return None
    if memcmp(p, b"POST /", 6) == 0:
        post = True
        p += 5
    elif memcmp(p, b"GET /", 5) == 0:
        post = False
        p += 4
    else:
        return None
    path = p
    while p < end and TARGET[<unsigned char>p[0]]:
        p += 1
    path_end = p
    if p < end and p[0] == b"?":
        p += 1
        query = p
        while p < end and TARGET[<unsigned char>p[0]]:
            p += 1
    stop = p
    if stop - path > line_limit or end - p < 11 or memcmp(p, b" HTTP/1.1\r\n", 11) != 0:
        return None
    p += 11
    headers = {}
    while True:
        if end - p < 2:
            return None
        if p[0] == 13:
            if p[1] != 10:
                return None
            p += 2
            break
        name = p
        while p < end and TOKEN[<unsigned char>p[0]]:
            p += 1
        if p == name or p == end or p[0] != 58:
            return None
        count += 1
        field = known(name, p - name)
        p += 1
        value = p
        stop = end_of_value(p, end)
        if stop == NULL:
            return None
        p = stop + 2
        if field == NULL:
            continue
        if not field.plain or seen >> field.seen & 1:
            return None
        seen |= 1ULL << field.seen
        trim(&value, &stop)
        if field.seen == LENGTH_NUMBER:
            length = number(value, stop)
            if length < 0:
                return None
            continue
        if field.seen == HOST_NUMBER:
            if not plain_host(value, stop):
                return None
            continue
        if field.seen == CONNECTION_NUMBER:
            if stop - value != 10 or not same_name(value, b"keep-alive", 10):
                return None
            continue
        headers[<object>SPELT[field.seen]] = PyBytes_FromStringAndSize(value, stop - value)
    if p - start > head_limit or count > count_limit or not seen >> HOST_NUMBER & 1:
        return None
    if length < 0:
        if post:
            return None
        length = 0
    request = Request.__new__(Request)
    request.body = b""
    request.method = b"POST" if post else b"GET"
    request.path = PyBytes_FromStringAndSize(path, path_end - path)
    request.query = PyBytes_FromStringAndSize(query, (stop_of(query, end) - query)) if query != NULL else b""
    request.headers = headers
    request.http11 = True
    request.keep_alive = True
    request.size = p - start
    request.length = length
    request.whole = end - p >= length
    if request.whole:
        request.body = PyBytes_FromStringAndSize(p, length)
    return request

cdef inline const char* stop_of(const char* query, const char* end) noexcept nogil:
    while query < end and TARGET[<unsigned char>query[0]]:
        query += 1
    return query


cdef bint differs(const char* a, const char* b, Py_ssize_t n) noexcept nogil:
    """Whether two texts of one length differ, in a time that does not tell where: there are keys in them."""
    cdef uint64_t difference = 0
    cdef Py_ssize_t i = 0
    while i + 8 <= n:
        difference |= eight(a + i) ^ eight(b + i)
        i += 8
    while i < n:
        difference |= <unsigned char>(a[i] ^ b[i])
        i += 1
    return difference != 0


@cython.no_gc
cdef class Last:
    """The head of a connection's last request, to be recognised when it comes again.

    A client sends the same head with every call but for its length, and for what means nothing here, such as the id of
    a trace. Those values are read again, and all else is compared; then the request is the last one with another body,
    and what was found out of its head holds for this one.
    """

    def __init__(self, Request request, bytes data, Py_ssize_t head_limit):
        """`request` was scanned at the start of `data`."""
        cdef const char* start
        cdef const char* end
        cdef const char* p
        cdef const char* name
        cdef const Name* field
        self.request = request.like(False)  # without its body
        self.text = data[:request.size]
        self.head_limit = head_limit
        self.count = 0
        start = PyBytes_AS_STRING(self.text)
        end = start + request.size - 2
        p = end_of_value(start, end) + 2
        while p < end:
            name = p
            while p[0] != 58:
                p += 1
            field = known(name, p - name)
            p += 1
            # the last gap is kept for the length, wherever that stands: what finds no gap is compared
            if self.count < GAPS - 1 if field == NULL else field.seen == LENGTH_NUMBER:
                self.gaps[self.count].start = <uint32_t>(p - start)
                self.gaps[self.count].end = <uint32_t>(end_of_value(p, end) - start)
                self.gaps[self.count].length = field != NULL
                self.count += 1
            p = end_of_value(p, end) + 2

    cpdef Request again(self, bytes data):
        """The Request at the start of `data` if its head is this one, as `scan` would read it; else None."""
        cdef const char* start = PyBytes_AS_STRING(data)
        cdef const char* end = start + PyBytes_GET_SIZE(data)
        cdef const char* p = start
        cdef const char* text = PyBytes_AS_STRING(self.text)
        cdef const char* value
        cdef const char* stop
        cdef Py_ssize_t at = 0, length = 0, same
        cdef int each
        cdef Request request
        for each in range(self.count + 1):
            same = (<Py_ssize_t>self.gaps[each].start if each < self.count else PyBytes_GET_SIZE(self.text)) - at
            if end - p < same or differs(p, text + at, same):
                return None
            p += same
            if each == self.count:
                break
            stop = end_of_value(p, end)
            if stop == NULL:
                return None
            if self.gaps[each].length:
                value = p
                p = stop
                trim(&value, &stop)
                length = number(value, stop)
                if length < 0:
                    return None
            else:
                p = stop
            at = self.gaps[each].end
        if p - start > self.head_limit:
            return None
        request = self.request.like(end - p >= length)
        request.size = p - start
        request.length = length
        request.body = PyBytes_FromStringAndSize(p, length) if request.whole else b""
        return request
