"""What both readers of heads, of requests and of answers, do with bytes; inlined into them."""


cdef inline bint same_name(const char* p, const char* name, Py_ssize_t length) noexcept nogil:
    """Whether `p` spells the lower-case `name`, in whatever case."""
    cdef Py_ssize_t i
    for i in range(length):
        if (p[i] | 32 if 65 <= p[i] <= 90 else p[i]) != name[i]:
            return False
    return True


cdef inline const char* end_of_value(const char* p, const char* end) noexcept nogil:
    """The end of the line that `p` is in, where CRLF follows and no control character stands before; else NULL."""
    while p < end and (<unsigned char>p[0] >= 32 or p[0] == 9) and p[0] != 127:
        p += 1
    if end - p < 2 or p[0] != 13 or p[1] != 10:
        return NULL
    return p
