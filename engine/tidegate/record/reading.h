/* A leaf as it is read: msgpack, of which a reader takes what it wants and passes over the rest. Each function moves on
 * and gives 1, or gives 0 where the bytes end or are something else. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const unsigned char *at, *end;
} Reading;

static inline size_t read_left(const Reading *from) { return (size_t)(from->end - from->at); }

/* A number of 1, 2, 4 or 8 bytes, as it lies: the highest first. */
static inline int read_number(Reading *from, int bytes, uint64_t *number) {
    if (read_left(from) < (size_t)bytes) return 0;
    for (*number = 0; bytes--; from->at++) *number = *number << 8 | *from->at;
    return 1;
}

/* A whole number from 0 on, in any of its forms. */
static inline int read_uint(Reading *from, uint64_t *number) {
    if (from->at == from->end) return 0;
    unsigned char first = *from->at++;
    if (first < 0x80) {
        *number = first;
        return 1;
    }
    if (first < 0xCC || first > 0xD3 || !read_number(from, 1 << (first & 3), number)) return 0;
    return first < 0xD0 || !(*number >> (8 * (1 << (first & 3)) - 1)); /* from 0xD0 on it has a sign */
}

/* How many values come next: an array's. */
static inline int read_array(Reading *from, uint64_t *count) {
    if (from->at == from->end) return 0;
    unsigned char first = *from->at++;
    if ((first & 0xF0) == 0x90) {
        *count = first & 0x0F;
        return 1;
    }
    return (first == 0xDC && read_number(from, 2, count)) || (first == 0xDD && read_number(from, 4, count));
}

static inline int read_span(Reading *from, uint64_t count, const unsigned char **start, size_t *length) {
    if (read_left(from) < count) return 0;
    *start = from->at;
    *length = (size_t)count;
    from->at += count;
    return 1;
}

static inline int read_text(Reading *from, const unsigned char **start, size_t *length) {
    uint64_t count;
    if (from->at == from->end) return 0;
    unsigned char first = *from->at++;
    if ((first & 0xE0) == 0xA0) return read_span(from, first & 0x1F, start, length);
    if (first < 0xD9 || first > 0xDB || !read_number(from, 1 << (first - 0xD9), &count)) return 0;
    return read_span(from, count, start, length);
}

static inline int read_bytes(Reading *from, const unsigned char **start, size_t *length) {
    uint64_t count;
    if (from->at == from->end) return 0;
    unsigned char first = *from->at++;
    if (first < 0xC4 || first > 0xC6 || !read_number(from, 1 << (first - 0xC4), &count)) return 0;
    return read_span(from, count, start, length);
}

/* Passes over so many values, with all that is in them. */
static inline int read_over(Reading *from, uint64_t count) {
    /* by first byte from 0xC0 on: how many bytes follow it; or, less 32, how many have the length of what follows */
    static const signed char follow[32] = {
        0, -1, 0, 0, 33, 34, 36, 33, 34, 36, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, 33, 34, 36, 34, 36, 34, 36,
    };
    while (count--) {
        if (count >= read_left(from)) return 0; /* each has a byte at least */
        unsigned char first = *from->at++;
        uint64_t length = 0;
        if (first < 0x80 || first >= 0xE0) continue;
        if (first < 0xC0) {
            if (first >= 0xA0) length = first & 0x1F;
            else count += (first & 0x0F) << (first < 0x90); /* a map has two for each */
        } else {
            int more = follow[first - 0xC0];
            if (more < 0) return 0;
            if (more < 32) {
                length = (uint64_t)more;
            } else {
                if (!read_number(from, more - 32, &length)) return 0;
                if (first >= 0xDC) {
                    count += length << (first >= 0xDE);
                    length = 0;
                } else if (first >= 0xC7 && first <= 0xC9) {
                    length++; /* the kind of an extension */
                }
            }
        }
        if (read_left(from) < length) return 0;
        from->at += length;
    }
    return 1;
}
