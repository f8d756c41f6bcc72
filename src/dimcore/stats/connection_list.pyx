"""Who is connected, row by row in JSON, made in slices that nobody else notices.

Whom a roll has is settled when it is made: that is one walk of a few cells, as far
as the limit.  Describing them costs fifty times as much, and is done in slices,
which whoever made the roll spreads over rounds of the loop.  A connection that
closed meanwhile is left out.

Rows made as dicts, and written by `json`, took 3.5 us each; these take 0.5.
"""

cimport cython
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc

from dimcore.clock cimport monotonic_ns
from dimcore.conn.carrier cimport Carrier
from dimcore.index.cell cimport Point, layer_of, spiral_of
from dimcore.index.connection_point cimport ConnectionPoint
from dimcore.index.index cimport Index

from dimcore.errors import UsageError
from dimcore.index.states import LAYER_NAMES as _LAYER_NAMES
from dimcore.index.states import STAGE_NAMES as _STAGE_NAMES

cdef extern from "Python.h":
    bytes PyBytes_FromFormat(const char *form, ...)

cdef enum:
    LAYER_BITS = 3               # of a cell's number, below the spiral
    TEXT = 40                    # room for the id or the IPv4 address of a live connection, quoted
    NUMBERS = 400                # room for all that is numbers or of a few known words

cdef int64_t MS = 1000000

cdef tuple LAYERS_TEXT = tuple(b'"%s"' % name.encode() for name in _LAYER_NAMES)
cdef tuple STAGES_TEXT = tuple(b'"%s"' % name.encode() for name in _STAGE_NAMES)


cdef bytes quoted(object text):
    """A str as it stands in JSON."""
    from json import dumps               # nobody is to wait for it at the start
    return dumps(text).encode()


cdef str client_text(object address):
    """As `host:port`; `unix:` and the path, or `unix`."""
    if not isinstance(address, tuple):
        return f"unix:{address}" if address else "unix"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@cython.final
cdef class Roll:
    """The connections that entered some cells first, as an iterator of slices.

    Args:
        index: of connections; points that are none are passed over.
        worker: a number that ids begin with.
        names: of the pools, for as many as have one; further ones are called ``spiral_5`` and so on.
        spirals, layers: the cells, in this order; a spiral that the index has not is no error.
        limit: rows at most.
        slice_us: microseconds a slice takes, about; one point at least is looked at.

    Each slice is a list of rows, which may be empty where everybody has closed meanwhile.  A row is
    ``(cell, entered_ns, JSON)``, plain values that compare as the rows of several workers of one machine are to stand:
    pool by pool, layer by layer, and within a cell the one that entered first first.

    A row says in which cell a connection was when the roll was made; its counters are those of its slice.

    Raises:
        InvalidCoordinate: a cell that cannot be.
        UsageError: a negative limit.
        MemoryError: none is left.

    Lifetime: holds the points.
    Thread-safety: the thread of their loop.
    """

    def __cinit__(self, Index index not None, int worker, tuple names not None, spirals, layers, Py_ssize_t limit,
                  *, int64_t slice_us=50):
        cdef PyObject *at
        cdef int spiral, layer
        cdef Py_ssize_t most = min(limit, <Py_ssize_t> index.total)
        if limit < 0:
            raise UsageError(f"the limit of a list is 0 or more, got {limit}")
        self.points = []
        self.pools = {}
        self.names = names
        self.worker = worker
        self.slice_ns = slice_us * 1000
        self.places = <Place *> malloc((most + 1) * sizeof(Place))
        if self.places == NULL:
            raise MemoryError("no memory for a list of connections")
        layers = [layer_of(each) for each in layers]
        for each in spirals:
            spiral = spiral_of(each)
            if index.rows[spiral] == NULL:
                continue
            for layer in layers:
                at = index.rows[spiral][layer].first
                while at != NULL and PyList_GET_SIZE(self.points) < most:
                    # The list grows meanwhile, but nothing of Python's runs.
                    if isinstance(<object> at, ConnectionPoint):
                        self.places[PyList_GET_SIZE(self.points)] = Place(
                            (<Point> at).entered_ns, <int64_t> spiral << LAYER_BITS | layer
                        )
                        self.points.append(<object> at)
                    at = (<Point> at).next

    def __dealloc__(self):
        free(self.places)

    def __iter__(self):
        return self

    def __next__(self):
        cdef int64_t began = monotonic_ns()
        cdef int64_t now = began
        cdef list rows = []
        cdef ConnectionPoint point
        cdef const Place *place
        if self.at >= PyList_GET_SIZE(self.points):
            self.points = []
            self.at = 0
            raise StopIteration
        while self.at < PyList_GET_SIZE(self.points):
            point = <ConnectionPoint> self.points[self.at]
            place = &self.places[self.at]
            self.at += 1
            if point.index != NULL:          # else it has left meanwhile
                rows.append((place.cell, place.entered_ns, self.row(point, place, now)))
            now = monotonic_ns()
            if now - began >= self.slice_ns:
                break
        return rows

    @staticmethod
    def describe(Index index not None, int worker, tuple names not None, ConnectionPoint point not None):
        """The row of one connection, as it is now.

        Args:
            index, worker, names: as for a roll.
            point: the connection.

        Returns:
            JSON.
        """
        cdef Roll roll = Roll(index, worker, names, (), (), 0)
        cdef Place place = Place(point.entered_ns, <int64_t> point.spiral << LAYER_BITS | point.layer)
        return roll.row(point, &place, monotonic_ns())

    cdef bytes pool_text(self, int spiral):
        cdef bytes text = self.pools.get(spiral)
        if text is None:
            text = quoted(self.names[spiral] if spiral < len(self.names) else f"spiral_{spiral}")
            self.pools[spiral] = text
        return text

    cdef bytes row(self, ConnectionPoint point, const Place *place, int64_t now_ns):
        cdef char id_room[TEXT]
        cdef char client_room[TEXT]
        cdef char numbers[NUMBERS]
        cdef const char *id_text = id_room
        cdef const char *client = client_room
        cdef bytes other_id, other_client, proxy = b"null", stage = b"null"
        cdef bytes pool = self.pool_text(<int> (place.cell >> LAYER_BITS))
        cdef str name = point.name()
        cdef int layer = <int> (place.cell & ((1 << LAYER_BITS) - 1))
        cdef bytes state = LAYERS_TEXT[layer]
        cdef int64_t age = max(<int64_t> 0, now_ns - point.created_ns) // MS
        cdef int64_t idle = max(<int64_t> 0, now_ns - place.entered_ns) // MS
        cdef int64_t requests, bytes_in, bytes_out
        cdef const uint8_t *at
        cdef Carrier live = <Carrier> point if isinstance(point, Carrier) else None
        if name is None:
            snprintf(id_room, TEXT, b'"%d-%llx"', self.worker, <unsigned long long> point.number)
        else:
            other_id = quoted(f"{self.worker}-{name}")
            id_text = other_id
        if live is not None and live.peer.family == 4:
            at = live.peer.address
            snprintf(client_room, TEXT, b'"%d.%d.%d.%d:%d"', <int> at[0], <int> at[1], <int> at[2], <int> at[3],
                     <int> live.peer.port)
        else:
            other_client = quoted(client_text(point.client_address()))
            client = other_client
        if live is not None:
            if live.site.trusts is not None:
                found = live.proxy
                if found is not None:
                    proxy = quoted(found if isinstance(found, str) else client_text(found))
            if live.current is not None:
                stage = STAGES_TEXT[live.current.layer]
        point.tallies(&requests, &bytes_in, &bytes_out)
        snprintf(
            numbers, NUMBERS,
            b'"layer":%d,"layer_name":%s,"age":%lld.%03d,"idle":%lld.%03d,'
            b'"requests":%lld,"bytes_in":%lld,"bytes_out":%lld',
            layer, <const char *> state, <long long> (age // 1000), <int> (age % 1000), <long long> (idle // 1000),
            <int> (idle % 1000), <long long> requests, <long long> bytes_in, <long long> bytes_out,
        )
        return PyBytes_FromFormat(
            b'{"id":%s,"worker":%d,"client":%s,"proxy":%s,"spiral":%d,"pool":%s,%s,"stage":%s}',
            id_text, self.worker, client, <const char *> proxy, <int> (place.cell >> LAYER_BITS),
            <const char *> pool, <const char *> numbers, <const char *> stage,
        )
