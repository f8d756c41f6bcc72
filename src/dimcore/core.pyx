"""What the connections of one worker share: structures, scratch memory, clock and limits.

One receive buffer and one output buffer serve every connection of a worker in
turn, so a connection that is idle holds neither.
"""

from cpython.mem cimport PyMem_Free, PyMem_Malloc

from dimcore.clock cimport monotonic_ns
from dimcore.limits cimport (
    ACTIVE, CLOSING, HANDSHAKE, IDLE, KIB, LAYERS, MAX_FIELDS, MAX_HEAD_BYTES, MIB, NEW, PARSED, POOL_ADMIN,
    POOL_HTTP, RECEIVED, RESPONSE_READY, ROUTED,
)

from dimcore.errors import UsageError

cdef extern from "time.h" nogil:
    ctypedef long time_t
    time_t time(time_t *out)

cdef enum:
    SECOND = 1000000000      # in nanoseconds
    RECEIVE_BYTES = 64 * KIB


def _refuse_offload(connection, request, handler):
    raise UsageError("no thread pool: this core was made without `offload`")


def _print_report(message, request, error):
    import sys
    import traceback
    print(message, file=sys.stderr)
    if error is not None:
        traceback.print_exception(error)


# name -> (kind, index, unit): how a limit of `Core.configure` is stored
cdef dict LAYER_LIMITS = {"connect": NEW, "handshake": HANDSHAKE, "idle": IDLE, "linger": CLOSING}
cdef dict STAGE_LIMITS = {"head": RECEIVED, "body_grace": PARSED, "handler": ROUTED, "send_grace": RESPONSE_READY}


cdef class Core:
    """The shared half of one worker.

    Args:
        pools: a ConnectionPoolManifold.
        requests: a RequestSubstrate.
        server: value of the Server field, ``""`` for none.

    Not safe for use from two threads at once; a handler on another thread hands
    its answer back through the loop.
    """

    def __cinit__(self, ConnectionPoolManifold pools not None, RequestSubstrate requests not None,
                  str server not None="dimserver"):
        self.pools = pools
        self.requests = requests
        self.connection_index = pools.index
        self.request_index = requests.index
        self.writer = Writer(server)
        self.answer = Answer()
        self.inbuf = <char *> PyMem_Malloc(RECEIVE_BYTES)
        if self.inbuf == NULL:
            raise MemoryError
        self.head_limits.request_line = 8 * KIB
        self.head_limits.head = 32 * KIB
        self.head_limits.field = 8 * KIB
        self.head_limits.fields = MAX_FIELDS
        self.max_body = 16 * MIB
        self.max_connections = 10000
        self.register = self.modify = self.unregister = None
        self.offload = _refuse_offload
        self.report = _print_report
        self.clock()
        self.writer.set_time(time(NULL))

    def __dealloc__(self):
        PyMem_Free(self.inbuf)

    def attach(self, *, register, modify, unregister, offload=None, report=None, access_log=None):
        """Connect the core with the loop that drives it.

        Args:
            register, modify: called with ``(fd, events, callback)``, events being 1
                (readable) and 2 (writable) or both; as ``selectors`` has them.
            unregister: called with ``(fd)``.
            offload: called with ``(connection, request, handler)`` for a blocking
                handler; must call ``connection.complete(request, result, error)`` on
                the loop's thread in the end.
            report: called with ``(message, request or None, exception or None)``.
            access_log: called with ``(request, status, body bytes, nanoseconds)``
                after each answer; None costs nothing.
        """
        self.register = register
        self.modify = modify
        self.unregister = unregister
        if offload is not None:
            self.offload = offload
        if report is not None:
            self.report = report
        self.access_log = access_log

    def configure(self, *, max_connections=None, admin_reserve=None, max_body=None, request_line=None, head=None,
                  field=None, fields=None, body_rate=None, send_rate=None, seconds=None):
        """Set limits; what is not named stays.

        Args:
            max_connections: connections of this worker, admin pool apart.
            admin_reserve: connections the admin pool may hold beyond that.
            max_body, request_line, head, field: bytes; a head has at most 65,535.
            fields: header fields, at most 100.
            body_rate, send_rate: bytes a second that must move in each grace period.
            seconds: time limits by name, 0 for none: connect, handshake, idle,
                linger, head, body_grace, send_grace, handler.

        Raises:
            UsageError: a value out of range or an unknown name.
        """
        if max_connections is not None:
            self.max_connections = _at_least("max_connections", max_connections, 1)
        if admin_reserve is not None:
            self.admin_reserve = _at_least("admin_reserve", admin_reserve, 0)
        if max_body is not None:
            self.max_body = _at_least("max_body", max_body, 0)
        if request_line is not None:
            self.head_limits.request_line = <uint32_t> _between("request_line", request_line, 16, MAX_HEAD_BYTES)
        if head is not None:
            self.head_limits.head = <uint32_t> _between("head", head, 64, MAX_HEAD_BYTES)
        if field is not None:
            self.head_limits.field = <uint32_t> _between("field", field, 16, MAX_HEAD_BYTES)
        if fields is not None:
            self.head_limits.fields = <uint32_t> _between("fields", fields, 1, MAX_FIELDS)
        if body_rate is not None:
            self.body_rate = _at_least("body_rate", body_rate, 0)
        if send_rate is not None:
            self.send_rate = _at_least("send_rate", send_rate, 0)
        for name, value in (seconds or {}).items():
            if not value >= 0:
                raise UsageError(f"limit {name} is {value} seconds; it must be 0 or more")
            if name in LAYER_LIMITS:
                self.layer_limit_ns[<int> LAYER_LIMITS[name]] = <int64_t> (value * SECOND)
            elif name in STAGE_LIMITS:
                self.stage_limit_ns[<int> STAGE_LIMITS[name]] = <int64_t> (value * SECOND)
            else:
                known = ", ".join([*LAYER_LIMITS, *STAGE_LIMITS])
                raise UsageError(f"no time limit is called {name!r}; there are {known}")

    def drain(self):
        """From now on every answer closes its connection."""
        self.draining = True

    cdef int64_t clock(self) noexcept:
        self.now_ns = monotonic_ns()
        return self.now_ns

    cdef RequestPoint take_request(self):
        """A request point nobody else refers to; the last one's memory where it was given back."""
        cdef RequestPoint request = self.spare
        if request is not None:
            self.spare = None
            return request
        return RequestPoint.__new__(RequestPoint)

    cdef bint has_room(self, int spiral) noexcept:
        """Whether the worker may hold one more connection; the admin pool has places of its own."""
        if spiral == POOL_ADMIN:
            return self.connection_index.total < self.max_connections + self.admin_reserve
        return self.connection_index.total - self.pools.live(POOL_ADMIN) < self.max_connections


cdef int64_t _at_least(str name, value, int64_t least) except -1:
    if value < least:
        raise UsageError(f"{name} is {value}; at least {least} is allowed")
    return value


cdef int64_t _between(str name, value, int64_t least, int64_t most) except -1:
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}; {least} to {most} is allowed")
    return value


cdef class Site:
    """What one listener serves: its routes and the pool its connections start in.

    Args:
        core: the worker's Core.
        router: the routes.
        fallback: routes for what `router` does not know: the built-in endpoints, static files.
        spiral: pool, 0 to 3 or one that was added.
        splits_api: connections whose first request is under ``/api/`` go to pool 2.
    """

    def __cinit__(self, Core core not None, Router router not None, Router fallback=None, int spiral=POOL_HTTP,
                  bint splits_api=True):
        self.core = core
        self.router = router
        self.fallback = fallback
        self.spiral = spiral
        self.splits_api = splits_api
