from libc.stdint cimport int64_t, uint8_t, uint16_t

cdef extern from "sys/uio.h":
    cdef struct iovec:
        void *iov_base
        size_t iov_len

cdef enum StreamResult:
    STREAM_AGAIN = -1        # nothing can move now
    STREAM_BROKEN = -2       # the connection is gone
    STREAM_EXHAUSTED = -3    # out of descriptors or memory: try later

cdef enum:
    PIECES_MOST = 62         # of a body in one call

# 20 bytes: the peer's address without a Python object
cdef struct Peer:
    uint16_t family          # 0: Unix socket
    uint16_t port
    uint8_t address[16]      # IPv4 in the first four

# What carries the bytes of the connections of a `Site`.  `end` is the number by which the loop watches a connection: a
# descriptor, or whatever the transport finds its own state by.  No call waits; what counts bytes returns them, or a
# StreamResult.
cdef struct Transport:
    int (*accept)(int listener, Peer *peer) noexcept nogil      # the end of a new connection
    Py_ssize_t (*read)(int end, char *data, size_t room) noexcept nogil              # 0: the peer sends no more
    # `more`: a small segment may be held back, since something follows at once
    Py_ssize_t (*write)(int end, const char *data, size_t size, bint more) noexcept nogil
    Py_ssize_t (*write_pieces)(int end, const iovec *pieces, size_t count) noexcept nogil
    Py_ssize_t (*write_file)(int end, int file, int64_t offset, size_t size) noexcept nogil  # 0: it is shorter
    void (*cork)(int end, bint on) noexcept nogil               # full segments only, until it is turned off
    int64_t (*unsent)(int end) noexcept nogil                   # bytes taken that the peer does not have yet
    # NULL where the transport keeps nothing to itself.  `pending`: whether more can be read though the descriptor is
    # not readable; `wants`: what it waits for by itself (1 readable, 2 writable) where `read` found nothing.
    bint (*pending)(int end) noexcept nogil
    int (*wants)(int end) noexcept nogil
    void (*close_write)(int end) noexcept nogil                 # no more comes; what the peer sends can still be read
    void (*abort)(int end) noexcept nogil                       # the next close tells the peer that bytes are missing
    void (*close)(int end) noexcept nogil

cdef const Transport *socket_transport() noexcept nogil         # plain sockets

# What `write_pieces` takes: a head, `pieces` of bytes (`PIECES_MOST` of them) and what ends them; returns how many.
cdef size_t lay_out_pieces(iovec *parts, const char *head, size_t head_size, list pieces, bytes tail) noexcept

# For whoever has a duplicate of a plain socket, too: nothing more comes, and with `both` nothing goes.
cdef void stream_cut(int fd, bint both) noexcept nogil
cdef void stream_unblock(int fd) noexcept nogil

cdef void stream_peer(int fd, Peer *peer) noexcept nogil    # who is at the other end; family 0 when nobody is
cdef object peer_address(const Peer *peer)
cdef object local_address(int fd)    # (host, port) or (path of a Unix socket, None); None: nobody knows
cdef void discard_body(object body) noexcept     # close the files of a body that is not sent


cdef class FileBody:
    cdef int fd
    cdef int64_t offset
    cdef readonly int64_t length     # bytes still to send
    cdef bint owned
    cdef bint claimed
    cdef FileBody whole              # whose descriptor it uses, or None: its own

    cdef int64_t claim(self) except -1      # its length, for the one answer that may send it
    cdef bytes read(self, Py_ssize_t most)
    cdef Py_ssize_t send(self, const Transport *transport, int end) noexcept


cdef class Composite:
    cdef readonly tuple parts
    cdef readonly int64_t length

    cdef int64_t claim(self) except -1


cdef class Outbox:
    cdef list items
    cdef Py_ssize_t first
    cdef Py_ssize_t offset           # sent of the first item, when that is bytes
    cdef readonly int64_t pending
    cdef object flow                 # what makes more of it, or None
    cdef Py_ssize_t weighed          # items that `charged` has
    cdef int64_t charged             # bytes of memory of all items since there were none
    cdef bint corked                 # the kernel holds back what fills no segment

    cdef int put(self, object item) except -1
    cdef int64_t memory(self) noexcept
    cdef void skip(self, Py_ssize_t size) noexcept   # that much of the first item, bytes, is sent
    cdef int64_t flush(self, const Transport *transport, int end) except -10
    cdef int _shift(self) except -1
