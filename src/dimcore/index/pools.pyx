"""Pools: spirals with a name, a cap and totals, and the lifecycle of the connections in them."""
cimport cython
from libc.stdint cimport INT64_MAX, int64_t
from cpython.object cimport PyObject
from dimcore.clock cimport monotonic_ns
from dimcore.index.index cimport Index, Point, layer_of, spiral_of
from dimcore.limits cimport ACTIVE, ARCHIVED, CLOSED, IDLE, MAX_SPIRALS, NEW, POOLS, SPIRALS
from dimcore.limits cimport POOL_ADMIN, POOL_API, POOL_DATABASE, POOL_HTTP, POOL_JOBS, POOL_STREAM, POOL_UPSTREAM
from dimcore.limits cimport POOL_WEBSOCKET
from dimcore.index.connection_point cimport ConnectionPoint
from dimcore.index.states cimport require_connection

from dimcore.errors import DimcoreError, InvalidCoordinate, UnknownPoint, UsageError
from dimcore.index.geometry import compose

cdef double NS = 1e9

# The fixed spirals by name: the pools of clients, and those of points of other kinds.
cdef dict FIXED = {
    "http": POOL_HTTP, "websocket": POOL_WEBSOCKET, "api": POOL_API, "admin": POOL_ADMIN,
    "stream": POOL_STREAM, "upstream": POOL_UPSTREAM, "database": POOL_DATABASE, "jobs": POOL_JOBS,
}
SPIRAL_NAMES = tuple(FIXED)


cdef inline bint is_reserved(int spiral) noexcept:
    """Whether points of other kinds than connections of clients are there."""
    return POOLS <= spiral < SPIRALS


class PoolFull(DimcoreError):
    """The pool holds as many connections as its cap allows; nothing was added.

    Attributes:
        status: 503, what a client would be told.
    """

    status = 503


cdef int64_t cap_of(object cap) except -1:
    if cap is None:
        return INT64_MAX
    if not isinstance(cap, int) or not 0 <= cap <= INT64_MAX:
        raise UsageError(f"a cap must be an int of 0 or more, or None for no cap, got {cap!r}")
    return cap


# no_gc_clear: a finaliser that still has a pool in its hands must find an index in it.
@cython.no_gc_clear
cdef class ConnectionPoolManifold:
    """All pools of a server over one index.

    Pools ``http``, ``websocket``, ``api`` and ``admin`` are spirals 0 to 3.  They are the connections of clients, and
    only they count for totals and for what limits them.  Spirals 4 to 7 are reserved for points of other kinds:
    ``stream``, ``upstream``, ``database`` and ``jobs``.  These have the same layers and the same table of states, but
    neither a cap nor a time limit here: their owners have those.  `add_pool` makes pools from spiral 8 on, for a
    program; a cap is all that bounds such a pool.

    Args:
        index: the index to keep connections in; None makes one.

    Raises:
        UsageError: `__init__` is called again with an index while connections are in the first.

    Counters: `total_created` counts what ever entered a pool, `total_closed` what left it, so
        created - closed is what is in it, always.  A move to another pool is a leave there and
        an entry here.  ``index.added`` counts each connection once.
    Thread-safety: every method is atomic under the GIL, except while it closes sockets.
    """

    def __cinit__(self):
        cdef int spiral
        self.index = Index()
        self.names = dict(FIXED)
        for spiral in range(MAX_SPIRALS):
            self.caps[spiral] = INT64_MAX

    def __init__(self, Index index=None):
        if index is None or index is self.index:
            return
        if self.index.total:
            raise UsageError("this manifold has connections in another index")
        self.index = index

    # C interface

    cdef int64_t live(self, int spiral) noexcept:
        return self.index.count(spiral, 0)

    cdef int64_t created(self, int spiral) noexcept:
        return self.index.entered(spiral)

    cdef int64_t closed(self, int spiral) noexcept:
        return self.index.entered(spiral) - self.index.count(spiral, 0)

    cdef int64_t admitted_ever(self) noexcept:
        cdef int64_t found = self.index.added
        cdef int spiral
        for spiral in range(POOLS, min(self.index.spirals, <int> SPIRALS)):    # none, unless something is there
            found -= self.index.entered(spiral)
        return found

    cdef int admit(self, Point point, int spiral, int64_t now_ns) except -1:
        if spiral < 0 or spiral >= MAX_SPIRALS:
            raise InvalidCoordinate(f"spiral must be 0 to {MAX_SPIRALS - 1}, got {spiral}")
        if self.live(spiral) >= self.caps[spiral]:
            self.totals[spiral].refused += 1
            return 0
        self.index.link(point, spiral, NEW, now_ns)
        return 1

    cdef bint transfer(self, Point point, int spiral, int64_t now_ns) noexcept:
        if point.spiral != spiral and self.live(spiral) >= self.caps[spiral]:
            self.totals[spiral].refused += 1
            return False
        self.index.relink(point, spiral, point.layer, now_ns)
        return True

    cdef void archive(self, Point point, int64_t requests, int64_t bytes_in, int64_t bytes_out) noexcept:
        if point.layer == ARCHIVED or (point.index != NULL and point.index != <PyObject *>self.index):
            return
        self.totals[point.spiral].requests += requests
        self.totals[point.spiral].bytes_in += bytes_in
        self.totals[point.spiral].bytes_out += bytes_out
        self.index.unlink(point)
        point.layer = ARCHIVED

    cdef int shift(self, Point point, object layer) except -1:
        """Along the lifecycle: raises, or moves or archives the point."""
        cdef int target = layer_of(layer)
        cdef int64_t requests = 0, bytes_in = 0, bytes_out = 0
        require_connection(point.layer, target)
        if target == ARCHIVED:
            if isinstance(point, ConnectionPoint):
                (<ConnectionPoint>point).tallies(&requests, &bytes_in, &bytes_out)
            self.archive(point, requests, bytes_in, bytes_out)
        else:
            self.index.relink(point, point.spiral, target, monotonic_ns())
        # last: closing may run the caller's code
        if (target == ARCHIVED or target == CLOSED) and isinstance(point, ConnectionPoint):
            (<ConnectionPoint>point).release()
        return 0

    cdef int64_t sweep(self, int spiral, double max_idle_seconds) except -1:
        cdef Point point
        cdef int64_t archived = 0
        if not max_idle_seconds >= 0.0:
            raise UsageError(f"max_idle_seconds must be 0 or more, got {max_idle_seconds}")
        for point in self.index.expired(spiral, IDLE, monotonic_ns() / NS - max_idle_seconds):
            # closing the one before may have run code that moved this one
            if point.index == <PyObject *>self.index and point.spiral == spiral and point.layer == IDLE:
                self.shift(point, ARCHIVED)
                archived += 1
        return archived

    cdef Point known(self, object connection_id):
        cdef PyObject *found = self.index.find(connection_id)
        if found == NULL:
            raise UnknownPoint(f"no connection with the id {connection_id!r}")
        return <Point>found

    cdef int enter(self, ConnectionPoint point, int spiral) except -1:
        if not self.admit(point, spiral, monotonic_ns()):
            raise PoolFull(f"{self.described(spiral)} is full: {self.caps[spiral]} connections")
        return 0

    cdef str described(self, int spiral):
        for name, at in self.names.items():
            if at == spiral:
                return f"pool {name!r}"
        return f"spiral {spiral}"

    cdef int spiral_named(self, object name) except -1:
        if not isinstance(name, str) or name not in self.names:
            raise InvalidCoordinate(f"no pool is called {name!r}; pools: {', '.join(self.names)}")
        return self.names[name]

    cdef dict pool_stats(self, int spiral):
        return {
            "total_connections": self.live(spiral),
            "active_connections": self.index.count(spiral, ACTIVE),
            "idle_connections": self.index.count(spiral, IDLE),
            "total_created": self.created(spiral),
            "total_closed": self.closed(spiral),
            "total_refused": self.totals[spiral].refused,
            "total_requests": self.totals[spiral].requests,
            "bytes_in": self.totals[spiral].bytes_in,
            "bytes_out": self.totals[spiral].bytes_out,
        }

    # Python interface

    @property
    def pools(self):
        """Spirals by pool name, without the reserved ones, as a new dict."""
        return {name: spiral for name, spiral in self.names.items() if not is_reserved(spiral)}

    @property
    def admitted(self):
        """Connections that ever were in a pool, each counted once; points of the reserved spirals are not in it."""
        return self.admitted_ever()

    @property
    def spirals(self):
        """Spirals by name, all that have one, as a new dict."""
        return dict(self.names)

    def add_pool(self, name, cap=None):
        """Make a pool on the next free spiral, from 8 on; it counts for no total.

        Args:
            name: a non-empty str that no pool has.
            cap: connections it may hold; None for any number.

        Returns:
            Its spiral.

        Raises:
            UsageError: a bad or taken name, a bad cap, or all 64 spirals have a name.
        """
        cdef int spiral = <int>len(self.names)
        cdef int64_t limit = cap_of(cap)
        if not isinstance(name, str) or not name:
            raise UsageError(f"a pool's name must be a non-empty str, got {name!r}")
        if name in self.names:
            raise UsageError(f"a pool called {name!r} exists")
        if spiral >= MAX_SPIRALS:
            raise UsageError(f"all {MAX_SPIRALS} spirals have a name already")
        self.names[name] = spiral
        self.caps[spiral] = limit
        return spiral

    def set_cap(self, name, cap):
        """Change how many connections a pool may hold; those over it stay.

        Args:
            name: of a pool.
            cap: 0 or more; None for any number.

        Raises:
            InvalidCoordinate: no such pool.
            UsageError: a bad cap, or a reserved spiral, which has none.
        """
        cdef int64_t limit = cap_of(cap)
        cdef int spiral = self.spiral_named(name)
        if is_reserved(spiral):
            raise UsageError(f"{name!r} has no cap; those with one: {', '.join(self.pools)}")
        self.caps[spiral] = limit

    def pool(self, name):
        """One pool as a `ConnectionSubstrate` over the same index and totals.

        Raises:
            InvalidCoordinate: no such pool.
        """
        cdef ConnectionSubstrate substrate = ConnectionSubstrate.__new__(ConnectionSubstrate)
        substrate.spiral = self.spiral_named(name)
        substrate.pools = self
        return substrate

    def manifest_connection(self, socket=None, address=None, pool_type="http", connection_id=None):
        """Make a connection's point at layer 1 (new) of a pool.

        Args:
            socket: whatever carries it; closed with the connection.
            address: (host, port), the path of a Unix socket, or None.
            pool_type: name of the pool.
            connection_id: a non-empty str; None lets the index number it.

        Returns:
            The `ConnectionPoint`.

        Raises:
            InvalidCoordinate: no such pool.
            PoolFull: the pool is at its cap.
            DuplicatePoint: the id is taken.
            UsageError: the id is not a non-empty str.
        """
        cdef int spiral = self.spiral_named(pool_type)
        cdef ConnectionPoint point = ConnectionPoint(connection_id, socket, address, spiral)
        self.enter(point, spiral)
        return point

    def transition(self, connection_id, layer):
        """Take a connection along its lifecycle.

        Layer 6 (closed) closes its socket; 7 (archived) does too, folds its
        counters into the pool's, and takes the point out of the index.

        Args:
            connection_id: its id.
            layer: 1 to 7.

        Raises:
            UnknownPoint: no such connection.
            InvalidCoordinate: no such layer.
            IllegalTransition: the lifecycle has no such step; nothing was changed.
        """
        self.shift(self.known(connection_id), layer)

    def move_connection(self, connection_id, pool_type):
        """Put a connection into another pool, at the same layer.

        Raises:
            UnknownPoint: no such connection.
            InvalidCoordinate: no such pool.
            PoolFull: that pool is at its cap; the connection stays where it is.
            UsageError: from or to a reserved spiral: a point stays of its kind.
        """
        cdef Point point = self.known(connection_id)
        cdef int spiral = self.spiral_named(pool_type)
        if point.spiral != spiral and (is_reserved(point.spiral) or is_reserved(spiral)):
            raise UsageError(f"what is in {self.described(point.spiral)} cannot move to {self.described(spiral)}")
        if not self.index.reserve(spiral):
            raise MemoryError("no memory for a row of the index")
        if not self.transfer(point, spiral, monotonic_ns()):
            raise PoolFull(f"{self.described(spiral)} is full: {self.caps[spiral]} connections")

    def cleanup_idle(self, double max_idle_seconds=300.0):
        """Archive what has been idle (layer 4) for longer, in every pool; the reserved spirals are left alone.

        Args:
            max_idle_seconds: 0 or more.

        Returns:
            How many were archived.  Cost: O(that + pools).

        Raises:
            UsageError: a negative time, or NaN.
        """
        cdef int64_t archived = 0
        cdef int spiral
        for spiral in range(self.index.spirals):
            if is_reserved(spiral):
                continue
            archived += self.sweep(spiral, max_idle_seconds)
        return archived

    def compose(self, a, b):
        """z of one connection times z of another.

        Args:
            a: the id of a connection of any pool, or anything with a `z_value`.
            b: likewise.

        Raises:
            UnknownPoint: no such connection.
            PlacementError: an operand without a z.
        """
        return compose(self.known(a) if isinstance(a, str) else a,
                       self.known(b) if isinstance(b, str) else b)

    def get_stats(self):
        """Counters of every pool: ``{"spiral_0": {"total_connections": ..., ...}, ...}``, without the reserved spirals.

        All values are ints.  Requests and bytes are those of archived connections.
        Cost: O(pools), no connection is looked at.
        """
        return {f"spiral_{spiral}": self.pool_stats(spiral) for spiral in self.pools.values()}


@cython.no_gc_clear
cdef class ConnectionSubstrate:
    """One pool: a spiral of an index and the lifecycle of the connections in it.

    Args:
        index: the index to keep connections in; None makes one.
        spiral: 0 to 63.

    Raises:
        InvalidCoordinate: no such spiral.

    Thread-safety: as `ConnectionPoolManifold`, of which this is a part.
    """

    def __cinit__(self):
        self.pools = ConnectionPoolManifold()

    def __init__(self, Index index=None, spiral=0):
        cdef int at = spiral_of(spiral)
        if index is not None:
            self.pools.__init__(index)
        self.spiral = at

    @property
    def index(self):
        """The index the connections are in."""
        return self.pools.index

    def manifest(self, socket=None, address=None, connection_id=None):
        """Make a connection's point at layer 1 (new).

        Args:
            socket: whatever carries it; closed with the connection.
            address: (host, port), the path of a Unix socket, or None.
            connection_id: a non-empty str; None lets the index number it.

        Returns:
            The `ConnectionPoint`.

        Raises:
            PoolFull: the pool is at its cap.
            DuplicatePoint: the id is taken.
            UsageError: the id is not a non-empty str.
        """
        cdef ConnectionPoint point = ConnectionPoint(connection_id, socket, address, self.spiral)
        self.pools.enter(point, self.spiral)
        return point

    def transition(self, connection_id, layer):
        """As `ConnectionPoolManifold.transition`."""
        self.pools.transition(connection_id, layer)

    def cleanup_idle(self, double max_idle_seconds=300.0):
        """Archive what has been idle (layer 4) in this pool for longer.

        Args:
            max_idle_seconds: 0 or more.

        Returns:
            How many were archived.  Cost: O(that).

        Raises:
            UsageError: a negative time, or NaN.
        """
        return self.pools.sweep(self.spiral, max_idle_seconds)

    def compose(self, a, b):
        """As `ConnectionPoolManifold.compose`."""
        return self.pools.compose(a, b)

    def get_stats(self):
        """Counters of this pool, as one value of `ConnectionPoolManifold.get_stats`."""
        return self.pools.pool_stats(self.spiral)
