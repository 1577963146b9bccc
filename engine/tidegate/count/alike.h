/* Documents that are alike: most events of a stream differ from the one before in their text, and in noise.

   A document that is, byte for byte, one that was walked through, but for the text in its string and for noise of the same
   kind, has the same members in the same places. So it says the same, of another text, and need not be walked through. */
#ifndef TIDEGATE_ALIKE_H
#define TIDEGATE_ALIKE_H

#include "walk.h"

#define LIKE 416 /* bytes; beside its text an OpenAI chunk has 310, or 370 in a call of a tool; models may have long names */

/* A document that held one text and nothing else of interest: what it said, and its bytes beside the gaps, in stretches. */
typedef struct {
    uint8_t gaps, text;          /* how many; which is the text */
    bool known, listed, chosen;
    uint8_t usage_in;            /* the stretch that has null usage in it, from `usage` on; no bytes: none has */
    uint16_t usage, usage_length;
    uint16_t length[MOST_GAPS + 1];
    bool digits[MOST_GAPS];
    uint32_t choices;
    int32_t part;
    const Type *type;
    Found found;
    uint8_t bytes[LIKE];
} Like;

/* Remembers a document that was walked through, if it can be. */
static inline void remember(Like *like, const Walk *w, const uint8_t *s) {
    const uint8_t *from = s;
    uint8_t *to = like->bytes;
    like->known = false;
    if (w->gaps > MOST_GAPS || w->count != 1 || !w->found->kind || w->reported) return;
    like->usage_length = 0;
    for (unsigned i = 0; i <= w->gaps; i++) {
        const uint8_t *end = i < w->gaps ? w->gap[i].from : w->end;
        size_t length = (size_t)(end - from);
        if (length > (size_t)(like->bytes + LIKE - to)) return;
        memcpy(to, from, length);
        to += length;
        like->length[i] = (uint16_t)length;
        if (w->usage >= from && w->usage < end) {
            like->usage_in = (uint8_t)i;
            like->usage = (uint16_t)(w->usage - from);
            like->usage_length = (uint16_t)(w->usage_end - w->usage);
        }
        if (i == w->gaps) break;
        if (end == w->found->text) like->text = (uint8_t)i;
        like->digits[i] = w->gap[i].digits;
        from = w->gap[i].to;
    }
    like->known = true;
    like->gaps = (uint8_t)w->gaps;
    like->listed = w->listed;
    like->chosen = w->chosen;
    like->choices = w->choices;
    like->part = w->part;
    like->type = w->type;
    like->found = *w->found;
}

/* Whether a document is like the one that is remembered; then what it says. */
static inline bool alike(Walk *w, const Like *like, const uint8_t *s) {
    const uint8_t *bytes = like->bytes, *end = w->end;
    Found text = like->found;
    for (unsigned i = 0;; i++) {
        size_t length = like->length[i];
        if ((size_t)(end - s) < length || memcmp(s, bytes, length)) return false;
        if (like->usage_length && like->usage_in == i) {
            w->usage = s + like->usage;
            w->usage_end = w->usage + like->usage_length;
        }
        s += length;
        bytes += length;
        if (i == like->gaps) break;
        const uint8_t *from = s;
        bool escaped = false;
        s = like->digits[i] ? digits(s) : string_end(s, end, &escaped);
        if (!s || (like->digits[i] && *from == '0' && s - from > 1)) return false;
        if (i != like->text) continue;
        text.text = from;
        text.length = (size_t)(s - from);
        text.escaped = escaped;
    }
    if (s != end) return false;
    w->listed = like->listed;
    w->chosen = like->chosen;
    w->choices = like->choices;
    w->part = like->part;
    w->type = like->type;
    w->count = text.length != 0;
    *w->found = text;
    return true;
}

/* Reads a whole document; false if it could not be decided. */
static inline bool read_document(Walk *w, const Paths *paths, Like *like, const uint8_t *s, size_t n) {
    if (like->known) {
        memset(w, 0, offsetof(Walk, gap));
        w->paths = paths;
        w->end = s + n;
        if (alike(w, like, s)) return true;
    }
    if (!walk(w, paths, s, n)) return false;
    remember(like, w, s);
    return true;
}

#endif
