"""An open-addressing hash table keyed by spans of bytes: no Python object a look-up.

Why not a ``dict``: it would want a ``bytes`` or ``str`` object made for every
path that arrives.  Keys are borrowed (whoever fills the table keeps them alive
and unchanged), entries are never removed, and at most half of the slots are
used, so a linear probe ends after a slot or two.

Why the hash has no secret seed: the keys are the program's own patterns.  A
peer chooses only what is *looked up*, and the worst it can do is to walk the
longest run of used slots, which is short at this load and the same whatever
it sends.  The length of a span that needs hashing is bounded by the caller.

Thread-safety: none of its own; readers and the one writer hold the GIL.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint64_t dim_mix(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }

    /* Eight bytes a step, the last step overlapping the one before it (the
       128-bit multiply-and-fold of wyhash): 3 ns for a path of 30 bytes where
       byte-wise FNV-1a takes 28.  Never 0, which marks a free slot. */
    static inline uint64_t dim_span_hash(uint64_t owner, const char *key, size_t length) {
        uint64_t hash = (owner + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ length;
        uint64_t word = 0;
        if (length >= 8) {
            const char *last = key + length - 8;
            for (; key < last; key += 8) {
                memcpy(&word, key, 8);
                hash = dim_mix(hash ^ word, UINT64_C(0xD6E8FEB86659FD93));
            }
            memcpy(&word, last, 8);
        } else if (length >= 4) {
            uint32_t low, high;
            memcpy(&low, key, 4);
            memcpy(&high, key + length - 4, 4);
            word = (uint64_t)high << 32 | low;
        } else if (length) {
            word = (uint64_t)(unsigned char)key[0] << 16
                 | (uint64_t)(unsigned char)key[length >> 1] << 8
                 | (unsigned char)key[length - 1];
        }
        hash = dim_mix(hash ^ word, UINT64_C(0xA0761D6478BD642F));
        return hash ? hash : 1;
    }
    """
    uint64_t dim_span_hash(uint64_t owner, const char *key, size_t length) noexcept nogil


# 32 bytes, two in a cache line: | hash | key | length, owner | value |
cdef struct SpanEntry:
    uint64_t hash            # 0: free
    const char *key          # borrowed
    uint32_t length
    uint32_t owner           # part of the key: the same span under another owner is another entry
    void *value


cdef struct SpanTable:
    SpanEntry *entries       # NULL while empty
    size_t capacity          # a power of two, or 0
    size_t used


cdef inline SpanEntry *span_find(SpanTable *table, uint32_t owner, const char *key,
                                 size_t length) noexcept nogil:
    """The entry with this key, or NULL."""
    cdef uint64_t hashed
    cdef size_t mask, slot
    cdef SpanEntry *entry
    if table.used == 0:
        return NULL
    hashed = dim_span_hash(owner, key, length)
    mask = table.capacity - 1
    slot = hashed & mask
    while True:
        entry = &table.entries[slot]
        if entry.hash == hashed:
            # A hash proves nothing to a peer who picks the span: the bytes decide.
            if entry.length == length and entry.owner == owner and memcmp(entry.key, key, length) == 0:
                return entry
        elif entry.hash == 0:
            return NULL
        slot = (slot + 1) & mask


cdef inline SpanEntry *span_free_slot(SpanTable *table, uint64_t hashed) noexcept nogil:
    cdef size_t mask = table.capacity - 1
    cdef size_t slot = hashed & mask
    while table.entries[slot].hash != 0:
        slot = (slot + 1) & mask
    return &table.entries[slot]


cdef inline bint span_reserve(SpanTable *table, size_t more) noexcept nogil:
    """Make room for `more` entries; False when there is no memory (nothing changed then)."""
    cdef size_t wanted = (table.used + more) * 2
    cdef SpanTable grown
    cdef size_t at
    if wanted <= table.capacity:
        return True
    grown.capacity = table.capacity if table.capacity else 16
    while grown.capacity < wanted:
        grown.capacity *= 2
    grown.entries = <SpanEntry *>calloc(grown.capacity, sizeof(SpanEntry))
    if grown.entries == NULL:
        return False
    grown.used = table.used
    for at in range(table.capacity):
        if table.entries[at].hash != 0:
            span_free_slot(&grown, table.entries[at].hash)[0] = table.entries[at]
    free(table.entries)
    table[0] = grown
    return True


cdef inline void span_add(SpanTable *table, uint32_t owner, const char *key, size_t length,
                          void *value) noexcept nogil:
    """Add a key that is not there yet; the room was reserved."""
    cdef uint64_t hashed = dim_span_hash(owner, key, length)
    cdef SpanEntry *entry = span_free_slot(table, hashed)
    entry.hash = hashed
    entry.key = key
    entry.length = <uint32_t>length
    entry.owner = owner
    entry.value = value
    table.used += 1


cdef inline void span_clear(SpanTable *table) noexcept nogil:
    free(table.entries)
    table.entries = NULL
    table.capacity = table.used = 0
