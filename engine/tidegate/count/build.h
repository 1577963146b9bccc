/* The tables of a vocabulary, made once from its tokens in the order of their ranks. Nothing writes to them afterwards,
   so that processes forked from the one that made them share their memory.

   Their image is the same tables one after the other, for a file that any process can map and count with at once. It is
   for the machine and the build that wrote it: it has the struct as the compiler lays it out. */
#ifndef TIDEGATE_BUILD_H
#define TIDEGATE_BUILD_H

#include "merges.h"

typedef enum { BUILT, NO_MEMORY, TOO_MANY, WRONG_LENGTH, TWICE, NO_BYTE, MADE_OF_LATER } Built;

enum { TABLES = 9, ALIGNED = 64 };

typedef struct {
    void *pointer; /* the address of the vocabulary's pointer to it */
    size_t size;
} Table;

/* Where all tables are, and how large; by the numbers in the vocabulary alone. */
static inline void tables_of(Vocabulary *v, Table *tables) {
    const Table all[TABLES] = {
        {&v->starts, (v->room + 1ull) * sizeof *v->starts},
        {&v->bytes, v->text},
        {&v->left, v->room * sizeof *v->left},
        {&v->right, v->room * sizeof *v->right},
        {&v->pairs, (v->pair_mask + 1ull) * sizeof *v->pairs},
        {&v->spellings, (v->spelling_mask + 1ull) * sizeof *v->spellings},
        {&v->hashes, v->room * sizeof *v->hashes},
        {&v->of_bytes, 256 * sizeof *v->of_bytes},
        {&v->pattern.characters.classes, v->pattern.characters.pages * PAGE},
    };
    memcpy(tables, all, sizeof all);
}

static inline void *pointer_of(const Table *table) {
    void *at;
    memcpy(&at, table->pointer, sizeof at);
    return at;
}

static inline void point(const Table *table, void *at) {
    memcpy(table->pointer, &at, sizeof at);
}

static inline void vocabulary_free(Vocabulary *v) {
    Table tables[TABLES];
    tables_of(v, tables);
    for (int i = 0; i < TABLES; i++) free(pointer_of(&tables[i]));
}

static inline bool allocate(Vocabulary *v) {
    Table tables[TABLES];
    tables_of(v, tables);
    for (int i = 0; i < TABLES; i++) {
        void *at = malloc(tables[i].size);
        if (!at && tables[i].size) return false;
        point(&tables[i], at);
        v->size += tables[i].size;
    }
    return true;
}

static inline size_t aligned(size_t size) {
    return (size + ALIGNED - 1) / ALIGNED * ALIGNED;
}

static inline size_t image_size(const Vocabulary *v) {
    Table tables[TABLES];
    Vocabulary copy = *v;
    tables_of(&copy, tables);
    size_t size = aligned(sizeof *v);
    for (int i = 0; i < TABLES; i++) size += aligned(tables[i].size);
    return size;
}

/* Writes it into image_size(v) bytes of nulls. */
static inline void image_write(const Vocabulary *v, uint8_t *image) {
    Table tables[TABLES];
    Vocabulary *copy = (Vocabulary *)image;
    memcpy(copy, v, sizeof *v);
    tables_of(copy, tables);
    image += aligned(sizeof *v);
    for (int i = 0; i < TABLES; i++) {
        memcpy(image, pointer_of(&tables[i]), tables[i].size);
        point(&tables[i], NULL);
        image += aligned(tables[i].size);
    }
}

/* Makes v of an image, whose tables stay where they are. False: its size is not that of what was written. */
static inline bool image_read(Vocabulary *v, const uint8_t *image, size_t size) {
    Table tables[TABLES];
    if (size < aligned(sizeof *v)) return false;
    memcpy(v, image, sizeof *v);
    if (size != image_size(v)) return false;
    tables_of(v, tables);
    image += aligned(sizeof *v);
    for (int i = 0; i < TABLES; i++) {
        point(&tables[i], (void *)image);
        image += aligned(tables[i].size);
    }
    return true;
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
    bool unmerged = false; /* some tokens never merge, and count where they are a whole piece */
    for (unsigned byte = 0; byte < 256; byte++)
        if (v->of_byte[byte] == NEVER) return NO_BYTE;
    for (uint32_t token = 0; token < v->tokens; token++) {
        unsigned count = merge_token(v, token, parts);
        if (count > 2) unmerged = true;
        if (count != 2) continue;
        v->left[token] = parts[0];
        v->right[token] = parts[1];
        uint64_t pair = (uint64_t)parts[0] << TOKEN_BITS | parts[1], i = scrambled(pair);
        while (v->pairs[i & v->pair_mask] != EMPTY) i++;
        v->pairs[i & v->pair_mask] = pair << TOKEN_BITS | token;
        const uint8_t *s = v->bytes + v->starts[token];
        if (v->starts[token + 1] - v->starts[token] == 2) v->of_bytes[s[0]][s[1]] = token;
    }
    for (uint32_t token = 0; unmerged && token < v->tokens; token++)
        if (v->left[token] == token && merge_token(v, token, parts) == 2) return MADE_OF_LATER;
    return BUILT;
}

/* Folds the classes of all code points into pages, those that differ, which it leaves in `kept`. */
static inline Built fold(Characters *characters, const uint8_t *classes, uint8_t (*kept)[PAGE]) {
    characters->pages = 0;
    for (size_t page = 0; page < CODE_POINTS / PAGE; page++) {
        const uint8_t *whole = classes + page * PAGE;
        size_t same = 0;
        while (same < characters->pages && memcmp(kept[same], whole, PAGE)) same++;
        if (same > UINT8_MAX) return TOO_MANY;
        if (same == characters->pages) memcpy(kept[characters->pages++], whole, PAGE);
        characters->page[page] = (uint8_t)same;
    }
    return BUILT;
}

/* Prepares for `tokens` tokens of `bytes` bytes in all, and characters of these classes. */
static inline Built vocabulary_begin(Vocabulary *v, size_t tokens, size_t bytes, const uint8_t *classes) {
    if (tokens >= (1u << TOKEN_BITS) - 1 || bytes >= UINT32_MAX) return TOO_MANY;
    uint8_t (*kept)[PAGE] = malloc(CODE_POINTS);
    if (!kept) return NO_MEMORY;
    Built folded = fold(&v->pattern.characters, classes, kept);
    uint32_t places = 1;
    while (places < 2 * tokens) places *= 2;
    v->pair_mask = v->spelling_mask = places - 1;
    v->room = (uint32_t)tokens;
    v->text = (uint32_t)bytes;
    if (folded == BUILT && !allocate(v)) folded = NO_MEMORY;
    if (folded == BUILT) memcpy(v->pattern.characters.classes, kept, v->pattern.characters.pages * PAGE);
    free(kept);
    if (folded != BUILT) return folded;
    v->starts[0] = 0;
    memset(v->pairs, 0xFF, (v->pair_mask + 1ull) * sizeof *v->pairs);
    memset(v->spellings, 0, (v->spelling_mask + 1ull) * sizeof *v->spellings);
    memset(v->of_byte, 0xFF, sizeof v->of_byte);
    memset(v->of_bytes, 0xFF, 256 * sizeof *v->of_bytes);
    v->power[0] = 1;
    for (int i = 1; i <= LONGEST; i++) v->power[i] = v->power[i - 1] * 0x9E3779B97F4A7C15u;
    return BUILT;
}

#endif
