"""An exchange over a transport of its own: a descriptor in the loop, and what its peer has not taken yet.

What the transport does not take waits in an `Outbox`; what has come and cannot be
used yet waits in an `Inbox`.  A body that is made while it is sent (`Outflow`) keeps
the outbox for as long as it lasts, so that nothing else is answered meanwhile; its
source is asked for more when the peer has what there was, and for no more than a
turn's worth at a time.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t
from posix.unistd cimport close as close_descriptor

from dimcore.conn.core cimport Core, detach_request
from dimcore.conn.exchange cimport APART_BYTES, HANGUP, READABLE, WRITABLE, become, note
from dimcore.conn.inbox cimport inbox_append, inbox_free, inbox_new
from dimcore.conn.phase cimport (
    BUSY, CLOSE, GONE, HAS_ANSWER, LINGER, PEER_DONE, STREAMING, UNREAD, UPGRADED,
)
from dimcore.http1.head_writer cimport Writer
from dimcore.index.states cimport STAGE_PROGRESS
from dimcore.net.socket_io cimport (
    PIECES_MOST, STREAM_BROKEN, Outbox, Peer, discard_body, iovec, lay_out_pieces, peer_address, stream_peer,
)

cdef enum:
    APART_STATE = BUSY | CLOSE | GONE | PEER_DONE | STREAMING | UPGRADED     # whose answers leave by themselves


@cython.no_gc
cdef class Carrier(Exchange):
    """Base of `Connection`; not for use by itself."""

    def __dealloc__(self):
        inbox_free(self.inbox)
        if self.fd >= 0:
            self.site.transport.close(self.fd)

    @property
    def fileno(self):
        """The descriptor, or -1 once it is closed."""
        return self.fd

    @property
    def proxied(self):
        """Whether it came to a listener where a proxy has to say (PROXY protocol) whom it speaks for."""
        return self.site.trusts is not None

    @property
    def proxy(self):
        """The address of that proxy: (host, port), or ``"unix"``; None for a connection that is not `proxied`, or is
        closed.  `address` is the client's, or the proxy's own where it names nobody."""
        cdef Peer peer
        if self.site.trusts is None or self.fd < 0:
            return None
        stream_peer(self.fd, &peer)
        return peer_address(&peer) or "unix"

    cdef void disown(self) noexcept:
        # The kernel's own call, whatever the transport: nothing is to be sent, and the loop is not to be told.
        become(self, GONE)
        self.events = 0
        if self.fd >= 0:
            close_descriptor(self.fd)
            self.fd = -1

    # --- the loop -------------------------------------------------------------------------------

    cdef int watch(self, uint8_t events) except -1:
        """Change what the loop watches; the selector is asked only when something changes."""
        cdef Core core = self.site.core
        cdef uint8_t before = self.events
        if events == before:
            return 0
        if events == 0:
            self.events = 0
            core.host.unregister(self.fd)
            return 0
        if self.state & GONE:
            return 0
        if events == HANGUP:
            if core.host.mute is None:        # what is to be told will be when something is sent
                self.events = 0
                if before:
                    core.host.unregister(self.fd)
                return 0
            if before == 0:
                core.host.register(self.fd, READABLE, self.on_ready)
                self.events = READABLE
            core.host.mute(self.fd)
        elif before == 0:
            core.host.register(self.fd, events, self.on_ready)
        else:
            core.host.modify(self.fd, events, self.on_ready)
        self.events = events
        return 0

    # --- bytes that go out ----------------------------------------------------------------------

    cdef int flush(self) except -1:
        cdef Writer writer = self.site.core.scratch.writer
        cdef size_t size = writer.size
        cdef Py_ssize_t sent
        if size == 0:
            return 0
        writer.size = 0
        if self.state & GONE:
            return 0
        if self.outbox is not None and self.outbox.pending:
            return self.outbox.put(PyBytes_FromStringAndSize(writer.data, size))
        sent = self.site.transport.write(self.fd, writer.data, size, False)
        if sent == <Py_ssize_t> size:
            self.bytes_out += sent
            return 0
        if sent == STREAM_BROKEN:
            self.drop()
            return 0
        sent = max(sent, 0)
        self.bytes_out += sent
        if self.outbox is None:
            self.outbox = Outbox.__new__(Outbox)
        self.outbox.put(PyBytes_FromStringAndSize(writer.data + sent, size - sent))
        return self.hold()

    cdef int put_off(self) except -1:
        """Let the answer that is written wait for those of others, see `Batching`; it is in the outbox until then."""
        cdef Core core = self.site.core
        cdef size_t size = core.scratch.writer.size
        core.scratch.put_off = False
        if not 0 < size <= APART_BYTES or self.state & APART_STATE or not self.state & HAS_ANSWER or (
            self.outbox is not None
        ):
            return self.flush()
        self.current.own()
        self.outbox = Outbox.__new__(Outbox)
        self.outbox.put(PyBytes_FromStringAndSize(core.scratch.writer.data, size))
        core.scratch.writer.size = 0
        return core.batching.hold(self, core.now_ns)

    cdef int hold(self) except -1:
        cdef Core core = self.site.core
        if self.current is not None:
            self.current.own()
            self.current.marked_bytes = self.delivered()
            if self.outbox.flow is not None:
                # The time before was the source's: the peer's begins now.
                core.requests.step(self.current, STAGE_PROGRESS, core.clock())
        # Another protocol is read on where it was read: its own mark for what may wait is further away.
        if self.state & UPGRADED:
            return self.watch(WRITABLE | self.events & READABLE)
        note(self, UNREAD)
        if self.state & (LINGER | PEER_DONE) == LINGER and self.outbox.flow is None:
            # It may be sending a body that is thrown away, and read nothing before that is out.
            return self.watch(WRITABLE | READABLE)
        return self.watch(WRITABLE)

    cdef int64_t delivered(self) noexcept:
        # Not what the kernel took: it takes megabytes at once, and then none for as long as a slow peer needs for a
        # good part of them.
        return self.bytes_out - self.site.transport.unsent(self.fd)

    cdef void abort(self) noexcept:
        self.site.transport.abort(self.fd)

    cdef int send_pieces(self, list pieces, Py_ssize_t total, bytes tail) except -1:
        # One call: two bytes in a segment of their own cost as much as the rest of a chunk.
        cdef Writer writer = self.site.core.scratch.writer
        cdef Py_ssize_t size = writer.size
        cdef Py_ssize_t sent, left, length
        cdef iovec parts[PIECES_MOST + 2]
        cdef size_t count
        writer.size = 0
        if self.state & GONE:
            return 0
        if self.outbox is not None and self.outbox.pending:
            self.outbox.put(PyBytes_FromStringAndSize(writer.data, size))
            for piece in pieces:
                self.outbox.put(piece)
            return self.outbox.put(tail)
        count = lay_out_pieces(parts, writer.data, size, pieces, tail)
        sent = self.site.transport.write_pieces(self.fd, parts, count)
        if sent == STREAM_BROKEN:
            self.drop()
            return 0
        sent = max(sent, 0)
        self.bytes_out += sent
        if sent == size + total + PyBytes_GET_SIZE(tail):
            return 0
        if self.outbox is None:
            self.outbox = Outbox.__new__(Outbox)
        left = sent - size               # of the pieces and the tail
        if left < 0:
            self.outbox.put(PyBytes_FromStringAndSize(writer.data + sent, -left))
            left = 0
        for piece in pieces:
            length = PyBytes_GET_SIZE(piece)
            if left >= length:
                left -= length
                continue
            self.outbox.put(piece)
            if left:                     # then it is the first there
                self.outbox.skip(left)
                left = 0
        self.outbox.put(tail[left:])
        return self.hold()

    cdef int send_apart(self, object body) except -1:
        cdef Writer writer = self.site.core.scratch.writer
        cdef size_t size = writer.size
        cdef int64_t moved
        cdef Outbox outbox = self.outbox
        if type(body) is bytes:
            return self.send_pieces([body], PyBytes_GET_SIZE(body), b"")
        writer.size = 0
        if self.state & GONE:
            discard_body(body)
            return 0
        if outbox is None:
            outbox = Outbox.__new__(Outbox)
        outbox.put(PyBytes_FromStringAndSize(writer.data, size))
        outbox.put(body)
        self.outbox = outbox
        moved = outbox.flush(self.site.transport, self.fd)
        if moved == STREAM_BROKEN:
            self.drop()
            return 0
        self.bytes_out += moved
        if outbox.pending:
            return self.hold()
        if outbox.flow is None:
            self.outbox = None
        return 0

    cdef int send_late(self, bytes data) except -1:
        cdef Py_ssize_t sent, size = PyBytes_GET_SIZE(data)
        if self.outbox is not None and self.outbox.pending:
            self.outbox.put(data)
            return self.count_later()
        sent = self.site.transport.write(self.fd, PyBytes_AS_STRING(data), size, False)
        if sent == STREAM_BROKEN:
            # The loop finds that too, and ends the connection then: a handler is not called from within another.
            return 0
        sent = max(sent, 0)
        self.bytes_out += sent
        if sent == size:
            return 0
        if self.outbox is None:
            self.outbox = Outbox.__new__(Outbox)
        self.outbox.put(data)
        if sent:
            self.outbox.skip(sent)
        self.count_later()
        return self.hold()

    # --- input that waits -----------------------------------------------------------------------

    cdef int keep_input(self, const char *data, size_t size) except -1:
        """Append bytes, which lie elsewhere, to the inbox."""
        if self.inbox == NULL:
            self.inbox = inbox_new()
        elif self.current is not None:
            self.current.own()           # the inbox may move
        return inbox_append(self.inbox, data, size)

    cdef void use_input(self, size_t used) noexcept:
        """So many bytes at the start of the inbox are dealt with; an empty one is given back."""
        self.inbox.start += <uint32_t> used
        if self.inbox.start == self.inbox.end and self.inbox.head == NULL:
            self.free_inbox()

    cdef void free_inbox(self) noexcept:
        if self.inbox == NULL:
            return
        if self.current is not None:
            detach_request(self.current)
        inbox_free(self.inbox)
        self.inbox = NULL
