"""A live connection of HTTP/1.1 as the loop, threads and coroutines see it: each of its methods is one event.

    ConnectionPoint    who it is and where it came from
    Exchange           one request and its answer, whatever carries them
    Carrier            an exchange over a transport: bytes out, and input that waits
    Connection         HTTP/1.1 over that: its framing, its events

What the methods do stands in modules of functions: `answering`, `lifecycle`,
`charging`, `admission`, `request_start`, `receiving`, each of which knows only those
before it.

One request of a connection is in flight at a time, so answers cannot overtake
each other, wherever their handlers run.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t

from dimcore.conn.answering cimport give_answer
from dimcore.conn.charging cimport charge, holds
from dimcore.conn.core cimport Core
from dimcore.conn.exchange cimport (
    HANGUP, READABLE, UNCOUNTED, WRITABLE, Exchange, become, come_alive, note, serve, through,
)
from dimcore.conn.inbox cimport inbox_size
from dimcore.conn.lifecycle cimport (
    bury_carrier, drop_carrier, end_in_time, fail_carrier, refuse_body_of, settle_carrier,
)
from dimcore.conn.phase cimport BUSY, CLOSE, GONE, HAS_ANSWER, READING, STREAMING, UNFRAMED, UPGRADED, WORKING
from dimcore.conn.protocol cimport Protocol, ProtocolFactory
from dimcore.conn.receiving cimport go_on_reading, open_protocol, readable, writable
from dimcore.conn.streamed_body cimport Outflow
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head_writer cimport Writer
from dimcore.index.states cimport ANSWER_COMPOSED, HANDLER_DONE, UPGRADE_BEGUN
from dimcore.limits cimport POOL_WEBSOCKET
from dimcore.net.socket_io cimport Transport
from dimcore.worker_record cimport count_answer

from dimcore.errors import UsageError

cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n"
cdef bytes EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\n"
cdef bytes LINE_END = b"\r\n"
cdef bytes LAST_END = b"\r\n0\r\n\r\n"


@cython.final
@cython.no_gc
cdef class Connection(Carrier):
    """A live connection; made by an Acceptor, never by hand.

    Python sees the point (`id`, `address`, `age_seconds` ...) and its tallies:
    `requests` begun, `bytes_in`, `bytes_out`, `request` in flight.

    Lifetime: held by its pool and the loop until it is closed.  The collector does
        not look into it: a worker that is given up has to close its connections.
    Thread-safety: only the thread of its loop may call a method; another one gets a UsageError.  `close` and the
        attributes are for any thread.
    """

    def __init__(self):
        raise UsageError("connections are made by accepting them")

    # --- what an Exchange leaves to it ----------------------------------------------------------

    cdef int put_head(self, int status, object headers, int64_t length, uint32_t flags, const char *kind) except -1:
        return self.site.core.scratch.writer.head(status, headers, length, flags, kind)

    cdef int put_interim(self, int status, bytes fields) except -1:
        cdef bytes line = CONTINUE if status == 100 else EARLY_HINTS
        cdef Writer writer = self.site.core.scratch.writer
        writer.append(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        writer.append(PyBytes_AS_STRING(fields), PyBytes_GET_SIZE(fields))
        return writer.append(b"\r\n", 2)

    cdef int frame_stream(self, Outflow flow) except -1:
        # Chunks, or in HTTP/1.0 the end of the connection (RFC 9112 6.3).
        flow.chunked = self.current.info.minor != 0 or self.current.info.length == 0
        if not flow.chunked:
            note(self, UNFRAMED)
        return 0

    cdef int put_piece(self, Outflow flow, bytes piece) except -1:
        cdef Writer writer = self.site.core.scratch.writer
        flow.open_chunk(writer, PyBytes_GET_SIZE(piece))
        writer.append(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        return flow.close_chunk(writer)

    cdef int write_pieces(self, Outflow flow, list pieces, Py_ssize_t total, bint last) except -1:
        flow.open_chunk(self.site.core.scratch.writer, total)
        return self.send_pieces(pieces, total, b"" if not flow.chunked else LAST_END if last else LINE_END)

    cdef int answer(self, object result, object error) except -1:
        return give_answer(self, result, error)

    cdef int go_on(self) except -1:
        return go_on_reading(self)

    cdef int settle(self) except -1:
        return settle_carrier(self)

    cdef int refuse_body(self, int fault) except -1:
        return refuse_body_of(self, fault)

    cdef void fail(self, object error) noexcept:
        fail_carrier(self, error)

    cdef void timed_out(self) noexcept:
        end_in_time(self)

    cdef void drop(self) noexcept:
        drop_carrier(self)

    cdef void bury(self) noexcept:
        bury_carrier(self)

    cdef void recount(self) noexcept:
        if holds(self):
            self.origin &= ~<uint8_t> UNCOUNTED
            if not self.state & GONE:
                charge(self)

    # --- events ---------------------------------------------------------------------------------

    def on_ready(self, int mask):
        """The descriptor is readable (1), writable (2) or both.

        Raises:
            UsageError: called from within a handler; nothing was done.
            KeyboardInterrupt: it hit the handler, whose connection was closed.
        """
        cdef Core core
        if self.state & GONE:
            return
        core = self.site.core
        serve(self, _on_ready, &mask, False)
        if core.batching.due:
            core.batching.release()
        if core.overdrawn:
            core.relieve()

    def close(self):
        """Close now; while it is being served, as by its own handler, after the answer.

        A WebSocket is told, and closed when its peer agrees; called again it is closed at once.

        From any thread: on another one than the loop's it is done by the loop, soon.

        Raises:
            UsageError: another thread, and the core was attached without `from_thread`.
        """
        cdef Core core
        if self.state & GONE:
            return
        core = self.site.core
        if core.is_foreign():
            if core.host.from_thread is None:
                core.check_thread()
            core.host.from_thread(self.close)
            return
        if self.state & UPGRADED and (<Protocol> self.named).depart():
            return
        if self.state & WORKING:
            note(self, CLOSE)
        else:
            self.drop()

    # --- another protocol -----------------------------------------------------------------------

    def upgrade(self, RequestPoint request not None, ProtocolFactory endpoint not None, handler, *, headers=None,
                protocol=None, codec=None):
        """Answer a request with 101; from then on the connection speaks another protocol.

        To be called by the handler of the request, on the loop; what that returns is not looked at any more.

        Args:
            request: the one being handled.
            endpoint: makes the protocol; for WebSockets an Endpoint, what the sockets of the route have in common.
            handler: whom the protocol's events are for.
            headers: mapping or pairs, Upgrade and Sec-WebSocket-Accept among them.
            protocol: the subprotocol agreed on, or None.
            codec: compresses messages, see `MessageReader`; or None.

        Returns:
            False where the server is about to stop or the pool has no room: the request is still to be answered.

        Raises:
            UsageError: the request is not the one being handled, or is answered already.
            ResponseError: headers that must not be sent; nothing was changed.
        """
        cdef Core core
        cdef size_t written
        if self.site is None:
            raise UsageError("connections are made by accepting them")
        core = self.site.core
        core.check_thread()
        written = core.scratch.writer.size
        if (
            self.current is not request or request.reader is not None
            or self.state & (BUSY | GONE | HAS_ANSWER | UPGRADED | WORKING) != WORKING
        ):
            raise UsageError("only the handler of a request can make a WebSocket of its connection, and only once")
        if core.draining:
            return False
        if not endpoint.answers:
            core.scratch.writer.switch(headers)
        core.clock()
        if not core.pools.transfer(self, POOL_WEBSOCKET, core.now_ns):
            core.scratch.writer.size = written
            core.turned_away("max-websocket", &self.peer)
            return False
        self.named = endpoint.open(self, handler, request, protocol, codec)
        become(self, UPGRADED)
        note(self, HAS_ANSWER)
        self.move(UPGRADE_BEGUN)
        core.requests.step(request, HANDLER_DONE, core.now_ns)
        core.requests.step(request, ANSWER_COMPOSED, core.now_ns)
        request.finished_ns = core.now_ns
        request.status = 101
        request.body_sent = 0
        count_answer(&core.requests.totals, core.now_ns - request.started_ns, False)
        return True

    def upgrade_late(self, RequestPoint request not None, ProtocolFactory endpoint not None, handler, *, headers=None,
                     protocol=None, codec=None):
        """`upgrade` for a handler that has waited: the request is answered with 101, and the socket opens at once.

        To be called on the loop, by the coroutine that was to answer the request; what that returns is not looked
        at any more, nor what it raises, and when the connection ends it is the `handler` that is told.

        Returns:
            False as `upgrade`: the request is still to be answered, by what the coroutine returns.

        Raises:
            UsageError, ResponseError: as `upgrade`; nothing was changed.
        """
        cdef Core core
        cdef bint agreed = False
        if self.site is None:
            raise UsageError("connections are made by accepting them")
        core = self.site.core
        core.check_thread()
        if self.current is not request or self.state & (BUSY | GONE | STREAMING | WORKING) != BUSY:
            raise UsageError("nobody waits for the answer to this request any more")
        core.enter()
        note(self, WORKING)
        become(self, READING)
        try:
            agreed = self.upgrade(request, endpoint, handler, headers=headers, protocol=protocol, codec=codec)
        finally:
            if not agreed:
                become(self, BUSY)
                through(self)
        if not agreed:
            return False
        try:
            serve(self, _open_late, NULL, True)
        finally:
            through(self)
        return True


cdef int _on_ready(Exchange exchange, void *mask) except -1:
    cdef Carrier carrier = <Carrier> exchange
    cdef const Transport *transport = carrier.site.transport
    cdef int ready = (<int *> mask)[0]
    if carrier.events == HANGUP:
        # Both bits at once are an error or a hang-up; one alone was found out before this was watched for.
        if ready == READABLE | WRITABLE:
            carrier.drop()
        return 0
    if ready & WRITABLE and carrier.outbox is not None:
        writable(carrier)
    elif ready & WRITABLE and transport.wants != NULL:
        ready |= READABLE                # it is the transport that waited, to read on
    if ready & READABLE and carrier.events & READABLE and not carrier.state & GONE:
        readable(carrier)
        while transport.pending != NULL and carrier.events & READABLE and not carrier.state & GONE and (
            transport.pending(carrier.fd)
        ):
            readable(carrier)            # no more than one transport keeps: the loop would not tell of it
    return 0


cdef int _open_late(Exchange exchange, void *given) except -1:
    cdef Carrier carrier = <Carrier> exchange
    carrier.watch(READABLE)              # not while it was waited with too much that came meanwhile
    if inbox_size(carrier.inbox):
        open_protocol(carrier, carrier.inbox.data + carrier.inbox.start, carrier.inbox.end - carrier.inbox.start)
    else:
        open_protocol(carrier, NULL, 0)
    carrier.free_inbox()
    return carrier.settle()


cdef Connection open_connection(Site site, int fd, const Peer *peer):
    """A connection over an accepted descriptor, in no index yet; the descriptor is its own, also if this fails."""
    cdef Connection connection
    try:
        connection = Connection.__new__(Connection)
    except MemoryError:
        site.transport.close(fd)
        raise
    connection.site = site
    connection.peer = peer[0]
    connection.fd = fd
    come_alive(connection)
    return connection
