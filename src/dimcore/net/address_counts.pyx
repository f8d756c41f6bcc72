"""How many connections each client address has: a hash table of counters, O(1) a connection.

An IPv6 client is its /64: one household or one rented machine has 2**64 addresses
to itself at least (RFC 6177 section 2), and a limit on single ones would be none.
An IPv4 address mapped into IPv6 is that IPv4 address.

The table is open addressing with linear probing.  Slots are found with a secret of
the process's own, because whoever picks addresses would otherwise pick those that
collide; and a counter that falls to zero is closed up (Knuth 6.4, algorithm R)
instead of marked, so the table never fills with graves.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from dimcore.net.socket_io cimport Peer

from dimcore.errors import UsageError

cdef enum:
    FIRST_SLOTS = 64         # 1 KiB
    KEPT_SLOTS = 1024        # a larger table is given back when nobody is left in it

cdef uint8_t *MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]


cdef inline uint32_t key_of(const Peer *peer, uint64_t *key) noexcept:
    """The family and key an address is counted under; family 0 is not counted."""
    cdef int at
    key[0] = 0
    if peer.family == 6:
        for at in range(12):
            if peer.address[at] != MAPPED[at]:
                memcpy(key, peer.address, 8)
                return 6
        memcpy(key, peer.address + 12, 4)
        return 4
    if peer.family == 4:
        memcpy(key, peer.address, 4)
    return peer.family


@cython.final
cdef class Addresses:
    """Counters by client address.

    `used` is the number of addresses that have a connection.

    Thread-safety: the loop's thread only.
    """

    def __cinit__(self):
        from os import urandom
        cdef bytes random = urandom(16)
        memcpy(&self.secret, <const char *> random, 8)
        memcpy(&self.factor, <const char *> random + 8, 8)
        self.factor |= 1                 # an odd number: multiplying by it loses nothing

    def __dealloc__(self):
        PyMem_Free(self.slots)

    cdef int enter(self, const Peer *peer, uint32_t most) except -1:
        """Count one more connection of `peer`; False, and nothing is counted, where it has `most` already.

        Raises MemoryError.  A Unix socket has no address and is never over its limit.
        """
        cdef uint64_t key
        cdef uint32_t family = key_of(peer, &key)
        cdef Tally *slot
        if family == 0:
            return True
        if self.used + 1 > self.room - self.room // 4:
            self.resize(max(self.room * 2, <size_t> FIRST_SLOTS))
        slot = &self.slots[self.seek(key, family)]
        if slot.count >= most:
            return False
        if slot.count == 0:
            slot.key = key
            slot.family = family
            self.used += 1
        slot.count += 1
        return True

    cdef void leave(self, const Peer *peer) noexcept:
        """One that was counted is gone."""
        cdef uint64_t key
        cdef uint32_t family = key_of(peer, &key)
        cdef size_t hole, at, home, mask = self.room - 1
        if family == 0 or self.room == 0:
            return
        hole = self.seek(key, family)
        if self.slots[hole].count == 0:
            return
        self.slots[hole].count -= 1
        if self.slots[hole].count:
            return
        self.used -= 1
        if self.used == 0 and self.room > KEPT_SLOTS:
            PyMem_Free(self.slots)
            self.slots = NULL
            self.room = 0
            return
        # Whoever was pushed past the hole by it moves up, so that probing may stop at a free slot.
        at = hole
        while True:
            at = (at + 1) & mask
            if self.slots[at].count == 0:
                break
            home = self.start(self.slots[at].key, self.slots[at].family)
            if (at - home) & mask >= (at - hole) & mask:
                self.slots[hole] = self.slots[at]
                hole = at
        memset(&self.slots[hole], 0, sizeof(Tally))

    cdef size_t start(self, uint64_t key, uint32_t family) noexcept:
        """The slot where the search for a key begins; `room` is not 0."""
        cdef uint64_t mixed = (key ^ self.secret ^ family) * self.factor
        mixed = (mixed ^ (mixed >> 32)) * <uint64_t> 0x9E3779B97F4A7C15
        return <size_t> (mixed ^ (mixed >> 29)) & (self.room - 1)

    cdef size_t seek(self, uint64_t key, uint32_t family) noexcept:
        """Its slot, or the free one where it would be."""
        cdef size_t at = self.start(key, family)
        while self.slots[at].count and (self.slots[at].key != key or self.slots[at].family != family):
            at = (at + 1) & (self.room - 1)
        return at

    cdef int resize(self, size_t room) except -1:
        cdef Tally *before = self.slots
        cdef size_t at, size = self.room
        cdef Tally *slots = <Tally *> PyMem_Calloc(room, sizeof(Tally))
        if slots == NULL:
            raise MemoryError
        self.slots = slots
        self.room = room
        for at in range(size):
            if before[at].count:
                slots[self.seek(before[at].key, before[at].family)] = before[at]
        PyMem_Free(before)
        return 0

    # Python interface

    def admit(self, str host not None, uint32_t most):
        """Count one more connection.

        Args:
            host: an IPv4 or IPv6 address as text.
            most: connections it may have.

        Returns:
            False where it has that many; then nothing was counted.

        Raises:
            UsageError: no address.
            OverflowError: `most` is negative or above 32 bits.
        """
        cdef Peer peer
        _read(host, &peer)
        return bool(self.enter(&peer, most))

    def release(self, str host not None):
        """Count one less; one that has none stays at none.

        Raises:
            UsageError: no address.
        """
        cdef Peer peer
        _read(host, &peer)
        self.leave(&peer)

    def count(self, str host not None):
        """Connections an address, or its /64, has.

        Raises:
            UsageError: no address.
        """
        cdef Peer peer
        cdef uint64_t key
        cdef uint32_t family
        _read(host, &peer)
        family = key_of(&peer, &key)
        return 0 if self.room == 0 else self.slots[self.seek(key, family)].count


cdef int _read(str host, Peer *peer) except -1:
    from socket import AF_INET, AF_INET6, inet_pton
    cdef bytes packed
    try:
        packed = inet_pton(AF_INET6 if ":" in host else AF_INET, host)
    except (OSError, UnicodeError, ValueError):
        raise UsageError(f"{host!r:.60} is no IPv4 or IPv6 address") from None
    memset(peer, 0, sizeof(Peer))
    peer.family = 6 if len(packed) == 16 else 4
    memcpy(peer.address, <const char *> packed, len(packed))
    return 0
