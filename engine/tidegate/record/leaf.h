/* A leaf as it is written: msgpack, each value in its shortest form. What finds no room is not written, and `full` says so. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    unsigned char *at, *end;
    int full;
} Leaf;

static inline unsigned char *leaf_room(Leaf *leaf, size_t count) {
    unsigned char *at = leaf->at;
    if (leaf->full || (size_t)(leaf->end - at) < count) {
        leaf->full = 1;
        return NULL;
    }
    leaf->at += count;
    return at;
}

static inline void put_raw(Leaf *leaf, const void *from, size_t count) {
    unsigned char *at = leaf_room(leaf, count);
    if (at) memcpy(at, from, count);
}

static inline void put_byte(Leaf *leaf, unsigned char byte) {
    unsigned char *at = leaf_room(leaf, 1);
    if (at) *at = byte;
}

/* A first byte, and a number of 1, 2, 4 or 8 bytes. */
static inline void put_number(Leaf *leaf, unsigned char first, uint64_t number, int bytes) {
    unsigned char *at = leaf_room(leaf, 1 + (size_t)bytes);
    if (!at) return;
    number = __builtin_bswap64(number << (64 - 8 * bytes));
    *at = first;
    memcpy(at + 1, &number, (size_t)bytes);
}

/* A number in its shortest form, and the place behind it; the nine bytes from `at` on are room. */
static inline unsigned char *number_at(unsigned char *at, uint64_t number) {
    if (number < 0x80) {
        *at = (unsigned char)number;
        return at + 1;
    }
    int step = number <= 0xFF ? 0 : number <= 0xFFFF ? 1 : number <= 0xFFFFFFFF ? 2 : 3, bytes = 1 << step;
    *at = (unsigned char)(0xCC + step);
    number = __builtin_bswap64(number << (64 - 8 * bytes));
    memcpy(at + 1, &number, 8); /* of which the next value takes back what is too much */
    return at + 1 + bytes;
}

static inline void put_uint(Leaf *leaf, uint64_t number) {
    unsigned char *at = leaf_room(leaf, 9);
    if (at) leaf->at = number_at(at, number);
}

static inline void put_uints(Leaf *leaf, const uint64_t *numbers, size_t count) {
    unsigned char *at = leaf_room(leaf, 9 * count);
    if (!at) return;
    while (count--) at = number_at(at, *numbers++);
    leaf->at = at;
}

static inline void put_int(Leaf *leaf, int64_t number) {
    if (number >= 0) put_uint(leaf, (uint64_t)number);
    else if (number >= -32) put_byte(leaf, (unsigned char)number);
    else if (number >= INT8_MIN) put_number(leaf, 0xD0, (uint64_t)number, 1);
    else if (number >= INT16_MIN) put_number(leaf, 0xD1, (uint64_t)number, 2);
    else if (number >= INT32_MIN) put_number(leaf, 0xD2, (uint64_t)number, 4);
    else put_number(leaf, 0xD3, (uint64_t)number, 8);
}

static inline void put_nil(Leaf *leaf) { put_byte(leaf, 0xC0); }
static inline void put_bool(Leaf *leaf, int truth) { put_byte(leaf, truth ? 0xC3 : 0xC2); }

static inline void put_array(Leaf *leaf, size_t count) {
    if (count < 16) put_byte(leaf, (unsigned char)(0x90 | count));
    else put_number(leaf, 0xDC, count, 2);
}

static inline void put_text(Leaf *leaf, const void *from, size_t count) {
    if (count < 32) put_byte(leaf, (unsigned char)(0xA0 | count));
    else if (count <= 0xFF) put_number(leaf, 0xD9, count, 1);
    else put_number(leaf, 0xDA, count, 2);
    put_raw(leaf, from, count);
}

static inline void put_bytes(Leaf *leaf, const void *from, size_t count) {
    if (count <= 0xFF) put_number(leaf, 0xC4, count, 1);
    else put_number(leaf, 0xC5, count, 2);
    put_raw(leaf, from, count);
}

typedef struct { /* a text of at most 15 bytes as it is written */
    unsigned char length, bytes[16];
} Short;

/* What is drawn of a bucket: its key of 16 bytes, a measure, and three numbers. */
static inline void put_draw(Leaf *leaf, const unsigned char *bucket, const Short *measure, uint64_t held,
                            uint64_t settled, uint64_t end) {
    unsigned char *at = leaf_room(leaf, 3 + 16 + 16 + 3 * 9);
    if (!at) return;
    memcpy(at, "\x95\xC4\x10", 3);
    memcpy(at + 3, bucket, 16);
    memcpy(at + 19, measure->bytes, 16); /* what is too much is written over */
    leaf->at = number_at(number_at(number_at(at + 19 + measure->length, held), settled), end);
}

/* Whether a name may stand in a leaf as it is: letters, digits and these signs. */
static inline int is_plain(const unsigned char *name, size_t count) {
    static const char plain[256] = {
        ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
        ['_'] = 1, ['.'] = 1, [':'] = 1, ['/'] = 1, ['@'] = 1, ['['] = 1, [']'] = 1, ['"'] = 1, ['*'] = 1, ['+'] = 1,
        ['-'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
    };
    while (count--)
        if (!plain[*name++]) return 0;
    return 1;
}

/* Reads the 26 hexadecimal digits of a run's id; whether they were that. */
static inline int read_run(const char *digits, size_t count, unsigned char *run) {
    if (count != 26) return 0;
    static const unsigned char values[256] = { /* one more than each stands for */
        ['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
        ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
        ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
    };
    for (int i = 0; i < 13; i++) {
        unsigned char high = values[(unsigned char)digits[2 * i]], low = values[(unsigned char)digits[2 * i + 1]];
        if (!high || !low) return 0;
        run[i] = (unsigned char)((high - 1) << 4 | (low - 1));
    }
    return 1;
}
