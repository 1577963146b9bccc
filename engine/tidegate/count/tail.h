/* The last bytes of a text that goes on: a ring of as many bytes as are to be kept. */
#ifndef TIDEGATE_TAIL_H
#define TIDEGATE_TAIL_H

#include "characters.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint8_t *bytes;
    size_t limit, size, end; /* how many it may keep, how many it has, where the next one goes */
    uint64_t total;          /* how many there were */
} Tail;

static inline void tail_free(Tail *t) {
    free(t->bytes);
    memset(t, 0, sizeof *t);
}

/* From now on the last `limit` bytes are kept, none for 0; what was kept is let go. False if memory lacks. */
static inline bool tail_begin(Tail *t, size_t limit) {
    tail_free(t);
    if (limit && !(t->bytes = malloc(limit))) return false;
    t->limit = limit;
    return true;
}

static inline void tail_add(Tail *t, const uint8_t *s, size_t n) {
    t->total += n;
    if (n > t->limit) {
        s += n - t->limit;
        n = t->limit;
    }
    size_t room = t->limit - t->end, here = n < room ? n : room;
    memcpy(t->bytes + t->end, s, here);
    memcpy(t->bytes, s + here, n - here);
    t->end = (t->end + n) % t->limit;
    t->size = t->size + n < t->limit ? t->size + n : t->limit;
}

/* The last `cut` bytes are a character whose end will not come: U+FFFD stands there instead. */
static inline void tail_mend(Tail *t, size_t cut) {
    if (cut > t->size) cut = t->size;
    t->end = (t->end + t->limit - cut) % t->limit;
    t->size -= cut;
    t->total -= cut;
    tail_add(t, REPLACEMENT, 3);
}

/* Writes the bytes that are kept, `size` of them at most, and gives how many they are. A character that is not kept whole
   at their start is left out. */
static inline size_t tail_read(const Tail *t, uint8_t *out) {
    size_t start = (t->end + t->limit - t->size) % t->limit, here = t->limit - start, left = 0;
    if (here > t->size) here = t->size;
    memcpy(out, t->bytes + start, here);
    memcpy(out + here, t->bytes, t->size - here);
    if (t->size == t->limit)
        while (left < t->size && left < 3 && (out[left] & 0xC0) == 0x80) left++;
    memmove(out, out + left, t->size - left);
    return t->size - left;
}

#endif
