"""How a connection ends: when its work is done, at a time limit, by a fault, or because the peer left.

    settle -> finish -> (lingering) -> drop -> bury

Handlers, header mappings and hooks are the program's code, and may close any
connection at any point, this one too.  So while an event is served (WORKING)
closing only takes the descriptor and the place in the pools (`drop`); the
request, its bytes and what is left to send stay until the event is through
(`bury`).
"""

cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t

from dimcore.aio.task_runner cimport Errand
from dimcore.conn.answering cimport Exchange
from dimcore.conn.core cimport Core, detach_request
from dimcore.conn.handler cimport Conversation
from dimcore.conn.inbox cimport inbox_append, inbox_free, inbox_new, inbox_size
from dimcore.conn.sending cimport (
    AT_DOOR, BUSY, CHARGED, CLOSE, COUNTED, GONE, HAS_ANSWER, LINGER, LINGERING, PEER_DONE, READABLE, STREAMING,
    UNFRAMED, UNREAD, UPGRADED, WORKING,
)
from dimcore.conn.streamed_body cimport Outflow
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head cimport FAULT_TIMEOUT, fault_status, fault_text
from dimcore.index.states cimport ANSWERED, CLOSE_BEGUN, DESCRIPTOR_CLOSED, MOVED_BYTES
from dimcore.limits cimport ACTIVE, ARCHIVED, CLOSING, RECEIVE_BYTES
from dimcore.ws.websocket cimport WebSocket

cdef double SECOND_NS = 1e9


@cython.no_gc
cdef class Leaving(Exchange):
    """Base of `Connection`; not for use by itself."""

    def __dealloc__(self):
        inbox_free(self.inbox)

    # --- when its work is done ------------------------------------------------------------------

    cdef int settle(self) except -1:
        """After a round of work: idle, waiting, or on the way out."""
        if self.flags & (GONE | BUSY | LINGERING) or self.outbox is not None:
            return 0
        self.release_request()
        if self.flags & CLOSE:
            return self.finish()
        if self.current is None and self.inbox == NULL:
            if self.flags & PEER_DONE:
                self.drop()
            elif self.layer == ACTIVE:
                self.move(ANSWERED)
        return 0

    cdef int finish(self) except -1:
        """All is sent.  After a refusal, or where more came than was answered, the peer may still be sending: close
        at once, and the kernel would answer that with a reset, which can destroy the answer before it is read
        (RFC 9112 9.6)."""
        if self.flags & PEER_DONE or not (self.flags & LINGER or self.has_more()):
            self.drop()
            return 0
        self.flags |= LINGERING
        if not self.flags & UPGRADED:
            self.named = self.site.core.now_ns
        self.free_inbox()
        self.site.transport.close_write(self.fd)
        self.move(CLOSE_BEGUN)
        return self.watch(READABLE)

    cdef int linger_on(self, Py_ssize_t size) except -1:
        """Bytes have come that are thrown away: a peer that is still sending is waited for, within limits.

        The limit of *closing* is how long it may be silent.  It begins anew when what has come pays for the time
        since it began, at `body_rate`, and no more when that would go beyond all the time there is."""
        cdef Core core = self.site.core
        if self.flags & UPGRADED or self.origin & AT_DOOR or core.draining:
            return 0
        if core.now_ns - <int64_t> self.named + core.layer_limit_ns[<int> CLOSING] > core.linger_ns:
            return 0
        if <double> size * SECOND_NS >= <double> core.body_rate * <double> (core.now_ns - self.entered_ns):
            self.move(MOVED_BYTES)
        return 0

    cdef bint has_more(self) noexcept:
        """Whether more has come than was asked to be answered."""
        if inbox_size(self.inbox):
            return True
        if not self.flags & UNREAD:
            return False
        return self.site.transport.read(self.fd, self.site.core.inbuf, RECEIVE_BYTES) > 0

    # --- by a fault, or at a time limit ---------------------------------------------------------

    cdef int refuse_body(self, int fault) except -1:
        """Take no more of a body whose handler runs already: it is malformed, too long, too slow or cut off.

        The client gets the server's own answer, the same as where no handler has begun.  What the handler returns or
        raises from here on goes nowhere, as after its client has left.  An answer that has begun is cut instead."""
        cdef RequestPoint request = self.current
        cdef bytes text = fault_text(fault)
        self.end_body(text)
        self.tell_peer_done()
        if self.flags & GONE:
            return 0
        if self.flags & HAS_ANSWER:
            self.drop()
            return 0
        self.flags &= ~<uint16_t> BUSY
        self.refuse(fault_status(fault), text, None)
        release_handler(request)
        self.flush()
        return self.settle()

    cdef void fail(self, object error) noexcept:
        # A fault of ours (or no memory): this connection ends, no other notices.
        cdef RequestPoint request = self.current
        cdef Core core = self.site.core
        core.writer.size = 0
        self.drop()
        if not isinstance(error, KeyboardInterrupt):
            core.tell("a connection failed", request, error)

    cdef void timed_out(self) noexcept:
        """A time limit passed: say 408 where an answer can still be given, then close."""
        if self.flags & GONE:
            return
        self.flags |= WORKING
        try:
            if self.flags & UPGRADED:
                if not (<WebSocket> self.named).is_alive():
                    if self.outbox is not None and self.outbox.pending:
                        self.site.transport.abort(self.fd)
                    self.drop()
            elif self.current is not None and self.current.reader is not None and self.flags & (BUSY | STREAMING):
                self.refuse_body(FAULT_TIMEOUT)
            elif self.current is None or self.flags & (BUSY | CLOSE | HAS_ANSWER):
                if self.outbox is not None and self.outbox.pending:
                    # Else the kernel keeps what is not read, and the peer never learns of it.
                    self.site.transport.abort(self.fd)
                self.drop()
            else:
                self.refuse_rest(FAULT_TIMEOUT)
                self.flush()
                self.settle()
        except BaseException as error:
            self.fail(error)
        self.recount()
        self.flags &= ~<uint16_t> WORKING
        if self.flags & GONE:
            self.bury()

    cdef int refuse_rest(self, int fault) except -1:
        """Refuse a request whose rest does not come."""
        if self.inbox != NULL and self.inbox.head != NULL:
            self.tell_line(self.inbox.head, self.inbox.data + self.inbox.start)
        return self.refuse(fault_status(fault), fault_text(fault), None)

    cdef int tell_peer_done(self) except -1:
        """Whoever asked to be told is told, once."""
        cdef RequestPoint request = self.current
        if request.on_peer_done is not None:
            tell, request.on_peer_done = request.on_peer_done, None
            try:
                tell()
            except Exception as error:
                self.site.core.tell("what was to be told that a peer is done failed", request, error)
        return 0

    # --- the end --------------------------------------------------------------------------------

    cdef void release(self) noexcept:
        self.drop()

    cdef void drop(self) noexcept:
        """Close now, fold the tallies in, leave the pools."""
        cdef Core core
        if self.flags & GONE:
            return
        core = self.site.core
        try:
            self.watch(0)
        except BaseException as error:
            core.tell("the loop lost a connection", None, error)
        self.flags |= GONE
        if self.flags & UNFRAMED and self.outbox is not None:
            self.site.transport.abort(self.fd)        # what was sent would else look like all of it
        if self.origin & CHARGED:
            core.memory.release_at(self.fd)
            core.disk.release_at(self.fd)
        self.site.transport.close(self.fd)
        self.fd = -1
        if self.origin & COUNTED:
            core.addresses.leave(&self.peer)
        if self.origin & AT_DOOR:
            core.doorway.unlink(self)
            self.layer = ARCHIVED
        else:
            self.move(DESCRIPTOR_CLOSED)
            core.pools.archive(self, self.requests, self.bytes_in, self.bytes_out)
        if not self.flags & WORKING:
            self.bury()

    cdef void bury(self) noexcept:
        """Give back what a closed connection still held."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        if request is not None:
            try:
                self.end_body(b"the client left before the request was complete")
                self.tell_peer_done()
            except BaseException as error:
                core.tell("the stream of a request body failed", request, error)
            request.reader = None
            self.current = None
            release_handler(request)
            core.requests.leave(request)
            detach_request(request)      # it may be kept, and its bytes may lie in the inbox
            if self.flags & HAS_ANSWER and core.access_log is not None:
                if self.outbox is not None:
                    if self.outbox.flow is not None:
                        request.body_sent = (<Outflow> self.outbox.flow).sent
                    request.body_sent = max(<int64_t> 0, request.body_sent - self.outbox.pending)
                core.log_access(request, &self.peer)
        if self.outbox is not None:
            flow = self.outbox.flow
            self.outbox = None
            if flow is not None:
                (<Outflow> flow).release()
        self.free_inbox()
        if self.flags & UPGRADED:
            socket = self.named
            self.named = None
            (<WebSocket> socket).gone()

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


cdef void release_handler(RequestPoint request) noexcept:
    """Nobody waits for the answer any more: a coroutine is cancelled, an ASGI app told."""
    coroutine, request.coroutine = request.coroutine, None   # see `release_request`
    if type(coroutine) is Errand:
        (<Errand> coroutine).cancel()
    elif isinstance(coroutine, Conversation):
        (<Conversation> coroutine).gone()
