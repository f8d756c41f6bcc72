"""A connection as a point: who it is, where it came from, how old it is."""
cimport cython
from cpython.unicode cimport PyUnicode_FromObject
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint32_t
from dimcore.clock cimport monotonic_ns
from dimcore.index.geometry cimport identity_of, x_of, y_of
from dimcore.index.index cimport Point

from dimcore.errors import UsageError
from dimcore.index.states import LAYER_NAMES as _LAYER_NAMES

cdef double NS = 1e9


cdef tuple vector_of(object given):
    """A pair of finite floats, or UsageError."""
    cdef double x, y
    try:
        x, y = given
    except (TypeError, ValueError, OverflowError):
        pass
    else:
        if isfinite(x) and isfinite(y):
            return x, y
    raise UsageError(f"identity_vector must be a pair of finite numbers or None, got {given!r:.100}")


# Without the collector's header a point is 16 bytes smaller, and ten thousand idle connections are not
# walked through again and again.  The price is in the docstring.
@cython.no_gc
cdef class ConnectionPoint(Point):
    """A connection of the outside world.

    Args:
        connection_id: a non-empty str, unique in its index; None lets the index number it.
        socket: whatever carries the connection; its ``close()`` is called when the point is
            closed or archived by a `ConnectionSubstrate` or `ConnectionPoolManifold`.
        address: (host, port), the path of a Unix socket, or None.
        spiral: pool, 0 to 63.
        layer: state, 1 to 7.
        position: priority or weight; see `Point`.
        identity_vector: (x, y), two finite numbers; None computes them from the host of `address`.

    Raises:
        InvalidCoordinate: `spiral` or `layer` is not an int or out of range.
        UsageError: `connection_id` is not a non-empty str, `identity_vector` is not a pair of finite
            numbers, or `__init__` is called again while the point is in an index.

    Lifetime: holds `socket` until it is closed or archived.  The collector does not look into
        the point: a socket object of your own that refers back to it lives until then.
    Thread-safety: as `Point`.
    """

    def __cinit__(self):
        self.created_ns = monotonic_ns()
        self.entered_ns = self.created_ns

    def __init__(self, connection_id=None, socket=None, address=None, spiral=0, layer=1, double position=0.0,
                 identity_vector=None):
        if connection_id is not None and (not isinstance(connection_id, str) or not connection_id):
            raise UsageError(f"connection_id must be a non-empty str or None, got {connection_id!r}")
        if identity_vector is not None:
            identity_vector = vector_of(identity_vector)
        Point.__init__(self, spiral, layer, position)
        if connection_id is None and socket is None and address is None and identity_vector is None:
            self.named = None
            return
        if connection_id is not None:
            connection_id = PyUnicode_FromObject(connection_id)   # an exact str: hashing it runs no code
        self.named = (connection_id, socket, address, identity_vector)

    cdef str name(self):
        return <str> (<tuple> self.named)[0] if type(self.named) is tuple else None

    cdef object client_address(self):
        return (<tuple> self.named)[2] if type(self.named) is tuple else None

    cdef void tallies(self, int64_t *requests, int64_t *bytes_in, int64_t *bytes_out) noexcept:
        requests[0] = 0
        bytes_in[0] = 0
        bytes_out[0] = 0

    cdef void disown(self) noexcept:
        """A point that a program made holds nothing that a forked child could disturb."""

    cdef void release(self) noexcept:
        cdef object socket
        if type(self.named) is not tuple:
            return
        socket = (<tuple> self.named)[1]
        if socket is None:
            return
        self.named = (self.named[0], None, self.named[2], self.named[3])
        close = getattr(socket, "close", None)
        if close is None:
            return
        try:
            close()
        except OSError:      # the peer was faster
            pass

    cdef void recount(self) noexcept:
        pass

    cdef object forwarding(self):
        return None

    cdef str host(self):
        cdef object address = self.client_address()
        if isinstance(address, (tuple, list)) and address:
            address = address[0]
        if address is None:
            return ""
        if isinstance(address, bytes):
            return (<bytes>address).decode("utf-8", "surrogateescape")
        return str(address)

    @property
    def connection_id(self):
        """The same as `id`, under the name it is given by."""
        return self.id

    @property
    def socket(self):
        """What the caller gave, or the WebSocket of a live connection that became one, or None; None once the point
        was closed or archived."""
        if type(self.named) is int:
            return None
        return (<tuple> self.named)[1] if type(self.named) is tuple else self.named

    @property
    def address(self):
        """(host, port), the path of a Unix socket, or None."""
        return self.client_address()

    @property
    def identity_vector(self):
        """(x, y) as given, else of the client's host, the empty text for an unknown one; computed each time."""
        cdef uint32_t identity
        if type(self.named) is tuple and (<tuple> self.named)[3] is not None:
            return (<tuple> self.named)[3]
        identity = identity_of(self.host())
        return x_of(identity), y_of(identity)

    @property
    def z_value(self):
        """x * y of the identity vector."""
        cdef double x, y
        x, y = self.identity_vector
        return x * y

    @property
    def layer_name(self):
        """For example ``active``."""
        return _LAYER_NAMES[self.layer]

    @property
    def age_seconds(self):
        """Seconds since the connection was made."""
        return (monotonic_ns() - self.created_ns) / NS

    @property
    def idle_seconds(self):
        """Seconds since the point entered its layer (or renewed its stay there)."""
        return (monotonic_ns() - self.entered_ns) / NS
