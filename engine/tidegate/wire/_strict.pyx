"""One meaning for every body: a strict walk over JSON before anything else reads it.

A body that passes `check` is the same document to every reader upstream:

* it is RFC 8259 to the letter and in valid UTF-8: no byte order mark, no NaN, no lone surrogate, nothing behind it;
* its top level is an object, and nothing in it is nested deeper than asked; the walk keeps its own stack;
* in each object that the gateway decodes (`Shape`), no key stands twice and none differs from a governed name by
  case alone: readers disagree on which of two equal keys wins, and Go and .NET match names without regard to case.

Keys are compared unescaped and folded: ASCII letters, and the four other characters that some reader folds to one
(U+017F and U+212A in Go; U+0130 and U+0131 too in Java's `equalsIgnoreCase`). Objects that are not decoded (JSON
schemas, metadata) are held to the grammar only.

On its way it notes where the values of the top level's governed fields stand (`walked`): who decodes them need not look
for them again.

Two habits keep it fast. A `bytes` object ends in a NUL that JSON allows nowhere, so no step asks whether the body has
ended. A key is a hash and an offset: few keys are scanned, many go to a table under a secret hash, and nothing is
copied or allocated for a usual body.
"""

from os import urandom
from types import MappingProxyType

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* eight bytes, the first one lowest */
    static inline uint64_t load(const unsigned char *p) {
        uint64_t word;
        memcpy(&word, p, 8);
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
    #endif
        return word;
    }

    /* Bit 7 of each byte that a string must not pass over: `"`, `\\`, below 0x20, above 0x7f. Flipping bit 1 puts `"`
       next to the control characters; above 0x7f, one of the two differences always keeps its bit 7. A borrow can only
       mark bytes behind a marked one, so the lowest mark is true. */
    #define EACH(byte) (0x0101010101010101u * (byte))
    static inline uint64_t special(uint64_t word) {
        return (((word ^ EACH(0x02)) - EACH(0x21)) | ((word ^ EACH(0x5c)) - EACH(0x01))) & EACH(0x80);
    }

    static inline int first(uint64_t marks) { return __builtin_ctzll(marks) >> 3; }

    #ifdef __SSE2__
    #include <emmintrin.h>

    /* The same of sixteen bytes, a bit for each. As signed numbers those above 0x7f are below 0x20, too. */
    static inline int specials(const unsigned char *p) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        __m128i quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x22));
        __m128i escapes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x5c));
        __m128i others = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
        return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quotes, escapes), others));
    }
    #endif

    /* The first byte that a string must not pass over, or one of the last seven before the end. */
    static inline const unsigned char *pass_plain(const unsigned char *p, const unsigned char *end) {
    #ifdef __SSE2__
        while (end - p >= 16) {
            int marks = specials(p);
            if (marks) return p + __builtin_ctz(marks);
            p += 16;
        }
    #endif
        while (end - p >= 8) {
            uint64_t marks = special(load(p));
            if (marks) return p + first(marks);
            p += 8;
        }
        return p;
    }

    static inline uint64_t mix(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t load(const unsigned char *p) noexcept nogil
    uint64_t special(uint64_t word) noexcept nogil
    int first(uint64_t marks) noexcept nogil
    Text pass_plain(Text p, Text end) noexcept nogil
    uint64_t mix(uint64_t a, uint64_t b) noexcept nogil

cdef enum:
    DEPTH = 512  # the deepest nesting that may be asked for; settings allow no more
    VALUES = 500_000  # the most in one body: each that a policy looks at takes some hundred bytes and a microsecond
    SCAN = 16  # so many keys of an object are compared one by one
    INLINE = 128  # so many keys of open objects need no allocation
    END = 0xFFFFFFFF  # no character: the closing quote

cdef enum Kind:
    SYNTAX, UTF8, TOO_DEEP, DUPLICATE, CASE, NOT_OBJECT, TOO_MANY, NO_MEMORY

cdef tuple KINDS = ("syntax", "utf8", "depth", "duplicate", "case", "not_object", "values")

cdef uint64_t LOWER = 0x2020202020202020u
# callers choose their keys; without these two they cannot choose keys whose hashes collide
cdef uint64_t SEED = int.from_bytes(urandom(8), "little")
cdef uint64_t FACTOR = int.from_bytes(urandom(8), "little") | 1

cdef struct Key:  # a key of an open decoded object
    uint32_t hash
    uint32_t offset

cdef struct Frame:  # an open object or array
    Names *names
    uint32_t first  # of its keys in `Walk.keys`; the keys of the innermost object are the last ones there
    uint32_t size  # of the table, a power of two
    uint32_t *slots  # the table, from SCAN keys on: index of a key, counted from `first`, plus one
    unsigned char closer

cdef struct Walk:
    Text start
    Text end
    Key *keys
    uint32_t count
    uint32_t capacity
    int depth
    int limit
    int left  # values that may still come
    int place  # of the key that passed last, among the governed names of its object; -1: it is none of them
    Spans *spans
    # the fault
    Kind kind
    const char *reason
    Text at
    Name *name
    # last, for they are mostly left untouched
    Key inline_keys[INLINE]
    Frame frames[DEPTH]


# ---- characters and strings

cdef Text fail(Walk *w, Kind kind, const char *reason, Text at) noexcept nogil:
    w.kind = kind
    w.at = at
    w.reason = reason
    if kind == SYNTAX and at == w.end:
        w.reason = b"the document ends too early"
    return NULL


cdef inline Text pass_space(Text p) noexcept nogil:
    while p[0] == c" " or p[0] == c"\n" or p[0] == c"\r" or p[0] == c"\t":
        p += 1
    return p


cdef int32_t hex4(Text p) noexcept nogil:
    """The value of four hexadecimal digits, or -1."""
    cdef int32_t value = 0
    cdef int i
    cdef unsigned char c
    for i in range(4):
        c = p[i]
        if c"0" <= c <= c"9":
            value = value << 4 | (c - c"0")
        elif c"a" <= (c | 0x20) <= c"f":
            value = value << 4 | ((c | 0x20) - c"a" + 10)
        else:
            return -1
    return value


cdef Text pass_escape(Walk *w, Text p) noexcept nogil:
    cdef unsigned char c = p[1]
    cdef int32_t unit
    if c == c"u":
        unit = hex4(p + 2)
        if unit < 0:
            return fail(w, SYNTAX, b"an escape that JSON does not have", p)
        if unit & 0xF800 != 0xD800:
            return p + 6
        if unit >= 0xDC00 or p[6] != c"\\" or p[7] != c"u" or hex4(p + 8) & 0xFC00 != 0xDC00:
            return fail(w, SYNTAX, b"half of a surrogate pair", p)
        return p + 12
    if (c == c'"' or c == c"\\" or c == c"/" or c == c"b" or c == c"f" or c == c"n" or c == c"r" or c == c"t"):
        return p + 2
    return fail(w, SYNTAX, b"an escape that JSON does not have", p)


cdef inline bint continues(unsigned char c) noexcept nogil:
    return c & 0xC0 == 0x80


cdef inline int sequence(Text p) noexcept nogil:
    """The length of the UTF-8 sequence of two to four bytes at p, or 0: RFC 3629, section 4."""
    cdef uint32_t top
    if p[0] < 0xC2 or p[0] > 0xF4 or not continues(p[1]):
        return 0
    if p[0] < 0xE0:
        return 2
    top = (p[0] & 0x0F) << 6 | (p[1] & 0x3F)
    if not continues(p[2]):
        return 0
    if p[0] < 0xF0:  # top = character >> 6
        return 3 if top >= 0x20 and top >> 5 != 0x1B else 0
    top &= 0x1FF  # top = character >> 12
    return 4 if 0x10 <= top <= 0x10F and continues(p[3]) else 0


cdef inline Text pass_string(Walk *w, Text p) noexcept nogil:
    """From behind the opening quote to behind the closing one."""
    cdef int length
    while True:
        p = pass_plain(p, w.end)
        while 0x20 <= p[0] < 0x80 and p[0] != c'"' and p[0] != c"\\":  # the last seven bytes of the body
            p += 1
        if p[0] == c'"':
            return p + 1
        if p[0] == c"\\":
            p = pass_escape(w, p)
            if p == NULL:
                return NULL
        elif p[0] < 0x20:
            return fail(w, SYNTAX, b"a control character in a string", p)
        while p[0] >= 0x80:
            length = sequence(p)
            if length == 0:
                return fail(w, UTF8, b"not valid UTF-8", p)
            p += length


cdef uint32_t next_char(Text *at) noexcept nogil:
    """The next character of a string that has passed, unescaped, or END."""
    cdef Text p = at[0]
    cdef uint32_t c = p[0]
    cdef int length
    if c == c'"':
        return END
    if c >= 0x80:
        length = sequence(p)
        at[0] += length
        c &= 0x7F >> length
        for i in range(1, length):
            c = c << 6 | (p[i] & 0x3F)
        return c
    if c != c"\\":
        at[0] += 1
        return c
    c = p[1]
    if c == c"u":
        c = hex4(p + 2)
        at[0] += 6
        if c & 0xFC00 == 0xD800:
            at[0] += 6
            c = 0x10000 + ((c & 0x3FF) << 10) + (hex4(p + 8) & 0x3FF)
        return c
    at[0] += 2
    if c == c"b":
        return 0x08
    if c == c"f":
        return 0x0C
    if c == c"n":
        return 0x0A
    if c == c"r":
        return 0x0D
    if c == c"t":
        return 0x09
    return c


# ---- keys

cdef inline uint32_t fold(uint32_t c) noexcept nogil:
    if c < 0x80:
        return c | 0x20 if c"A" <= c <= c"Z" else c
    if c == 0x017F:  # long s
        return c"s"
    if c == 0x212A:  # Kelvin sign
        return c"k"
    if c == 0x0130 or c == 0x0131:  # dotted capital i, dotless small i
        return c"i"
    return c


cdef bint same_key(Text a, Text b) noexcept nogil:
    cdef uint32_t c
    while True:
        c = fold(next_char(&a))
        if c != fold(next_char(&b)):
            return False
        if c == END:
            return True


cdef bint is_named(Text key, Text name, uint32_t length, bint folded) noexcept nogil:
    cdef uint32_t i, c
    for i in range(length):
        c = next_char(&key)
        if c != name[i] and not (folded and fold(c) == fold(name[i])):
            return False
    return key[0] == c'"'


cdef uint32_t hash_key(Text p) noexcept nogil:
    """Equal for keys that are equal folded; `govern` computes the same for plain keys, eight bytes at a time.

    Bit 5 of each byte is set instead of folding ASCII: a few more keys share a hash, and none of them a byte of zero.
    """
    cdef uint64_t h = SEED, word = 0
    cdef uint32_t c
    cdef int filled = 0
    while True:
        c = fold(next_char(&p))
        if c == END:
            return <uint32_t>mix(h ^ word, FACTOR)
        while True:
            word |= <uint64_t>(c & 0xFF | 0x20) << filled
            filled += 8
            if filled == 64:
                h = mix(h ^ word, FACTOR)
                word = filled = 0
            c >>= 8
            if c == 0:
                break


cdef bint widen(Frame *frame, Key *keys, uint32_t count) noexcept nogil:
    """A table twice as large, or the first one, with the keys in it; False when there is no memory."""
    cdef uint32_t size = frame.size * 2 if frame.size else 4 * SCAN
    cdef uint32_t i, slot
    free(frame.slots)
    frame.slots = <uint32_t *>calloc(size, sizeof(uint32_t))
    if frame.slots == NULL:
        return False
    frame.size = size
    for i in range(count):
        slot = keys[i].hash & (size - 1)
        while frame.slots[slot]:
            slot = (slot + 1) & (size - 1)
        frame.slots[slot] = i + 1
    return True


cdef bint append(Walk *w, uint32_t hash, Text text) noexcept nogil:
    cdef Key *larger
    if w.count == w.capacity:
        larger = <Key *>realloc(NULL if w.keys == w.inline_keys else w.keys, 2 * w.capacity * sizeof(Key))
        if larger == NULL:
            return False
        if w.keys == w.inline_keys:
            memcpy(larger, w.keys, w.count * sizeof(Key))
        w.keys = larger
        w.capacity *= 2
    w.keys[w.count].hash = hash
    w.keys[w.count].offset = <uint32_t>(text - w.start)
    w.count += 1
    return True


cdef inline bint remember(Walk *w, Frame *frame, uint32_t hash, Text text) noexcept nogil:
    """Add a key to those of its object; False when it stands there already."""
    cdef Key *keys = w.keys + frame.first
    cdef uint32_t count = w.count - frame.first
    cdef uint32_t i, slot
    if count < SCAN:
        for i in range(count):
            if keys[i].hash == hash and same_key(w.start + keys[i].offset, text):
                fail(w, DUPLICATE, NULL, text)
                return False
    else:
        if 2 * count >= frame.size and not widen(frame, keys, count):
            fail(w, NO_MEMORY, NULL, text)
            return False
        slot = hash & (frame.size - 1)
        while frame.slots[slot]:
            i = frame.slots[slot] - 1
            if keys[i].hash == hash and same_key(w.start + keys[i].offset, text):
                fail(w, DUPLICATE, NULL, text)
                return False
            slot = (slot + 1) & (frame.size - 1)
        frame.slots[slot] = count + 1
    if not append(w, hash, text):
        fail(w, NO_MEMORY, NULL, text)
        return False
    return True


cdef inline Text govern(Walk *w, Text text, Frame *frame, Names **child) noexcept nogil:
    """Pass the key of a decoded object: `child` becomes what governs its value."""
    cdef Text p = text
    cdef uint64_t h = SEED, word, marks
    cdef uint32_t hash, slot, length = 0
    cdef int tail
    cdef bint plain = False  # ASCII without escapes, and not in the last eight bytes of the body
    cdef Name *name
    while w.end - p >= 8:
        word = load(p)
        marks = special(word)
        if marks:
            tail = first(marks)
            h ^= (word | LOWER) & ((<uint64_t>1 << 8 * tail) - 1)
            p += tail
            plain = p[0] == c'"'
            break
        h = mix(h ^ (word | LOWER), FACTOR)
        p += 8
    if plain:
        hash = <uint32_t>mix(h, FACTOR)
        length = <uint32_t>(p - text)
        p += 1
    else:
        p = pass_string(w, text)
        if p == NULL:
            return NULL
        hash = hash_key(text)
    if not remember(w, frame, hash, text):
        return NULL
    child[0] = NULL
    w.place = -1
    slot = hash & frame.names.mask
    while frame.names.slots[slot].text != NULL:
        name = &frame.names.slots[slot]
        if name.hash == hash:
            if plain and name.length == length and memcmp(name.text, text, length) == 0:
                child[0] = name.child
                w.place = name.place
                break
            if is_named(text, name.text, name.length, True):
                if not is_named(text, name.text, name.length, False):
                    w.name = name
                    return fail(w, CASE, NULL, text)
                child[0] = name.child
                w.place = name.place
                break
        slot = (slot + 1) & frame.names.mask
    return p


# ---- the walk

cdef inline Text pass_key(Walk *w, Text p, Frame *frame, Names **child) noexcept nogil:
    """Pass a key and its colon: `child` becomes what governs the value that begins where this ends."""
    if p[0] != c'"':
        return fail(w, SYNTAX, b"a key should stand here", p)
    if frame.names == NULL:  # and `child` is NULL already: nothing is decoded below what is not
        p = pass_string(w, p + 1)
    else:
        p = govern(w, p + 1, frame, child)
    if p == NULL:
        return NULL
    p = pass_space(p)
    if p[0] != c":":
        return fail(w, SYNTAX, b"a colon should stand here", p)
    return pass_space(p + 1)


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return c"0" <= c <= c"9"


cdef Text pass_digits(Walk *w, Text p) noexcept nogil:
    if not is_digit(p[0]):
        return fail(w, SYNTAX, b"a digit should stand here", p)
    while is_digit(p[0]):
        p += 1
    return p


cdef Text pass_number(Walk *w, Text p) noexcept nogil:
    if p[0] == c"-":
        p += 1
    if p[0] == c"0":  # what follows a leading zero is refused as not following a value
        p += 1
    else:
        p = pass_digits(w, p)
        if p == NULL:
            return NULL
    if p[0] == c".":
        p = pass_digits(w, p + 1)
        if p == NULL:
            return NULL
    if p[0] | 0x20 == c"e":
        p += 1
        if p[0] == c"+" or p[0] == c"-":
            p += 1
        p = pass_digits(w, p)
    return p


cdef Text pass_scalar(Walk *w, Text p) noexcept nogil:
    cdef unsigned char c = p[0]
    if c == c"-" or is_digit(c):
        return pass_number(w, p)
    if c == c"t" and p[1] == c"r" and p[2] == c"u" and p[3] == c"e":
        return p + 4
    if c == c"f" and p[1] == c"a" and p[2] == c"l" and p[3] == c"s" and p[4] == c"e":
        return p + 5
    if c == c"n" and p[1] == c"u" and p[2] == c"l" and p[3] == c"l":
        return p + 4
    return fail(w, SYNTAX, b"a value should stand here", p)


cdef Text pass_document(Walk *w, Names *names) noexcept nogil:
    cdef Frame *frame = w.frames
    cdef unsigned char c
    cdef int place = -1
    cdef Text p = pass_space(w.start)
    if p[0] != c"{":
        if p[0] == c"[" or p[0] == c'"' or pass_scalar(w, p) != NULL:
            return fail(w, NOT_OBJECT, b"the body is not a JSON object", p)
        return NULL
    while True:
        # a value begins at p, and `names` governs it
        c = p[0]
        w.left -= 1
        if w.left < 0:
            return fail(w, TOO_MANY, NULL, p)
        if w.depth == 1 and 0 <= w.place < PLACES:
            place = w.place
            w.spans.start[place] = <uint32_t>(p - w.start)
        if c == c"{" or c == c"[":
            if w.depth == w.limit:
                return fail(w, TOO_DEEP, NULL, p)
            frame = &w.frames[w.depth]
            w.depth += 1
            frame.names = names
            frame.first = w.count
            frame.size = 0
            frame.slots = NULL
            frame.closer = c + 2  # both closing brackets stand two places behind their opening ones
            p = pass_space(p + 1)
            if p[0] != frame.closer:
                if c == c"{":
                    p = pass_key(w, p, frame, &names)
                    if p == NULL:
                        return NULL
                continue
        elif c == c'"':
            p = pass_string(w, p + 1)
        else:
            p = pass_scalar(w, p)
        if p == NULL:
            return NULL
        # a value ended before p, or an empty object or array is about to
        while True:
            if place >= 0 and w.depth == 1:
                w.spans.end[place] = <uint32_t>(p - w.start)
                w.spans.found |= <uint32_t>1 << place
                place = -1
            p = pass_space(p)
            if p[0] == c",":
                p = pass_space(p + 1)
                if frame.closer == c"]":
                    names = frame.names
                else:
                    p = pass_key(w, p, frame, &names)
                    if p == NULL:
                        return NULL
                break
            if p[0] != frame.closer:
                return fail(w, SYNTAX, b"a comma or a closing bracket should stand here", p)
            p += 1
            free(frame.slots)
            w.count = frame.first
            w.depth -= 1
            if w.depth == 0:
                p = pass_space(p)
                return p if p == w.end else fail(w, SYNTAX, b"something stands behind the document", p)
            frame -= 1


cdef void begin(Walk *w, bytes body, int depth, Spans *spans) noexcept:
    w.start = <Text>PyBytes_AS_STRING(body)
    w.end = w.start + PyBytes_GET_SIZE(body)
    w.keys = w.inline_keys
    w.count = 0
    w.capacity = INLINE
    w.depth = 0
    w.limit = depth
    w.left = VALUES
    w.spans = spans
    spans.found = 0


cdef void release(Walk *w) noexcept:
    for i in range(w.depth):
        free(w.frames[i].slots)
    if w.keys != w.inline_keys:
        free(w.keys)


# ---- what Python sees

@cython.final
cdef class Shape:
    """The governed names of an object, each with the Shape of the objects in it, or None.

    A field's Shape applies to its value if that is an object, and to each object in it if it is an array, at any
    array depth. A Shape without fields still lets no key stand twice.
    """

    def __cinit__(self, fields):
        cdef uint32_t size = 1
        cdef Shape child
        self.fields = MappingProxyType(dict(fields))
        self.texts = tuple([name.encode("ascii") for name in self.fields])
        if len({text.lower() for text in self.texts}) < len(self.texts):
            raise ValueError("two governed names differ only by case")
        while size < 2 * len(self.texts) + 1:
            size *= 2
        self.names.slots = <Name *>calloc(size, sizeof(Name))
        if self.names.slots == NULL:
            raise MemoryError
        self.names.mask = size - 1
        for place, (text, child) in enumerate(zip(self.texts, self.fields.values())):
            self.add(text, child, place)

    cdef void add(self, bytes text, Shape child, int place):
        cdef bytes quoted = text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        cdef uint32_t hash = hash_key(<Text>PyBytes_AS_STRING(quoted))
        cdef uint32_t slot = hash & self.names.mask
        while self.names.slots[slot].text != NULL:
            slot = (slot + 1) & self.names.mask
        self.names.slots[slot].text = <Text>PyBytes_AS_STRING(text)
        self.names.slots[slot].length = <uint32_t>PyBytes_GET_SIZE(text)
        self.names.slots[slot].hash = hash
        self.names.slots[slot].place = place
        self.names.slots[slot].child = NULL if child is None else &child.names

    def __dealloc__(self):
        free(self.names.slots)


@cython.final
cdef class Fault:
    """Why a body is refused: the kind, the offset of the byte where it shows, and the key it is about or ""."""

    def __cinit__(self, str kind not None, Py_ssize_t position, str key not None, str reason not None):
        self.kind = kind
        self.position = position
        self.key = key
        self.reason = reason

    def explain(self):
        """The fault in one clause, for the caller."""
        return f"{self.reason} (byte {self.position})"

    def __repr__(self):
        return f"<Fault {self.kind}: {self.explain()}>"


cdef str key_at(Text text):
    cdef uint32_t c
    cdef list characters = []
    while True:
        c = next_char(&text)
        if c == END:
            return "".join(characters)
        characters.append(chr(c))


cdef str shown(str key):
    """A caller's key as part of a message of ours: short, and on one line."""
    if len(key) > 64:
        key = key[:64] + "..."
    return key if key.isprintable() else key.encode("unicode_escape").decode("ascii")


cdef Fault fault_of(Walk *w):
    cdef Py_ssize_t position = w.at - w.start
    if w.kind == DUPLICATE or w.kind == CASE:
        key = key_at(w.at)
        reason = f"key `{shown(key)}` stands twice"
        if w.kind == CASE:
            name = w.name.text[: w.name.length].decode("ascii")
            reason = f"key `{shown(key)}` differs from `{name}` only by case"
        return Fault(KINDS[w.kind], position - 1, key, reason)  # at the opening quote
    if w.kind == TOO_MANY:
        return Fault("values", position, "", f"more than {VALUES} values")
    if w.kind == TOO_DEEP:
        return Fault("depth", position, "", f"nested deeper than {w.limit}")
    reason = w.reason.decode("ascii")
    return Fault(KINDS[w.kind], position, "", f"not valid JSON: {reason}" if w.kind == SYNTAX else reason)


def check(bytes body not None, Shape shape not None, int depth):
    """None if the body has one meaning to every reader, else the first fault in it."""
    cdef Spans spans
    return walked(body, shape, depth, &spans)


cdef Fault walked(bytes body, Shape shape, int depth, Spans *spans):
    """As `check`; where there is no fault, `spans` says where the values stand of the names of `shape`."""
    cdef Walk walk
    if not 1 <= depth <= DEPTH:
        raise ValueError(f"depth is {depth}, not 1 to {DEPTH}")
    if len(body) > UINT32_MAX:
        raise ValueError("a body is at most 4 GiB")
    begin(&walk, body, depth, spans)
    if pass_document(&walk, &shape.names) != NULL:
        release(&walk)
        return None
    release(&walk)
    if walk.kind == NO_MEMORY:
        raise MemoryError
    return fault_of(&walk)


cdef Text pass_value(Walk *w, Text p) noexcept nogil:
    """Pass a value of a body that is known to be good; on any other, end somewhere inside or with NULL."""
    cdef Py_ssize_t depth = 0
    while True:
        if p[0] == c'"':
            p = pass_string(w, p + 1)
            if p == NULL:
                return NULL
        elif p[0] == c"{" or p[0] == c"[":
            depth += 1
            p += 1
        elif p[0] == c"}" or p[0] == c"]":
            depth -= 1
            p += 1
        elif depth:
            if p == w.end:
                return NULL
            p += 1
        else:
            p = pass_scalar(w, p)
        if depth == 0:
            return p


def locate(bytes body not None, bytes key not None):
    """Where the value of a top-level key begins and ends, or None; the body has passed `check`, the key is ASCII."""
    cdef Walk walk
    cdef Spans spans
    cdef Text p
    cdef Text text
    cdef Text value
    cdef bint found
    begin(&walk, body, 0, &spans)
    p = pass_space(walk.start)
    while p[0] == c"{" or p[0] == c",":
        p = pass_space(p + 1)
        if p[0] != c'"':
            return None
        text = p + 1
        p = pass_string(&walk, text)
        if p == NULL:
            return None
        found = is_named(text, <Text>PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), False)
        p = pass_space(p)
        if p[0] != c":":
            return None
        value = pass_space(p + 1)
        p = pass_value(&walk, value)
        if p == NULL:
            return None
        if found:
            return value - walk.start, p - walk.start
        p = pass_space(p)
    return None
