"""The one module that knows a file descriptor: receive, send, accept, sendfile, close.

Every descriptor here is non-blocking, so the calls return at once and keep the
GIL, but for those that copy much or may read a disk.  Connections call them
through a table (`Transport`), of which plain sockets are one.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport _Py_REFCNT
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport INT64_MAX
from libc.string cimport memcpy, memset

from dimcore.limits cimport KIB

from dimcore.errors import ResponseError

cdef extern from *:
    """
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <sys/un.h>
    #include <arpa/inet.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <stdint.h>
    #include <string.h>
    #include <unistd.h>
    #ifdef __linux__
    #include <linux/sockios.h>
    #include <sys/ioctl.h>
    #include <sys/sendfile.h>
    #endif
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    #ifndef MSG_MORE
    #define MSG_MORE 0
    #endif

    static int dimcore_accept(int listener, struct sockaddr_storage *address) {
        socklen_t size = sizeof *address;
        memset(address, 0, sizeof(struct sockaddr_in6));
    #ifdef __linux__
        return accept4(listener, (struct sockaddr *)address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    #else
        int fd = accept(listener, (struct sockaddr *)address, &size);
        if (fd >= 0) {
            int on = 1;
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
            fcntl(fd, F_SETFD, FD_CLOEXEC);
    #ifdef SO_NOSIGPIPE
            setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
    #endif
        }
        return fd;
    #endif
    }

    /* The family, 0 where it is none of ours; `address` is NUL-terminated. */
    static int dimcore_local(int fd, struct sockaddr_storage *address) {
        socklen_t size = sizeof *address - 1;
        memset(address, 0, sizeof *address);
        if (getsockname(fd, (struct sockaddr *)address, &size) < 0) return -1;
        return address->ss_family;
    }
    static uint16_t dimcore_local_port(const struct sockaddr_storage *address) {
        return ntohs(address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
                                                   : ((const struct sockaddr_in6 *)address)->sin6_port);
    }
    static const char *dimcore_local_bytes(const struct sockaddr_storage *address) {
        if (address->ss_family == AF_INET) return (const char *)&((const struct sockaddr_in *)address)->sin_addr;
        if (address->ss_family == AF_INET6) return (const char *)&((const struct sockaddr_in6 *)address)->sin6_addr;
        return ((const struct sockaddr_un *)address)->sun_path;
    }

    static void dimcore_peer(int fd, struct sockaddr_storage *address) {
        socklen_t size = sizeof *address;
        if (getpeername(fd, (struct sockaddr *)address, &size) < 0) address->ss_family = 0;
    }

    static int64_t dimcore_unsent(int fd) {
        int waiting = 0;
    #ifdef __linux__
        if (ioctl(fd, SIOCOUTQ, &waiting) < 0) return 0;
    #elif defined(SO_NWRITE)
        socklen_t size = sizeof waiting;
        if (getsockopt(fd, SOL_SOCKET, SO_NWRITE, &waiting, &size) < 0) return 0;
    #endif
        return waiting;
    }

    static ssize_t dimcore_send_parts(int fd, const struct iovec *parts, size_t count) {
        struct msghdr message;
        memset(&message, 0, sizeof message);
        message.msg_iov = (struct iovec *)parts;
        message.msg_iovlen = count;
        return sendmsg(fd, &message, MSG_NOSIGNAL);
    }

    /* For files the kernel cannot send itself: some file systems in user space, /proc. */
    static ssize_t dimcore_copy_file(int out, int in, int64_t offset, size_t count) {
        char piece[32 * 1024];
        ssize_t got = pread(in, piece, count < sizeof piece ? count : sizeof piece, (off_t)offset);
        return got <= 0 ? got : send(out, piece, (size_t)got, MSG_NOSIGNAL);
    }

    static void dimcore_reset(int fd) {
        struct linger now = {1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }

    /* Full segments only, until it is turned off; 200 ms at most.  On other sockets than TCP's it does nothing. */
    static void dimcore_cork(int fd, int on) {
    #ifdef TCP_CORK
        setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
    #endif
    }

    static ssize_t dimcore_sendfile(int out, int in, int64_t offset, size_t count) {
    #ifdef __linux__
        off_t from = (off_t)offset;
        ssize_t moved = sendfile(out, in, &from, count);
    #else
        off_t sent = (off_t)count;
        int result = sendfile(in, out, (off_t)offset, &sent, NULL, 0);
        ssize_t moved = result == 0 || sent > 0 ? (ssize_t)sent : -1;
    #endif
        if (moved < 0 && (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
            return dimcore_copy_file(out, in, offset, count);
        return moved;
    }
    """
    ctypedef unsigned short in_port_t
    cdef struct in_addr:
        unsigned int s_addr
    cdef struct in6_addr:
        unsigned char s6_addr[16]
    cdef struct sockaddr_storage:
        unsigned short ss_family
    cdef struct sockaddr_in:
        in_port_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        in_port_t sin6_port
        in6_addr sin6_addr
    enum:
        AF_INET
        AF_INET6
        AF_UNIX
        MSG_NOSIGNAL
        MSG_MORE
        F_GETFL
        F_SETFL
        O_NONBLOCK
        SHUT_RD
        SHUT_RDWR
        SHUT_WR
    int fcntl(int fd, int command, ...) nogil
    ssize_t recv(int fd, void *data, size_t room, int flags) nogil
    ssize_t send(int fd, const void *data, size_t size, int flags) nogil
    int shutdown(int fd, int how) nogil
    int close(int fd) nogil
    ssize_t pread(int fd, void *data, size_t size, int64_t offset) nogil
    unsigned short ntohs(unsigned short number) nogil
    void dimcore_reset(int fd) nogil
    int dimcore_accept(int listener, sockaddr_storage *address) nogil
    int dimcore_local(int fd, sockaddr_storage *address) nogil
    uint16_t dimcore_local_port(const sockaddr_storage *address) nogil
    const char *dimcore_local_bytes(const sockaddr_storage *address) nogil
    void dimcore_peer(int fd, sockaddr_storage *address) nogil
    int64_t dimcore_unsent(int fd) nogil
    ssize_t dimcore_send_parts(int fd, const iovec *parts, size_t count) nogil
    void dimcore_cork(int fd, int on) nogil
    ssize_t dimcore_sendfile(int out, int into, int64_t offset, size_t count) nogil

cdef extern from "Python.h":
    Py_ssize_t PyList_GET_SIZE(object items) noexcept
    PyObject *PyList_GET_ITEM(object items, Py_ssize_t i) noexcept   # borrowed

cdef enum:
    SENDFILE_STEP = 1024 * KIB       # bytes a call: one slow reader's file does not hold the loop
    CORK_FROM = 256 * KIB            # a longer file is worth two calls for full segments: a tenth more a second
    RELEASE_FROM = 256 * KIB         # a send that copies more gives other threads the GIL
    ITEM_COST = 64                   # of memory, for an item that waits, beside its bytes
    OWN_REFERENCES = 4               # to bytes that wait for one peer: the outbox's, and its giver's


cdef inline Py_ssize_t _result(ssize_t moved) noexcept nogil:
    if moved >= 0:
        return moved
    if errno == EAGAIN or errno == EINTR:
        return STREAM_AGAIN
    return STREAM_BROKEN


# --- plain sockets ------------------------------------------------------------------------------

cdef Py_ssize_t _read(int fd, char *data, size_t room) noexcept nogil:
    return _result(recv(fd, data, room, 0))


cdef Py_ssize_t _write(int fd, const char *data, size_t size, bint more) noexcept nogil:
    return _result(send(fd, data, size, MSG_NOSIGNAL | (MSG_MORE if more else 0)))


cdef Py_ssize_t _write_pieces(int fd, const iovec *pieces, size_t count) noexcept nogil:
    return _result(dimcore_send_parts(fd, pieces, count))


cdef Py_ssize_t _write_file(int fd, int file, int64_t offset, size_t size) noexcept nogil:
    return _result(dimcore_sendfile(fd, file, offset, size))


cdef void _cork(int fd, bint on) noexcept nogil:
    dimcore_cork(fd, on)


cdef int64_t _unsent(int fd) noexcept nogil:
    return dimcore_unsent(fd)


cdef int _accept(int listener, Peer *peer) noexcept nogil:
    """A new descriptor, or a StreamResult; a peer that left before it was accepted is passed over."""
    cdef sockaddr_storage address
    cdef int fd
    while True:
        fd = dimcore_accept(listener, &address)
        if fd >= 0:
            break
        if errno == EINTR or errno == ECONNABORTED:
            continue
        if errno == EMFILE or errno == ENFILE or errno == ENOBUFS or errno == ENOMEM:
            return STREAM_EXHAUSTED
        return STREAM_AGAIN if errno == EAGAIN else STREAM_BROKEN
    read_peer(&address, peer)
    return fd


cdef void _close_write(int fd) noexcept nogil:
    shutdown(fd, SHUT_WR)


cdef void stream_cut(int fd, bint both) noexcept nogil:
    shutdown(fd, SHUT_RDWR if both else SHUT_RD)


cdef void stream_unblock(int fd) noexcept nogil:
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)


cdef void _abort(int fd) noexcept nogil:
    dimcore_reset(fd)


cdef void _close(int fd) noexcept nogil:
    close(fd)


cdef Transport SOCKETS
SOCKETS.accept = _accept
SOCKETS.read = _read
SOCKETS.write = _write
SOCKETS.write_pieces = _write_pieces
SOCKETS.write_file = _write_file
SOCKETS.cork = _cork
SOCKETS.unsent = _unsent
SOCKETS.pending = NULL               # all that has come lies in the kernel
SOCKETS.wants = NULL
SOCKETS.close_write = _close_write
SOCKETS.abort = _abort
SOCKETS.close = _close


cdef const Transport *socket_transport() noexcept nogil:
    return &SOCKETS


# --- pieces and addresses -----------------------------------------------------------------------

cdef size_t lay_out_pieces(iovec *parts, const char *head, size_t head_size, list pieces, bytes tail) noexcept:
    cdef size_t count = 0
    cdef PyObject *piece
    cdef Py_ssize_t i
    if head_size:
        parts[0].iov_base = <void *> head
        parts[0].iov_len = head_size
        count = 1
    for i in range(min(PyList_GET_SIZE(pieces), <Py_ssize_t> PIECES_MOST)):
        piece = PyList_GET_ITEM(pieces, i)
        parts[count].iov_base = PyBytes_AS_STRING(<object> piece)
        parts[count].iov_len = PyBytes_GET_SIZE(<object> piece)
        count += 1
    if PyBytes_GET_SIZE(tail):
        parts[count].iov_base = PyBytes_AS_STRING(tail)
        parts[count].iov_len = PyBytes_GET_SIZE(tail)
        count += 1
    return count


cdef void read_peer(const sockaddr_storage *address, Peer *peer) noexcept nogil:
    memset(peer, 0, sizeof(Peer))
    if address.ss_family == AF_INET:
        peer.family = 4
        peer.port = ntohs((<const sockaddr_in *> address).sin_port)
        memcpy(peer.address, &(<const sockaddr_in *> address).sin_addr, 4)
    elif address.ss_family == AF_INET6:
        peer.family = 6
        peer.port = ntohs((<const sockaddr_in6 *> address).sin6_port)
        memcpy(peer.address, &(<const sockaddr_in6 *> address).sin6_addr, 16)


cdef void stream_peer(int fd, Peer *peer) noexcept nogil:
    cdef sockaddr_storage address
    memset(&address, 0, sizeof(address))
    dimcore_peer(fd, &address)
    read_peer(&address, peer)


cdef object peer_address(const Peer *peer):
    """``(host, port)``, or None for a Unix socket; an IPv4 address mapped into IPv6 reads as IPv4."""
    cdef const uint8_t *raw = <const uint8_t *> peer.address
    if peer.family == 4:
        return f"{raw[0]}.{raw[1]}.{raw[2]}.{raw[3]}", peer.port
    if peer.family == 6:
        packed = (<const char *> raw)[:16]
        if packed.startswith(b"\0\0\0\0\0\0\0\0\0\0\xff\xff"):
            return f"{raw[12]}.{raw[13]}.{raw[14]}.{raw[15]}", peer.port
        from socket import AF_INET6 as family, inet_ntop
        return inet_ntop(family, packed), peer.port
    return None


cdef object local_address(int fd):
    """``(host, port)`` as `peer_address` has it, ``(path, None)`` of a Unix socket, or None."""
    cdef sockaddr_storage address
    cdef Peer here
    cdef int family = dimcore_local(fd, &address)
    if family == AF_UNIX:
        return (<bytes> dimcore_local_bytes(&address)).decode("utf-8", "surrogateescape"), None
    if family != AF_INET and family != AF_INET6:
        return None
    here.family = 4 if family == AF_INET else 6
    here.port = dimcore_local_port(&address)
    memcpy(here.address, dimcore_local_bytes(&address), 4 if family == AF_INET else 16)
    return peer_address(&here)


cdef void discard_body(object body) noexcept:
    if isinstance(body, FileBody):
        (<FileBody> body).close()
    elif isinstance(body, Composite):
        (<Composite> body).close()


@cython.final
cdef class FileBody:
    """A stretch of an open file as a body, sent by the kernel (sendfile).

    Good for one answer: it is used up by being sent.

    Args:
        fd: descriptor of a regular file; the object owns it from now on and closes
            it once sent or dropped.
        offset: first byte.
        count: bytes; the file must hold them, else the connection is cut short.

    Raises:
        ResponseError: a negative number, or one beyond 63 bits.
    """

    def __cinit__(self, int fd, int64_t offset, int64_t count):
        if fd < 0 or offset < 0 or count < 0:
            raise ResponseError(f"FileBody({fd}, {offset}, {count}): no number may be negative")
        if offset > INT64_MAX - count:
            raise ResponseError(f"FileBody({fd}, {offset}, {count}): no file is that long")
        self.fd = fd
        self.offset = offset
        self.length = count
        self.owned = True

    def stretch(self, int64_t offset, int64_t count):
        """Another stretch of the same file, which uses the same descriptor: closed with the last of them.

        Args:
            offset: first byte of the file, not of this stretch.
            count: bytes.

        Raises:
            ResponseError: as for the class; or this one is closed, part of an answer, or a stretch itself.
        """
        cdef FileBody part
        if self.whole is not None or self.claimed or not self.owned:
            raise ResponseError(f"{self!r} gives no stretches: it is one, or was sent or closed")
        part = FileBody(self.fd, offset, count)
        part.whole = self
        return part

    def close(self):
        """Close the descriptor; again is fine.  That of a stretch goes on for the others."""
        if self.owned:
            self.owned = False
            if self.whole is None:
                close(self.fd)
            self.whole = None
            self.fd = -1

    def __dealloc__(self):
        if self.owned and self.whole is None:    # not after a failed construction, when `fd` is 0: standard input
            close(self.fd)

    cdef int64_t claim(self) except -1:
        if self.claimed or not self.owned:
            raise ResponseError(f"{self!r} is {'part of another answer' if self.owned else 'closed'} already")
        self.claimed = True
        return self.length

    def __repr__(self):
        return f"FileBody(fd={self.fd}, offset={self.offset}, count={self.length})"

    cdef bytes read(self, Py_ssize_t most):
        """The next bytes of the file; fewer than there should be where it was cut short."""
        cdef Py_ssize_t count = <Py_ssize_t> min(self.length, <int64_t> most), got
        cdef int source = self.fd if self.whole is None else self.whole.fd
        cdef int64_t offset = self.offset
        cdef bytes piece = PyBytes_FromStringAndSize(NULL, count)
        cdef char *data = PyBytes_AS_STRING(piece)
        with nogil:
            got = pread(source, data, count, offset)
        if got <= 0:
            return b""
        self.offset += got
        self.length -= got
        return piece if got == count else piece[:got]

    cdef Py_ssize_t send(self, const Transport *transport, int end) noexcept:
        """Move a step of the file into a connection; bytes moved or a StreamResult."""
        cdef Py_ssize_t moved
        cdef size_t count = <size_t> min(self.length, <int64_t> SENDFILE_STEP)
        cdef int source = self.fd if self.whole is None else self.whole.fd
        cdef int64_t offset = self.offset
        with nogil:
            moved = transport.write_file(end, source, offset, count)
        if moved == 0:
            return STREAM_BROKEN     # the file was cut short: what was promised cannot be kept
        if moved > 0:
            self.offset += moved
            self.length -= moved
        return moved


@cython.final
cdef class Composite:
    """Several bodies sent one after the other.

    Args:
        parts: `bytes` and `FileBody` objects in order.

    `length` is the sum of their bytes, `parts` a tuple of them.

    Raises:
        ResponseError: a part is neither, or they are longer than 63 bits can say.
    """

    def __cinit__(self, parts):
        cdef int64_t size
        self.parts = tuple(parts)
        for part in self.parts:
            if type(part) is bytes:
                size = PyBytes_GET_SIZE(part)
            elif isinstance(part, FileBody):
                size = (<FileBody> part).length
            else:
                raise ResponseError(f"a part must be bytes or FileBody, not {type(part).__name__}")
            if size > INT64_MAX - self.length:
                raise ResponseError("the parts are longer than any body can be")
            self.length += size

    def close(self):
        """Close the files among the parts."""
        for part in self.parts:
            if isinstance(part, FileBody):
                (<FileBody> part).close()

    cdef int64_t claim(self) except -1:
        for part in self.parts:
            if isinstance(part, FileBody):
                (<FileBody> part).claim()
        return self.length

    def __repr__(self):
        return f"Composite({list(self.parts)!r})"


@cython.final
cdef class Outbox:
    """What a socket did not take at once, in order."""

    def __cinit__(self):
        self.items = []

    cdef int put(self, object item) except -1:
        """Append bytes, a FileBody or a Composite."""
        if type(item) is bytes:
            if PyBytes_GET_SIZE(item) == 0:
                return 0
            self.pending += PyBytes_GET_SIZE(item)
        elif isinstance(item, FileBody):
            if (<FileBody> item).length == 0:
                (<FileBody> item).close()
                return 0
            self.pending += (<FileBody> item).length
        else:
            for part in (<Composite?> item).parts:
                self.put(part)
            return 0
        self.items.append(item)
        return 0

    cdef int64_t memory(self) noexcept:
        """Bytes of memory that are held for this peer.

        What many others hold as well, as a batch of a topic or a body that an app keeps, is their share; files are
        no memory.  To be asked between two events: whoever is about to send something refers to it too.
        """
        cdef PyObject *item
        cdef Py_ssize_t sharers, count = len(self.items)
        while self.weighed < count:
            item = PyList_GET_ITEM(self.items, self.weighed)
            if type(<object> item) is bytes:
                # Not `ob_refcnt`: from Python 3.14 on that is unsigned, and so would the difference be.
                sharers = max(<Py_ssize_t> 1, _Py_REFCNT(item) - OWN_REFERENCES)
                self.charged += PyBytes_GET_SIZE(<object> item) // sharers
            self.weighed += 1
        return min(self.pending, self.charged) + ITEM_COST * (count - self.first)

    cdef void skip(self, Py_ssize_t size) noexcept:
        self.offset = size
        self.pending -= size

    cdef int64_t flush(self, const Transport *transport, int end) except -10:
        """Send what the peer takes; bytes moved (0: it takes nothing now) or STREAM_BROKEN."""
        cdef int64_t moved = 0
        cdef Py_ssize_t step
        cdef const char *data
        cdef size_t size
        while self.first < len(self.items):
            item = self.items[self.first]
            if type(item) is bytes:
                data = PyBytes_AS_STRING(item) + self.offset
                size = PyBytes_GET_SIZE(item) - self.offset
                if size >= RELEASE_FROM:
                    with nogil:
                        step = transport.write(end, data, size, False)
                else:
                    step = transport.write(end, data, size, self.first + 1 < len(self.items))
                if step > 0:
                    self.offset += step
                    if <size_t> step == size:
                        self._shift()
            else:
                if not self.corked and (<FileBody> item).length >= CORK_FROM:
                    self.corked = True
                    transport.cork(end, True)
                step = (<FileBody> item).send(transport, end)
                if step > 0 and (<FileBody> item).length == 0:
                    (<FileBody> item).close()
                    self._shift()
            if step == STREAM_BROKEN:
                return STREAM_BROKEN
            if step == STREAM_AGAIN:
                break
            moved += step
            self.pending -= step
            if moved >= SENDFILE_STEP and self.pending:
                break        # the others get their turn; the socket is writable, so the loop comes back
        if self.corked and self.first == len(self.items):
            self.corked = False
            transport.cork(end, False)   # the rest, less than a segment, would wait for more
        return moved

    cdef int _shift(self) except -1:
        self.items[self.first] = None
        self.first += 1
        self.offset = 0
        if self.first == len(self.items):
            self.items.clear()
            self.first = 0
            self.weighed = 0
            self.charged = 0
        return 0
