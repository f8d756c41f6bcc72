"""What the connections of one worker share: structures, scratch memory, clock and limits.

One receive buffer and one output buffer serve every connection of a worker in
turn, so a connection that is idle holds neither.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from dimcore.budget cimport Budget
from dimcore.clock cimport monotonic_ns
from dimcore.conn.batching cimport Gathering
from dimcore.conn.filter cimport as_filter
from dimcore.http1.head_writer cimport LARGE_ROOM
from dimcore.index.connection_point cimport ConnectionPoint
from dimcore.index.index cimport Index, Point
from dimcore.limits cimport (
    ACTIVE, CLOSING, HANDSHAKE, IDLE, KIB, LAYERS, MAX_FIELDS, MAX_HEAD_BYTES, MIB, NEW, PARSED, POOLS, POOL_ADMIN,
    POOL_HTTP, RECEIVED, RECEIVE_BYTES, RESPONSE_READY, ROUTED,
)
from dimcore.net.address_counts cimport Addresses
from dimcore.net.socket_io cimport peer_address, socket_transport

from collections import deque as _deque

from dimcore.errors import ClientRefused, InvalidCoordinate, UsageError
from dimcore.http.spool import open_unnamed
from dimcore.index.index import Index as _Index

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil

cdef extern from "time.h" nogil:
    ctypedef long time_t
    time_t time(time_t *out)

cdef str REFUSED = "clients are refused"
cdef int64_t MAX_BYTES = 0x4000000000000000

cdef enum:
    SECOND = 1000000000      # in nanoseconds
    CREDIT_LOOKS = 60        # at what a peer has moved, in the time its credit lasts at most
    DRAIN_LINGER = 2         # seconds, once the server is to stop
    # Seconds that a peer's rate is paid in advance where budgets are concerned, at most.  What a peer reads out of its
    # own kernel's buffer is seen only when there is room for more, so that comes in larger steps.
    CREDIT = 2
    READ_CREDIT = 5
    INFLATE_A_ROUND = 256 * KIB  # that compressed messages become before others have their turn: some 0.3 ms
    MAX_COUNT = 1 << 24      # points an index holds
    LONGEST = 1000000000     # seconds a time limit may have: 30 years, and in nanoseconds it fits 63 bits


def _refuse_offload(connection, request, handler):
    raise UsageError("no thread pool: this core was made without `offload`")


def _to_nobody(*given):
    """In the place of the loop, in a process that has none."""


def _refuse_stream(connection):
    raise UsageError("no streams: this core was made without `open_stream`")


def _print_report(message, request, error):
    import sys
    import traceback
    print(message, file=sys.stderr)
    if error is not None:
        traceback.print_exception(error)


cdef str FOREIGN = ("this is for the loop's thread alone; from another one there are connection.close(), "
                    "ws.call_from_thread(ws.send, message) and the topics' publish")
cdef list NOBODY = []

# names of `Core.configure`'s time limits: what cell or stage each belongs to
cdef dict LAYER_LIMITS = {
    "connect": NEW, "handshake": HANDSHAKE, "half_closed": ACTIVE, "idle": IDLE,
}
cdef dict SOCKET_LIMITS = {"ws_ping": IDLE, "ws_timeout": ACTIVE, "ws_close": CLOSING}
cdef str MESSAGE_LIMIT = "ws_message"
cdef dict STAGE_LIMITS = {"head": RECEIVED, "handler": ROUTED}
# ... and those that ask for a rate: the stage is looked at so many times in each.
cdef dict CREDITS = {"body_credit": PARSED, "send_credit": RESPONSE_READY}
cdef dict LINGERS = {"linger": CLOSING, "linger_silence": CLOSING}
cdef tuple TIME_LIMITS = (LAYER_LIMITS, SOCKET_LIMITS, STAGE_LIMITS, CREDITS, LINGERS, (MESSAGE_LIMIT,))


@cython.final
cdef class Core:
    """The shared half of one worker.

    Args:
        pools: a ConnectionPoolManifold.
        requests: a RequestSubstrate.
        server: value of the Server field, ``""`` for none.

    Thread-safety: the loop's thread only; a handler on another thread hands its
        answer back through the loop.  Nor from within a handler: while one runs,
        an attempt to serve something else raises UsageError.
    """

    def __cinit__(self, ConnectionPoolManifold pools not None, RequestSubstrate requests not None,
                  str server not None="dimserver"):
        self.pools = pools
        self.requests = requests
        self.connection_index = pools.index
        self.request_index = requests.index
        self.doorway = _Index(1)
        self.addresses = Addresses()
        self.writer = Writer(server)
        self.answer = Answer()
        self.gathering = Gathering()
        self.memory = Budget()
        self.disk = Budget(16 << 30, 0)
        self.memory.alarm = self.disk.alarm = &self.overdrawn
        self.uncounted = []
        self.credit_ns = <int64_t> CREDIT * SECOND
        self.read_credit_ns = <int64_t> READ_CREDIT * SECOND
        self.inbuf = <char *> PyMem_Malloc(RECEIVE_BYTES)
        if self.inbuf == NULL:
            raise MemoryError
        self.head = &self.heads[0]
        self.running = &self.own_running
        self.round_ns = &self.own_round_ns
        self.head_limits.request_line = 8 * KIB
        self.head_limits.head = 32 * KIB
        self.head_limits.field = 8 * KIB
        self.head_limits.fields = MAX_FIELDS
        self.max_body = 16 * MIB
        self.body_memory = 1 * MIB
        self.max_connections = 10000
        self.farewell = 1001
        self.register = self.modify = self.unregister = self.mute = None
        self.offload = _refuse_offload
        self.open_spool = open_unnamed
        self.open_stream = _refuse_stream
        self.report = _print_report
        self.clock()
        self.writer.set_time(time(NULL))

    def __dealloc__(self):
        PyMem_Free(self.inbuf)

    def attach(self, *, register, modify, unregister, offload=None, open_spool=None, open_stream=None, report=None,
               access_log=None, forwarded=None, Runner runner=None, open_flow=None, open_body=None, mute=None,
               from_thread=None, call_soon=None):
        """Connect the core with the loop that drives it.

        Args:
            register, modify: called with ``(fd, events, callback)``, events being 1
                (readable) and 2 (writable) or both; as ``selectors`` has them.
            unregister: called with ``(fd)``.
            mute: called with ``(fd)`` of a registered one: from now on its callback is
                called for an error or a hang-up alone.  None where the loop has no such
                thing; then the descriptor is unregistered instead.
            offload: called with ``(connection, request, handler)`` for a blocking
                handler; must have ``connection.complete(request, result, error)``
                called by the loop in the end, never by `offload` itself.
            open_spool: called without arguments; returns the descriptor of an empty
                temporary file for a large body.  The system's temporary directory
                when None.
            open_stream: called with ``(connection)`` when a blocking handler is to take
                its body as it arrives; returns an object with ``feed(bytes)``,
                ``end(error text)``, ``read()`` and iteration, whose backpressure is
                ``connection.pause_body`` and ``connection.resume_body``.  Where
                ``connection.body_paused`` is true at the start, nothing comes before the latter.
            runner: runs the coroutines of async handlers; without it they are answered 500.
            open_flow: called with ``(connection, request, status, headers, async iterable)``;
                returns the coroutine that sends such a body.  Needed with `runner`.
            open_body: as `open_stream`, for a handler that is a coroutine and registered
                to take its body as it arrives.  Needed with `runner`.
            report: called with ``(message, request or None, exception or None)``.
            access_log: `AccessLines` or another Filter, or called with ``(request, status, body bytes,
                nanoseconds)`` after each answer; None costs nothing.

            forwarded: called with ``(address, headers)`` when a handler or the access log
                asks a request who it is from; returns client address, scheme, host and
                request id, each text or None.  The connection's own when None.

            from_thread: called with a callable, from any thread; has it called on the loop's.  WebSockets offer it
                to the program where it is given.
            call_soon: called with a callable, on the loop; has it called when the events of this round are served, and
                before anything is read again.  Where it is given, answers of a round may leave together.

        What `report` or `access_log` raises is reported and goes no further.
        """
        self.register = register
        self.modify = modify
        self.unregister = unregister
        self.mute = mute
        if offload is not None:
            self.offload = offload
        if open_spool is not None:
            self.open_spool = open_spool
        if open_stream is not None:
            self.open_stream = open_stream
        if report is not None:
            self.report = report
        self.access_log = as_filter(access_log)
        self.runner = runner
        self.open_flow = open_flow
        self.open_body = open_body
        self.forwarded = forwarded
        self.from_thread = from_thread
        self.gathering.call_soon = call_soon

    def configure(self, *, max_connections=None, admin_reserve=None, max_per_address=None, max_body=None,
                  body_memory=None, request_line=None, head=None, field=None, fields=None, body_rate=None,
                  send_rate=None, seconds=None, memory=None, disk=None):
        """Set limits; what is not named stays.

        Args:
            max_connections: connections of this worker, those in the reserve apart.
            admin_reserve: places kept for the admin pool, on top of that.
            max_per_address: connections of one client address, an IPv6 one being its /64;
                0 for any number.  The admin pool and Unix sockets are not counted, nor
                are connections that came in before there was a limit.
            body_memory: bytes of a body held in memory; a larger one goes to a file, or
                as it comes to a handler whose route is `streaming`.
            max_body, request_line, head, field: bytes; a head has at most 65,535.
            fields: header fields, at most 100.
            body_rate, send_rate: bytes a second that must move on the average, see `body_credit`.
            seconds: time limits by name, 0 for none: connect, handshake, idle,
                head, handler; body_credit, send_credit (for how long a peer may have moved less than its rate asks
                for: what it moves beyond that counts for so long at most); linger (all in all) and linger_silence
                (after the last bytes that came at `body_rate`); half_closed (of a peer that sends no more:
                how long a coroutine or the source of a body may send nothing); of WebSockets ws_ping
                (nothing came for so long: ask), ws_timeout (no sign of life after that), ws_close, ws_message
                (a message that has begun is complete, or has come at `body_rate`).
            memory, disk: bytes that all peers together may make the worker hold, in memory and in temporary
                files; a quarter of `memory` is kept for those who hold less than 64 KiB.

        Raises:
            UsageError: a value out of range or an unknown name; nothing was changed.
        """
        cdef HeadLimits limits = self.head_limits
        cdef int64_t connections = self.max_connections, reserve = self.admin_reserve, body = self.max_body
        cdef int64_t kept = <int64_t> self.body_memory, each = self.max_per_address
        cdef int64_t rate_in = self.body_rate, rate_out = self.send_rate
        if max_connections is not None:
            connections = _between("max_connections", max_connections, 1, MAX_COUNT)
        if admin_reserve is not None:
            reserve = _between("admin_reserve", admin_reserve, 0, MAX_COUNT)
        if max_per_address is not None:
            each = _between("max_per_address", max_per_address, 0, MAX_COUNT)
        if max_body is not None:
            body = _between("max_body", max_body, 0, MAX_BYTES)
        if body_memory is not None:
            kept = _between("body_memory", body_memory, 0, MAX_BYTES)
        if request_line is not None:
            limits.request_line = <uint32_t> _between("request_line", request_line, 16, MAX_HEAD_BYTES)
        if head is not None:
            limits.head = <uint32_t> _between("head", head, 64, MAX_HEAD_BYTES)
        if field is not None:
            limits.field = <uint32_t> _between("field", field, 16, MAX_HEAD_BYTES)
        if fields is not None:
            limits.fields = <uint32_t> _between("fields", fields, 1, MAX_FIELDS)
        if body_rate is not None:
            rate_in = _between("body_rate", body_rate, 0, MAX_BYTES)
        if send_rate is not None:
            rate_out = _between("send_rate", send_rate, 0, MAX_BYTES)
        for name, value in (seconds or {}).items():
            if not 0 <= value <= LONGEST:
                raise UsageError(f"limit {name} is {value} seconds; 0 to {LONGEST} is allowed")
            if not any(name in table for table in TIME_LIMITS):
                known = ", ".join(name for table in TIME_LIMITS for name in table)
                raise UsageError(f"no time limit is called {name!r}; there are {known}")
        if memory is not None:
            _between("memory", memory, 1, MAX_BYTES >> 2)
        if disk is not None:
            self.disk.resize(_between("disk", disk, 1, MAX_BYTES >> 2), 0)
        if memory is not None:
            self.memory.resize(memory)
        self.head_limits = limits
        self.max_connections = connections
        self.admin_reserve = reserve
        self.max_per_address = <uint32_t> each
        self.max_body = body
        self.body_memory = <size_t> kept
        self.body_rate = rate_in
        self.send_rate = rate_out
        for name, value in (seconds or {}).items():
            if name in LAYER_LIMITS:
                self.layer_limit_ns[<int> LAYER_LIMITS[name]] = <int64_t> (value * SECOND)
            elif name == MESSAGE_LIMIT:
                self.message_limit_ns = <int64_t> (value * SECOND)
            elif name in SOCKET_LIMITS:
                self.socket_limit_ns[<int> SOCKET_LIMITS[name]] = <int64_t> (value * SECOND)
            elif name in STAGE_LIMITS:
                self.stage_limit_ns[<int> STAGE_LIMITS[name]] = <int64_t> (value * SECOND)
            elif name in CREDITS:
                self.stage_credit_ns[<int> CREDITS[name]] = <int64_t> (value * SECOND)
                self.stage_limit_ns[<int> CREDITS[name]] = <int64_t> (value * SECOND) // CREDIT_LOOKS
            elif name == "linger":
                self.linger_ns = <int64_t> (value * SECOND)
            else:
                self.silence_ns = <int64_t> (value * SECOND)
        self.credit_ns = min(self.stage_credit_ns[<int> PARSED] or MAX_BYTES, <int64_t> CREDIT * SECOND)
        self.read_credit_ns = min(self.stage_credit_ns[<int> PARSED] or MAX_BYTES, <int64_t> READ_CREDIT * SECOND)
        self.layer_limit_ns[<int> CLOSING] = min(self.silence_ns or MAX_BYTES, self.linger_ns)

    @property
    def turned_away(self):
        """Connections that were told there is no room and did not leave yet; they are in no pool."""
        return self.doorway.total

    def drain(self, int farewell=1001):
        """From now on every answer closes its connection, and nobody is kept at the door; again is fine.

        Args:
            farewell: code that a WebSocket is closed with: 1001 going away, 1012 back in a moment.

        Raises:
            UsageError: another thread than the loop's.
        """
        self.check_thread()
        self.draining = True
        self.farewell = farewell
        if self.layer_limit_ns[<int> CLOSING]:
            self.layer_limit_ns[<int> CLOSING] = min(
                self.layer_limit_ns[<int> CLOSING], <int64_t> DRAIN_LINGER * SECOND)
        while self.doorway.total:
            (<ConnectionPoint> self.doorway.first(0, CLOSING)).release()

    cdef bint is_foreign(self) noexcept:
        """Whether this is another thread than the loop's; nobody knows that before the loop's first round."""
        return self.thread != 0 and PyThread_get_thread_ident() != self.thread

    cdef int check_thread(self) except -1:
        """Refuse another thread than the loop's, which may be in the middle of anything."""
        if self.is_foreign():
            raise UsageError(FOREIGN)
        return 0

    def disown(self):
        """To be called in a process that was forked from the worker: give up its connections, and tell nobody.

        They are their clients' as long as the parent has them, and end when that closes them.  From now on nothing is
        sent, and the process ends when control comes back from the app's code.
        """
        cdef Index index
        cdef PyObject *at
        cdef int spiral, layer
        self.forked = True
        self.register = self.modify = self.unregister = _to_nobody
        self.mute = None
        if self.runner is not None:
            self.runner.forked = True
        for index in (self.connection_index, self.doorway):
            for spiral in range(index.spirals):
                if index.rows[spiral] == NULL:
                    continue
                for layer in range(1, LAYERS + 1):
                    at = index.rows[spiral][layer].first
                    while at != NULL:
                        if isinstance(<object> at, ConnectionPoint):
                            (<ConnectionPoint> at).disown()
                        at = (<Point> at).next

    cdef int enter(self) except -1:
        """Take the scratch memory, until `leave`."""
        self.check_thread()
        if self.serving:
            # Input and output of the connection that is being served lie there: to serve another one now would
            # send it the answers of the first.
            raise UsageError("a connection is being served already: call this from the loop, not from a handler")
        self.serving = True
        return 0

    cdef void leave(self) noexcept:
        if self.forked:
            leave_process()
        # What was written is sent by now; what is not, after a fault, must not reach the next connection.
        self.writer.size = 0
        if self.writer.room > LARGE_ROOM:
            self.writer.shrink()
        self.serving = False

    cdef int relieve(self) except -1:
        """Count those who were sent something meanwhile, and end those who have to go; between two events."""
        cdef list uncounted = self.uncounted
        if self.serving:                 # somebody runs the loop within a handler: when that is through
            return 0
        self.enter()
        try:
            self.overdrawn = False
            if uncounted:
                self.uncounted = []
                for connection in uncounted:
                    (<ConnectionPoint> connection).recount()
            self.memory.relieve(self.now_ns)
            self.disk.relieve(self.now_ns)
        finally:
            self.leave()
        return 0

    cdef bint defer(self, connection) except -1:
        """Whether this round of the loop has inflated enough; then the connection's `read_on` is called in its turn."""
        if self.inflated < INFLATE_A_ROUND or self.gathering.call_soon is None:
            return False
        if self.deferred is None:
            self.deferred = _deque()
        self.deferred.append(connection)
        if not self.deferring:
            self.deferring = True
            self.gathering.call_soon(self.read_deferred)
        return True

    def read_deferred(self):
        """Let the WebSockets that were deferred go on, at least one of them; the loop's call."""
        self.check_thread()
        try:
            if not self.serving:         # else somebody runs the loop within a handler
                self.inflated = 0
                while self.deferred and self.inflated < INFLATE_A_ROUND:
                    self.deferred.popleft().read_on()
        finally:
            self.deferring = bool(self.deferred)
            if self.deferring:
                self.gathering.call_soon(self.read_deferred)

    cdef void tell(self, str message, object request, object error) noexcept:
        """Report; what the reporter raises itself ends in ``sys.unraisablehook``."""
        self.report(message, request, error)

    cdef int turned_away(self, str why, const Peer *peer) except -1:
        """A client got no place; `why` names the setting."""
        cdef object address = peer_address(peer)
        self.tell(REFUSED, None, ClientRefused(why, address[0] if address else "a Unix socket"))
        return 0

    cdef void finished(self, Filter filter, RequestPoint request, const Peer *peer) noexcept:
        """Tell a filter, the access log for one, of a request that is over."""
        try:
            filter.finished(request, peer, self.now_ns)
        except BaseException as error:
            self.tell("the access log failed" if filter is self.access_log else "a filter failed", request, error)

    cdef int64_t clock(self) noexcept:
        self.now_ns = monotonic_ns()
        return self.now_ns

    cdef RequestPoint take_request(self):
        """A request point nobody else refers to; the last one's memory where it was given back."""
        cdef RequestPoint request = self.spare
        if request is not None:
            self.spare = None
            request.position = 0.0       # the handler before could have set it
            return request
        return RequestPoint.__new__(RequestPoint)

    cdef bint has_room(self, int spiral) noexcept:
        """Whether the worker may hold one more connection; the admin pool has places of its own."""
        cdef int64_t admins = self.pools.live(POOL_ADMIN)
        if admins > self.admin_reserve:
            admins = self.admin_reserve
        elif spiral == POOL_ADMIN and admins < self.admin_reserve:
            return True
        return self.connection_index.clients() - admins < self.max_connections


cdef int leave_process(object error=None) except -1:
    from dimcore.forked import leave
    leave(error)


cdef void detach_request(RequestPoint request) noexcept:
    try:
        request.own()
    except MemoryError:
        request.forget()
        memset(&request.info, 0, sizeof(request.info))
        request.info.content_length = -1


cdef list points_before(Index index, int spiral, int layer, int64_t before_ns, object kind, int most):
    cdef PyObject *at
    cdef list found = NOBODY
    if index.rows[spiral] == NULL:
        return NOBODY
    at = index.rows[spiral][layer].first
    while at != NULL and (<Point> at).entered_ns <= before_ns:
        if type(<object> at) is kind:
            if found is NOBODY:
                found = []
            found.append(<object> at)
            if len(found) == most:
                break
        at = (<Point> at).next
    return found


cdef int64_t _between(str name, value, int64_t least, int64_t most) except -1:
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}; {least} to {most} is allowed")
    return value


@cython.final
cdef class Site:
    """What one listener serves: its routes and the pool its connections start in.

    Args:
        core: the worker's Core.
        router: the routes.
        fallback: routes for what `router` does not know: the built-in endpoints, static files.
        spiral: pool, 0 to 3.
        splits_api: connections whose first request is under ``/api/`` go to pool 2.
        trusts: with it every connection has to begin with a header of the PROXY protocol; called with the address of
            a peer, (host, port) or None for a Unix socket, it says whether that is a proxy whose word counts.
            Everybody else is closed.

    Raises:
        InvalidCoordinate: no such pool.
    """

    def __cinit__(self, Core core not None, Router router not None, Router fallback=None, int spiral=POOL_HTTP,
                  bint splits_api=True, trusts=None):
        if not 0 <= spiral < POOLS:      # what is accepted counts, and its limits hold
            raise InvalidCoordinate(f"spiral must be 0 to {POOLS - 1}, got {spiral}")
        self.core = core
        self.router = router
        self.fallback = fallback
        self.spiral = spiral
        self.splits_api = splits_api
        self.trusts = trusts
        self.transport = socket_transport()
