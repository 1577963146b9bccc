/* Merges: how many tokens the bytes of one piece are.

   Byte-pair encoding starts from single bytes and merges the adjacent pair of lowest rank, the leftmost of equals, until
   no pair is a token; a token's rank is its number. The encoding of some bytes is the one sequence of tokens in which
   all neighbours stay apart, that is, encode to themselves. Four ways lead to the same count:

   - A piece that is a token is found as that.
   - Pieces are merged as that says, in parts of up to 128 bytes that are joined where the tokens at the border stay
     apart. So a piece that grows is not merged anew each time.
   - Counts of pieces up to 30 bytes are remembered, by their exact text.
   - A piece without an end goes through a chain, byte by byte, in constant memory. Exactly one of the tokens that end a
     prefix stays apart from the token before it. No token is longer than LONGEST bytes, so 256 prefixes are enough to
     look back to. */
#ifndef TIDEGATE_MERGES_H
#define TIDEGATE_MERGES_H

#include <stdlib.h>

#include "pieces.h"

#define NEVER UINT32_MAX
#define LONGEST 128
#define TOKEN_BITS 21 /* three tokens, a pair and what it becomes, fit one word */
#define EMPTY UINT64_MAX

typedef struct {
    Pattern pattern;
    uint32_t tokens, longest;
    uint32_t room;              /* tokens that the tables have places for */
    uint32_t text;              /* bytes that all tokens have */
    uint32_t *starts;           /* of each token in bytes, and the end of the last */
    uint8_t *bytes;
    uint32_t *left, *right;     /* the two tokens that merge into each; a token that never merges is its own */
    uint64_t *pairs;            /* open addressing: left, right, merged */
    uint32_t pair_mask;
    uint32_t *spellings;        /* open addressing by hash of the bytes: token + 1 */
    uint32_t spelling_mask;
    uint64_t *hashes;
    uint64_t power[LONGEST + 1];
    uint32_t of_byte[256];
    uint32_t (*of_bytes)[256];  /* what two bytes merge into */
    size_t size;                /* bytes taken */
} Vocabulary;

static inline uint64_t scrambled(uint64_t key) {
    key *= 0xD6E8FEB86659FD93u;
    return key ^ key >> 32;
}

static inline uint32_t merged(const Vocabulary *v, uint32_t left, uint32_t right) {
    uint64_t pair = (uint64_t)left << TOKEN_BITS | right;
    for (uint64_t i = scrambled(pair);; i++) {
        uint64_t found = v->pairs[i & v->pair_mask];
        if (found >> TOKEN_BITS == pair) return found & ((1u << TOKEN_BITS) - 1);
        if (found == EMPTY) return NEVER;
    }
}

/* Merges n <= LONGEST bytes; the answer is how many tokens stand in parts. */
static inline unsigned merge(const Vocabulary *v, const uint8_t *s, unsigned n, uint32_t *parts) {
    uint32_t ranks[LONGEST];
    for (unsigned i = 0; i < n; i++) parts[i] = v->of_byte[s[i]];
    for (unsigned i = 0; i + 1 < n; i++) ranks[i] = v->of_bytes[s[i]][s[i + 1]];
    while (n > 1) {
        unsigned at = 0;
        uint32_t least = ranks[0];
        for (unsigned i = 1; i + 1 < n; i++) {
            at = ranks[i] < least ? i : at;
            least = ranks[i] < least ? ranks[i] : least;
        }
        if (least == NEVER) break;
        parts[at] = least;
        n--;
        memmove(parts + at + 1, parts + at + 2, (n - at - 1) * sizeof *parts);
        memmove(ranks + at, ranks + at + 1, (n - at - 1) * sizeof *ranks);
        if (at > 0) ranks[at - 1] = merged(v, parts[at - 1], parts[at]);
        if (at + 1 < n) ranks[at] = merged(v, parts[at], parts[at + 1]);
    }
    return n;
}

/* The polynomial hash of n bytes, which goes on from that of the bytes before them. */
static inline uint64_t hashed(const Vocabulary *v, uint64_t hash, const uint8_t *s, size_t n) {
    for (size_t i = 0; i < n; i++) hash = hash * v->power[1] + s[i] + 1;
    return hash;
}

static inline uint32_t spelled(const Vocabulary *v, const uint8_t *s, size_t n) {
    uint64_t hash = hashed(v, 0, s, n);
    for (uint64_t i = scrambled(hash);; i++) {
        uint32_t token = v->spellings[i & v->spelling_mask];
        if (!token--) return NEVER;
        size_t start = v->starts[token];
        if (v->hashes[token] == hash && v->starts[token + 1] - start == n && !memcmp(v->bytes + start, s, n)) return token;
    }
}

/* ---- what is remembered: one for each thread that counts, so that no lock is needed ---- */

#define SMALL 15 /* bytes */
#define PIECE_BITS 15
#define MEDIUM 30
#define WORD_BITS 14
#define APART_BITS 14

typedef struct {
    struct {
        uint64_t low, high; /* 15 bytes of the piece; the last holds its length and its count, four bits each */
    } pieces[1 << PIECE_BITS];
    struct Word {
        uint8_t text[MEDIUM], length, count;
    } words[1 << WORD_BITS];
    uint64_t apart[1 << APART_BITS]; /* left, right, and in the top bit whether they stay apart */
} Memo;

/* ---- chains ---- */

typedef struct {
    uint64_t length;
    uint64_t hash[256]; /* of the prefix that ends at each place; places are counted modulo 256 */
    uint32_t token[256], count[256];
    uint8_t byte[256];
} Chain;

static inline void chain_clear(Chain *chain) {
    chain->length = 0;
    chain->hash[0] = 0;
    chain->count[0] = 0;
}

static inline uint64_t chain_count(const Chain *chain) { return chain->count[chain->length & 255]; }

/* When a token comes into being while merging: bytes are there from the start. */
static inline uint32_t made(const Vocabulary *v, uint32_t token) { return v->left[token] == token ? 0 : token + 1; }

/* Whether the bytes of two tokens encode to just these two. Merging is run backwards: undo the younger of the two at
   their border, and see whether what touched there before would have merged first. */
static inline bool stay_apart(const Vocabulary *v, uint32_t left, uint32_t right) {
    uint32_t deadline = NEVER;
    for (;;) {
        uint32_t across = merged(v, left, right);
        if (across < deadline) return false;
        if (made(v, left) > made(v, right)) {
            deadline = left;
            left = v->right[left];
        } else if (made(v, right)) {
            deadline = right + 1; /* of equal ranks the leftmost merges first, and that is the one across */
            right = v->left[right];
        } else {
            return true;
        }
    }
}

static inline bool apart(const Vocabulary *v, Memo *memo, uint32_t left, uint32_t right) {
    const uint64_t yes = 1ull << 63;
    uint64_t pair = ((uint64_t)left << TOKEN_BITS | right) + 1;
    uint64_t *place = &memo->apart[scrambled(pair) & ((1 << APART_BITS) - 1)];
    if ((*place & ~yes) != pair) *place = pair | (stay_apart(v, left, right) ? yes : 0);
    return (*place & yes) != 0;
}

/* Takes the last `length` bytes as the last token of the chain, if they are that. */
static inline bool chain_ends(const Vocabulary *v, Memo *memo, Chain *chain, uint32_t length) {
    uint64_t end = chain->length, start = end - length;
    uint64_t hash = chain->hash[end & 255] - chain->hash[start & 255] * v->power[length];
    for (uint64_t i = scrambled(hash);; i++) {
        uint32_t token = v->spellings[i & v->spelling_mask];
        if (!token--) return false;
        if (v->hashes[token] != hash || v->starts[token + 1] - v->starts[token] != length) continue;
        uint32_t same = 0;
        while (same < length && v->bytes[v->starts[token] + same] == chain->byte[(start + same) & 255]) same++;
        if (same < length) continue;
        if (length > 1 && v->left[token] == token) return false;
        if (start && !apart(v, memo, chain->token[start & 255], token)) return false;
        chain->token[end & 255] = token;
        chain->count[end & 255] = chain->count[start & 255] + 1;
        return true;
    }
}

static inline void chain_push(const Vocabulary *v, Memo *memo, Chain *chain, const uint8_t *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t before = chain->length++, end = chain->length;
        chain->byte[before & 255] = s[i];
        chain->hash[end & 255] = hashed(v, chain->hash[before & 255], s + i, 1);
        uint32_t most = end < v->longest ? (uint32_t)end : v->longest, likely = 1;
        if (before) {
            /* in runs of one character the last token mostly grows by this byte */
            uint32_t last = chain->token[before & 255];
            likely = v->starts[last + 1] - v->starts[last] + 1;
        }
        if (likely <= most && chain_ends(v, memo, chain, likely)) continue;
        for (uint32_t length = 1; length <= most; length++)
            if (length != likely && chain_ends(v, memo, chain, length)) break;
    }
}

/* ---- pieces ---- */

/* How far the encoding of a piece that may still grow is known: `count` tokens, the last of them `token`, are the first
   `bytes` of it, as long as the token after them stays apart from the last. */
typedef struct {
    uint32_t token;
    uint16_t bytes, count;
} Known;

/* More bytes seldom change more than the last few tokens. Were a shorter end left open, what is known would oftener
   have to be given up; the count is right either way. */
#define UNSURE 4

/* The tokens of n bytes, going on from what is known of them, which grows. */
static inline uint64_t merged_count(const Vocabulary *v, Memo *memo, Known *known, const uint8_t *s, size_t n) {
    uint32_t parts[LONGEST];
    bool afresh = known->bytes == 0;
    if (n <= v->longest && spelled(v, s, n) != NEVER) return 1;
    for (;;) {
        size_t left = n - known->bytes, taken = left < LONGEST ? left : LONGEST;
        unsigned count = merge(v, s + known->bytes, (unsigned)taken, parts);
        if (known->bytes && !apart(v, memo, known->token, parts[0])) {
            memset(known, 0, sizeof *known);
            if (afresh) break;
            afresh = true;
            continue;
        }
        uint64_t total = known->count + count;
        for (unsigned i = 0; i + UNSURE < count; i++) {
            known->token = parts[i];
            known->bytes += (uint16_t)(v->starts[parts[i] + 1] - v->starts[parts[i]]);
            known->count++;
        }
        if (taken == left) return total;
        if (count <= UNSURE || n > UINT16_MAX) break;
    }
    Chain chain;
    chain_clear(&chain);
    chain_push(v, memo, &chain, s, n);
    return chain_count(&chain);
}

/* The same with a memo for words of alphabets that take two bytes a letter or more. */
static inline uint64_t grown_count(const Vocabulary *v, Memo *memo, Known *known, const uint8_t *s, size_t n) {
    if (n <= SMALL || n > MEDIUM) return merged_count(v, memo, known, s, n);
    uint64_t a, b, c, d;
    memcpy(&a, s, 8);
    memcpy(&b, s + 8, 8);
    memcpy(&c, s + n - 16, 8);
    memcpy(&d, s + n - 8, 8);
    uint64_t key = (a * 0x9E3779B97F4A7C15u ^ b) * 0xC2B2AE3D27D4EB4Fu ^ (c * 0x165667B19E3779F9u ^ d);
    struct Word *word = &memo->words[key * 0xD6E8FEB86659FD93u >> (64 - WORD_BITS)];
    if (word->length == n && !memcmp(word->text, s, n)) return word->count;
    uint64_t count = merged_count(v, memo, known, s, n);
    memcpy(word->text, s, n);
    word->length = (uint8_t)n;
    word->count = (uint8_t)count;
    return count;
}

static inline uint64_t finished_count(const Vocabulary *v, Memo *memo, const uint8_t *s, size_t n) {
    Known known = {0};
    return grown_count(v, memo, &known, s, n);
}

/* The bits of a piece of so many bytes in the first and second word that it lies in. */
#define ALL UINT64_MAX
static const uint64_t FIRST[SMALL + 1] = {
    0, ALL >> 56, ALL >> 48, ALL >> 40, ALL >> 32, ALL >> 24, ALL >> 16, ALL >> 8, ALL, ALL, ALL, ALL, ALL, ALL, ALL, ALL};
static const uint64_t SECOND[SMALL + 1] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, ALL >> 56, ALL >> 48, ALL >> 40, ALL >> 32, ALL >> 24, ALL >> 16, ALL >> 8};
#undef ALL

/* The tokens of one piece. `room`: bytes that may be read from s on. */
static inline uint64_t piece_count(const Vocabulary *v, Memo *memo, const uint8_t *s, size_t n, size_t room) {
    if (n == 1) return 1;
    if (n > SMALL) return finished_count(v, memo, s, n);
    uint64_t low, high;
    if (room >= 16) {
        memcpy(&low, s, 8);
        memcpy(&high, s + 8, 8);
    } else {
        uint8_t padded[16] = {0};
        memcpy(padded, s, n);
        memcpy(&low, padded, 8);
        memcpy(&high, padded + 8, 8);
    }
    low &= FIRST[n];
    high &= SECOND[n];
    high |= (uint64_t)n << 60;
    uint64_t place = (low ^ high * 0xC2B2AE3D27D4EB4Fu) * 0xD6E8FEB86659FD93u >> (64 - PIECE_BITS);
    uint64_t found = memo->pieces[place].high;
    if (memo->pieces[place].low == low && ((found ^ high) & ~(15ull << 56)) == 0) return found >> 56 & 15;
    uint64_t count = finished_count(v, memo, s, n);
    memo->pieces[place].low = low;
    memo->pieces[place].high = high | count << 56;
    return count;
}

/* The tokens of a whole text of valid UTF-8, of which `room` bytes may be read. */
static inline uint64_t text_count(const Vocabulary *v, Memo *memo, const uint8_t *s, size_t n, size_t room) {
    uint64_t count = 0;
    for (size_t i = 0, length; i < n; i += length) {
        length = piece_length(&v->pattern, s + i, n - i, room - i, true);
        count += piece_count(v, memo, s + i, length, room - i);
    }
    return count;
}

#endif
