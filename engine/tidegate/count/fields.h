/* Fields: the members of an object whose names mean something, each at most once and under a name without escapes.

   As json.h has it, the byte behind a document must be readable and none that can go on with a value. */
#ifndef TIDEGATE_FIELDS_H
#define TIDEGATE_FIELDS_H

#include "json.h"

#define MOST_NAMES 24
#define LONGEST_WORD 29

typedef struct {
    uint8_t length, what, of;
    char text[LONGEST_WORD];
} Word;

/* The fields of an object that mean something. */
typedef struct {
    uint32_t lengths; /* a bit for each */
    uint8_t count;
    Word word[MOST_NAMES];
} Names;

static inline const Word *word_of(const Word *word, unsigned count, const uint8_t *s, size_t n) {
    for (const Word *end = word + count; word < end; word++)
        if (word->length == n && word->text[0] == (char)s[0] && !memcmp(word->text, s, n)) return word;
    return NULL;
}

/* Past a member's name and colon; `*field` is what it means, NULL if nothing. NULL for a name that is escaped, or one that
   means something and was seen before. */
static inline const uint8_t *field_at(const uint8_t *p, const uint8_t *end, const Names *names, uint32_t *seen, const Word **field) {
    const uint8_t *name = p + 1;
    bool escaped = false;
    *field = NULL;
    if (*p != '"' || !(p = string_end(name, end, &escaped)) || escaped) return NULL;
    size_t length = (size_t)(p - name);
    if (length <= LONGEST_WORD && names->lengths >> length & 1 && (*field = word_of(names->word, names->count, name, length))) {
        uint32_t bit = 1u << (*field - names->word);
        if (*seen & bit) return NULL;
        *seen |= bit;
    }
    p = blank(p + 1, end);
    return *p == ':' ? blank(p + 1, end) : NULL;
}

/* From behind a member to the next one, or to the end of the object. */
static inline const uint8_t *next_member(const uint8_t *p, const uint8_t *end) {
    p = blank(p, end);
    if (*p == '}') return p;
    if (*p != ',') return NULL;
    p = blank(p + 1, end);
    return *p == '"' ? p : NULL;
}

/* Whether no half of a pair of surrogates stands alone in the escapes of what was found to be JSON. */
static inline bool paired(const uint8_t *p, const uint8_t *end) {
    while ((p = memchr(p, '\\', (size_t)(end - p)))) {
        if (p[1] != 'u') {
            p += 2;
            continue;
        }
        int32_t c = hex_number(p + 2, end);
        p += 6;
        if (c >> 11 != 0x1B) continue;
        if (c >> 10 != 0x36 || end - p < 6 || p[0] != '\\' || p[1] != 'u' || hex_number(p + 2, end) >> 10 != 0x37) return false;
        p += 6;
    }
    return true;
}

#endif
