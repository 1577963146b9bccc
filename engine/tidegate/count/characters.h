/* Characters: UTF-8 as it arrives, and the class that each character has in the patterns of the tokenizers. */
#ifndef TIDEGATE_CHARACTERS_H
#define TIDEGATE_CHARACTERS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Newlines are \r and \n alone; LETTER are the letters without case, which every pattern lets follow both cases. */
enum { OTHER, UPPER, LOWER, LETTER, MARK, NUMBER, SPACE, NEWLINE };
#define SET(class) (1u << (class))

#define CODE_POINTS 0x110000
#define PAGE 256

static const uint8_t REPLACEMENT[3] = {0xEF, 0xBF, 0xBD};

/* Pages of 256 classes; equal pages are kept once. */
typedef struct {
    uint8_t page[CODE_POINTS / PAGE];
    uint8_t (*classes)[PAGE];
    size_t pages;
} Characters;

/* The class of the whole character at s, and the bytes it takes. */
static inline unsigned class_at(const Characters *characters, const uint8_t *s, unsigned *length) {
    uint32_t c = s[0];
    if (c < 0x80) {
        *length = 1;
        return characters->classes[0][c];  /* page 0 is stored first */
    }
    if (c < 0xE0) {
        *length = 2;
        c = (c & 31) << 6 | (s[1] & 63);
    } else if (c < 0xF0) {
        *length = 3;
        c = (c & 15) << 12 | (s[1] & 63u) << 6 | (s[2] & 63);
    } else {
        *length = 4;
        c = (c & 7) << 18 | (s[1] & 63u) << 12 | (s[2] & 63u) << 6 | (s[3] & 63);
    }
    return characters->classes[characters->page[c / PAGE]][c % PAGE];
}

/* How many bytes the character at s takes; 0 if the end cuts it; -k if its first k bytes begin no character, which
   together make one U+FFFD (the "maximal subpart" of the Unicode standard, table 3-7, as Python's `replace` does). */
static inline int character(const uint8_t *s, size_t n) {
    uint8_t first = s[0], least = 0x80, most = 0xBF;
    int length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if ((first >= 0x80 && first < 0xC2) || first > 0xF4) return -1;
    if (first == 0xE0) least = 0xA0;       /* shorter forms exist */
    else if (first == 0xED) most = 0x9F;   /* surrogates */
    else if (first == 0xF0) least = 0x90;  /* shorter forms exist */
    else if (first == 0xF4) most = 0x8F;   /* past U+10FFFF */
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= n) return 0;
        if (s[i] < least || s[i] > most) return -i;
        least = 0x80;
        most = 0xBF;
    }
    return length;
}

/* The bytes of whole characters that s begins with, up to n. */
static inline size_t whole_characters(const uint8_t *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= 8 && (memcpy(&eight, s + i, 8), (eight & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        int length = character(s + i, n - i);
        if (length <= 0) break;
        i += (size_t)length;
    }
    return i;
}

#endif
