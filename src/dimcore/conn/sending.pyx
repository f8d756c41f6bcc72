"""The sending half of a connection: a descriptor in the loop, and what its peer has not taken yet.

What the socket does not take waits in an `Outbox`.  A body that is made while it
is sent (`Outflow`) keeps the outbox for as long as it lasts, so that nothing else
is answered meanwhile; its source is asked for more when the peer has what there
was, and for no more than a turn's worth at a time.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from posix.unistd cimport close as close_descriptor
from libc.stdint cimport int64_t, uint8_t, uint16_t

from dimcore.aio.task_runner cimport Errand
from dimcore.conn.core cimport Core, leave_process, detach_request
from dimcore.conn.streamed_body cimport Outflow, Push
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head_writer cimport Writer
from dimcore.index.states cimport STAGE_PROGRESS, connection_next
from dimcore.limits cimport KIB, PARSED, RESPONSE_READY
from dimcore.net.socket_io cimport (
    PIECES_MOST, STREAM_BROKEN, Outbox, Peer, discard_body, iovec, lay_out_pieces, peer_address, stream_peer,
)

cdef enum:
    TURN_BYTES = 1024 * KIB      # of a body that is pulled, before the other connections get their turn
    APART_FLAGS = BUSY | CLOSE | GONE | PEER_DONE | STREAMING | UPGRADED     # whose answers leave by themselves
    PIECE_COST = 2 * KIB         # what a piece counts for beside its bytes: a million of one byte are many turns

cdef double SECOND_NS = 1e9

cdef bytes LINE_END = b"\r\n"
cdef bytes LAST_END = b"\r\n0\r\n\r\n"


def _told_by_nobody(address, headers):
    """In the place of `Core.attach`'s `forwarded`: the address, and nothing that the headers say."""
    return None if address is None else address[0], None, None, None


@cython.no_gc
cdef class Channel(ConnectionPoint):
    """Base of `Connection`; not for use by itself."""

    def __cinit__(self):
        # What `__new__` alone makes is closed: `open_connection` brings it to life.
        self.fd = -1
        self.flags = GONE

    def __dealloc__(self):
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

    def on_ready(self, int mask):
        """The descriptor is readable (1), writable (2) or both."""

    def read_on(self):
        """Whoever had enough of a WebSocket's messages wants more; the loop's call."""

    cdef void drop(self) noexcept:
        """Close now; `Connection` does what there is to do."""

    cdef void disown(self) noexcept:
        # The kernel's own call, whatever the transport: nothing is to be sent, and the loop is not to be told.
        self.flags |= GONE
        self.events = 0
        if self.fd >= 0:
            close_descriptor(self.fd)
            self.fd = -1

    cdef void bury(self) noexcept:
        """Give back what a closed connection still held; `Connection` does."""

    cdef void through(self) noexcept:
        """An event is served: what it left behind is counted, and what closed meanwhile can be given back."""
        if self.site.core.forked:
            leave_process()
        self.recount()
        self.flags &= ~<uint16_t> WORKING
        if self.flags & GONE:
            self.bury()
        elif self.current is not None:
            detach_request(self.current)     # the buffers of the worker are the next connection's
        self.site.core.leave()

    cdef object client_address(self):
        return peer_address(&self.peer)

    cdef object forwarding(self):
        # Not for one whom the proxy did not name: `peer` is the proxy then, and its word is not in the headers.
        return _told_by_nobody if self.origin & UNNAMED else self.site.core.forwarded

    cdef void tallies(self, int64_t *requests, int64_t *bytes_in, int64_t *bytes_out) noexcept:
        requests[0] = self.requests
        bytes_in[0] = self.bytes_in
        bytes_out[0] = self.bytes_out

    # --- the loop -------------------------------------------------------------------------------

    cdef int watch(self, uint8_t events) except -1:
        """Change what the loop watches; the selector is asked only when something changes."""
        cdef Core core = self.site.core
        cdef uint8_t before = self.events
        if events == before:
            return 0
        if events == 0:
            self.events = 0
            core.unregister(self.fd)
            return 0
        if self.flags & GONE:
            return 0
        if events == HANGUP:
            if core.mute is None:        # what is to be told will be when something is sent
                self.events = 0
                if before:
                    core.unregister(self.fd)
                return 0
            if before == 0:
                core.register(self.fd, READABLE, self.on_ready)
                self.events = READABLE
            core.mute(self.fd)
        elif before == 0:
            core.register(self.fd, events, self.on_ready)
        else:
            core.modify(self.fd, events, self.on_ready)
        self.events = events
        return 0

    cdef void move(self, int event) noexcept:
        cdef int layer = connection_next(self.layer, event)
        if layer:
            self.site.core.connection_index.relink(self, self.spiral, layer, self.site.core.now_ns)

    # --- bytes that are there -------------------------------------------------------------------

    cdef int flush(self) except -1:
        """Send what is written."""
        cdef Writer writer = self.site.core.writer
        cdef size_t size = writer.size
        cdef Py_ssize_t sent
        if size == 0:
            return 0
        writer.size = 0
        if self.flags & GONE:
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
        """Let the answer that is written wait for those of others, see `Gathering`; it is in the outbox until then."""
        cdef Core core = self.site.core
        cdef size_t size = core.writer.size
        core.put_off = False
        if not 0 < size <= APART_BYTES or self.flags & APART_FLAGS or not self.flags & HAS_ANSWER or (
            self.outbox is not None
        ):
            return self.flush()
        self.current.own()
        self.outbox = Outbox.__new__(Outbox)
        self.outbox.put(PyBytes_FromStringAndSize(core.writer.data, size))
        core.writer.size = 0
        return core.gathering.hold(self, core.now_ns)

    cdef int count_later(self) except -1:
        """Have what is held counted by the budgets soon: this is no event of its own."""
        cdef Core core = self.site.core
        if not self.origin & UNCOUNTED:
            core.uncounted.append(self)
            self.origin |= UNCOUNTED
            core.overdrawn = True
        return 0

    cdef int hold(self) except -1:
        """The peer lags: wait until it reads, and read nothing from it meanwhile."""
        cdef Core core = self.site.core
        if self.current is not None:
            self.current.own()
            self.current.marked_bytes = self.delivered()
            if self.outbox.flow is not None:
                # The time before was the source's: the peer's begins now.
                core.requests.step(self.current, STAGE_PROGRESS, core.clock())
        # A WebSocket is read on where it was read: its own mark for what may wait is further away.
        if self.flags & UPGRADED:
            return self.watch(WRITABLE | self.events & READABLE)
        self.flags |= UNREAD
        if self.flags & (LINGER | PEER_DONE) == LINGER and self.outbox.flow is None:
            # It may be sending a body that is thrown away, and read nothing before that is out.
            return self.watch(WRITABLE | READABLE)
        return self.watch(WRITABLE)

    cdef int64_t delivered(self) noexcept:
        """Bytes the peer has.  Not those the kernel took: it takes megabytes at once, and then none for as long as a
        slow peer needs for a good part of them."""
        return self.bytes_out - self.site.transport.unsent(self.fd)

    # --- whether the peer keeps its rate ----------------------------------------------------------

    cdef int64_t credit_left(self, int64_t now_ns, int64_t *moved) noexcept:
        """Nanoseconds for which the peer of the request in flight may still move nothing; 0 or less: it has to go.

        Time spends the credit, each byte moved earns a part of a second, and more than `stage_credit_ns` is never
        had: so a peer that was quick may pause for that long, and one that is slow for good is found out.

        Args:
            now_ns: the moment.
            moved: set to the bytes it has moved, which the next look begins at.
        """
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        cdef int64_t most = core.stage_credit_ns[request.layer]
        cdef int64_t rate = core.body_rate, gained
        cdef double credit
        moved[0] = request.reader.body.total if request.reader is not None else 0
        if request.layer != PARSED:
            if not self.waits_for_source():
                rate = core.send_rate
            moved[0] += self.delivered()
        credit = <double> (request.credit_ns - (now_ns - request.entered_ns))
        gained = moved[0] - request.marked_bytes
        if gained > 0:
            credit += <double> gained * SECOND_NS / <double> max(rate, <int64_t> 1)
        return most if credit >= <double> most else <int64_t> credit

    cdef int spend_credit(self) except -1:
        """The peer has all there is: what comes next is its source's time."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        cdef int64_t moved = 0
        if request is None or request.layer != RESPONSE_READY or core.stage_credit_ns[<int> RESPONSE_READY] == 0:
            return 0
        request.credit_ns = self.credit_left(core.clock(), &moved)
        request.marked_bytes = moved
        core.requests.step(request, STAGE_PROGRESS, core.now_ns)
        return 0

    cdef int send_pieces(self, list pieces, Py_ssize_t total, bytes tail) except -1:
        """Send what is written, then bytes from where they lie, then `tail`; what the socket does not take goes to
        the outbox.  One call: two bytes in a segment of their own cost as much as the rest of a chunk.

        Args:
            pieces: `PIECES_MOST` at most.
            total: bytes in them.
        """
        cdef Writer writer = self.site.core.writer
        cdef Py_ssize_t size = writer.size
        cdef Py_ssize_t sent, left, length
        cdef iovec parts[PIECES_MOST + 2]
        cdef size_t count
        writer.size = 0
        if self.flags & GONE:
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
        """Send what is written, then `body`, from where it lies; what the socket does not take goes to the outbox."""
        cdef Writer writer = self.site.core.writer
        cdef size_t size = writer.size
        cdef int64_t moved
        cdef Outbox outbox = self.outbox
        if type(body) is bytes:
            return self.send_pieces([body], PyBytes_GET_SIZE(body), b"")
        writer.size = 0
        if self.flags & GONE:
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

    # --- a body that is made while it is sent ---------------------------------------------------

    cdef int start_stream(self, Outflow flow) except -1:
        """Begin the body behind the head that is written."""
        self.current.own()
        self.outbox = Outbox.__new__(Outbox)
        self.outbox.flow = flow
        if not isinstance(flow, Push):
            return self.pull()
        (<Push> flow).connection = self
        self.flags |= STREAMING
        if not (<Push> flow).corked:
            self.flush()
        if self.outbox.pending == 0:     # to learn that the peer left
            self.watch(HANGUP if self.flags & (PEER_DONE | HALTED) else READABLE)
        return 0

    cdef int pull(self) except -1:
        """Take pieces from the source until the socket is full, the body ends, or others have waited long enough."""
        cdef Outbox outbox = self.outbox
        cdef Outflow flow = <Outflow> outbox.flow
        cdef Writer writer = self.site.core.writer
        cdef int64_t made = 0
        cdef object piece
        while outbox.pending == 0 and not self.flags & GONE:
            if made >= TURN_BYTES:
                return self.hold()       # the socket may be full by now: then it is the peer that is waited for
            try:
                piece = flow.take()
                if piece is None:
                    flow.finish(writer)
                else:
                    flow.count(PyBytes_GET_SIZE(piece))
                    if flow.sent == flow.declared:
                        flow.expect_end()    # before the last byte is out, which would make the answer a whole one
            except Exception as error:
                return self.cut_short(error)
            if piece is None:
                return self.end_stream()
            made += PyBytes_GET_SIZE(piece) + PIECE_COST
            self.write_piece(flow, piece)
        return 0

    cdef int write_piece(self, Outflow flow, bytes piece) except -1:
        cdef Writer writer = self.site.core.writer
        flow.open_chunk(writer, PyBytes_GET_SIZE(piece))
        if PyBytes_GET_SIZE(piece) >= APART_BYTES:
            return self.send_pieces([piece], PyBytes_GET_SIZE(piece), LINE_END if flow.chunked else b"")
        writer.append(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        flow.close_chunk(writer)
        return self.flush()

    cdef int write_pieces(self, Outflow flow, list pieces, Py_ssize_t total, bint last) except -1:
        """Send several pieces as one, with the end of the body behind them if they are the last; see `send_pieces`."""
        flow.open_chunk(self.site.core.writer, total)
        return self.send_pieces(pieces, total, b"" if not flow.chunked else LAST_END if last else LINE_END)

    cdef int end_stream(self) except -1:
        """The body is complete, its end is written."""
        cdef Outflow flow = <Outflow> self.outbox.flow
        self.outbox.flow = None
        self.flags &= ~<uint16_t> STREAMING
        self.current.body_sent = flow.sent
        flow.ended = True
        flow.release()
        self.flush()
        if not self.flags & GONE and self.outbox.pending == 0:
            self.outbox = None
        return 0

    cdef int cut_short(self, object error) except -1:
        """The source failed in the middle: the peer must see half an answer, never a whole one."""
        cdef Outflow flow = <Outflow> self.outbox.flow
        self.flush()
        if not self.flags & GONE:
            self.current.body_sent = flow.sent
            self.drop()
        if error is not None:            # else nobody is at fault
            self.site.core.tell("a streamed body failed", self.current, error)
        return 0

    cdef bint waits_for_source(self) noexcept:
        """Whether the peer has all there is, and somebody has to push more: then a slow answer is not its doing."""
        return self.flags & STREAMING != 0 and self.outbox is not None and self.outbox.pending == 0

    cdef bint may_be_alone(self) noexcept:
        """Whether the peer sends no more, and what could be given up makes nothing that would show if it still reads.

        A plain handler on a thread cannot be given up: its answer comes when it comes."""
        if not self.flags & PEER_DONE:
            return False
        return self.flags & BUSY != 0 and type(self.current.coroutine) is Errand or self.waits_for_source()
