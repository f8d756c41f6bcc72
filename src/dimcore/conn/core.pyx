"""What the connections of one worker share: structures, scratch memory, clock and limits.

One receive buffer and one output buffer serve every connection of a worker in
turn, so a connection that is idle holds neither.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memset

from dimcore.budget cimport Budget
from dimcore.conn.batching cimport Batching
from dimcore.conn.core_limits cimport MAX_BYTES, between, change_number, change_time, derive, set_defaults
from dimcore.index.connection_point cimport ConnectionPoint
from dimcore.index.index cimport Index, Point
from dimcore.limits cimport CLOSING, KIB, LAYERS, POOLS, POOL_ADMIN, POOL_HTTP
from dimcore.net.address_counts cimport Addresses
from dimcore.net.socket_io cimport peer_address, socket_transport

from collections import deque as _deque

from dimcore.conn.host import absent_host as _absent_host
from dimcore.errors import ClientRefused, InvalidCoordinate, UsageError
from dimcore.index.index import Index as _Index
from dimcore.reports import Report

cdef extern from "time.h" nogil:
    ctypedef long time_t
    time_t time(time_t *out)

cdef enum:
    SECOND = 1000000000      # in nanoseconds
    DRAIN_LINGER = 2         # seconds, once the server is to stop
    INFLATE_A_ROUND = 256 * KIB  # that compressed messages become before others have their turn: some 0.3 ms

cdef str FOREIGN = ("this is for the loop's thread alone; from another one there are connection.close(), "
                    "ws.call_from_thread(ws.send, message) and the topics' publish")
cdef list NOBODY = []


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
        self.scratch = Scratch(server)
        self.batching = Batching()
        self.memory = Budget()
        self.disk = Budget(16 << 30, 0)
        self.memory.alarm = self.disk.alarm = &self.overdrawn
        self.uncounted = []
        self.running = &self.own_running
        self.round_ns = &self.own_round_ns
        set_defaults(&self.limits)
        self.farewell = 1001
        self.host = _absent_host()
        self.clock()
        self.scratch.writer.set_time(time(NULL))

    def attach(self, Host host not None):
        """Connect the core with the program that drives it.

        Args:
            host: what it is given; a core has one at a time.
        """
        self.host = host
        self.batching.call_soon = host.call_soon

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
        cdef Limits limits = self.limits
        for name, value in (
            ("max_connections", max_connections), ("admin_reserve", admin_reserve),
            ("max_per_address", max_per_address), ("max_body", max_body), ("body_memory", body_memory),
            ("request_line", request_line), ("head", head), ("field", field), ("fields", fields),
            ("body_rate", body_rate), ("send_rate", send_rate),
        ):
            if value is not None:
                change_number(&limits, name, value)
        for name, value in (seconds or {}).items():
            change_time(&limits, name, value)
        derive(&limits)
        if memory is not None:
            between("memory", memory, 1, MAX_BYTES >> 2)
        if disk is not None:
            self.disk.resize(between("disk", disk, 1, MAX_BYTES >> 2), 0)
        if memory is not None:
            self.memory.resize(memory)
        self.limits = limits

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
        if self.limits.layer_limit_ns[<int> CLOSING]:
            self.limits.layer_limit_ns[<int> CLOSING] = min(
                self.limits.layer_limit_ns[<int> CLOSING], <int64_t> DRAIN_LINGER * SECOND)
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
        if self.host.runner is not None:
            self.host.runner.forked = True
        self.host = _absent_host()
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

    cdef int refuse_to_enter(self) except -1:
        self.check_thread()
        # Input and output of the connection that is being served lie in the scratch memory: to serve another one now
        # would send it the answers of the first.
        raise UsageError("a connection is being served already: call this from the loop, not from a handler")

    cdef void clean_up(self) noexcept:
        if self.forked:
            leave_process()
        if self.scratch.writer.room > LARGE_ROOM:
            self.scratch.writer.shrink()

    cdef int relieve(self) except -1:
        """Count those who were sent something meanwhile, and end those who have to go; between two events."""
        cdef list uncounted = self.uncounted
        if self.scratch.serving:                 # somebody runs the loop within a handler: when that is through
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
        if self.inflated < INFLATE_A_ROUND or self.batching.call_soon is None:
            return False
        if self.deferred is None:
            self.deferred = _deque()
        self.deferred.append(connection)
        if not self.deferring:
            self.deferring = True
            self.batching.call_soon(self.read_deferred)
        return True

    def read_deferred(self):
        """Let the WebSockets that were deferred go on, at least one of them; the loop's call."""
        self.check_thread()
        try:
            if not self.scratch.serving:         # else somebody runs the loop within a handler
                self.inflated = 0
                while self.deferred and self.inflated < INFLATE_A_ROUND:
                    self.deferred.popleft().read_on()
        finally:
            self.deferring = bool(self.deferred)
            if self.deferring:
                self.batching.call_soon(self.read_deferred)

    cdef void tell(self, object report, object request, object error) noexcept:
        """Report; what the reporter raises itself ends in ``sys.unraisablehook``."""
        self.host.report(report, request, error)

    cdef int turned_away(self, str why, const Peer *peer) except -1:
        """A client got no place; `why` names the setting."""
        cdef object address = peer_address(peer)
        self.tell(Report.CLIENTS_REFUSED, None, ClientRefused(why, address[0] if address else "a Unix socket"))
        return 0

    cdef void finished(self, Filter filter, RequestPoint request, const Peer *peer) noexcept:
        """Tell a filter, the access log for one, of a request that is over."""
        try:
            filter.finished(request, peer, self.now_ns)
        except BaseException as error:
            kind = Report.ACCESS_LOG_FAILED if filter is self.host.access_log else Report.FILTER_FAILED
            self.tell(kind, request, error)

    cdef bint has_room(self, int spiral) noexcept:
        """Whether the worker may hold one more connection; the admin pool has places of its own."""
        cdef int64_t admins = self.pools.live(POOL_ADMIN)
        if admins > self.limits.admin_reserve:
            admins = self.limits.admin_reserve
        elif spiral == POOL_ADMIN and admins < self.limits.admin_reserve:
            return True
        return self.connection_index.clients() - admins < self.limits.max_connections


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
