"""The hot path: readable descriptor in, answers out, in one pass without a copy.

    receive -> parse -> route -> handler -> write -> send

All requests that arrived together are answered in order with one send.  What a
socket does not take waits in an `Outbox`, and nothing more is read from that
peer until it is gone.  What cannot be used yet (half a head, requests behind a
slow handler) waits in an `Inbox`; a connection without either holds no buffer.

One request of a connection is in flight at a time, so answers cannot overtake
each other, wherever their handlers run.

Handlers, header mappings and hooks are the program's code, and may close any
connection at any point, this one too.  So while an event is served (WORKING)
closing only takes the descriptor and the place in the pools; the request, its
bytes and what is left to send stay until the event is through (`bury`).
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memcmp

from dimcore.body cimport BODY_DONE, BODY_FAILED, BODY_MORE, BodyResult
from dimcore.bodyreader cimport BodyReader
from dimcore.conversation cimport Conversant, Conversation
from dimcore.channel cimport (
    AT_DOOR, BUSY, CLOSE, COUNTED, EXPECTED, GONE, HALTED, HANGUP, HAS_ANSWER, LINGER, LINGERING, PEER_DONE,
    READABLE, STREAMING, UNFRAMED, UNNAMED, UPGRADED, WORKING, WRITABLE,
)
from dimcore.core cimport Core, Site, detach_request
from dimcore.errand cimport Errand
from dimcore.exchange cimport Exchange, discard_unsent
from dimcore.inbox cimport inbox_append, inbox_free, inbox_keep_head, inbox_new, inbox_size
from dimcore.limits cimport ACTIVE, ARCHIVED, CLOSING, KIB, PARSED, POOL_ADMIN, POOL_API
from dimcore.outflow cimport Outflow, Push
from dimcore.parser cimport (
    CHUNKED, EXPECT_CONTINUE, EXPECT_OTHER, FAULT_BODY_LENGTH, FAULT_CUT, FAULT_EXPECTATION, FAULT_TIMEOUT,
    HEAD_PARTIAL, Head, fault_status, fault_text, head_is_blank, head_parse, head_reset,
)
from dimcore.proxyhead cimport PROXY_PARTIAL, ProxyHead, proxy_fault_text, proxy_parse
from dimcore.request cimport RequestPoint
from dimcore.spool cimport Spool
from dimcore.states cimport (
    ANSWERED, CLOSE_BEGUN, DESCRIPTOR_CLOSED, ESTABLISHED, HANDLER_FOUND, MOVED_BYTES, REQUEST_BEGUN,
)
from dimcore.stream cimport STREAM_BROKEN, Peer, stream_close, stream_half_close, stream_receive, stream_reset
from dimcore.websocket cimport WebSocket

from dimcore.errors import PeerError, UsageError

cdef enum:
    RECEIVE_BYTES = 64 * KIB     # size of Core.inbuf
    READ_AHEAD = 64 * KIB        # input kept behind a slow handler before reading stops
    BODY_TURN = 4                # receives of a body that is streamed, before the other connections get their turn
    OUTPUT_BYTES = 64 * KIB      # answers gathered before one send
    AT_DOOR_MOST = 256           # told 503 and waited for, at a time; further ones are told and closed

cdef bytes TOO_MANY = b"too many connections from this address"
cdef str NOT_INTRODUCED = "a connection without a word of a trusted proxy was closed"
cdef dict RETRY = {"Retry-After": "1"}


@cython.final
@cython.no_gc
cdef class Connection(Exchange):
    """A live connection; made by an Acceptor, never by hand.

    Python sees the point (`id`, `address`, `age_seconds` ...) and its tallies:
    `requests` begun, `bytes_in`, `bytes_out`, `request` in flight.

    Lifetime: held by its pool and the loop until it is closed.  The collector does
        not look into it: a worker that is given up has to close its connections.
    Thread-safety: only the thread of its loop may call a method.
    """

    def __init__(self):
        raise UsageError("connections are made by accepting them")

    def __dealloc__(self):
        inbox_free(self.inbox)

    # --- the loop calls -------------------------------------------------------------------------

    def on_ready(self, int mask):
        """The descriptor is readable (1), writable (2) or both.

        Raises:
            UsageError: called from within a handler; nothing was done.
            KeyboardInterrupt: it hit the handler, whose connection was closed.
        """
        cdef Core core
        if self.flags & GONE:
            return
        core = self.site.core
        core.enter()
        self.flags |= WORKING
        try:
            if self.events == HANGUP:
                # Both bits at once are an error or a hang-up; one alone was found out before this was watched for.
                if mask == READABLE | WRITABLE:
                    self.drop()
                return
            if mask & WRITABLE and self.outbox is not None:
                self.writable()
            if mask & READABLE and self.events & READABLE and not self.flags & GONE:
                self.readable()
        except BaseException as error:
            self.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self.through()

    def complete(self, request, result, error=None):
        """Answer a request whose handler ran elsewhere; one that nobody waits for any more is dropped.

        Args:
            request: what `offload` was given.
            result: what the handler returned.
            error: what it raised, or None.

        Raises:
            UsageError: called from within a handler; the request still waits.
        """
        cdef Core core
        if self.flags & GONE or self.current is not request or not self.flags & BUSY:
            discard_unsent(result)
            return
        core = self.site.core
        core.enter()
        self.flags |= WORKING
        try:
            self.flags &= ~<uint16_t> BUSY
            core.clock()
            self.answer(result, error)
            self.flush()
            self.go_on()
        except BaseException as problem:
            self.fail(problem)
            if isinstance(problem, KeyboardInterrupt):
                raise
        finally:
            self.through()

    def push(self, Push flow not None, bytes piece not None):
        """Send a piece of a pushed body; see `Push.write`."""
        cdef Core core = self.site.core
        if self.flags & GONE or self.outbox is None or self.outbox.flow is not flow:
            return True
        core.enter()
        self.flags |= WORKING
        try:
            core.clock()
            flow.count(PyBytes_GET_SIZE(piece))
            if PyBytes_GET_SIZE(piece):
                if self.flags & PEER_DONE:
                    self.move(MOVED_BYTES)
                self.write_piece(flow, piece)
            return self.flags & GONE != 0 or self.outbox.pending == 0
        except BaseException as error:
            self.cut_short(error)
            return True
        finally:
            self.through()

    def end_push(self, Push flow not None, error):
        """End a pushed body; see `Push.end`."""
        cdef Core core = self.site.core
        if self.flags & GONE or self.outbox is None or self.outbox.flow is not flow:
            return
        core.enter()
        self.flags |= WORKING
        try:
            core.clock()
            if error is None:
                try:
                    flow.finish(core.writer)
                except Exception as missing:
                    error = missing
            if error is not None:
                self.cut_short(error)
                return
            self.end_stream()
            self.go_on()             # which may run the handler of the next request
        except BaseException as problem:
            self.fail(problem)
            if isinstance(problem, KeyboardInterrupt):
                raise
        finally:
            self.through()

    def upgrade_late(self, RequestPoint request not None, endpoint, handler, *, headers=None, protocol=None,
                     codec=None):
        """`upgrade` for a handler that has waited: the request is answered with 101, and the socket opens at once.

        To be called on the loop, by the coroutine that was to answer the request; what that returns is not looked
        at any more, nor what it raises, and when the connection ends it is the `handler` that is told.

        Returns:
            False as `upgrade`: the request is still to be answered, by what the coroutine returns.

        Raises:
            UsageError, ResponseError: as `upgrade`; nothing was changed.
        """
        cdef Core core = self.site.core
        cdef bint agreed = False
        if self.current is not request or self.flags & (BUSY | GONE | STREAMING | WORKING) != BUSY:
            raise UsageError("nobody waits for the answer to this request any more")
        core.enter()
        self.flags |= WORKING
        self.flags &= ~<uint16_t> BUSY
        try:
            agreed = self.upgrade(request, endpoint, handler, headers=headers, protocol=protocol, codec=codec)
        finally:
            if not agreed:
                self.flags |= BUSY
                self.through()
        if not agreed:
            return False
        try:
            self.watch(READABLE)         # not while it was waited with too much that came meanwhile
            if inbox_size(self.inbox):
                self.open_socket(self.inbox.data + self.inbox.start, self.inbox.end - self.inbox.start)
            else:
                self.open_socket(NULL, 0)
            self.free_inbox()
            self.settle()
        except BaseException as error:
            self.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self.through()
        return True

    def read_on(self):
        """See `Channel.read_on`."""
        if self.flags & GONE or not self.flags & UPGRADED:
            return
        self.site.core.enter()
        self.flags |= WORKING
        try:
            (<WebSocket> self.named).take_unread()
            self.settle()
        except BaseException as error:
            self.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            self.through()

    cdef int go_on(self) except -1:
        """The answer is out: read on, or close."""
        self.settle()
        if not self.flags & (GONE | CLOSE | BUSY) and self.outbox is None:
            self.watch((<WebSocket> self.named).wanted() if self.flags & UPGRADED else READABLE)
            return self.run_inbox()
        return 0

    def close(self):
        """Close now; while it is being served, as by its own handler, after the answer.

        A WebSocket is told, and closed when its peer agrees; called again it is closed at once.
        """
        if self.flags & UPGRADED and not self.flags & GONE and (<WebSocket> self.named).depart():
            return
        if self.flags & WORKING:
            self.flags |= CLOSE
        else:
            self.drop()

    @property
    def request(self):
        """The RequestPoint in flight, or None.  It stays valid for as long as it is kept."""
        return self.current

    @property
    def closing(self):
        """Whether it ends with the answer at hand, or has ended.

        A source of an endless answer may ask before each piece, on whichever thread, and say goodbye: once the
        server is told to stop it has the time of `drain`, and is ended with a GeneratorExit if it goes on.
        """
        return self.flags & (CLOSE | GONE) != 0 or self.site.core.draining

    @property
    def half_closed(self):
        """Whether the peer sends no more, or is gone: the two look alike until something is sent.

        Any thread may ask.  To be told at once, set ``request.on_peer_done``.
        """
        return self.flags & (PEER_DONE | GONE) != 0

    cdef void fail(self, object error) noexcept:
        # A fault of ours (or no memory): this connection ends, no other notices.
        cdef RequestPoint request = self.current
        cdef Core core = self.site.core
        core.writer.size = 0
        self.drop()
        if not isinstance(error, KeyboardInterrupt):
            core.tell("a connection failed", request, error)

    # --- what a point overrides -----------------------------------------------------------------

    cdef void release(self) noexcept:
        self.drop()

    # --- input ----------------------------------------------------------------------------------

    cdef int readable(self) except -1:
        cdef Core core = self.site.core
        cdef size_t room = RECEIVE_BYTES
        cdef Py_ssize_t size
        cdef bint waiting = self.flags & (BUSY | STREAMING) != 0
        if waiting:
            if self.current.reader is not None:
                return self.read_body()
            if inbox_size(self.inbox) >= READ_AHEAD:
                return self.watch(HANGUP)
            room = READ_AHEAD - inbox_size(self.inbox)
        size = stream_receive(self.fd, core.inbuf, room)
        if size > 0:
            self.bytes_in += size
            if waiting or self.flags & (LINGERING | CLOSE | UPGRADED | EXPECTED):
                if self.flags & (LINGERING | CLOSE | EXPECTED) == EXPECTED:
                    return self.take_introduction(core.inbuf, size)
                if self.flags & (LINGERING | CLOSE | UPGRADED) == UPGRADED:
                    (<WebSocket> self.named).take(core.inbuf, size)
                    return self.settle()
                if waiting and not self.flags & (CLOSE | GONE):
                    if self.inbox == NULL:
                        self.inbox = inbox_new()
                    inbox_append(self.inbox, core.inbuf, size)
                return 0
            if self.inbox == NULL:
                return self.run(core.inbuf, size)
            inbox_append(self.inbox, core.inbuf, size)
            return self.run_inbox()
        if size == 0:
            return self.end_of_stream()
        if size == STREAM_BROKEN:
            self.drop()
        return 0

    cdef int read_body(self) except -1:
        """A body whose handler runs already: several receives a turn, since each turn wakes its thread."""
        cdef Core core = self.site.core
        cdef size_t used
        cdef Py_ssize_t size
        for _ in range(BODY_TURN):
            size = stream_receive(self.fd, core.inbuf, RECEIVE_BYTES)
            if size == 0:
                return self.end_of_stream()
            if size < 0:
                if size == STREAM_BROKEN:
                    self.drop()
                return 0
            self.bytes_in += size
            used = self.take_body(core.inbuf, size)
            if used < <size_t> size and not self.flags & (CLOSE | GONE):
                if self.inbox == NULL:
                    self.inbox = inbox_new()
                inbox_append(self.inbox, core.inbuf + used, size - used)
            if size < RECEIVE_BYTES or self.flags & (HALTED | GONE) or not self.flags & (BUSY | STREAMING):
                return 0
            if self.current is None or self.current.reader is None:
                return 0
        return 0

    cdef int end_of_stream(self) except -1:
        """The peer sends no more; it still gets the answer to what it asked in full.

        One that is gone looks the same until something is sent.  So `may_be_alone` has a limit, counted from here
        and from whatever is sent."""
        self.flags |= PEER_DONE
        if self.flags & (BUSY | STREAMING):
            self.move(MOVED_BYTES)
            if self.current.reader is not None:
                self.flags |= CLOSE      # what the rest of the body would have been, nobody knows
            self.end_body(fault_text(FAULT_CUT))
            self.tell_peer_done()
            if isinstance(self.current.coroutine, Conversation):
                (<Conversation> self.current.coroutine).peer_done()
            # End-of-file stays readable, so that is not watched for; `settle` closes after the answer.
            return self.watch(HANGUP)
        if self.current is not None and not self.flags & (HAS_ANSWER | CLOSE):
            self.refuse(fault_status(FAULT_CUT), fault_text(FAULT_CUT), None)
            self.flush()
            return self.settle()
        self.drop()
        return 0

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

    cdef int take_introduction(self, const char *data, size_t size) except -1:
        """Take bytes of the PROXY header, which comes before all else, and may have some of that behind it."""
        cdef Core core = self.site.core
        cdef ProxyHead head
        cdef int length
        if self.inbox != NULL:
            inbox_append(self.inbox, data, size)
            data = self.inbox.data + self.inbox.start
            size = self.inbox.end - self.inbox.start
        length = proxy_parse(&head, data, size)
        if length == PROXY_PARTIAL:
            if self.inbox == NULL:
                self.inbox = inbox_new()
                inbox_append(self.inbox, data, size)
            return 0
        if length < 0:
            core.pools.totals[self.spiral].refused += 1
            client = self.client_address()
            core.tell(NOT_INTRODUCED, None, PeerError(
                f"of the PROXY header from {client[0] if client else 'a Unix socket'}: "
                + proxy_fault_text(head.fault).decode()
            ))
            self.drop()
            return 0
        self.flags &= ~<uint16_t> EXPECTED
        self.be_introduced(&head.source)
        if self.flags & CLOSE:
            self.free_inbox()
            self.flush()
            return self.settle()
        self.move(MOVED_BYTES)           # the time for what is next begins now
        if self.inbox == NULL:
            return self.run(data + length, size - length) if size > <size_t> length else 0
        self.inbox.start += <uint32_t> length
        if self.inbox.start == self.inbox.end:
            self.free_inbox()
            return 0
        return self.run_inbox()

    cdef int be_introduced(self, const Peer *client) except -1:
        """A trusted proxy has said whom it speaks for; family 0: it did not."""
        cdef Core core = self.site.core
        if client.family == 0:
            self.flags |= UNNAMED
            return 0
        self.peer = client[0]
        if core.max_per_address and self.spiral != POOL_ADMIN:
            if not core.addresses.enter(&self.peer, core.max_per_address):
                core.pools.totals[self.spiral].refused += 1
                return self.write_refusal(503, TOO_MANY, RETRY, False)
            self.flags |= COUNTED
        return 0

    cdef int run(self, const char *data, size_t size) except -1:
        """Work through bytes that lie outside the inbox; keep what is left."""
        cdef size_t at = self.step(data, size)
        self.flush()
        if at < size and not self.flags & (GONE | CLOSE):
            if self.inbox == NULL:
                self.inbox = inbox_new()
            inbox_append(self.inbox, data + at, size - at)
        return self.settle()

    cdef int run_inbox(self) except -1:
        """The same for bytes in the inbox."""
        cdef size_t at
        if inbox_size(self.inbox) == 0:
            return self.settle()
        at = self.step(self.inbox.data + self.inbox.start, self.inbox.end - self.inbox.start)
        self.flush()
        if self.outbox is None:
            self.release_request()       # while its bytes are where they were
        self.inbox.start += <uint32_t> at
        if self.inbox.start == self.inbox.end and self.inbox.head == NULL:
            self.free_inbox()
        return self.settle()

    cdef size_t step(self, const char *data, size_t size) except? 0:
        """Serve request after request; the number of bytes that are dealt with."""
        cdef Core core = self.site.core
        cdef Head *head
        cdef size_t at = 0
        cdef int length
        while not self.flags & (BUSY | CLOSE | GONE | UPGRADED) and self.outbox is None:
            if self.current is not None and self.current.reader is not None:
                at += self.take_body(data + at, size - at)
                if self.current is not None and self.current.reader is not None:
                    break
                continue
            if at == size:
                break
            if self.inbox != NULL and self.inbox.head != NULL:
                head = self.inbox.head
            else:
                head = core.head
                head_reset(head)
            length = head_parse(head, data + at, size - at, &core.head_limits)
            if length < 0:
                if length == HEAD_PARTIAL:
                    if self.requests and head_is_blank(head) and head == core.head:
                        at = size        # an empty line behind a request: neither a request nor a sign of life
                    else:
                        self.half_head(head)
                    break
                self.release_request()
                if self.current is None:
                    self.open_request()
                self.tell_method(head)
                self.refuse(fault_status(head.fault), fault_text(head.fault), None)
                at = size
                break
            if head != core.head:
                core.head[0] = head[0]
                PyMem_Free(self.inbox.head)
                self.inbox.head = NULL
            at += self.begin(data + at, size - at, length)
            if core.writer.size >= OUTPUT_BYTES:
                self.flush()
        if self.flags & (CLOSE | UPGRADED):
            if self.flags & UPGRADED:
                self.open_socket(data + at, size - at)
            elif at < size or size == RECEIVE_BYTES:
                self.flags |= LINGER     # what follows the last answer is dropped, and may not be all
            return size
        return at

    cdef int half_head(self, Head *head) except -1:
        """Half a head is here: a request at stage *received*, and the parser's state kept for the rest."""
        # What is answered goes out first: a peer that does not read it is held to that, not to this head.
        self.flush()
        if self.outbox is not None or self.flags & GONE:
            return 0
        self.release_request()
        if self.current is None:
            self.open_request()
        self.tell_method(head)
        if self.inbox == NULL:
            self.inbox = inbox_new()
        if self.inbox.head == NULL:
            inbox_keep_head(self.inbox, head)
        return 0

    # --- a request ------------------------------------------------------------------------------

    cdef size_t begin(self, const char *data, size_t size, int length) except? 0:
        """Serve the request whose parsed head is in `Core.head`; returns the bytes used."""
        cdef Core core = self.site.core
        cdef Head *head = core.head
        cdef RequestPoint request
        cdef const char *path
        cdef Py_ssize_t path_size = 0
        cdef int64_t now = core.now_ns
        self.release_request()
        if self.flags & GONE:            # the access log's doing
            return length
        request = self.current
        if request is None:
            request = core.take_request()
            request.adopt(head, data)
            request.connection = self
            request.head_us = 0
            core.requests.enter(request, PARSED, now)
            core.requests.totals.requests += 1
            self.current = request
        else:
            # The index knows it under OTHER, and whoever looked at it may have decoded what was not there yet.
            request.forget()
            request.connection = self
            core.requests.classify(request, head.info.method, now)
            request.head_us = <uint32_t> min((now - request.started_ns) // 1000, <int64_t> 0xffffffff)
            request.adopt(head, data)
        core.head = &core.heads[head == &core.heads[0]]
        request.started_ns = now
        request.routed_ns = request.body_size = 0
        path = request.path_bytes(&path_size)
        if self.layer != ACTIVE:
            self.move(REQUEST_BEGUN)
        self.requests += 1
        if self.requests == 1 and self.site.splits_api and path_size >= 5 and memcmp(path, b"/api/", 5) == 0:
            if not core.pools.transfer(self, POOL_API, now):
                self.refuse(503, b"the api pool is full", RETRY)
                return length
        if head.info.flags & EXPECT_OTHER:
            self.refuse(fault_status(FAULT_EXPECTATION), fault_text(FAULT_EXPECTATION), None)
            return length
        if head.info.content_length > core.max_body:
            self.refuse(fault_status(FAULT_BODY_LENGTH), fault_text(FAULT_BODY_LENGTH), None)
            return length
        request.route = self.site.router.find(
            request.info.method, data + request.info.method_at, request.info.method_length, path, path_size
        )
        if request.route is None and self.site.fallback is not None:
            request.route = self.site.fallback.find(
                request.info.method, data + request.info.method_at, request.info.method_length, path, path_size
            )
        if head.info.flags & CHUNKED or head.info.content_length > 0:
            if head.info.content_length > 0 and <int64_t> (size - length) >= head.info.content_length:
                request.body_at = data + length
                request.body_size = <Py_ssize_t> head.info.content_length
                length += <int> head.info.content_length
            elif request.route is None:
                self.flags |= CLOSE | LINGER     # answered without its body: the framing ends here
            else:
                self.start_body(head.info.flags & CHUNKED)
                if size > <size_t> length:
                    request.info.flags &= ~<uint32_t> EXPECT_CONTINUE    # the peer did not wait to be told
                elif self.wants_at_once():
                    self.divert(request.reader)
                else:
                    self.call_for_body()
                return length
        if request.route is None:
            self.not_routed(path, path_size)
        else:
            self.dispatch()
        return length

    cdef size_t take_body(self, const char *data, size_t size) except? 0:
        """Take in more of the body; the number of bytes that were its own."""
        cdef size_t used = 0
        cdef BodyReader reader = self.current.reader
        cdef BodyResult result
        try:
            result = reader.take(data, size, &used)
            self.current.body_size = <Py_ssize_t> reader.body.total
            if result == BODY_MORE and (reader.size > self.site.core.body_memory or self.wants_at_once()):
                self.divert(reader)
        except OSError as error:         # the disk is full, as a rule
            self.site.core.tell("a request body could not be kept", self.current, error)
            self.refuse(503, b"there is no room for the request body", RETRY)
            return size
        if result == BODY_FAILED:
            if reader.sink is not None:      # the handler has begun: it learns that the rest will not come
                self.flags |= CLOSE | LINGER
                self.end_body(fault_text(reader.body.fault))
            else:
                self.refuse(fault_status(reader.body.fault), fault_text(reader.body.fault), None)
            return size
        if result == BODY_DONE:
            if reader.sink is not None:
                self.end_body(b"")
                self.site.core.requests.step(self.current, HANDLER_FOUND, self.site.core.now_ns)
            else:
                self.current.take_body(reader.whole())
                self.current.reader = None
                self.dispatch()
        return used

    cdef int divert(self, BodyReader reader) except -1:
        """More than is to be held in memory: to the handler, if it has a thread to wait on, else to a file."""
        cdef Core core = self.site.core
        if reader.sink is not None or reader.spool is not None:
            return 0
        if not self.current.route.blocking and (not self.current.route.streaming or core.runner is None):
            self.call_for_body()
            return reader.spill(Spool(core.open_spool()))
        if self.current.info.flags & EXPECT_CONTINUE:
            self.pause_body()            # until the handler wants it: whether it does, only it can tell
        handler = self.current.route.handler
        if isinstance(handler, Conversant):
            sink = (<Conversant> handler).open_body(self)
        else:
            sink = core.open_stream(self) if self.current.route.blocking else core.open_body(self)
        self.current.take_body(sink)
        reader.pour(sink)
        return self.dispatch()

    cdef int turn_away(self, bytes why) except -1:
        """There is no room: the answer goes out at once, whatever the peer is about to ask."""
        cdef Core core = self.site.core
        self.write_refusal(503, why, RETRY, False)
        if core.draining or core.doorway.total >= AT_DOOR_MOST:
            # No time to linger.  With its request read, closing does not destroy the answer, as a rule.
            stream_receive(self.fd, core.inbuf, RECEIVE_BYTES)
            self.flags &= ~<uint16_t> LINGER
        else:
            core.doorway.link(self, 0, CLOSING, core.now_ns)
            self.flags |= AT_DOOR
        self.flush()
        return self.settle()

    # --- a WebSocket ----------------------------------------------------------------------------

    cdef int open_socket(self, const char *data, size_t size) except -1:
        """The handler said 101; `data` is what has come of the other protocol."""
        cdef WebSocket socket = <WebSocket> self.named
        self.move(ESTABLISHED)
        socket.opened()
        if self.flags & GONE:
            return 0
        self.release_request()           # while its bytes are where they were
        if self.flags & GONE:            # the access log's doing
            return 0
        self.move(ANSWERED)
        return socket.take(<char *> data, size)

    # --- output ---------------------------------------------------------------------------------

    cdef int writable(self) except -1:
        cdef int64_t moved = self.outbox.flush(self.fd)
        if moved == STREAM_BROKEN:
            self.drop()
            return 0
        self.bytes_out += moved
        if self.outbox.pending:
            return 0
        if self.flags & STREAMING:
            self.watch(HANGUP if self.flags & (PEER_DONE | HALTED) else READABLE)
            return (<Push> self.outbox.flow).drained()
        if self.outbox.flow is not None:
            self.pull()
            if self.outbox is not None or self.flags & GONE:
                return 0
        self.outbox = None
        self.release_request()
        if self.flags & UPGRADED:
            (<WebSocket> self.named).drained()
        return self.go_on()

    # --- the end --------------------------------------------------------------------------------

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
        """All is sent.  After a refusal the peer may still be sending: close at once, and the kernel would
        answer that with a reset, which can destroy the answer before it is read (RFC 9112 9.6)."""
        if not self.flags & LINGER or self.flags & PEER_DONE:
            self.drop()
            return 0
        self.flags |= LINGERING
        self.free_inbox()
        stream_half_close(self.fd)
        self.move(CLOSE_BEGUN)
        return self.watch(READABLE)

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
            stream_reset(self.fd)        # what was sent would else look like all of it
        stream_close(self.fd)
        self.fd = -1
        if self.flags & COUNTED:
            core.addresses.leave(&self.peer)
        if self.flags & AT_DOOR:
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
            coroutine, request.coroutine = request.coroutine, None   # see `release_request`
            if type(coroutine) is Errand:
                (<Errand> coroutine).cancel()
            elif isinstance(coroutine, Conversation):
                (<Conversation> coroutine).gone()
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

    cdef void free_inbox(self) noexcept:
        inbox_free(self.inbox)
        self.inbox = NULL

    cdef void timed_out(self) noexcept:
        """A time limit passed: say 408 where an answer can still be given, then close."""
        if self.flags & GONE:
            return
        self.flags |= WORKING
        try:
            if self.flags & UPGRADED:
                if not (<WebSocket> self.named).is_alive():
                    if self.outbox is not None and self.outbox.pending:
                        stream_reset(self.fd)
                    self.drop()
            elif self.current is None or self.flags & (BUSY | CLOSE | HAS_ANSWER):
                if self.outbox is not None and self.outbox.pending:
                    stream_reset(self.fd)    # else the kernel keeps what is not read, and the peer never learns of it
                self.drop()
            else:
                self.refuse(fault_status(FAULT_TIMEOUT), fault_text(FAULT_TIMEOUT), None)
                self.flush()
                self.settle()
        except BaseException as error:
            self.fail(error)
        self.flags &= ~<uint16_t> WORKING
        if self.flags & GONE:
            self.bury()


cdef Connection open_connection(Site site, int fd, const Peer *peer):
    """A connection over an accepted descriptor, in no index yet; the descriptor is its own, also if this fails."""
    cdef Connection connection
    try:
        connection = Connection.__new__(Connection)
    except MemoryError:
        stream_close(fd)
        raise
    connection.site = site
    connection.peer = peer[0]
    connection.fd = fd
    connection.flags = 0
    return connection
