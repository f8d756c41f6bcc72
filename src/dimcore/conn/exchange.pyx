"""One request and its answer, whatever carries them: the state, and what handlers, threads and gateways may call.

    Exchange ──► what carries it: a connection of HTTP/1.1, which has one at a time (`carrier.pyx`, `connection.pyx`)

Nothing above this module assumes that a connection has only one exchange: WSGI, ASGI,
files and WebSockets have an `Exchange`, write through its methods, and never touch a
descriptor.  What depends on the carrier is a method that it defines: how a head is
written, how bytes go out, and how it all ends.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t

from dimcore.aio.task_runner cimport CoroutineRun
from dimcore.conn.core cimport Core, detach_request
from dimcore.conn.handler cimport ResponseDriver
from dimcore.conn.phase cimport (
    BUSY, CLOSE, GONE, HALTED, LINGER, PEER_DONE, PHASES, STREAMING, UPGRADED, WORKING, phase_name,
)
from dimcore.conn.protocol cimport Protocol
from dimcore.conn.result cimport discard_unsent
from dimcore.conn.streamed_body cimport Push
from dimcore.http.body_reader cimport BodyReader
from dimcore.http1.head cimport EXPECT_CONTINUE
from dimcore.index.states cimport HANDLER_FOUND, MOVED_BYTES, STAGE_PROGRESS
from dimcore.limits cimport KIB, PARSED, RESPONSE_READY
from dimcore.net.socket_io cimport peer_address

from dimcore.errors import UsageError
from dimcore.reports import Report

cdef enum:
    TURN_BYTES = 1024 * KIB      # of a body that is pulled, before the other connections get their turn
    PIECE_COST = 2 * KIB         # what a piece counts for beside its bytes: a million of one byte are many turns

cdef double SECOND_NS = 1e9


def _told_by_nobody(address, headers):
    """In the place of `Core.attach`'s `forwarded`: the address, and nothing that the headers say."""
    return None if address is None else address[0], None, None, None


@cython.no_gc
cdef class Exchange(ConnectionPoint):
    """One request and its answer; not for use by itself.

    Python sees the point (`id`, `address`, `age_seconds` ...) and its tallies:
    `requests` begun, `bytes_in`, `bytes_out`, `request` in flight.

    Lifetime: held by its pool and the loop until it is closed.
    Thread-safety: only the thread of its loop may call a method; another one gets a UsageError.  The attributes are for
        any thread.
    """

    def __cinit__(self):
        # What `__new__` alone makes is closed: whoever opens one brings it to life.
        self.fd = -1
        self.state = GONE

    # --- what the carrier defines ---------------------------------------------------------------

    cdef int put_head(self, int status, object headers, int64_t length, uint32_t flags, const char *kind) except -1:
        """Write the head of the answer; what it raises leaves nothing written.

        Args:
            length: bytes of the body, or UNKNOWN_LENGTH.
            flags: of `http1.head_writer`: CLOSE_AFTER, HEAD_ONLY, OLD_CLIENT.
            kind: the Content-Type unless the headers name one; or NULL.

        Returns:
            CLOSE_AFTER among the bits where the connection ends with this answer.

        Raises:
            ResponseError: a status or headers that must not be sent.
        """
        raise UsageError("nothing carries this exchange")

    cdef int put_interim(self, int status, bytes fields) except -1:
        """Write an interim answer (RFC 9110 15.2): 100, or 103 with `fields`, lines that end with CR LF."""
        return 0

    cdef int frame_stream(self, Outflow flow) except -1:
        """A body of unknown length follows the head that is written: say how its end is told."""
        return 0

    cdef int put_piece(self, Outflow flow, bytes piece) except -1:
        """Write a small piece of such a body."""
        return 0

    cdef int end_output(self) except -1:
        """The body of the answer is complete; its end is written where the framing has one."""
        return 0

    cdef int flush(self) except -1:
        """Send what is written to the worker's writer."""
        return 0

    cdef int send_pieces(self, list pieces, Py_ssize_t total, bytes tail) except -1:
        """Send what is written, then bytes from where they lie, then `tail`; what is not taken goes to the outbox.

        Args:
            pieces: `PIECES_MOST` at most.
            total: bytes in them.
        """
        return 0

    cdef int send_apart(self, object body) except -1:
        """Send what is written, then a body from where it lies: bytes, a FileBody or a Composite."""
        return 0

    cdef int send_late(self, bytes data) except -1:
        """Send while another exchange, or none, is being served: the worker's writer is not ours."""
        return 0

    cdef int hold(self) except -1:
        """The peer lags: wait until it reads, and read nothing from it meanwhile."""
        return 0

    cdef int64_t delivered(self) noexcept:
        """Bytes of answers that the peer has."""
        return self.bytes_out

    cdef int watch(self, uint8_t events) except -1:
        """Be told of these Events from now on."""
        return 0

    cdef void abort(self) noexcept:
        """Have the end, which is to follow, tell the peer that bytes are missing."""

    cdef int answer(self, object result, object error) except -1:
        """Answer `current`: with what the handler returned, or what its exception means."""
        return 0

    cdef int go_on(self) except -1:
        """The answer is out: read on, or close."""
        return 0

    cdef int settle(self) except -1:
        """After a round of work: idle, waiting, or on the way out."""
        return 0

    cdef int refuse_body(self, int fault) except -1:
        """Take no more of a body whose handler runs already."""
        return 0

    cdef void fail(self, object error) noexcept:
        """A fault of the server's, or no memory: this exchange ends, no other notices."""

    cdef void timed_out(self) noexcept:
        """A time limit has passed."""

    cdef void drop(self) noexcept:
        """Close now; again is fine."""

    cdef void bury(self) noexcept:
        """Give back what a closed exchange still held."""

    def on_ready(self, int mask):
        """The descriptor is readable (1), writable (2) or both."""

    # --- as a point -----------------------------------------------------------------------------

    cdef object client_address(self):
        return peer_address(&self.peer)

    cdef object forwarding(self):
        # Not for one whom the proxy did not name: `peer` is the proxy then, and its word is not in the headers.
        return _told_by_nobody if self.origin & UNNAMED else self.site.core.host.forwarded

    cdef void tallies(self, int64_t *requests, int64_t *bytes_in, int64_t *bytes_out) noexcept:
        requests[0] = self.requests
        bytes_in[0] = self.bytes_in
        bytes_out[0] = self.bytes_out

    cdef void release(self) noexcept:
        self.drop()

    cdef int count_later(self) except -1:
        """Have what is held counted by the budgets soon: this is no event of its own."""
        cdef Core core = self.site.core
        if not self.origin & UNCOUNTED:
            core.uncounted.append(self)
            self.origin |= UNCOUNTED
            core.overdrawn = True
        return 0

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
        return self.state & (CLOSE | GONE) != 0 or self.site is None or self.site.core.draining

    @property
    def half_closed(self):
        """Whether the peer sends no more, or is gone: the two look alike until something is sent.

        Any thread may ask.  To be told at once, set ``request.on_peer_done``.
        """
        return self.state & (PEER_DONE | GONE) != 0

    # --- handlers that run elsewhere ------------------------------------------------------------

    def complete(self, request, result, error=None):
        """Answer a request whose handler ran elsewhere; one that nobody waits for any more is dropped.

        Args:
            request: what `offload` was given.
            result: what the handler returned.
            error: what it raised, or None.

        Raises:
            UsageError: called from within a handler; the request still waits.
        """
        cdef Completed given
        if not self.state & GONE:
            self.site.core.check_thread()
        if self.current is not request or self.state & (GONE | BUSY) != BUSY:
            discard_unsent(result)
            return
        given.result = <void *> result
        given.error = <void *> error
        serve(self, _complete, &given, False)

    def push(self, Push flow not None, bytes piece not None):
        """Send a piece of a pushed body; see `Push.write`."""
        cdef Pushed given
        if not self.sends(flow):
            return True
        given.flow = <void *> flow
        given.piece = <void *> piece
        serve(self, _push, &given, True)
        return self.state & GONE != 0 or self.outbox is None or self.outbox.pending == 0

    def end_push(self, Push flow not None, error):
        """End a pushed body; see `Push.end`."""
        cdef Pushed given
        if not self.sends(flow):
            return
        given.flow = <void *> flow
        given.piece = <void *> error
        given.nested = self.state & WORKING != 0
        serve(self, _end_push, &given, True)

    cdef bint sends(self, Push flow) except -1:
        """Whether this is the body that is being sent."""
        if self.state & GONE:
            return False
        self.site.core.check_thread()
        return self.outbox is not None and self.outbox.flow is flow

    def read_on(self):
        """A protocol that had enough of its peer wants more; the loop's call."""
        if self.state & UPGRADED:
            serve(self, _read_on, NULL, False)

    def tell_end(self):
        """Have an ASGI app whose answer is on its way learn, by ``http.disconnect``, that there is little time left; or
        a protocol."""
        if self.state & UPGRADED:
            (<Protocol> self.named).tell_end()
        if self.current is not None and isinstance(self.current.coroutine, ResponseDriver):
            (<ResponseDriver> self.current.coroutine).peer_done()

    # --- the body of the request ----------------------------------------------------------------

    cdef int call_for_body(self) except -1:
        """Nothing of the body is here and the handler wants it: say so (RFC 9110 10.1.1)."""
        if self.current.info.flags & EXPECT_CONTINUE:
            self.current.info.flags &= ~<uint32_t> EXPECT_CONTINUE
            return self.put_interim(100, b"")
        return 0

    cdef int forgo_body(self) except -1:
        """Nobody reads the rest of the body any more: it is thrown away, and the connection is closed."""
        cdef RequestPoint request = self.current
        note(self, CLOSE | LINGER)
        self.end_body(b"the answer was given before the request was complete")
        request.reader = None
        self.site.core.requests.step(request, HANDLER_FOUND, self.site.core.now_ns)
        return 0

    cdef int end_body(self, bytes error) except -1:
        """No more of the body that is being streamed; `error` is empty where it is complete."""
        cdef RequestPoint request = self.current
        cdef BodyReader reader
        if request is None:
            return 0
        reader = request.reader
        if reader is not None and reader.sink is not None:
            request.reader = None
            reader.sink.end(error.decode())
            if self.state & HALTED:      # the handler may go on lagging: nobody waits for it
                unnote(self, HALTED)
                if self.outbox is None or self.outbox.pending == 0:
                    self.watch(READABLE)
        return 0

    def pause_body(self):
        """Read no more of the body that arrives, until `resume_body`: its handler lags.  The loop's thread only."""
        if self.state & GONE:
            return
        self.site.core.check_thread()
        if self.current is not None and self.current.reader is not None:
            note(self, HALTED)
            if self.outbox is None or self.outbox.pending == 0:      # else it is not read as it is
                self.watch(HANGUP)

    def resume_body(self):
        """Go on after `pause_body`; a peer that waits to be told so is told (RFC 9110 section 10.1.1).

        The loop's thread only.
        """
        cdef Core core
        if self.state & (GONE | HALTED) != HALTED:
            return
        core = self.site.core
        core.check_thread()
        unnote(self, HALTED)
        if self.current is None or self.current.reader is None:
            return
        # The time before was the handler's.
        core.requests.step(self.current, STAGE_PROGRESS, core.clock())
        if self.state & (BUSY | STREAMING) and (self.outbox is None or self.outbox.pending == 0):
            self.watch(READABLE)
        if not self.current.info.flags & EXPECT_CONTINUE:
            return
        if self.state & WORKING:         # the handler asks in its first step; behind answers that are written already
            self.call_for_body()
        else:
            serve(self, _call_for_body, NULL, False)

    @property
    def body_paused(self):
        """Whether `pause_body` was called, and `resume_body` not yet."""
        return self.state & HALTED != 0

    # --- a body of the answer that is made while it is sent -------------------------------------

    cdef int start_stream(self, Outflow flow) except -1:
        """Begin the body behind the head that is written."""
        self.current.own()
        self.outbox = Outbox.__new__(Outbox)
        self.outbox.flow = flow
        if not isinstance(flow, Push):
            return self.pull()
        (<Push> flow).connection = self
        become(self, STREAMING)
        if not (<Push> flow).corked:
            self.flush()
        if self.outbox.pending == 0:     # to learn that the peer left
            self.watch(HANGUP if self.state & (PEER_DONE | HALTED) else READABLE)
        return 0

    cdef int pull(self) except -1:
        """Take pieces from the source until the socket is full, the body ends, or others have waited long enough."""
        cdef Outbox outbox = self.outbox
        cdef Outflow flow = <Outflow> outbox.flow
        cdef int64_t made = 0
        cdef object piece
        while outbox.pending == 0 and not self.state & GONE:
            if made >= TURN_BYTES:
                return self.hold()       # the socket may be full by now: then it is the peer that is waited for
            try:
                piece = flow.take()
                if piece is None:
                    self.finish_flow(flow)
                else:
                    flow.count(PyBytes_GET_SIZE(piece))
                    if flow.sent == flow.declared:
                        flow.expect_end()    # before the last byte is out, which would make the answer a whole one
                    made += PyBytes_GET_SIZE(piece) + PIECE_COST
                    if flow.transform is not None:
                        piece = flow.change(piece, False)
            except Exception as error:
                return self.cut_short(error)
            if piece is None:
                return self.end_stream()
            if PyBytes_GET_SIZE(piece):
                self.write_piece(flow, piece)
        return 0

    cdef int finish_flow(self, Outflow flow) except -1:
        """Write the end of a body; raises where bytes that were declared are missing."""
        cdef bytes last
        if flow.transform is not None:
            last = flow.change(b"", True)
            if PyBytes_GET_SIZE(last):
                self.put_piece(flow, last)
        return flow.finish(self.site.core.scratch.writer)

    cdef int write_piece(self, Outflow flow, bytes piece) except -1:
        if PyBytes_GET_SIZE(piece) >= APART_BYTES:
            return self.write_pieces(flow, [piece], PyBytes_GET_SIZE(piece), False)
        self.put_piece(flow, piece)
        return self.flush()

    cdef int write_pieces(self, Outflow flow, list pieces, Py_ssize_t total, bint last) except -1:
        """Send several pieces as one, with the end of the body behind them if they are the last; see `send_pieces`."""
        return 0

    cdef int end_stream(self) except -1:
        """The body is complete, its end is written."""
        cdef Outflow flow = <Outflow> self.outbox.flow
        self.outbox.flow = None
        if self.state & STREAMING:
            become(self, READING)
        self.current.body_sent = flow.bytes_out()
        flow.ended = True
        flow.release()
        self.end_output()
        self.flush()
        if not self.state & GONE and self.outbox.pending == 0:
            self.outbox = None
        return 0

    cdef int cut_short(self, object error) except -1:
        """The source failed in the middle: the peer must see half an answer, never a whole one."""
        cdef Outflow flow = <Outflow> self.outbox.flow
        self.flush()
        if not self.state & GONE:
            self.current.body_sent = flow.bytes_out()
            self.drop()
        if error is not None:            # else nobody is at fault
            self.site.core.tell(Report.BODY_FAILED, self.current, error)
        return 0

    cdef bint waits_for_source(self) noexcept:
        """Whether the peer has all there is, and somebody has to push more: then a slow answer is not its doing."""
        return self.state & STREAMING != 0 and self.outbox is not None and self.outbox.pending == 0

    cdef bint may_be_alone(self) noexcept:
        """Whether the peer sends no more, and what could be given up makes nothing that would show if it still reads.

        A plain handler on a thread cannot be given up: its answer comes when it comes."""
        if not self.state & PEER_DONE:
            return False
        return self.state & BUSY != 0 and type(self.current.coroutine) is CoroutineRun or self.waits_for_source()

    # --- whether the peer keeps its rate --------------------------------------------------------

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
        cdef int64_t most = core.limits.stage_credit_ns[request.layer]
        cdef int64_t rate = core.limits.body_rate, gained
        cdef double credit
        moved[0] = request.reader.body.total if request.reader is not None else 0
        if request.layer != PARSED:
            if not self.waits_for_source():
                rate = core.limits.send_rate
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
        if request is None or request.layer != RESPONSE_READY or core.limits.stage_credit_ns[<int> RESPONSE_READY] == 0:
            return 0
        request.credit_ns = self.credit_left(core.clock(), &moved)
        request.marked_bytes = moved
        core.requests.step(request, STAGE_PROGRESS, core.now_ns)
        return 0


# --- events -------------------------------------------------------------------------------------

cdef void wind_up(Exchange exchange) noexcept:
    if exchange.state & GONE:
        exchange.bury()
    elif exchange.current is not None:
        detach_request(exchange.current)     # the buffers of the worker are the next connection's


cdef void intervene(Exchange exchange, Act act, void *given) noexcept:
    cdef bint nested = exchange.state & WORKING != 0
    note(exchange, WORKING)
    try:
        act(exchange, given)
    except BaseException as error:
        exchange.fail(error)
    if nested:
        return
    exchange.recount()
    unnote(exchange, WORKING)
    if exchange.state & GONE:
        exchange.bury()


cdef void tell_bad_phase(Exchange exchange, int phase) noexcept:
    exchange.site.core.tell(Report.BAD_PHASE, exchange.current, AssertionError(
        f"from {phase_name(exchange.state & PHASES)} to {phase_name(phase)}"))


cdef struct Completed:
    void *result
    void *error


cdef struct Pushed:
    void *flow
    void *piece
    bint nested


cdef int _complete(Exchange exchange, void *given) except -1:
    become(exchange, READING)
    exchange.site.core.clock()
    exchange.answer(<object> (<Completed *> given).result, <object> (<Completed *> given).error)
    exchange.flush()
    return exchange.go_on()


cdef int _push(Exchange exchange, void *given) except -1:
    cdef Push flow = <Push> (<Pushed *> given).flow
    cdef bytes piece = <bytes> (<Pushed *> given).piece
    try:
        exchange.site.core.clock()
        flow.count(PyBytes_GET_SIZE(piece))
        if flow.transform is not None:
            piece = flow.change(piece, False)
        if PyBytes_GET_SIZE(piece):
            if exchange.state & PEER_DONE:
                exchange.move(MOVED_BYTES)
            exchange.write_piece(flow, piece)
    except BaseException as error:
        exchange.cut_short(error)
    return 0


cdef int _end_push(Exchange exchange, void *given) except -1:
    cdef Push flow = <Push> (<Pushed *> given).flow
    error = <object> (<Pushed *> given).piece
    exchange.site.core.clock()
    if error is None:
        try:
            exchange.finish_flow(flow)
        except Exception as missing:
            error = missing
    if error is not None:
        return exchange.cut_short(error)
    if exchange.current.reader is not None:
        exchange.forgo_body()
    exchange.end_stream()
    if (<Pushed *> given).nested:        # whoever called `on_drain` goes on
        return 0
    return exchange.go_on()              # which may run the handler of the next request


cdef int _read_on(Exchange exchange, void *given) except -1:
    (<Protocol> exchange.named).take_unread()
    return exchange.settle()


cdef int _call_for_body(Exchange exchange, void *given) except -1:
    exchange.call_for_body()
    return exchange.flush()
