/* The numbers of a report: found in one pass over a document, and without making anything of the rest.

   A document is read if all of it is JSON and what it has under the names that mean something is there once and is what
   it should be: whole numbers, words, objects of such, lists of objects, or null. Anything else is undecided, and a full
   parse says what it is. */
#ifndef TIDEGATE_NUMBERS_H
#define TIDEGATE_NUMBERS_H

#include "fields.h"

/* What a field is. */
enum {
    NUMBER,   /* a whole number */
    WORD,     /* a word */
    INSIDE,   /* an object that has numbers */
    EACH,     /* a list of objects */
    KIND,     /* a word that undecides the document if it is the one of the shape */
    REFUSED   /* what undecides a document */
};

#define MOST_OBJECTS 8
#define MOST_NUMBERS 16
#define MOST_WORDS 2
#define MOST_DIGITS 12

typedef struct {
    Names object[MOST_OBJECTS]; /* the first is the document; `of` is an object's place, or that of a number or word */
    Word kind;
} Shape;

typedef struct {
    int64_t number[MOST_NUMBERS]; /* -1: absent */
    const uint8_t *word[MOST_WORDS];
    size_t length[MOST_WORDS];
} Numbers;

static inline const uint8_t *number_at(const uint8_t *p, int64_t *number) {
    const uint8_t *start = p;
    if (!(p = digits(p)) || p - start > MOST_DIGITS || (*start == '0' && p - start > 1)) return NULL;
    for (*number = 0; start < p; start++) *number = *number * 10 + (*start - '0');
    return p;
}

/* Past a word of ASCII without escapes. */
static inline const uint8_t *word_at(const uint8_t *p, const uint8_t *end, const uint8_t **word, size_t *length) {
    bool escaped = false;
    *word = p + 1;
    if (*p != '"' || !(p = string_end(p + 1, end, &escaped)) || escaped) return NULL;
    *length = (size_t)(p - *word);
    for (const uint8_t *s = *word; s < p; s++)
        if (*s >= 0x80) return NULL;
    return p + 1;
}

static inline const uint8_t *object_at(const uint8_t *p, const uint8_t *end, const Shape *shape, unsigned at, Numbers *found);

static inline const uint8_t *each_at(const uint8_t *p, const uint8_t *end, const Shape *shape, unsigned at, Numbers *found) {
    if (*p != '[') return NULL;
    p = blank(p + 1, end);
    if (*p == ']') return p + 1;
    while ((p = object_at(p, end, shape, at, found))) {
        p = blank(p, end);
        if (*p == ']') return p + 1;
        if (*p != ',') return NULL;
        p = blank(p + 1, end);
    }
    return NULL;
}

static inline const uint8_t *value_at(const uint8_t *p, const uint8_t *end, const Shape *shape, const Word *field, Numbers *found) {
    const uint8_t *word;
    size_t length;
    switch (field->what) {
    case NUMBER: return number_at(p, &found->number[field->of]);
    case WORD: return word_at(p, end, &found->word[field->of], &found->length[field->of]);
    case INSIDE: return object_at(p, end, shape, field->of, found);
    case EACH: return each_at(p, end, shape, field->of, found);
    case KIND:
        p = word_at(p, end, &word, &length);
        return p && !word_of(&shape->kind, 1, word, length) ? p : NULL;
    }
    return NULL;
}

/* Past an object; the numbers in it are noted. */
static inline const uint8_t *object_at(const uint8_t *p, const uint8_t *end, const Shape *shape, unsigned at, Numbers *found) {
    uint32_t seen = 0;
    const Word *field;
    if (*p != '{') return NULL;
    p = blank(p + 1, end);
    while (*p != '}') {
        if (!(p = field_at(p, end, &shape->object[at], &seen, &field))) return NULL;
        p = !field || *p == 'n' ? past(p, end) : value_at(p, end, shape, field, found);
        if (!p || !(p = next_member(p, end))) return NULL;
    }
    return p + 1;
}

/* Reads a document; false if it is undecided. */
static inline bool numbers_of(const uint8_t *p, size_t n, const Shape *shape, Numbers *found) {
    const uint8_t *start = p, *end = p + n;
    memset(found, 0xFF, sizeof found->number);
    memset(found->word, 0, sizeof found->word);
    p = object_at(blank(p, end), end, shape, 0, found);
    return p && blank(p, end) == end && paired(start, end);
}

#endif
