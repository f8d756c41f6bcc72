/* Byte classes and scanners of the HTTP/1.1 grammar (RFC 9110 5.6, RFC 9112 2-5).
 *
 * Bytes in, lengths out; nothing is allocated and nothing beyond `size` is
 * read.  Long runs go 16 bytes a step through the vector types of GCC and
 * Clang, which become SSE2 or NEON without a line for either.
 */
#ifndef DIMCORE_SCAN_H
#define DIMCORE_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define SCAN_LIKELY(x) __builtin_expect(!!(x), 1)

enum {
    SCAN_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
    SCAN_TARGET = 2, /* visible ASCII but '#', '%', '?': needs no look inside a request target */
    SCAN_HOST = 4,   /* reg-name but ',' and '%' (a list is refused, an escape is looked at) */
    SCAN_HEX = 8,
    SCAN_DIGIT = 16,
};

static uint8_t scan_class[256];
static int8_t scan_hex[256];

static void scan_setup(void) {
    memset(scan_class, 0, sizeof scan_class);
    memset(scan_hex, -1, sizeof scan_hex);
    for (int c = 0x21; c < 0x7f; c++)
        if (c != '#' && c != '%' && c != '?') scan_class[c] |= SCAN_TARGET;
    for (int c = '0'; c <= '9'; c++) {
        scan_class[c] |= SCAN_TOKEN | SCAN_HOST | SCAN_HEX | SCAN_DIGIT;
        scan_hex[c] = (int8_t)(c - '0');
    }
    for (int c = 'a'; c <= 'z'; c++) {
        scan_class[c] |= SCAN_TOKEN | SCAN_HOST;
        scan_class[c - 32] |= SCAN_TOKEN | SCAN_HOST;
    }
    for (int c = 'a'; c <= 'f'; c++) {
        scan_class[c] |= SCAN_HEX;
        scan_class[c - 32] |= SCAN_HEX;
        scan_hex[c] = scan_hex[c - 32] = (int8_t)(c - 'a' + 10);
    }
    for (const char *s = "!#$%&'*+-.^_`|~"; *s; s++) scan_class[(uint8_t)*s] |= SCAN_TOKEN;
    for (const char *s = "-._~!$&'()*+;="; *s; s++) scan_class[(uint8_t)*s] |= SCAN_HOST;
}

/* Length of the run of bytes that are all of class `mask`. */
static inline size_t scan_run(const char *data, size_t size, uint8_t mask) {
    size_t i = 0;
    while (i + 4 <= size) {
        if (!(scan_class[(uint8_t)data[i]] & mask)) return i;
        if (!(scan_class[(uint8_t)data[i + 1]] & mask)) return i + 1;
        if (!(scan_class[(uint8_t)data[i + 2]] & mask)) return i + 2;
        if (!(scan_class[(uint8_t)data[i + 3]] & mask)) return i + 3;
        i += 4;
    }
    while (i < size && (scan_class[(uint8_t)data[i]] & mask)) i++;
    return i;
}

typedef uint8_t scan_v16 __attribute__((vector_size(16)));
typedef uint64_t scan_v2 __attribute__((vector_size(16)));

/* Index of the first lane of a comparison that is true; 16 when none is. */
static inline unsigned scan_first(scan_v16 stop) {
#if defined(__SSE2__)
    unsigned mask = (unsigned)_mm_movemask_epi8((__m128i)stop);
    return mask ? (unsigned)__builtin_ctz(mask) : 16;
#elif __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    scan_v2 halves = (scan_v2)stop;
    if (halves[0]) return (unsigned)(__builtin_ctzll(halves[0]) >> 3);
    if (halves[1]) return 8 + (unsigned)(__builtin_ctzll(halves[1]) >> 3);
    return 16;
#else
    for (unsigned i = 0; i < 16; i++)
        if (stop[i]) return i;
    return 16;
#endif
}

/* Length of the run of field-content (RFC 9110 5.5): HTAB, SP, visible ASCII and
 * obs-text; every other control and DEL end it. */
static inline size_t scan_value(const char *data, size_t size) {
    size_t i = 0;
    while (i + 16 <= size) {
        scan_v16 block;
        memcpy(&block, data + i, 16);
        unsigned first = scan_first((scan_v16)(((block < 0x20) & (block != 0x09)) | (block == 0x7f)));
        if (first < 16) return i + first;
        i += 16;
    }
    while (i < size) {
        uint8_t c = (uint8_t)data[i];
        if ((c < 0x20 && c != 0x09) || c == 0x7f) return i;
        i++;
    }
    return i;
}

/* scan_run(data, size, SCAN_TARGET), a block a step.  The same for field names was
 * tried and lost: they end within the first block, and the table is there sooner. */
static inline size_t scan_target(const char *data, size_t size) {
    size_t i = 0;
    while (i + 16 <= size) {
        scan_v16 block;
        memcpy(&block, data + i, 16);
        unsigned first = scan_first(
            (scan_v16)((block < 0x21) | (block > 0x7e) | (block == '#') | (block == '%') | (block == '?')));
        if (first < 16) return i + first;
        i += 16;
    }
    return i + scan_run(data + i, size - i, SCAN_TARGET);
}

/* Whether `size` bytes of text hold only what a field value may hold. */
static inline int scan_is_value(const char *data, size_t size) { return scan_value(data, size) == size; }

static inline int scan_is_token(const char *data, size_t size) {
    return size > 0 && scan_run(data, size, SCAN_TOKEN) == size;
}

/* Case-insensitive equality of a name made of tchars with a lower-case literal.
 * OR-ing 0x20 folds letters and maps no other tchar onto a letter or '-'. */
static inline int scan_name_is(const char *name, const char *lower, size_t size) {
    const uint64_t fold8 = 0x2020202020202020ULL;
    if (size >= 8) {
        uint64_t a, b;
        size_t i = 0;
        for (; i + 8 <= size; i += 8) {
            memcpy(&a, name + i, 8);
            memcpy(&b, lower + i, 8);
            if ((a | fold8) != b) return 0;
        }
        memcpy(&a, name + size - 8, 8);
        memcpy(&b, lower + size - 8, 8);
        return (a | fold8) == b;
    }
    for (size_t i = 0; i < size; i++)
        if (((uint8_t)name[i] | 0x20) != (uint8_t)lower[i]) return 0;
    return 1;
}

/* Fields that framing, routing or authority depend on; `Head.seen` has a bit for each. */
enum scan_field {
    FIELD_OTHER,
    FIELD_HOST,
    FIELD_CONTENT_LENGTH,
    FIELD_TRANSFER_ENCODING,
    FIELD_CONNECTION,
    FIELD_EXPECT,
    FIELD_UPGRADE,
    FIELD_CONTENT_TYPE,
    FIELD_AUTHORIZATION,
};

#define SCAN_IS(literal, field) \
    if (scan_name_is(name, literal, sizeof literal - 1)) return field

static inline int scan_field_id(const char *name, size_t size) {
    switch (size) {
    case 4: SCAN_IS("host", FIELD_HOST); break;
    case 6: SCAN_IS("expect", FIELD_EXPECT); break;
    case 7: SCAN_IS("upgrade", FIELD_UPGRADE); break;
    case 10: SCAN_IS("connection", FIELD_CONNECTION); break;
    case 12: SCAN_IS("content-type", FIELD_CONTENT_TYPE); break;
    case 13: SCAN_IS("authorization", FIELD_AUTHORIZATION); break;
    case 14: SCAN_IS("content-length", FIELD_CONTENT_LENGTH); break;
    case 17: SCAN_IS("transfer-encoding", FIELD_TRANSFER_ENCODING); break;
    }
    return FIELD_OTHER;
}

#endif
