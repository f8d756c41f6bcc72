"""A record of one writer and any number of readers, which survives the death of its writer.

    | sequence | copy 0 | copy 1 |

The copy that readers take is `sequence & 1`.  The writer fills the other one and adds one to the sequence, which swaps
them.  So a whole copy exists at every moment, also when the writer is killed between two instructions; an odd-even
lock would leave a broken one.  A reader copies and looks at the sequence again: it repeats only if the writer went on
meanwhile.

Repair: a writer that fills the whole spare copy needs none, since it overwrites what the one before it left half-done.
A writer that fills parts of it begins with `put_copies`, which sets both.
"""
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from dimcore.shared.atomics cimport acquire_fence, load_u64, release_fence, store_u64

cdef enum:
    TRIES = 64               # to read what its writer keeps changing: each takes a fraction of its period


cdef inline void *spare_copy(const uint64_t *sequence, void *copies, size_t size) noexcept nogil:
    """The copy that nobody reads, for the writer to fill; `swap_copies` shows it."""
    release_fence()          # readers have to see that it was given up before they see it change
    return <char *> copies + ((sequence[0] + 1) & 1) * size


cdef inline void swap_copies(uint64_t *sequence) noexcept nogil:
    """Show the copy that was filled."""
    store_u64(sequence, sequence[0] + 1)


cdef inline void put_copies(uint64_t *sequence, void *copies, size_t size, const void *value) noexcept nogil:
    """Set both copies, one after the other."""
    cdef int _
    for _ in range(2):
        memcpy(spare_copy(sequence, copies, size), value, size)
        swap_copies(sequence)


cdef inline const void *shown_copy(uint64_t sequence, const void *copies, size_t size) noexcept nogil:
    """The copy that belongs to a sequence as it was loaded."""
    return <const char *> copies + (sequence & 1) * size


cdef inline bint is_shown(const uint64_t *sequence, uint64_t loaded) noexcept nogil:
    """Whether what was read since the sequence was loaded is of one write."""
    acquire_fence()
    return load_u64(sequence) == loaded


cdef inline bint read_copy(const uint64_t *sequence, const void *copies, size_t size, void *into) noexcept nogil:
    """Copy the whole of what is shown.

    False after `TRIES` writes in a row that overtook it: `into` then mixes two of them.
    """
    cdef uint64_t loaded
    cdef int _
    for _ in range(TRIES):
        loaded = load_u64(sequence)
        memcpy(into, shown_copy(loaded, copies, size), size)
        if is_shown(sequence, loaded):
            return True
    return False
