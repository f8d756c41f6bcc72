"""Lines of the access log, made where the request still is: no Python object a line.

A line is formatted into one buffer of the worker's when its answer is out; the
shell takes the buffer's content now and then and brings it to the disk.  What
does not fit because nobody takes it is dropped and counted.

Formatting in Python was tried first: 4 us a JSON line, as much as the request
itself.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset

from dimcore.clock cimport monotonic_ns
from dimcore.http1.head cimport MINOR_UNKNOWN, Field
from dimcore.index.connection_point cimport ConnectionPoint
from dimcore.limits cimport KIB, OTHER
from dimcore.text.scan cimport scan_name_is

from dimcore.errors import UsageError
from dimcore.index.states import METHOD_NAMES as _METHOD_NAMES

cdef extern from "dimcore/conn/access_log.h":
    enum:
        DIM_LOG_LINE
        DIM_LOG_TAIL
    size_t dim_log_json(char *out, const dim_log_entry *entry, dim_log_span stamp)
    size_t dim_log_common(char *out, const dim_log_entry *entry, dim_log_span stamp, int combined)
    size_t dim_log_stamp(char *out, size_t room, int64_t second, int json)
    size_t dim_log_address(char *out, int family, const uint8_t *address)
    int64_t dim_log_wall_ns()

cdef enum Form:
    COMMON
    COMBINED
    JSON

FORMS = ("common", "combined", "json")

cdef enum:
    FIRST_ROOM = 64 * KIB
    KEPT_ROOM = 512 * KIB        # of an empty buffer; more is given back
    SYNC_NS = 1000000000         # the wall clock may be set: it is asked again after this long

cdef tuple METHODS = tuple(name.encode() for name in _METHOD_NAMES)


@cython.final
cdef class AccessLines(Filter):
    """Access log lines that wait to be written.

    Args:
        form: one of `FORMS`.
        pools: where the names of pools are found; ``None`` numbers them.
        worker: number of the worker, for the JSON form.
        process: id of the process, for the JSON form.
        limit: bytes that may wait; a line beyond is dropped.

    `pending` is the bytes that wait, `dropped` the lines lost since the last `take`.

    Raises:
        UsageError: an unknown form, or a limit below one line (4,096 bytes).

    Thread-safety: under the GIL.
    """

    def __cinit__(self, str form not None, ConnectionPoolManifold pools=None, *, int worker=0, int process=0,
                  Py_ssize_t limit=4096 * KIB):
        if form not in FORMS:
            raise UsageError(f"no access log format is called {form!r}; there are {', '.join(FORMS)}")
        if limit < <Py_ssize_t> DIM_LOG_LINE:
            raise UsageError(f"limit is {limit}; at least {DIM_LOG_LINE} bytes, the longest line, are needed")
        self.form = FORMS.index(form)
        self.limit = limit
        self.pools = pools
        self.pool_names = {}
        self.second = -1
        self.tail = f',"worker":{worker},"pid":{process}'.encode()

    def __dealloc__(self):
        PyMem_RawFree(self.data)

    @property
    def pending(self):
        """Bytes of lines that wait."""
        return self.used

    def take(self):
        """All that waits, and how many lines were dropped behind it: ``(bytes, dropped)``.

        Raises:
            MemoryError: the lines still wait.
        """
        cdef bytes taken = PyBytes_FromStringAndSize(self.data, self.used)
        cdef int64_t dropped = self.dropped
        self.used = 0
        self.dropped = 0
        if self.room > KEPT_ROOM:
            PyMem_RawFree(self.data)
            self.data = NULL
            self.room = 0
        return taken, dropped

    cdef bint reserve(self) noexcept:
        """Room for one more line, whatever it says."""
        cdef size_t room
        cdef char *grown
        if self.room - self.used >= DIM_LOG_LINE:
            return True
        if self.used + DIM_LOG_LINE > self.limit:
            return False
        room = min(max(self.room * 2, <size_t> FIRST_ROOM), self.limit)
        grown = <char *> PyMem_RawRealloc(self.data, room)
        if grown == NULL:
            return False
        self.data = grown
        self.room = room
        return True

    cdef bytes pool_name(self, int spiral):
        """The pool as it stands in JSON; a name of the app's may hold anything."""
        cdef object name = None
        if self.pools is not None:
            for known, at in self.pools.names.items():
                if at == spiral:
                    name = known
        if name is None:
            return str(spiral).encode()
        from json import dumps
        quoted = dumps(name).replace("\x7f", "\\u007f").encode()
        quoted = quoted if len(quoted) + len(self.tail) < DIM_LOG_TAIL else str(spiral).encode()
        self.pool_names[spiral] = quoted
        return quoted

    cdef void tell_time(self, int64_t now_ns, dim_log_entry *entry) noexcept:
        cdef int64_t wall_ns
        cdef int64_t second
        if now_ns - self.synced_ns >= SYNC_NS or self.second < 0:
            self.ahead_ns = dim_log_wall_ns() - monotonic_ns()
            self.synced_ns = now_ns
        wall_ns = now_ns + self.ahead_ns
        second = wall_ns // 1000000000
        entry.millisecond = <int> (wall_ns // 1000000 % 1000)
        if second != self.second:
            self.second = second
            self.stamp_size = dim_log_stamp(self.stamp, sizeof(self.stamp), second, self.form == JSON)

    cdef int finished(self, RequestPoint request, const Peer *peer, int64_t now_ns) except -1:
        client = name = None
        if not isinstance(request.connection, ConnectionPoint) or (
            (<ConnectionPoint> request.connection).forwarding() is None
        ):
            self.record(request, peer, now_ns, False, None, request._id)
            return 0
        try:
            client = request.client_ip
            name = request.request_id
        finally:                         # a line without its client is better than none
            self.record(request, peer, now_ns, True, client, name)
        return 0

    cdef void record(
        self, RequestPoint request, const Peer *peer, int64_t now_ns, bint resolved, object client, object name
    ) noexcept:
        cdef dim_log_entry entry
        cdef dim_log_span stamp
        cdef char address[64]
        cdef char number[16]
        cdef object pool = None
        cdef int64_t routed
        if not self.reserve():
            self.dropped += 1
            return
        memset(&entry, 0, sizeof(entry))
        self.tell_time(now_ns, &entry)
        stamp.text = self.stamp
        stamp.size = self.stamp_size
        entry.peer.size = dim_log_address(address, peer.family, peer.address)
        if entry.peer.size:
            entry.peer.text = address
        if resolved:
            entry.tells_peer = True
            span_of(client, &entry.client)
        else:
            entry.client = entry.peer
        entry.status = request.status
        entry.bytes_out = request.body_sent
        if request.info.length:
            entry.minor = request.info.minor if request.info.minor != MINOR_UNKNOWN else -1
            find_fields(request, &entry)
        if self.form == JSON:
            if name is None:
                entry.id.text = number
                entry.id.size = hexadecimal(number, request.number)
            else:
                span_of(name, &entry.id)
            routed = request.routed_ns if request.routed_ns else request.finished_ns
            entry.bytes_in = request.info.length + request.body_size
            entry.received_ns = <int64_t> request.head_us * 1000
            entry.total_ns = now_ns - request.started_ns + entry.received_ns
            entry.parsed_ns = routed - request.started_ns
            entry.handler_ns = request.finished_ns - routed
            entry.sending_ns = now_ns - request.finished_ns
            try:
                if isinstance(request.connection, ConnectionPoint):
                    pool = self.pool_names.get((<ConnectionPoint> request.connection).spiral)
                    if pool is None:
                        pool = self.pool_name((<ConnectionPoint> request.connection).spiral)
            except BaseException:        # no memory
                pool = None
            if pool is None:
                pool = b"null"
            entry.pool.text = PyBytes_AS_STRING(pool)
            entry.pool.size = PyBytes_GET_SIZE(pool)
            entry.tail.text = PyBytes_AS_STRING(self.tail)
            entry.tail.size = PyBytes_GET_SIZE(self.tail)
            self.used += dim_log_json(self.data + self.used, &entry, stamp)
        else:
            self.used += dim_log_common(self.data + self.used, &entry, stamp, self.form == COMBINED)


cdef void find_fields(RequestPoint request, dim_log_entry *entry) noexcept:
    """What the head says of itself, as it lies there."""
    cdef int i
    cdef const Field *field
    cdef const char *base = request.base
    if request.info.method < OTHER:
        entry.method.text = PyBytes_AS_STRING(METHODS[request.info.method])
        entry.method.size = PyBytes_GET_SIZE(METHODS[request.info.method])
    else:
        entry.method.text = base + request.info.method_at
        entry.method.size = request.info.method_length
    entry.target.text = base + request.info.target_at
    entry.target.size = request.info.target_length
    # The first of each name, as `headers.get` has it.
    for i in range(request.info.n_fields):
        field = &request.fields[i]
        if field.name_length == 10:
            if entry.agent.text == NULL and scan_name_is(base + field.name_at, b"user-agent", 10):
                entry.agent.text = base + field.value_at
                entry.agent.size = field.value_length
        elif field.name_length == 7:
            if entry.referer.text == NULL and scan_name_is(base + field.name_at, b"referer", 7):
                entry.referer.text = base + field.value_at
                entry.referer.size = field.value_length


cdef void span_of(object text, dim_log_span *span) noexcept:
    """The UTF-8 of a str, which lives as long as that; nothing where it is none."""
    cdef Py_ssize_t size = 0
    if text is None:
        return
    try:
        span.text = PyUnicode_AsUTF8AndSize(text, &size)
        span.size = size
    except BaseException:                # a lone surrogate, or no memory
        span.text = b"?"
        span.size = 1


cdef size_t hexadecimal(char *out, uint64_t number) noexcept:
    """As `RequestPoint.request_id` has it."""
    cdef const char *digits = b"0123456789abcdef"
    cdef size_t size = 1, at
    cdef uint64_t left = number >> 4
    while left:
        size += 1
        left >>= 4
    at = size
    while at:
        at -= 1
        out[at] = digits[number & 15]
        number >>= 4
    return size
