"""What the readers and writers of heads, of requests and of answers, do with bytes; inlined into them."""

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    #define EACH_BYTE(byte) (0x0101010101010101u * (byte))

    static inline uint64_t eight(const char *p) {
        uint64_t word;
        memcpy(&word, p, 8);
        return word;
    }

    /* Bit 7 of each byte that ends the value of a field, or is a tab: below 0x20, or 0x7f. A borrow can only mark bytes
       above a marked one, so that there is a mark only where there is a reason for one. */
    static inline uint64_t controls(uint64_t word) {
        uint64_t del = word ^ EACH_BYTE(0x7f);
        return (((word - EACH_BYTE(0x20)) & ~word) | ((del - EACH_BYTE(0x01)) & ~del)) & EACH_BYTE(0x80);
    }
    """
    uint64_t eight(const char* p) noexcept nogil
    uint64_t controls(uint64_t word) noexcept nogil

cdef enum:
    DIGITS = 20  # of the largest number


cdef inline bint same_name(const char* p, const char* name, Py_ssize_t length) noexcept nogil:
    """Whether `p` spells the lower-case `name`, in whatever case.

    Bit 5 is set and not the case changed: among bytes that are no control characters only a capital letter becomes one
    of those that names are made of, which are small letters, digits, `-` and `/`.
    """
    cdef uint64_t bits = 0x2020202020202020u
    cdef Py_ssize_t i = 0
    if length >= 8:
        while i + 8 <= length:
            if (eight(p + i) | bits) != eight(name + i):
                return False
            i += 8
        return i == length or (eight(p + length - 8) | bits) == eight(name + length - 8)
    while i < length:
        if (p[i] | 32) != name[i]:
            return False
        i += 1
    return True


cdef inline const char* end_of_value(const char* p, const char* end) noexcept nogil:
    """The end of the line that `p` is in, where CRLF follows and no control character stands before; else NULL."""
    while True:
        while end - p >= 8 and not controls(eight(p)):
            p += 8
        while p < end and <unsigned char>p[0] >= 32 and p[0] != 127:
            p += 1
        if p == end or p[0] != 9:
            break
        p += 1
    if end - p < 2 or p[0] != 13 or p[1] != 10:
        return NULL
    return p


cdef inline char* put(char* out, const char* text, Py_ssize_t size) noexcept nogil:
    """Writes a text; where the next one goes."""
    memcpy(out, text, size)
    return out + size


cdef inline int digits_of(char* digits, uint64_t value) noexcept nogil:
    """Writes a number to the end of DIGITS bytes; how many digits it has."""
    cdef int count = 0
    while True:
        count += 1
        digits[DIGITS - count] = <char>(48 + value % 10)
        value //= 10
        if not value:
            return count
