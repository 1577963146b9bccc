/* Plain messages: those of a list that hold nothing but texts, found in one pass and without making anything of them.

   A message is plain if every field of it that means something is there once, under a name without escapes, and is a
   text, null, or a list of parts that are texts. What is not plain is passed over strictly, and a full parse decides: it
   may be right all the same. Where even that is not possible (nesting past 64 levels), all of the list is undecided.

   As json.h has it, the byte behind a document must be readable and none that can go on with a value. */
#ifndef TIDEGATE_MESSAGES_H
#define TIDEGATE_MESSAGES_H

#include "fields.h"
#include "merges.h"

/* What a field of a message or part is. */
enum {
    SAID,    /* a text */
    CALLED,  /* a name, which is a text too */
    SPOKEN,  /* the role: a text that may be one of those that are not plain */
    SORT,    /* the type of a message or part */
    PARTS,   /* a text, or a list of parts */
    ODD      /* what no plain message has */
};

#define MOST_WORDS 8
#define MOST_TEXTS 64 /* of one message; one with more goes to the full parse */

typedef struct {
    uint8_t count;
    Word word[MOST_WORDS];
} Words;

typedef struct {
    Names message, part;
    Words roles; /* that are not plain */
    Words sorts; /* of messages that are plain; none: the type says nothing */
    Words texts; /* types of parts that are texts */
} Form;

typedef struct {
    const uint8_t *start;
    size_t length;
    bool escaped;
} Piece;

typedef struct {
    unsigned count;
    bool named;
    Piece piece[MOST_TEXTS];
} Message;

/* Past a text, which is noted. */
static inline const uint8_t *text_at(const uint8_t *p, const uint8_t *end, Message *m) {
    if (*p != '"' || m->count == MOST_TEXTS) return NULL;
    Piece *piece = &m->piece[m->count++];
    piece->start = p + 1;
    piece->escaped = false;
    if (!(p = string_end(p + 1, end, &piece->escaped))) return NULL;
    piece->length = (size_t)(p - piece->start);
    return p + 1;
}

/* The text that was noted last is one of these words. */
static inline bool last_is(const Message *m, const Words *words) {
    const Piece *last = &m->piece[m->count - 1];
    return word_of(words->word, words->count, last->start, last->length) != NULL;
}

/* Past a part that is a text; NULL for any other. */
static inline const uint8_t *part_at(const uint8_t *p, const uint8_t *end, const Form *form, Message *m) {
    uint32_t seen = 0;
    bool typed = false;
    const Word *field;
    if (*p != '{') return NULL;
    p = blank(p + 1, end);
    while (*p != '}') {
        if (!(p = field_at(p, end, &form->part, &seen, &field))) return NULL;
        if (!field) {
            p = past(p, end);
        } else if (field->what == SORT) {
            if (!(p = text_at(p, end, m)) || !last_is(m, &form->texts)) return NULL;
            typed = true;
            m->count--;
        } else if (*p == 'n') {
            p = scalar(p, end);
        } else {
            p = field->what == SAID ? text_at(p, end, m) : NULL;
        }
        if (!p || !(p = next_member(p, end))) return NULL;
    }
    return typed ? p + 1 : NULL;
}

static inline const uint8_t *parts_at(const uint8_t *p, const uint8_t *end, const Form *form, Message *m) {
    p = blank(p + 1, end);
    if (*p == ']') return p + 1;
    for (;;) {
        if (!(p = part_at(p, end, form, m))) return NULL;
        p = blank(p, end);
        if (*p == ']') return p + 1;
        if (*p != ',') return NULL;
        p = blank(p + 1, end);
    }
}

/* Past a plain message, whose texts are noted; NULL for any other. */
static inline const uint8_t *message_at(const uint8_t *p, const uint8_t *end, const Form *form, Message *m) {
    uint32_t seen = 0;
    const Word *field;
    m->count = 0;
    m->named = false;
    if (*p != '{') return NULL;
    p = blank(p + 1, end);
    while (*p != '}') {
        if (!(p = field_at(p, end, &form->message, &seen, &field))) return NULL;
        if (!field || *p == 'n') {
            p = past(p, end);
        } else if (field->what == PARTS && *p == '[') {
            p = parts_at(p, end, form, m);
        } else if (field->what == ODD || !(p = text_at(p, end, m))) {
            return NULL;
        } else if (field->what == SPOKEN) {
            if (m->piece[m->count - 1].escaped || last_is(m, &form->roles)) return NULL;
        } else if (field->what == SORT) {
            if (!last_is(m, &form->sorts)) return NULL;
            m->count--;
        } else if (field->what == CALLED) {
            m->named = true;
        }
        if (!p || !(p = next_member(p, end))) return NULL;
    }
    return p + 1;
}

/* The bytes of a text whose escapes are undone; `out` has room for as many as are written. */
static inline size_t unescaped(const uint8_t *p, const uint8_t *end, uint8_t *out) {
    size_t n = 0;
    while (p < end) {
        const uint8_t *stop = plain(p, end);
        memcpy(out + n, p, (size_t)(stop - p));
        n += (size_t)(stop - p);
        p = stop;
        if (p < end) n += unescape(&p, end, out + n, 4);
    }
    return n;
}

/* What kind of text it is. */
typedef struct {
    uint64_t size, foreign, characters; /* bytes, those of them that are not ASCII, and what they spell */
} Kinds;

/* Adds a text; false if it is no UTF-8. */
static inline bool kinds_add(Kinds *kinds, const uint8_t *s, size_t n) {
    size_t foreign = 0, inside = 0, i = 0;
#ifdef __SSE2__
    const __m128i least = _mm_set1_epi8((char)0xC0);
    for (; n - i >= 16; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(s + i));
        unsigned high = (unsigned)_mm_movemask_epi8(x);
        if (!high) continue;
        foreign += (unsigned)__builtin_popcount(high);
        inside += (unsigned)__builtin_popcount((unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(x, least)));
    }
#endif
#ifdef __SSE2__
    if (i && i < n) { /* the last bytes, and before them some that were seen */
        __m128i x = _mm_loadu_si128((const __m128i *)(s + n - 16));
        unsigned unseen = 0xFFFFu << (16 - (n - i));
        unsigned high = (unsigned)_mm_movemask_epi8(x) & unseen;
        if (high) {
            foreign += (unsigned)__builtin_popcount(high);
            inside += (unsigned)__builtin_popcount((unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(x, least)) & unseen);
        }
        i = n;
    }
#endif
    uint8_t any = 0;
    for (size_t k = i; k < n; k++) any |= s[k];
    if (any & 0x80)
        for (; i < n; i++) foreign += s[i] >> 7, inside += (s[i] & 0xC0) == 0x80;
    kinds->size += n;
    kinds->foreign += foreign;
    kinds->characters += n - inside;
    return !foreign || whole_characters(s, n) == n;
}

#endif
