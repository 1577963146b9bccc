/* JSON, strictly: where a value ends, and what a string spells.

   Each function takes the place where something begins and gives the place behind it, or NULL where it is not what RFC 8259
   allows. Nothing is made of what is read. The byte behind a document must be readable and none that can go on with a
   value: a line end or a zero. Bytes that are not UTF-8 may stand in strings; who reads them replaces them. */
#ifndef TIDEGATE_JSON_H
#define TIDEGATE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define DEEPEST 64 /* levels of nesting */

static inline const uint8_t *blank(const uint8_t *p, const uint8_t *end) {
    if (*p > ' ') return p;
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    return p;
}

/* The first quote, backslash or control character; there is one at the end at the latest. */
static inline const uint8_t *plain(const uint8_t *p, const uint8_t *end) {
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1F);
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)p);
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash));
        int stops = _mm_movemask_epi8(_mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(x, control), x)));
        if (stops) return p + __builtin_ctz((unsigned)stops);
    }
#elif defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    for (; end - p >= 8; p += 8) {
        uint64_t x, quote, slash;
        memcpy(&x, p, 8);
        quote = x ^ ones * '"';
        slash = x ^ ones * '\\';
        uint64_t stop = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((x - ones * 0x20) & ~x);
        if (stop &= tops) return p + (__builtin_ctzll(stop) >> 3); /* of several marks the lowest is certain */
    }
#endif
    while (p < end && *p >= 0x20 && *p != '"' && *p != '\\') p++;
    return p;
}

static inline int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of an escape; -1 if they are not that. */
static inline int32_t hex_number(const uint8_t *p, const uint8_t *end) {
    int32_t number = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0) return -1;
        number = number << 4 | digit;
    }
    return number;
}

/* From behind the first quote of a string to its last. */
static inline const uint8_t *string_end(const uint8_t *p, const uint8_t *end, bool *escaped) {
    for (;;) {
        p = plain(p, end);
        if (p >= end || *p < 0x20) return NULL;
        if (*p == '"') return p;
        *escaped = true;
        if (end - p < 2) return NULL;
        if (p[1] == 'u') {
            if (hex_number(p + 2, end) < 0) return NULL;
            p += 6;
        } else {
            if (!memchr("\"\\/bfnrt", p[1], 8)) return NULL;
            p += 2;
        }
    }
}

static inline bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static inline const uint8_t *digits(const uint8_t *p) {
    if (!is_digit(*p)) return NULL;
    while (is_digit(*p)) p++;
    return p;
}

static inline const uint8_t *scalar(const uint8_t *p, const uint8_t *end) {
    bool escaped;
    switch (*p) {
    case '"':
        p = string_end(p + 1, end, &escaped);
        return p ? p + 1 : NULL;
    case 't': return end - p >= 4 && !memcmp(p, "true", 4) ? p + 4 : NULL;
    case 'f': return end - p >= 5 && !memcmp(p, "false", 5) ? p + 5 : NULL;
    case 'n': return end - p >= 4 && !memcmp(p, "null", 4) ? p + 4 : NULL;
    }
    if (*p == '-') p++;
    if (!(p = *p == '0' ? p + 1 : digits(p))) return NULL;
    if (*p == '.' && !(p = digits(p + 1))) return NULL;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '+' || *p == '-') p++;
        p = digits(p);
    }
    return p;
}

/* Past a member's name and colon, to its value. */
static inline const uint8_t *member(const uint8_t *p, const uint8_t *end) {
    bool escaped;
    if (*p != '"' || !(p = string_end(p + 1, end, &escaped))) return NULL;
    p = blank(p + 1, end);
    return *p == ':' ? blank(p + 1, end) : NULL;
}

/* Past any value. */
static inline const uint8_t *past(const uint8_t *p, const uint8_t *end) {
    uint64_t objects = 0; /* one bit a level: whether it is an object */
    unsigned depth = 0;
    for (;;) {
        if (*p == '{' || *p == '[') {
            bool object = *p == '{';
            p = blank(p + 1, end);
            if (*p != (object ? '}' : ']')) {
                if (depth++ == DEEPEST) return NULL;
                objects = objects << 1 | object;
                if (object && !(p = member(p, end))) return NULL;
                continue;
            }
            p++;
        } else if (!(p = scalar(p, end))) {
            return NULL;
        }
        for (;; depth--, objects >>= 1, p++) { /* a value has ended, and with it perhaps what it stands in */
            if (!depth) return p;
            p = blank(p, end);
            if (*p == ',') break;
            if (*p != ((objects & 1) ? '}' : ']')) return NULL;
        }
        p = blank(p + 1, end);
        if ((objects & 1) && !(p = member(p, end))) return NULL;
    }
}

/* The next bytes of a text whose escapes are undone, at most `room`, which is 4 at least; *p moves on. A lone half of a
   pair of surrogates becomes U+FFFD. */
static inline size_t unescape(const uint8_t **p, const uint8_t *end, uint8_t *out, size_t room) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    size_t n = 0;
    while (*p < end && n + 4 <= room) {
        const uint8_t *s = *p;
        if (*s != '\\') {
            out[n++] = *s;
            *p = s + 1;
            continue;
        }
        if (s[1] != 'u') {
            const char *named = memchr(from, s[1], 5);
            out[n++] = named ? (uint8_t)to[named - from] : s[1];
            *p = s + 2;
            continue;
        }
        uint32_t c = (uint32_t)hex_number(s + 2, end);
        s += 6;
        if (c >> 10 == 0x36 && end - s >= 6 && s[0] == '\\' && s[1] == 'u') {
            uint32_t low = (uint32_t)hex_number(s + 2, end);
            if (low >> 10 == 0x37) {
                c = 0x10000 + ((c & 0x3FF) << 10) + (low & 0x3FF);
                s += 6;
            }
        }
        if (c >> 11 == 0x1B) c = 0xFFFD;
        *p = s;
        if (c < 0x80) {
            out[n++] = (uint8_t)c;
        } else if (c < 0x800) {
            out[n++] = (uint8_t)(0xC0 | c >> 6);
            out[n++] = (uint8_t)(0x80 | (c & 63));
        } else if (c < 0x10000) {
            out[n++] = (uint8_t)(0xE0 | c >> 12);
            out[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
            out[n++] = (uint8_t)(0x80 | (c & 63));
        } else {
            out[n++] = (uint8_t)(0xF0 | c >> 18);
            out[n++] = (uint8_t)(0x80 | (c >> 12 & 63));
            out[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
            out[n++] = (uint8_t)(0x80 | (c & 63));
        }
    }
    return n;
}

#endif
