/* SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104): by the processor's own instructions where it has them, else plainly.
 *
 * A call's commitments are most of what is computed for its records. Through Python's hashlib each of them takes a microsecond
 * besides the hashing itself, for its objects; here a block of 64 bytes takes 37 ns, and a message nothing else.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SHA256_BLOCK = 64, SHA256_BYTES = 32 };

typedef struct {
    uint32_t state[8];
    uint64_t length; /* in bytes; those of a block that is not full are in `block` */
    unsigned char block[SHA256_BLOCK];
} Sha256;

typedef struct { /* a key's two states: after its block has been hashed, what is left is the message */
    uint32_t inner[8], outer[8];
} HmacKey;

static const uint32_t sha256_first[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static const uint32_t sha256_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static int sha256_instructions; /* whether the processor has them */

static inline uint32_t sha256_turned(uint32_t word, int by) { return word >> by | word << (32 - by); }

static inline uint32_t sha256_big(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void sha256_plainly(uint32_t *state, const unsigned char *at, size_t blocks) {
    uint32_t w[64];
    for (; blocks--; at += SHA256_BLOCK) {
        for (int i = 0; i < 16; i++) w[i] = sha256_big(at + 4 * i);
        for (int i = 16; i < 64; i++) {
            uint32_t x = w[i - 15], y = w[i - 2];
            x = sha256_turned(x, 7) ^ sha256_turned(x, 18) ^ x >> 3;
            y = sha256_turned(y, 17) ^ sha256_turned(y, 19) ^ y >> 10;
            w[i] = w[i - 16] + x + w[i - 7] + y;
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 64; i++) {
            uint32_t x = sha256_turned(e, 6) ^ sha256_turned(e, 11) ^ sha256_turned(e, 25);
            uint32_t y = sha256_turned(a, 2) ^ sha256_turned(a, 13) ^ sha256_turned(a, 22);
            x += h + (g ^ (e & (f ^ g))) + sha256_constants[i] + w[i];
            y += (a & b) | (c & (a | b));
            h = g, g = f, f = e, e = d + x, d = c, c = b, b = a, a = x + y;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

#define INSTRUCTIONS __attribute__((target("sha,sse4.1,ssse3")))

/* The instructions want the eight words as ABEF and CDGH, and the message's words in the machine's order. Macros, because
 * what they name has to stay in registers. */
#define SHA256_FOUR(w, at)                                                        \
    (sum = _mm_add_epi32(w, _mm_load_si128((const __m128i *)sha256_constants + (at))), \
     cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum),                                \
     abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E)))
#define SHA256_FIRST(at, w) \
    w = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from + (at)), order), SHA256_FOUR(w, at)
#define SHA256_NEXT(w, w1, w2, w3)                                                \
    w = _mm_add_epi32(_mm_sha256msg1_epu32(w, w1), _mm_alignr_epi8(w3, w2, 4)),   \
    w = _mm_sha256msg2_epu32(w, w3)
#define SHA256_NEXT_FOUR(at, w, w1, w2, w3) SHA256_NEXT(w, w1, w2, w3), SHA256_FOUR(w, at)
#define SHA256_NEXT_SIXTEEN(at)        \
    SHA256_NEXT_FOUR(at, p, q, r, s);     \
    SHA256_NEXT_FOUR(at + 1, q, r, s, p); \
    SHA256_NEXT_FOUR(at + 2, r, s, p, q); \
    SHA256_NEXT_FOUR(at + 3, s, p, q, r)

INSTRUCTIONS static void sha256_by_instructions(uint32_t *state, const unsigned char *from, size_t blocks) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i abef, cdgh, swap, sum, p, q, r, s;
    abef = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    cdgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state + 1), 0x1B);
    swap = _mm_alignr_epi8(abef, cdgh, 8);
    cdgh = _mm_blend_epi16(cdgh, abef, 0xF0);
    abef = swap;
    for (; blocks--; from += SHA256_BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        SHA256_FIRST(0, p);
        SHA256_FIRST(1, q);
        SHA256_FIRST(2, r);
        SHA256_FIRST(3, s);
        SHA256_NEXT_SIXTEEN(4);
        SHA256_NEXT_SIXTEEN(8);
        SHA256_NEXT_SIXTEEN(12);
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    abef = _mm_shuffle_epi32(abef, 0x1B);
    cdgh = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(abef, cdgh, 0xF0));
    _mm_storeu_si128((__m128i *)state + 1, _mm_alignr_epi8(cdgh, abef, 8));
}
#endif

static inline void sha256_prepare(void) {
#ifdef __x86_64__
    unsigned a = 0, b = 0, c = 0, d = 0;
    int has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1;
    sha256_instructions = has && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
#endif
}

static inline void sha256_blocks(uint32_t *state, const unsigned char *from, size_t blocks) {
    if (!blocks) return;
#ifdef __x86_64__
    if (sha256_instructions) {
        sha256_by_instructions(state, from, blocks);
        return;
    }
#endif
    sha256_plainly(state, from, blocks);
}

static inline void sha256_begin(Sha256 *s) {
    memcpy(s->state, sha256_first, sizeof s->state);
    s->length = 0;
}

/* Takes of the bytes what completes a block that was begun; how many they are. */
static inline size_t sha256_fill(Sha256 *s, const unsigned char *from, size_t count) {
    size_t have = s->length % SHA256_BLOCK, take = SHA256_BLOCK - have;
    if (!have) return 0;
    if (take > count) take = count;
    memcpy(s->block + have, from, take);
    s->length += take;
    if (have + take == SHA256_BLOCK) sha256_blocks(s->state, s->block, 1);
    return take;
}

static inline void sha256_add(Sha256 *s, const void *start, size_t count) {
    const unsigned char *from = start;
    size_t took = sha256_fill(s, from, count);
    from += took, count -= took;
    sha256_blocks(s->state, from, count / SHA256_BLOCK);
    s->length += count;
    memcpy(s->block, from + count / SHA256_BLOCK * SHA256_BLOCK, count % SHA256_BLOCK);
}

/* The last eight bytes of a message that ends here: how many bits it has. */
static inline void sha256_size(unsigned char *end, uint64_t length) {
    uint64_t bits = __builtin_bswap64(length * 8);
    memcpy(end - 8, &bits, 8);
}

/* Fills the last blocks, one or two, with what ends a message. */
static inline size_t sha256_last(const Sha256 *s, unsigned char *last) {
    size_t have = s->length % SHA256_BLOCK, size = have < SHA256_BLOCK - 8 ? SHA256_BLOCK : 2 * SHA256_BLOCK;
    memcpy(last, s->block, SHA256_BLOCK);
    memset(last + have, 0, size - have);
    last[have] = 0x80;
    sha256_size(last + size, s->length);
    return size / SHA256_BLOCK;
}

static inline void sha256_say(const uint32_t *state, unsigned char *digest) {
    for (int i = 0; i < 8; i++) {
        uint32_t word = __builtin_bswap32(state[i]);
        memcpy(digest + 4 * i, &word, 4);
    }
}

/* The digest of what was added; more can be added still. */
static inline void sha256_end(const Sha256 *s, unsigned char *digest) {
    unsigned char last[2 * SHA256_BLOCK];
    uint32_t state[8];
    memcpy(state, s->state, sizeof state);
    sha256_blocks(state, last, sha256_last(s, last));
    sha256_say(state, digest);
}

/* A key of at most 64 bytes. */
static inline void hmac_prepare(HmacKey *key, const unsigned char *bytes, size_t length) {
    unsigned char block[SHA256_BLOCK] = {0};
    memcpy(block, bytes, length);
    for (int i = 0; i < SHA256_BLOCK; i++) block[i] ^= 0x36;
    memcpy(key->inner, sha256_first, sizeof key->inner);
    sha256_blocks(key->inner, block, 1);
    for (int i = 0; i < SHA256_BLOCK; i++) block[i] ^= 0x36 ^ 0x5C;
    memcpy(key->outer, sha256_first, sizeof key->outer);
    sha256_blocks(key->outer, block, 1);
}

static inline void hmac_begin(Sha256 *s, const uint32_t *state, const void *message, size_t length) {
    memcpy(s->state, state, sizeof s->state);
    s->length = SHA256_BLOCK;
    sha256_add(s, message, length);
}

static inline void hmac(const HmacKey *key, const void *message, size_t length, unsigned char *code) {
    Sha256 s;
    hmac_begin(&s, key->inner, message, length);
    sha256_end(&s, code);
    hmac_begin(&s, key->outer, code, SHA256_BYTES);
    sha256_end(&s, code);
}

/* A message of at most 55 bytes as it is hashed behind a key: one block. */
static inline void hmac_block(unsigned char *block, const void *message, size_t length) {
    memset(block, 0, SHA256_BLOCK);
    memcpy(block, message, length);
    block[length] = 0x80;
    sha256_size(block + SHA256_BLOCK, SHA256_BLOCK + length);
}

/* The code of a message that is one block already. */
static inline void hmac_of_block(const HmacKey *key, const unsigned char *block, unsigned char *code) {
    unsigned char second[SHA256_BLOCK] = {[SHA256_BYTES] = 0x80};
    uint32_t state[8];
    memcpy(state, key->inner, sizeof state);
    sha256_blocks(state, block, 1);
    sha256_say(state, second);
    sha256_size(second + SHA256_BLOCK, SHA256_BLOCK + SHA256_BYTES);
    memcpy(state, key->outer, sizeof state);
    sha256_blocks(state, second, 1);
    sha256_say(state, code);
}
