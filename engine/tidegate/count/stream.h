/* A text that arrives in parts, and the tokens of what has arrived, exact after every part.

   Kept are the tokens of all finished pieces and the bytes from the first unfinished one on. A piece that grows past
   LONG bytes is followed without its text: a chain counts it, and the state of its pattern says what may come next. Two
   kinds of piece can still give back some of their end, so a second chain counts what would be given back:
   a cased word the capitals after its last caseless letter or mark, white space what follows its last newline. */
#ifndef TIDEGATE_STREAM_H
#define TIDEGATE_STREAM_H

#include "merges.h"

#define LONG 256
#define HELD (2 * LONG)
#define ENDLESS ((uint64_t)1 << 48) /* tokens; no text has so many */

typedef enum { SHORT, CAPITALS, LETTERS, SYMBOLS, SYMBOLS_END, BLANKS } State;

typedef struct {
    Chain all, rest;
    bool split;           /* `rest` counts the end that may be given back; `kept` is the count before it */
    uint64_t kept;
    uint64_t without;     /* white space: the count without its last character, of `rest` if split, else of all */
    bool blank;           /* white space: the last character, `final`, is no newline */
    uint8_t final[4], final_length;
} LongPiece;

typedef struct {
    const Vocabulary *vocabulary;
    Memo *memo;
    uint64_t done;
    LongPiece *piece;     /* made when first needed, then kept */
    uint16_t held;
    uint8_t state, cut;   /* `cut`: bytes of a character whose end has not arrived */
    uint8_t start[4];     /* those bytes */
    Known known;          /* of the piece that the text begins with */
    uint8_t text[HELD + 16];
} Stream;

static inline void stream_begin(Stream *x, const Vocabulary *v, Memo *memo) {
    memset(x, 0, sizeof *x);
    x->vocabulary = v;
    x->memo = memo;
}

static inline void drop(Stream *x, size_t n) {
    memset(&x->known, 0, sizeof x->known);
    memmove(x->text, x->text + n, x->held - n);
    x->held -= (uint16_t)n;
}

static inline void long_push(Stream *x, const uint8_t *s, size_t n) {
    LongPiece *piece = x->piece;
    chain_push(x->vocabulary, x->memo, &piece->all, s, n);
    if (piece->split) chain_push(x->vocabulary, x->memo, &piece->rest, s, n);
}

/* The tokens of the piece of n bytes that the text begins with. */
static inline uint64_t first_count(Stream *x, size_t n) {
    if (n <= SMALL) return piece_count(x->vocabulary, x->memo, x->text, n, sizeof x->text);
    if (x->known.bytes >= n) memset(&x->known, 0, sizeof x->known);
    return grown_count(x->vocabulary, x->memo, &x->known, x->text, n);
}

/* From here on the second chain counts. */
static inline void long_split(LongPiece *piece) {
    piece->split = true;
    piece->kept = chain_count(&piece->all);
    chain_clear(&piece->rest);
}

/* The unfinished piece at the start of the text is long: from now on it is followed without its text. */
static inline bool long_begin(Stream *x) {
    const Pattern *p = &x->vocabulary->pattern;
    unsigned length, unused, letters = word_set(p);
    unsigned first = class_at(&p->characters, x->text, &length), next = class_at(&p->characters, x->text + length, &unused);
    if (!x->piece && !(x->piece = malloc(sizeof *x->piece))) return false;
    LongPiece *piece = x->piece;
    chain_clear(&piece->all);
    piece->split = false;
    piece->blank = false;
    if (SET(first) & letters) {
        length = 0;
        x->state = p->shape.cased ? CAPITALS : LETTERS;
    } else if (first != NEWLINE && SET(next) & letters) {
        x->state = p->shape.cased ? CAPITALS : LETTERS;
    } else if (SET(first) & SYMBOL || (x->text[0] == ' ' && SET(next) & SYMBOL)) {
        x->state = SYMBOLS;
    } else {
        length = 0;
        x->state = BLANKS;
    }
    long_push(x, x->text, length); /* what may only stand first */
    drop(x, length);
    return true;
}

/* Whether the long piece takes in the character, of this class. */
static inline bool long_takes(Stream *x, const uint8_t *s, unsigned length, unsigned class) {
    const Pattern *p = &x->vocabulary->pattern;
    LongPiece *piece = x->piece;
    switch ((State)x->state) {
    case CAPITALS:
        if (class == LOWER) x->state = LETTERS, piece->split = false;
        else if (!(SET(class) & NOT_SMALL)) return false;
        long_push(x, s, length);
        if (SET(class) & NOT_SMALL && class != UPPER) long_split(piece);
        return true;
    case LETTERS:
        if (!(SET(class) & (p->shape.cased ? NOT_CAPITAL : ANY_LETTER))) return false;
        long_push(x, s, length);
        return true;
    case SYMBOLS:
        if (!(SET(class) & SYMBOL)) {
            x->state = SYMBOLS_END;
            return long_takes(x, s, length, class);
        }
        long_push(x, s, length);
        return true;
    case SYMBOLS_END:
        if (!ends_symbols(p, s[0])) return false;
        long_push(x, s, length);
        return true;
    default:
        if (!(SET(class) & WHITE)) return false;
        piece->without = piece->split ? chain_count(&piece->rest) : chain_count(&piece->all);
        long_push(x, s, length);
        if (class == NEWLINE) {
            long_split(piece);
            piece->blank = false;
        } else {
            piece->blank = true;
            memcpy(piece->final, s, piece->final_length = (uint8_t)length);
        }
        return true;
    }
}

/* Whether capitals at the end of the long word are given back; white space after a newline always is. */
static inline bool gives_back(const Stream *x) {
    return (x->state == CAPITALS || x->state == BLANKS) && x->piece->split && x->piece->rest.length;
}

/* The tokens of the long piece if the text ended here. */
static inline uint64_t long_count(const Stream *x) {
    const LongPiece *piece = x->piece;
    if (!gives_back(x) || (x->state == BLANKS && x->vocabulary->pattern.shape.whole_end)) return chain_count(&piece->all);
    return piece->kept + chain_count(&piece->rest);
}

/* A character that is no part of the long piece follows at s: counts the piece, gives back the last white space. */
static inline void long_end(Stream *x, size_t s) {
    LongPiece *piece = x->piece;
    size_t again = 0;
    if (x->state == BLANKS) {
        if (piece->split) x->done += piece->kept;
        if (piece->blank) {
            x->done += piece->without;
            again = piece->final_length;
        }
    } else {
        x->done += long_count(x);
    }
    memmove(x->text + again, x->text + s, x->held - s);
    memcpy(x->text, piece->final, again);
    x->held = (uint16_t)(x->held - s + again);
    x->state = SHORT;
}

/* Lets the long piece take in what it can; false if it has ended. */
static inline bool long_goes_on(Stream *x) {
    const Shape *shape = &x->vocabulary->pattern.shape;
    LongPiece *piece = x->piece;
    size_t s = 0;
    unsigned length;
    for (; s < x->held; s += length) {
        unsigned class = class_at(&x->vocabulary->pattern.characters, x->text + s, &length);
        if (long_takes(x, x->text + s, length, class)) continue;
        bool word = x->state == CAPITALS || x->state == LETTERS;
        if (word && shape->cased && shape->contractions && x->text[s] == '\'') {
            int more = contraction(x->text + s, x->held - s, false);
            if (more < 0) break;
            if (!gives_back(x)) piece->split = false;
            long_push(x, x->text + s, (size_t)more);
            s += (size_t)more;
        }
        long_end(x, s);
        return false;
    }
    drop(x, s);
    return true;
}

/* Counts what can be finished; false if memory lacks. Afterwards at most LONG bytes are held. */
static inline bool settle(Stream *x) {
    const Vocabulary *v = x->vocabulary;
    for (;;) {
        if (x->state != SHORT && long_goes_on(x)) return true;
        size_t s = piece_length(&v->pattern, x->text, x->held, sizeof x->text, false), length;
        if (s != OPEN) {
            x->done += first_count(x, s);
            while ((length = piece_length(&v->pattern, x->text + s, x->held - s, sizeof x->text - s, false)) != OPEN) {
                x->done += piece_count(v, x->memo, x->text + s, length, sizeof x->text - s);
                s += length;
            }
            drop(x, s);
        }
        if (x->held <= LONG) return true;
        if (!long_begin(x)) return false;
    }
}

/* Takes whole characters in. */
static inline bool take(Stream *x, const uint8_t *s, size_t n) {
    memcpy(x->text + x->held, s, n);
    x->held += (uint16_t)n;
    return settle(x);
}

/* The text goes on with these bytes; what is not UTF-8 counts as U+FFFD. False if memory lacks. */
static inline bool stream_feed(Stream *x, const uint8_t *s, size_t n) {
    while (n) {
        size_t room = HELD - x->held, used = 0;
        if (x->cut) {
            x->start[x->cut] = s[0];
            int length = character(x->start, x->cut + 1u);
            if (length >= 0) s++, n--, x->cut++;
            if (length == 0) continue;
            x->cut = 0;
            if (!(length > 0 ? take(x, x->start, (size_t)length) : take(x, REPLACEMENT, 3))) return false;
            continue;
        }
        used = whole_characters(s, n < room ? n : room);
        if (used) {
            if (!take(x, s, used)) return false;
        } else {
            int length = character(s, n);
            if (length == 0) {
                memcpy(x->start, s, x->cut = (uint8_t)n);
                return true;
            }
            if (!take(x, REPLACEMENT, 3)) return false;
            used = (size_t)-length;
        }
        s += used;
        n -= used;
    }
    return true;
}

/* No fewer tokens than the text has, without counting: no token has less than a byte. A long piece is not guessed. It may
   only be asked where no character is cut. */
static inline uint64_t stream_most(const Stream *x) { return x->state == SHORT ? x->done + x->held : ENDLESS; }

static inline uint64_t settled_count(Stream *x) {
    uint64_t count = x->done + (x->state == SHORT ? 0 : long_count(x));
    size_t first = piece_length(&x->vocabulary->pattern, x->text, x->held, sizeof x->text, true);
    if (first == OPEN) return count; /* nothing is held */
    count += first_count(x, first);
    return count + text_count(x->vocabulary, x->memo, x->text + first, x->held - first, sizeof x->text - first);
}

/* The tokens of all that has arrived, as if the text ended here; a cut character counts as U+FFFD. It is no sum: a longer
   text can have fewer tokens. */
static inline uint64_t stream_count(Stream *x) {
    if (!x->cut) return settled_count(x);
    LongPiece piece;
    Stream ended = *x;
    if (x->piece) piece = *x->piece;
    ended.piece = &piece;
    ended.cut = 0;
    take(&ended, REPLACEMENT, 3);
    return settled_count(&ended);
}

#endif
