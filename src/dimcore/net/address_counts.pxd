from libc.stdint cimport uint32_t, uint64_t

from dimcore.net.socket_io cimport Peer


# 16 bytes: | key 8 | family 4 | count 4 |
cdef struct Tally:
    uint64_t key             # an IPv4 address, or the network half of an IPv6 one
    uint32_t family          # 4 or 6
    uint32_t count           # 0: the slot is free


cdef class Addresses:
    cdef Tally *slots
    cdef size_t room                 # slots, a power of two; 0 while nobody is counted
    cdef readonly size_t used
    cdef uint64_t secret
    cdef uint64_t factor

    cdef int enter(self, const Peer *peer, uint32_t most) except -1
    cdef void leave(self, const Peer *peer) noexcept
    cdef size_t start(self, uint64_t key, uint32_t family) noexcept
    cdef size_t seek(self, uint64_t key, uint32_t family) noexcept
    cdef int resize(self, size_t room) except -1
