# cython: nonecheck=True
# What `__new__` alone makes has None for each of its parts: that is an exception, not a crash.
"""A connection that became a WebSocket: messages to the program's handler, and its messages to the peer.

    receive -> frames, unmasked in place -> on_message -> send -> one send for all of it

What a handler sends while its own socket is served is gathered and goes out with
one system call when the event is through.  What it sends to another socket, or
from a timer, goes out at once.  What the peer does not take waits in the
connection's outbox; from `high_water` on the endpoint's policy decides, so that
nobody who reads slowly can make the server hold more than that.

The connection stays the point it was, in pool 1: *idle* while its peer gives
signs of life, *active* from a ping on until the next one, *closing* once one side
said goodbye.  So the limits of the three layers are the keep-alive.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t
from libc.string cimport memcmp, memcpy

from dimcore.conn.core cimport Core
from dimcore.conn.exchange cimport APART_BYTES, HANGUP, READABLE, WRITABLE, Exchange, note
from dimcore.conn.phase cimport CLOSE, GONE, LINGER, WORKING
from dimcore.conn.protocol cimport Protocol, ProtocolFactory
from dimcore.http.asked cimport Asked
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head_writer cimport Writer
from dimcore.index.cell cimport number_text
from dimcore.index.states cimport ANSWERED, CLOSE_BEGUN, MOVED_BYTES, REQUEST_BEGUN
from dimcore.limits cimport ACTIVE, CLOSING, IDLE, KIB
from dimcore.net.socket_io cimport Outbox
from dimcore.ws.frames cimport CONTROL_MOST, HEAD_MOST, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG, OP_TEXT, frame_write_head
from dimcore.ws.messages cimport EVENT_BINARY, EVENT_CLOSE, EVENT_NONE, EVENT_PING, MessageReader

from functools import partial as _partial

from dimcore.errors import UsageError, WebSocketError
from dimcore.reports import Report
from dimcore.ws.messages import close_payload as _close_payload

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:
    COMPRESSED = 0x40            # beside an opcode
    INFLATE_BYTES = 256          # decoded at a time: it becomes 258 KiB at most
    OUTPUT_BYTES = 64 * KIB      # frames gathered before one send
    ITEM_COST = 64               # what a piece in the outbox counts for beside its bytes
    SECOND_MARK = 4              # times high_water: what may wait with `wait`
    TARGET_MOST = 256            # bytes of a target that are kept for messages
    CODE_NORMAL = 1000
    CODE_NONE = 1005
    CODE_LOST = 1006             # the connection ended without a goodbye; never sent
    CODE_INTERNAL = 1011
    CODE_LATER = 1013

cdef double SECOND_NS = 1e9

cdef dict POLICIES = {"wait": SLOW_WAIT, "drop": SLOW_DROP, "close-1008": SLOW_CLOSE, "close-1013": SLOW_CLOSE}
cdef dict HOOKS = {"on_open": ON_OPEN, "on_message": ON_MESSAGE, "on_close": ON_CLOSE, "on_drain": ON_DRAIN}


cdef class Listener:
    """Base of handlers that are told of events in C; a WebSocket of theirs can be paused.

    As with other handlers: `opened`, `heard` (a message), `ended` (once, after which nothing follows), `drained`
    (after `send` said that the peer lags).  Beside them `leaving`: this side says goodbye.
    `ended`, `drained` and `leaving` may come in the middle of somebody else's code: what they wake runs later.
    """

    cdef int opened(self, WebSocket ws) except -1:
        return 0

    cdef int heard(self, WebSocket ws, object message) except -1:
        return 0

    cdef int ended(self, WebSocket ws, int code, str reason) except -1:
        return 0

    cdef int drained(self, WebSocket ws) except -1:
        return 0

    cdef int leaving(self, WebSocket ws, int code, str reason) except -1:
        return 0

    cdef int64_t waiting(self) noexcept:
        return 0


@cython.final
cdef class Endpoint(ProtocolFactory):
    """What the sockets of one route have in common.

    Args:
        handler: a class, of which each socket gets an instance, or an object for all of them.  It may have
            ``on_open(ws)``, ``on_message(ws, message)``, ``on_close(ws, code, reason)`` and ``on_drain(ws)``.
            Or a subclass of Listener, for handlers that whoever upgrades makes.
        max_message: most bytes of a message, after decompression.
        max_frames: most frames of a message.
        high_water: bytes that may wait for a slow peer before `slow` applies.
        slow: what then happens.  ``wait``: `send` says False, nothing is read from the peer, and what is sent all
            the same is taken up to four times as much, then the socket is closed with 1013.  ``drop``: the message
            is lost and `send` says False.  ``close-1008``, ``close-1013``: the socket is closed with that code.

    Raises:
        UsageError: a limit below 1, another policy, or a handler with none of the methods.
    """

    def __cinit__(self, handler, *, int64_t max_message=16 * KIB * KIB, int64_t max_frames=256 * KIB,
                  int64_t high_water=KIB * KIB, str slow not None="wait"):
        if max_message < 1 or not 1 <= max_frames <= 0xFFFFFFFF or high_water < 1:
            raise UsageError(f"max_message {max_message}, max_frames {max_frames}, high_water {high_water}: "
                             "each must be 1 or more")
        if slow not in POLICIES:
            raise UsageError(f"slow is {slow!r}; {', '.join(POLICIES)} are allowed")
        self.handler = handler
        self.max_message = max_message
        self.max_frames = max_frames
        self.high_water = high_water
        self.slow = <uint8_t> POLICIES[slow]
        self.slow_code = <uint16_t> int(slow.rpartition("-")[2]) if self.slow == SLOW_CLOSE else CODE_LATER
        if isinstance(handler, type) and issubclass(handler, Listener):
            self.hooks = TO_LISTENER
        for name, hook in HOOKS.items() if self.hooks == 0 else ():
            if callable(getattr(handler, name, None)):
                self.hooks |= <uint8_t> hook
        if self.hooks == 0:
            raise UsageError(f"{handler!r:.80} has no method of {', '.join(HOOKS)}")

    cdef Protocol open(self, object exchange, object handler, RequestPoint request, object protocol, object codec):
        cdef WebSocket socket = WebSocket.__new__(
            WebSocket, max_message=self.max_message, max_frames=self.max_frames, inflater=codec)
        socket.connection = <Exchange?> exchange
        socket.endpoint = self
        socket.handler = handler
        socket.asked = request
        socket.protocol = protocol
        return socket

    def make(self):
        """The handler of one more socket."""
        return self.handler() if isinstance(self.handler, type) else self.handler


@cython.final
@cython.no_gc
cdef class WebSocket(MessageReader):
    """An open WebSocket; made by the server, never by hand.

    Attributes:
        connection: the Connection, whose age, address and tallies it has.

    Lifetime: a handler may keep it; once `open` is False sending does nothing.
    Thread-safety: the loop's thread only; `call_from_thread` from any.
    Source: RFC 6455.
    """

    def __init__(self, *args, **kwargs):
        raise UsageError("WebSockets are made by answering a handshake")

    # --- the program ----------------------------------------------------------------------------

    @property
    def request(self):
        """The request it began with.

        Whoever looks at it in `on_open` has it kept for as long as the socket lives; else it is given back to the
        server after that, and this is None.
        """
        if type(self.asked) is not RequestPoint:
            return None
        self.flags |= KEEPS_REQUEST
        return self.asked

    @property
    def subprotocol(self):
        """The subprotocol agreed on, or None."""
        return self.protocol

    @property
    def open(self):
        """Whether something can be sent: neither side has said goodbye, and the connection is there."""
        return not self.flags & CLOSE_SENT and not self.connection.state & (GONE | CLOSE)

    @property
    def buffered(self):
        """Bytes that wait for the peer to read."""
        return 0 if self.connection.outbox is None else self.connection.outbox.pending

    def send(self, message):
        """Send a message: text for `str`, else binary.

        Args:
            message: `str`, or bytes-like.

        Returns:
            True when the peer keeps up.  False when it does not (see `Endpoint`: the message may be lost, and
            `on_drain` tells when to go on), or when the socket is not open any more.

        Raises:
            UsageError: neither text nor bytes, or called from a thread that is not the loop's.
            UnicodeEncodeError: text with half a surrogate pair, which UTF-8 has no form for.
        """
        cdef Py_ssize_t size = 0
        cdef const char *data
        cdef int opcode = OP_BINARY
        self.check_thread()
        if type(message) is bytes:
            data = PyBytes_AS_STRING(message)
            size = PyBytes_GET_SIZE(message)
        elif isinstance(message, str):
            opcode = OP_TEXT
            data = PyUnicode_AsUTF8AndSize(message, &size)
        elif isinstance(message, (bytes, bytearray, memoryview)):
            message = bytes(memoryview(message))
            data = PyBytes_AS_STRING(message)
            size = PyBytes_GET_SIZE(message)
        else:
            raise UsageError(f"a message must be str, bytes, bytearray or memoryview, not {type(message).__name__}")
        if not self.may_send():
            return False
        if self.inflater is not None and size >= self.inflater.threshold:
            message = <bytes?> self.inflater.deflate(message if opcode == OP_BINARY else data[:size])
            if self.flags & CLOSE_SENT or self.connection.state & (GONE | CLOSE):    # the codec may have closed it
                return False
            self.put(opcode | COMPRESSED, PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message), message)
        else:
            self.put(opcode, data, size, message)
        return not self.weigh()

    def ping(self, data=b""):
        """Ask the peer for a pong, beside those the server sends by itself.

        Args:
            data: at most 125 bytes, which come back.

        Raises:
            UsageError: more than that, or another thread.
        """
        self.check_thread()
        cdef bytes given = bytes(memoryview(data))
        if len(given) > CONTROL_MOST:
            raise UsageError(f"a ping has at most {CONTROL_MOST} bytes, this one has {len(given)}")
        if self.may_send():
            self.put(OP_PING, PyBytes_AS_STRING(given), len(given), given)
            self.weigh()

    def close(self, int code=1000, str reason not None=""):
        """Say goodbye; again is fine.  `on_close` follows when the peer has answered, or after a while without.

        Args:
            code: 1000 to 1003, 1007 to 1014, 3000 to 4999.
            reason: at most 123 bytes of UTF-8.

        Raises:
            UsageError: another code, a longer reason, or another thread.
        """
        self.check_thread()
        _close_payload(code, reason)
        self.goodbye(code, reason)

    def call_from_thread(self, call, *args):
        """Have ``call(*args)`` made on the loop's thread, soon and in order: ``ws.call_from_thread(ws.send, "news")``.

        From any thread.  What it raises is logged; once the server has stopped nothing is called.

        Raises:
            UsageError: the core was attached without a way to do so.
        """
        cdef object from_thread = self.connection.site.core.host.from_thread
        if from_thread is None:
            raise UsageError("no way to the loop's thread: the core was attached without `from_thread`")
        from_thread(_partial(call, *args) if args else call)

    cdef int check_thread(self) except -1:
        if self.connection.site.core.is_foreign():
            raise UsageError("a WebSocket is for the loop's thread alone; from another one there are "
                             "ws.call_from_thread(ws.send, message) and the topics' publish")
        return 0

    # --- the connection -------------------------------------------------------------------------

    cdef int opened(self) except -1:
        """The handshake is answered."""
        if self.endpoint.hooks & TO_LISTENER:
            (<Listener> self.handler).opened(self)
        elif self.endpoint.hooks & ON_OPEN:
            try:
                self.handler.on_open(self)
            except BaseException as error:
                self.handler_failed(error)
        if not self.flags & KEEPS_REQUEST:
            self.give_request_back()
        return 0

    cdef int give_request_back(self) except -1:
        """Keep of the request what messages say of it: its number, and a target that most sockets of a route share."""
        cdef RequestPoint request
        cdef const char *data
        cdef Py_ssize_t size
        cdef bytes target = self.endpoint.target
        if type(self.asked) is not RequestPoint:     # it is closed already
            return 0
        request = <RequestPoint> self.asked
        data = request.base + request.info.target_at
        size = min(<Py_ssize_t> request.info.target_length, <Py_ssize_t> TARGET_MOST)
        self.asked = None
        if self.endpoint.hooks & TO_LISTENER:        # which says whose it is by itself
            return 0
        self.number = request.number
        if self.connection.site.core.host.forwarded is not None:      # a proxy may have said who asks
            self.asked = Asked(
                request.request_id, request.method, request.raw_target[:TARGET_MOST], request.client_ip)
            return 0
        if target is None or PyBytes_GET_SIZE(target) != size or memcmp(PyBytes_AS_STRING(target), data, size):
            self.endpoint.target = target = PyBytes_FromStringAndSize(data, size)
        self.asked = target
        return 0

    cdef object whose(self):
        """What a message says of the request it began with; None where there is none."""
        if type(self.asked) is not bytes:
            return self.asked
        address = self.connection.address
        return Asked(number_text(self.number), "GET", (<bytes> self.asked).decode("latin-1"), address and address[0])

    cdef int take(self, char *data, size_t size) except -1:
        """Bytes that came, which are written to: the mask is taken off in place."""
        cdef Exchange connection = self.connection
        # A sign of life.  Not once it is closing: who goes on sending must not put that off.
        if connection.layer == IDLE:
            connection.move(MOVED_BYTES)
        elif connection.layer == ACTIVE:
            connection.move(ANSWERED)
        if self.inflater is not None:
            self.take_inflating(data, size)
        else:
            self.take_slice(data, size)
        connection.flush()
        self.weigh()
        return 0

    cdef int take_inflating(self, char *data, size_t size) except -1:
        """A byte may become a thousand: in slices, and only for a part of each round of the loop."""
        cdef Core core = self.connection.site.core
        cdef size_t step
        while size and not self.flags & (PAUSED | DEFERRED):
            if core.defer(self.connection):
                self.flags |= DEFERRED
                self.connection.watch(self.wanted())
                break
            step = min(size, <size_t> INFLATE_BYTES)
            try:
                self.take_slice(data, step)
            finally:
                core.inflated += self.inflated
                self.inflated = 0
            data += step
            size -= step
            if size and (self.close_code or self.connection.state & (GONE | CLOSE)):
                note(self.connection, LINGER)
                return 0
        if size:
            self.keep_unread(data, size)
        return 0

    cdef int take_slice(self, char *data, size_t size) except -1:
        cdef Exchange connection = self.connection
        cdef size_t used = 0
        try:
            while self.close_code == 0 and not connection.state & (GONE | CLOSE):
                if self.flags & PAUSED:
                    if size:
                        self.keep_unread(data, size)
                    break
                message = self.next(data, size, &used)
                if self.event == EVENT_NONE:
                    break
                data += used
                size -= used
                self.deliver(message)
        except WebSocketError as error:
            self.fail_peer(error.code, error.reason)
        if self.close_code and size:
            note(connection, LINGER)   # what came behind the goodbye must not destroy ours
        return 0

    cdef int keep_unread(self, const char *data, size_t size) except -1:
        cdef bytes more = PyBytes_FromStringAndSize(data, size)
        self.unread = more if self.unread is None else self.unread + more
        return 0

    cdef int pause(self) except -1:
        """Its Listener has enough: decode nothing more, and read nothing, until `resume`."""
        if not self.flags & (PAUSED | CLOSE_SENT):
            self.flags |= PAUSED
            self.connection.watch(self.wanted())
        return 0

    cdef int resume(self) except -1:
        """Go on; with what was received already, in the next turn of the loop."""
        cdef Exchange connection = self.connection
        if not self.flags & PAUSED or self.flags & WAKING or connection.state & GONE:
            return 0
        if self.unread is None:
            self.flags &= ~<uint8_t> PAUSED
            return connection.watch(self.wanted())
        self.flags |= WAKING
        connection.site.core.host.runner.loop.call_soon(connection.read_on)
        return 0

    cdef int take_unread(self) except -1:
        """The next turn of the loop is here."""
        cdef bytes unread
        if not self.flags & (WAKING | DEFERRED):         # nobody asked
            return 0
        if self.flags & (PAUSED | WAKING) == PAUSED:     # deferred, and then its Listener had enough: until `resume`
            self.flags &= ~<uint8_t> DEFERRED
            return 0
        self.flags &= ~<uint8_t> (PAUSED | WAKING | DEFERRED)
        unread, self.unread = self.unread, None
        if unread is not None:
            # Nobody else has these bytes: they may be written to.
            self.take(PyBytes_AS_STRING(unread), PyBytes_GET_SIZE(unread))
        return self.connection.watch(self.wanted())

    cdef uint8_t wanted(self) noexcept:
        """What the loop is to watch."""
        cdef Outbox outbox = self.connection.outbox
        cdef uint8_t events = WRITABLE if outbox is not None and outbox.pending else 0
        if not self.flags & (PAUSED | DEFERRED) and (
            not self.flags & LAGS or self.endpoint.slow != SLOW_WAIT or self.flags & CLOSE_SENT
        ):
            events |= READABLE
        return events if events else HANGUP

    cdef int drained(self) except -1:
        """The peer has taken all there was."""
        cdef Exchange connection = self.connection
        if not self.flags & LAGS:
            return 0
        self.flags &= ~<uint8_t> LAGS
        if self.endpoint.hooks & TO_LISTENER:
            return (<Listener> self.handler).drained(self)
        if self.endpoint.hooks & ON_DRAIN and not connection.state & (GONE | CLOSE) and not self.flags & CLOSE_SENT:
            try:
                self.handler.on_drain(self)
            except BaseException as error:
                self.handler_failed(error)
            connection.flush()
        return 0

    cdef bint is_alive(self) except -1:
        """A limit passed: ask for a sign of life, or see whether there was one; False where it is to end."""
        cdef Exchange connection = self.connection
        cdef int64_t taken
        if self.flags & (PAUSED | DEFERRED) and connection.layer != CLOSING:
            connection.move(MOVED_BYTES)     # it may be alive: it is this side that does not read
            return True
        if connection.layer == IDLE:
            connection.move(REQUEST_BEGUN)
            self.marked = connection.delivered()
            self.put(OP_PING, NULL, 0, None)
            connection.flush()
            return True
        if connection.layer == ACTIVE:
            # The ping may stand behind much else: a peer that takes that is alive.
            taken = connection.delivered()
            if taken > self.marked and connection.outbox is not None:
                self.marked = taken
                connection.move(MOVED_BYTES)
                return True
        return False

    cdef bint depart(self) except -1:
        """The server wants the connection to end; False where it has to be cut."""
        if self.flags & CLOSE_SENT:
            return False
        self.goodbye(self.connection.site.core.farewell, "")
        return True

    cdef int64_t memory(self) noexcept:
        """Bytes of memory it holds, what waits for the peer apart: a message that is not complete, the contexts of its
        compression, what the program has not taken."""
        cdef int64_t size = <int64_t> self.held()
        if self.unread is not None:
            size += PyBytes_GET_SIZE(self.unread)
        if self.inflater is not None:
            try:
                size += <int64_t> self.inflater.held
            except Exception:            # another codec than ours, which does not say
                pass
        if self.endpoint.hooks & TO_LISTENER and self.handler is not None:
            size += (<Listener> self.handler).waiting()
        return size

    cdef bint owes(self, int64_t *moved, int64_t *own) noexcept:
        if not self.owes_message():
            return False
        moved[0] = <int64_t> self.partial.taken
        own[0] = <int64_t> self.held()
        return True

    cdef bint is_overdue(self, int64_t now_ns) noexcept:
        # The limit is a grace period: a message that comes at its rate has another.
        cdef Core core = self.connection.site.core
        cdef int64_t passed, moved
        if self.partial == NULL:
            return False
        passed = now_ns - self.partial.since_ns
        moved = <int64_t> (self.partial.taken - self.partial.marked)
        if self.partial.since_ns and self.owes_message():
            if passed < core.limits.message_limit_ns:
                return False
            if moved == 0 or <double> moved < <double> core.limits.body_rate * (<double> passed / SECOND_NS):
                return True
        self.partial.since_ns = now_ns
        self.partial.marked = self.partial.taken
        return False

    cdef bint owes_message(self) noexcept:
        """Whether its peer has begun a message, and nobody but the peer keeps that from getting on."""
        return (
            self.partial != NULL and not self.flags & (PAUSED | DEFERRED | CLOSE_SENT)
            and (not self.flags & LAGS or self.endpoint.slow != SLOW_WAIT)
        )

    cdef int give_up(self, int code, str reason) except -1:
        """End it from this side: say why, read no more, keep nothing.  Not while it takes something."""
        self.fail_peer(code, reason)
        self.give_back()
        self.unread = None
        return 0

    cdef void gone(self) noexcept:
        """The connection is closed."""
        try:
            self.leave_topics()
            self.tell_close(CODE_LOST, "")
        except BaseException as error:
            self.connection.site.core.tell(Report.WEBSOCKET_FAILED, self.whose(), error)
        self.handler = None
        self.asked = None
        self.inflater = None
        self.unread = None

    # --- in -------------------------------------------------------------------------------------

    cdef int deliver(self, object message) except -1:
        """A message, or a control frame."""
        if self.event <= EVENT_BINARY:
            if self.flags & CLOSE_SENT:
                return 0
            if self.endpoint.hooks & TO_LISTENER:
                (<Listener> self.handler).heard(self, message)
            elif self.endpoint.hooks & ON_MESSAGE:
                try:
                    self.handler.on_message(self, message)
                except BaseException as error:
                    self.handler_failed(error)
        elif self.event == EVENT_CLOSE:
            self.peer_closed(message)
        elif self.event == EVENT_PING and self.may_send():
            # For somebody who asks and does not read, the answers are bounded as messages are.
            self.put(OP_PONG, PyBytes_AS_STRING(<bytes> message), PyBytes_GET_SIZE(message), message)
        return 0

    cdef int peer_closed(self, str reason) except -1:
        """The peer said goodbye: say it too, and close (RFC 6455 5.5.1, 7.1.1: the server does so first)."""
        self.goodbye(self.close_code, "")
        note(self.connection, CLOSE)
        return self.tell_close(self.close_code, reason)

    cdef int fail_peer(self, int code, str reason) except -1:
        """The peer broke the protocol or a limit: say why, and close without waiting for its answer (7.1.7)."""
        self.goodbye(code, reason)
        note(self.connection, CLOSE | LINGER)
        return self.tell_close(code, reason)

    cdef int handler_failed(self, object error) except -1:
        if isinstance(error, KeyboardInterrupt):         # somebody wants the whole program to stop
            raise error
        self.connection.site.core.tell(Report.WEBSOCKET_FAILED, self.whose(), error)
        return self.goodbye(CODE_INTERNAL, "")

    cdef int tell_close(self, int code, str reason) except -1:
        if self.flags & CLOSE_TOLD:
            return 0
        self.flags |= CLOSE_TOLD
        if self.endpoint.hooks & TO_LISTENER:
            (<Listener> self.handler).ended(self, code, reason)
        elif self.endpoint.hooks & ON_CLOSE:
            try:
                self.handler.on_close(self, code, reason)
            except BaseException as error:
                self.handler_failed(error)
        return 0

    # --- out ------------------------------------------------------------------------------------

    cdef int64_t backlog(self) noexcept:
        """What waits for the peer, in bytes of memory."""
        cdef Outbox outbox = self.connection.outbox
        return 0 if outbox is None else outbox.pending + ITEM_COST * (len(outbox.items) - outbox.first)

    cdef bint may_send(self) except -1:
        """Whether another frame is to go out."""
        cdef int64_t waits
        if self.flags & CLOSE_SENT or self.connection.state & (GONE | CLOSE):
            return False
        if self.connection.outbox is None:
            return True
        waits = self.backlog()
        if waits < self.endpoint.high_water:
            return True
        self.weigh()
        if self.endpoint.slow == SLOW_WAIT and waits < SECOND_MARK * self.endpoint.high_water:
            return True
        if self.endpoint.slow != SLOW_DROP:
            self.goodbye(self.endpoint.slow_code, "too slow")
        return False

    cdef bint weigh(self) except -1:
        """Whether so much waits that no more should be sent; then nothing is read either, with `wait`."""
        if self.connection.outbox is None or self.backlog() < self.endpoint.high_water:
            return False
        self.flags |= LAGS
        # Who is closing is read on: its answer may lie behind what it sent before.
        if self.endpoint.slow == SLOW_WAIT and not self.flags & CLOSE_SENT and not self.connection.state & GONE:
            self.connection.watch(WRITABLE)
        return True

    cdef int put(self, int opcode, const char *data, size_t size, object held) except -1:
        """Write a frame.  `held`: the `bytes` that `data` lies in, or anything else."""
        cdef Exchange connection = self.connection
        cdef Writer writer = connection.site.core.scratch.writer
        cdef char head[HEAD_MOST]
        cdef int head_size = frame_write_head(
            head, opcode & ~COMPRESSED, True, opcode & COMPRESSED != 0, size, NULL)
        cdef bytes frame
        if not connection.state & WORKING:
            frame = PyBytes_FromStringAndSize(NULL, head_size + size)
            memcpy(PyBytes_AS_STRING(frame), head, head_size)
            if size:
                memcpy(PyBytes_AS_STRING(frame) + head_size, data, size)
            return connection.send_late(frame)
        writer.append(head, head_size)
        if size < APART_BYTES or size < OUTPUT_BYTES and type(held) is not bytes:
            if size:
                writer.append(data, size)
            # A handler may send without end in one event: only what is out, or waits, counts for `high_water`.
            return connection.flush() if writer.size >= OUTPUT_BYTES else 0
        return connection.send_apart(held if type(held) is bytes else PyBytes_FromStringAndSize(data, size))

    cdef Offer offer(self, bytes frames) except? OFFER_CLOSED:
        """Send frames that were made for many, to a socket that is not being served; the peer that lags loses them.

        Nobody heeds what is said here, so there is no second mark: with `wait` it loses them as well, and `on_drain`
        tells when it has caught up.
        """
        cdef Exchange connection = self.connection
        if self.flags & CLOSE_SENT or connection.state & (GONE | CLOSE):
            return OFFER_CLOSED
        if self.weigh():
            if self.endpoint.slow == SLOW_CLOSE:
                self.goodbye(self.endpoint.slow_code, "too slow")
            return OFFER_LOST
        connection.send_late(frames)
        if connection.outbox is not None:
            self.weigh()
        return OFFER_TAKEN

    cdef int leave_topics(self) except -1:
        if self.joined is not None:
            self.joined.end()
        return 0

    cdef int goodbye(self, int code, str reason) except -1:
        """Send a close frame, once; from then on the peer has a limited time to answer it."""
        cdef Exchange connection = self.connection
        cdef bytes payload
        if self.flags & CLOSE_SENT or connection.state & (GONE | CLOSE):
            return 0
        payload = b"" if code == CODE_NONE else code.to_bytes(2, "big") + reason.encode()[:CONTROL_MOST - 2]
        self.put(OP_CLOSE, PyBytes_AS_STRING(payload), len(payload), payload)
        self.flags |= CLOSE_SENT
        self.leave_topics()
        if connection.layer != CLOSING:
            connection.move(CLOSE_BEGUN)
        if self.endpoint.hooks & TO_LISTENER:
            (<Listener> self.handler).leaving(self, code, reason)
            self.resume()            # the peer's answer may lie behind what was not read
        if connection.outbox is not None and not connection.state & GONE:
            connection.watch(self.wanted())
        return 0
