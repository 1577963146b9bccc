/* The tables of a vocabulary, made once from its tokens in the order of their ranks. Nothing writes to them afterwards,
   so that processes forked from the one that made them share their memory. */
#ifndef TIDEGATE_BUILD_H
#define TIDEGATE_BUILD_H

#include "merges.h"

typedef enum { BUILT, NO_MEMORY, TOO_MANY, WRONG_LENGTH, TWICE, NO_BYTE, MADE_OF_LATER } Built;

static inline void *table(Vocabulary *v, size_t size) {
    v->size += size;
    return malloc(size);
}

static inline void vocabulary_free(Vocabulary *v) {
    free(v->starts);
    free(v->bytes);
    free(v->left);
    free(v->right);
    free(v->pairs);
    free(v->spellings);
    free(v->hashes);
    free(v->of_bytes);
    free(v->pattern.characters.classes);
}

static inline bool allocate(Vocabulary *v, uint32_t tokens, size_t bytes) {
    size_t places = 1;
    while (places < 2 * (size_t)tokens) places *= 2;
    v->pair_mask = v->spelling_mask = (uint32_t)(places - 1);
    v->starts = table(v, (tokens + 1) * sizeof *v->starts);
    v->bytes = table(v, bytes);
    v->left = table(v, tokens * sizeof *v->left);
    v->right = table(v, tokens * sizeof *v->right);
    v->pairs = table(v, places * sizeof *v->pairs);
    v->spellings = table(v, places * sizeof *v->spellings);
    v->hashes = table(v, tokens * sizeof *v->hashes);
    v->of_bytes = table(v, 256 * sizeof *v->of_bytes);
    return v->starts && v->bytes && v->left && v->right && v->pairs && v->spellings && v->hashes && v->of_bytes;
}

/* Takes the next token in; its bytes are copied. */
static inline Built spell(Vocabulary *v, const uint8_t *s, size_t n) {
    uint32_t token = v->tokens, start = v->starts[token];
    if (n == 0 || n > LONGEST) return WRONG_LENGTH;
    if (spelled(v, s, n) != NEVER) return TWICE;
    memcpy(v->bytes + start, s, n);
    v->starts[token + 1] = start + (uint32_t)n;
    v->hashes[token] = hashed(v, 0, s, n);
    uint64_t i = scrambled(v->hashes[token]);
    while (v->spellings[i & v->spelling_mask]) i++;
    v->spellings[i & v->spelling_mask] = token + 1;
    if (n > v->longest) v->longest = (uint32_t)n;
    if (n == 1) v->of_byte[s[0]] = token;
    v->left[token] = v->right[token] = token;
    v->tokens++;
    return BUILT;
}

static inline unsigned merge_token(const Vocabulary *v, uint32_t token, uint32_t *parts) {
    return merge(v, v->bytes + v->starts[token], v->starts[token + 1] - v->starts[token], parts);
}

/* Finds the two tokens that each token is merged from: what its bytes come to with the tokens before it. A token whose
   bytes come to more than two never arises by merging, unless later tokens build it, which no published vocabulary has. */
static inline Built pair_up(Vocabulary *v) {
    uint32_t parts[LONGEST];
    for (unsigned byte = 0; byte < 256; byte++)
        if (v->of_byte[byte] == NEVER) return NO_BYTE;
    for (uint32_t token = 0; token < v->tokens; token++) {
        unsigned count = merge_token(v, token, parts);
        if (count > 2) v->shortcuts = true;
        if (count != 2) continue;
        v->left[token] = parts[0];
        v->right[token] = parts[1];
        uint64_t pair = (uint64_t)parts[0] << TOKEN_BITS | parts[1], i = scrambled(pair);
        while (v->pairs[i & v->pair_mask] != EMPTY) i++;
        v->pairs[i & v->pair_mask] = pair << TOKEN_BITS | token;
        const uint8_t *s = v->bytes + v->starts[token];
        if (v->starts[token + 1] - v->starts[token] == 2) v->of_bytes[s[0]][s[1]] = token;
    }
    for (uint32_t token = 0; v->shortcuts && token < v->tokens; token++)
        if (v->left[token] == token && merge_token(v, token, parts) == 2) return MADE_OF_LATER;
    return BUILT;
}

/* Prepares for `tokens` tokens of `bytes` bytes in all. */
static inline Built vocabulary_begin(Vocabulary *v, size_t tokens, size_t bytes) {
    if (tokens >= (1u << TOKEN_BITS) - 1 || bytes >= UINT32_MAX) return TOO_MANY;
    if (!allocate(v, (uint32_t)tokens, bytes)) return NO_MEMORY;
    v->starts[0] = 0;
    memset(v->pairs, 0xFF, (v->pair_mask + 1ull) * sizeof *v->pairs);
    memset(v->spellings, 0, (v->spelling_mask + 1ull) * sizeof *v->spellings);
    memset(v->of_byte, 0xFF, sizeof v->of_byte);
    memset(v->of_bytes, 0xFF, 256 * sizeof *v->of_bytes);
    v->power[0] = 1;
    for (int i = 1; i <= LONGEST; i++) v->power[i] = v->power[i - 1] * 0x9E3779B97F4A7C15u;
    return BUILT;
}

/* Folds the classes of all code points into pages. */
static inline Built fold_classes(Vocabulary *v, const uint8_t *classes) {
    Characters *characters = &v->pattern.characters;
    uint8_t(*kept)[PAGE] = malloc(CODE_POINTS);
    if (!kept) return NO_MEMORY;
    characters->pages = 0;
    for (size_t page = 0; page < CODE_POINTS / PAGE; page++) {
        const uint8_t *whole = classes + page * PAGE;
        size_t same = 0;
        while (same < characters->pages && memcmp(kept[same], whole, PAGE)) same++;
        if (same > UINT8_MAX) {
            free(kept);
            return TOO_MANY;
        }
        if (same == characters->pages) memcpy(kept[characters->pages++], whole, PAGE);
        characters->page[page] = (uint8_t)same;
    }
    characters->classes = table(v, characters->pages * PAGE);
    if (characters->classes) memcpy(characters->classes, kept, characters->pages * PAGE);
    free(kept);
    return characters->classes ? BUILT : NO_MEMORY;
}

#endif
