from libc.stdint cimport int64_t, uint8_t, uint16_t

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

cdef Py_ssize_t stream_receive(int fd, char *data, size_t room) noexcept nogil
cdef Py_ssize_t stream_send(int fd, const char *data, size_t size, bint more) noexcept nogil
cdef Py_ssize_t stream_send_pieces(int fd, const char *head, size_t head_size, list pieces, bytes tail) noexcept
cdef int64_t stream_unsent(int fd) noexcept nogil
cdef int stream_accept(int listener, Peer *peer) noexcept nogil
cdef void stream_peer(int fd, Peer *peer) noexcept nogil    # who is at the other end; family 0 when nobody is
cdef void stream_half_close(int fd) noexcept nogil
cdef void stream_close(int fd) noexcept nogil
cdef void stream_reset(int fd) noexcept nogil    # the next close tells the peer that something is missing
cdef object peer_address(const Peer *peer)
cdef object local_address(int fd)    # (host, port) or (path of a Unix socket, None); None: nobody knows
cdef void discard_body(object body) noexcept     # close the files of a body that is not sent


cdef class FileBody:
    cdef int fd
    cdef int64_t offset
    cdef readonly int64_t length     # bytes still to send
    cdef bint owned
    cdef bint claimed

    cdef int64_t claim(self) except -1      # its length, for the one answer that may send it
    cdef Py_ssize_t send(self, int fd) noexcept


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
    cdef bint corked                 # the kernel holds back what fills no segment

    cdef int put(self, object item) except -1
    cdef void skip(self, Py_ssize_t size) noexcept   # that much of the first item, bytes, is sent
    cdef int64_t flush(self, int fd) except -10
    cdef int _shift(self) except -1
