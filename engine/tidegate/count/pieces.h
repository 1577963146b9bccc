/* Pieces: where the pre-tokenizers' patterns cut a text. Merging never crosses a cut.

   All patterns in use are variations of one. In the order in which they are tried, a piece is
     a contraction ('s 't 're 've 'm 'll 'd, in any case), in the plain form;
     one character that is no letter, digit or newline, if letters follow it, and the letters. The cased form ends them
       where a capital follows a small letter, counts marks as letters, and takes a contraction in at the end;
     up to `digits` digits;
     a blank, if it is there, and symbols, with the newlines that follow (and slashes, in the cased form);
     white space up to its last newline; white space but for its last character, which may open the next piece.

   piece_length() never looks past the end it was given without saying so: it answers OPEN. A length it gives
   is therefore the same for every continuation of the text, which is what makes incremental counts exact. */
#ifndef TIDEGATE_PIECES_H
#define TIDEGATE_PIECES_H

#include <stdbool.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "characters.h"

typedef struct {
    bool cased;         /* letters as o200k cuts them, else as cl100k does */
    bool contractions;
    bool whole_end;     /* white space at the end of the text is one piece, newlines or not */
    unsigned digits;
} Shape;

typedef struct {
    Characters characters;
    Shape shape;
} Pattern;

#define OPEN 0

#define ANY_LETTER (SET(UPPER) | SET(LOWER) | SET(LETTER))
#define NOT_SMALL (SET(UPPER) | SET(LETTER) | SET(MARK))
#define NOT_CAPITAL (SET(LOWER) | SET(LETTER) | SET(MARK))
#define SYMBOL (SET(OTHER) | SET(MARK))
#define WHITE (SET(SPACE) | SET(NEWLINE))

static inline unsigned word_set(const Pattern *p) {
    return p->shape.cased ? ANY_LETTER | SET(MARK) : ANY_LETTER;
}

/* The end of the characters from i on whose class is in the set. */
static inline size_t skip(const Pattern *p, const uint8_t *s, size_t i, size_t n, unsigned set) {
    unsigned length;
    while (i < n && SET(class_at(&p->characters, s + i, &length)) & set) i += length;
    return i;
}

static inline bool ends_symbols(const Pattern *p, uint8_t c) {
    return c == '\n' || c == '\r' || (c == '/' && p->shape.cased);
}

/* The bytes of the contraction whose apostrophe is at s; 0 if there is none, -1 if the end leaves it open. */
static inline int contraction(const uint8_t *s, size_t n, bool last) {
    if (n < 2) return last ? 0 : -1;
    if (s[1] == 0xC5) return s[2] == 0xBF ? 3 : 0;  /* U+017F is an `s` where case is ignored */
    uint8_t first = s[1] | 32;
    if (s[1] >= 0x80) return 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if (first != 'r' && first != 'v' && first != 'l') return 0;
    if (n < 3) return last ? 0 : -1;
    return s[2] < 0x80 && (s[2] | 32) == (first == 'l' ? 'l' : 'e') ? 3 : 0;
}

/* The end of a cased word whose letters begin at i. The pattern wants one small letter, caseless letter or mark; where
   only capitals follow the last caseless letter or mark, it gives those capitals back. */
static inline size_t cased_word(const Pattern *p, const uint8_t *s, size_t i, size_t n, bool last) {
    size_t given_back = 0;
    unsigned class = OTHER, length;
    for (; i < n; i += length) {
        class = class_at(&p->characters, s + i, &length);
        if (!(SET(class) & NOT_SMALL)) break;
        if (class != UPPER) given_back = i + length;
    }
    if (i < n && class == LOWER) i = skip(p, s, i, n, NOT_CAPITAL);
    else if (given_back && given_back < i && (i < n || last)) return given_back;
    if (i >= n) return last ? n : OPEN;
    if (s[i] == '\'' && p->shape.contractions) {
        int more = contraction(s + i, n - i, last);
        return more < 0 ? OPEN : i + (size_t)more;
    }
    return i;
}

static inline size_t word(const Pattern *p, const uint8_t *s, size_t i, size_t n, bool last) {
    if (p->shape.cased) return cased_word(p, s, i, n, last);
    i = skip(p, s, i, n, ANY_LETTER);
    return i < n || last ? i : OPEN;
}

static inline size_t numbers(const Pattern *p, const uint8_t *s, size_t n, bool last) {
    size_t i = 0;
    unsigned length;
    for (unsigned k = 0; k < p->shape.digits; k++, i += length) {
        if (i >= n) return last ? n : OPEN;
        if (class_at(&p->characters, s + i, &length) != NUMBER) return i;
    }
    return i;
}

static inline size_t symbols(const Pattern *p, const uint8_t *s, size_t i, size_t n, bool last) {
    i = skip(p, s, i, n, SYMBOL);
    while (i < n && ends_symbols(p, s[i])) i++;
    return i < n || last ? i : OPEN;
}

static inline size_t white_space(const Pattern *p, const uint8_t *s, size_t n, bool last) {
    size_t i = 0, newline = 0, final = 0;
    unsigned class, length;
    for (; i < n; i += length) {
        class = class_at(&p->characters, s + i, &length);
        if (!(SET(class) & WHITE)) break;
        final = i;
        if (class == NEWLINE) newline = i + 1;
    }
    if (i >= n) return !last ? OPEN : newline && !p->shape.whole_end ? newline : n;
    if (newline) return newline;
    return final ? final : i;
}

/* Any piece, character by character. */
static inline size_t any_piece(const Pattern *p, const uint8_t *s, size_t n, bool last) {
    unsigned length, unused, next = NEWLINE, letters = word_set(p), first = class_at(&p->characters, s, &length);
    if (s[0] == '\'' && p->shape.contractions && !p->shape.cased) {
        int whole = contraction(s, n, last);
        if (whole) return whole < 0 ? OPEN : (size_t)whole;
    }
    if (SET(first) & letters) return word(p, s, 0, n, last);
    if (first == NUMBER) return numbers(p, s, n, last);
    if (first != NEWLINE) {
        if (length < n) next = class_at(&p->characters, s + length, &unused);
        else if (!last) return OPEN;
        if (SET(next) & letters) return word(p, s, length, n, last);
        if (SET(first) & SYMBOL) return symbols(p, s, 0, n, last);
        if (s[0] == ' ' && SET(next) & SYMBOL) return symbols(p, s, 1, n, last);
    }
    return white_space(p, s, n, last);
}

#define AT_ONCE 16 /* bytes */

#ifdef __SSE2__
/* A bit for each of the bytes that is one of the 26 letters from `first` on. */
static inline uint32_t letters_from(__m128i bytes, char first) {
    __m128i distance = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(distance, _mm_set1_epi8(25)), distance));
}

/* A piece as most are, of ASCII and followed by ASCII: letters, perhaps with one blank or symbol before them, or a symbol
   before a blank. OPEN: it is another. AT_ONCE bytes are read. */
static inline size_t plain_piece(const Pattern *p, const uint8_t *s, size_t n, bool last) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)s);
    uint32_t small = letters_from(bytes, 'a'), capital = letters_from(bytes, 'A');
    unsigned start = 0, end;
    if (!((small | capital) & 1)) {
        if (s[0] != ' ' && (s[0] >= 0x80 || s[0] == '\'' || p->characters.classes[0][s[0]] != OTHER)) return OPEN;
        start = 1;
    }
    small >>= start;
    capital >>= start;
    if (p->shape.cased) {
        unsigned capitals = (unsigned)__builtin_ctz(~capital);
        end = start + capitals + (unsigned)__builtin_ctz(~(small >> capitals));
    } else {
        end = start + (unsigned)__builtin_ctz(~(small | capital));
    }
    if (end >= n) return last && end == n ? n : OPEN;
    if (end == start) return s[0] != ' ' && s[1] == ' ' ? start : OPEN;
    return end < AT_ONCE && s[end] < 0x80 && s[end] != '\'' ? end : OPEN;
}
#endif

/* The length of the piece that s begins with, or OPEN. `last`: the text ends at n. `room`: bytes that may be read. */
static inline size_t piece_length(const Pattern *p, const uint8_t *s, size_t n, size_t room, bool last) {
    if (n == 0) return OPEN;
#ifdef __SSE2__
    size_t plain = room >= AT_ONCE ? plain_piece(p, s, n, last) : OPEN;
    if (plain != OPEN) return plain;
#endif
    return any_piece(p, s, n, last);
}

#endif
