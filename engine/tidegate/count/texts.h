/* The texts of one stream, which grow side by side, and the sum of their tokens.

   A text is known by its choice, its kind and its part. The one that grew last stands first. Of more than LIVE texts the
   one that has not grown for longest is ended: its tokens stay in the sum, and should it go on, what comes is counted as
   a text of its own. */
#ifndef TIDEGATE_TEXTS_H
#define TIDEGATE_TEXTS_H

#include "stream.h"
#include "tail.h"
#include "walk.h"

#define LIVE 128 /* OpenAI gives a call no more than 128 choices */

typedef struct Text {
    struct Text *next;
    uint64_t key, counted;
    bool changed;         /* since it was counted; a text that has changed stands before all that have not */
    Stream stream;
} Text;

typedef struct {
    const Vocabulary *vocabulary;
    Memo *memo;
    Text *first;
    unsigned live;
    uint64_t size, foreign, characters; /* bytes of all texts, those of them that are not ASCII, and what they spell */
    uint64_t sum, *ended; /* of each of the first LIVE choices, the tokens of texts that were ended; made when needed */
    Tail tail;            /* the last bytes of all texts but names */
} Texts;

static inline uint64_t text_key(const Found *found) {
    return (uint64_t)found->choice << 48 | (uint64_t)found->kind << 32 | (uint64_t)found->part << 16 | found->subpart;
}

static inline unsigned text_choice(const Text *text) { return (unsigned)(text->key >> 48); }

/* Whether a text is kept in the tail. */
static inline bool is_kept(const Text *text) {
    unsigned kind = (unsigned)(text->key >> 32 & 0xFFFF);
    return kind != NAME && kind != FUNCTION_NAME;
}

static inline void text_settle(Texts *t, Text *text) {
    uint64_t count = stream_count(&text->stream);
    t->sum += count - text->counted;
    text->counted = count;
    text->changed = false;
}

/* The tokens of all texts, as if each ended here. */
static inline uint64_t texts_count(Texts *t) {
    for (Text *text = t->first; text && text->changed; text = text->next) text_settle(t, text);
    return t->sum;
}

/* No fewer than the tokens of all texts, without counting: next to nothing, where texts_count is asked for in vain. */
static inline uint64_t texts_most(const Texts *t) {
    uint64_t most = t->sum;
    for (const Text *text = t->first; text && text->changed; text = text->next)
        most += stream_most(&text->stream) - text->counted;
    return most;
}

/* A place for a new text: that of the last one if there are LIVE already. */
static inline Text *text_made(Texts *t, Text **last) {
    Text *text = *last;
    if (t->live < LIVE) {
        if (!(text = malloc(sizeof *text))) return NULL;
        text->stream.piece = NULL;
        t->live++;
    } else {
        if (!t->ended && !(t->ended = calloc(LIVE, sizeof *t->ended))) return NULL;
        if (text->changed) text_settle(t, text);
        if (text_choice(text) < LIVE) t->ended[text_choice(text)] += text->counted;
        *last = NULL;
    }
    LongPiece *piece = text->stream.piece;
    stream_begin(&text->stream, t->vocabulary, t->memo);
    text->stream.piece = piece;
    text->counted = 0;
    return text;
}

/* The text of this key, now the first; NULL if memory lacks. */
static inline Text *text_of(Texts *t, uint64_t key) {
    Text **place = &t->first, **last = place;
    while (*place && (*place)->key != key) last = place, place = &(*place)->next;
    Text *text = *place;
    if (text) *place = text->next;
    else if (!(text = text_made(t, last))) return NULL;
    text->key = key;
    text->next = t->first;
    t->first = text;
    return text;
}

static inline bool text_grow(Texts *t, Text *text, const uint8_t *s, size_t n) {
    uint64_t foreign = 0, inside = 0;
    for (size_t i = 0; i < n; i++) foreign += s[i] >> 7, inside += (s[i] & 0xC0) == 0x80;
    t->size += n;
    t->foreign += foreign;
    t->characters += n - inside;
    if (t->tail.limit && is_kept(text)) tail_add(&t->tail, s, n);
    return stream_feed(&text->stream, s, n);
}

/* A text goes on with these bytes, whose escapes are undone; false if memory lacks. */
static inline bool text_feed(Texts *t, uint64_t key, const uint8_t *s, size_t n, bool escaped) {
    Text *text = text_of(t, key);
    if (!text) return false;
    text->changed = true;
    const uint8_t *end = s + n;
    if (escaped) {
        uint8_t some[256];
        while (s < end) {
            size_t length = unescape(&s, end, some, sizeof some);
            if (!text_grow(t, text, some, length)) return false;
        }
    } else if (!text_grow(t, text, s, n)) {
        return false;
    }
    if (!text->stream.cut) return true;
    if (t->tail.limit && is_kept(text)) tail_mend(&t->tail, text->stream.cut);
    text->stream.cut = 0; /* no character goes on in another event */
    return take(&text->stream, REPLACEMENT, 3);
}

/* The tokens of one choice; of a choice past the first LIVE, only of its texts that are live. */
static inline uint64_t texts_count_of(Texts *t, unsigned choice) {
    uint64_t count = t->ended && choice < LIVE ? t->ended[choice] : 0;
    texts_count(t);
    for (Text *text = t->first; text; text = text->next)
        if (text_choice(text) == choice) count += text->counted;
    return count;
}

/* The bytes that were allocated. */
static inline size_t texts_size(const Texts *t) {
    size_t size = (t->ended ? LIVE * sizeof *t->ended : 0) + t->tail.limit;
    for (const Text *text = t->first; text; text = text->next)
        size += sizeof *text + (text->stream.piece ? sizeof *text->stream.piece : 0);
    return size;
}

static inline void texts_free(Texts *t) {
    while (t->first) {
        Text *text = t->first;
        t->first = text->next;
        free(text->stream.piece);
        free(text);
    }
    free(t->ended);
    t->ended = NULL;
    tail_free(&t->tail);
}

#endif
