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

static inline void put_uint(Leaf *leaf, uint64_t number) {
    if (number < 0x80) put_byte(leaf, (unsigned char)number);
    else if (number <= 0xFF) put_number(leaf, 0xCC, number, 1);
    else if (number <= 0xFFFF) put_number(leaf, 0xCD, number, 2);
    else if (number <= 0xFFFFFFFF) put_number(leaf, 0xCE, number, 4);
    else put_number(leaf, 0xCF, number, 8);
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
    for (int i = 0; i < 26; i++) {
        unsigned char digit = (unsigned char)digits[i], value;
        if (digit >= '0' && digit <= '9') value = digit - '0';
        else if (digit >= 'a' && digit <= 'f') value = digit - 'a' + 10;
        else if (digit >= 'A' && digit <= 'F') value = digit - 'A' + 10;
        else return 0;
        run[i / 2] = i % 2 ? (unsigned char)(run[i / 2] << 4 | value) : value;
    }
    return 1;
}
