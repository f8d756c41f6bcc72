"""The request as a point, decoded only where somebody looks.

A `RequestPoint` holds spans of the bytes the request came in.  While its
handler runs inline those bytes stay in the worker's receive buffer and nothing
is copied; if anybody keeps the object longer, `own` copies them first, so it
stays valid for as long as it is kept.

Thread-safety: reading is safe from any thread holding the GIL; two threads that
decode the same part at once both get equal values.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1, PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memchr, memcpy

from dimcore.aio.task_runner cimport is_async_iterable
from dimcore.clock cimport monotonic_ns
from dimcore.http.headers cimport Headers
from dimcore.http.query cimport parse_cookies, parse_query, percent_decoded
from dimcore.http1.body cimport (
    BODY_DONE, BODY_FAILED, BODY_MORE, BODY_PIECE, Body, BodyResult, body_start_chunked, body_step,
)
from dimcore.http1.head cimport (
    CHUNKED, DEFAULT_LIMITS, ESCAPED_PATH, EXPECT_OTHER, HEAD_PARTIAL, Field, fault_status,
    fault_text, head_parse, head_reset,
)
from dimcore.index.cell cimport layer_of, spiral_of
from dimcore.index.connection_point cimport ConnectionPoint
from dimcore.limits cimport MAX_HEAD_BYTES, METHODS, OTHER, RECEIVED
from dimcore.text.scan cimport scan_is_token, scan_setup

from dimcore.errors import BadRequest, UsageError
from dimcore.http.body_iter import Pieces
from dimcore.index.geometry import identity_vector as _identity_vector
from dimcore.index.geometry import z_value as _z_value
from dimcore.index.states import METHOD_NAMES as _METHOD_NAMES
from dimcore.index.states import STAGE_NAMES as _STAGE_NAMES

scan_setup()

cdef tuple KNOWN_METHODS = tuple(_METHOD_NAMES)[:OTHER]
cdef object serial = 0     # of points that never were in an index
cdef object _json_decoder = None


def _no_constant(name):
    raise ValueError(f"{name} is no JSON value")


cdef tuple host_and_port(str host, object scheme):
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:         # an IPv6 address alone
        name, port = host, ""
    return name, port or ("443" if scheme == "https" else "80")


cdef bint is_http_method(int spiral) noexcept:
    return 0 <= spiral < METHODS


@cython.no_gc
cdef class RequestPoint(HeadPoint):
    """One request: a point at ``(method, stage)``.

    Args:
        request_id: an id of your own; made up when asked for if ``None``.
        method: a token, upper case as a rule.
        path: request target: path, and query if there is one.
        headers: mapping or pairs of names and values.
        body: the whole body.
        spiral: 0 GET, 1 POST, 2 PUT, 3 DELETE, 4 PATCH, 5 OPTIONS, 6 HEAD, 7 any
            other; follows the method when ``None``.
        layer: stage, 1 received ... 7 logged.
        position: priority or weight; carried, not read by the server.

    Raises:
        UsageError: the method is no token, the target is longer than 65,535 bytes, or the
            coordinate is outside the index.  Malformed headers raise when they are first read.

    Lifetime: the object owns what it refers to, or comes to own it before the
    server reuses the memory; keep it as long as you like.
    Source: the seed's RequestPoint; RFC 9110, 9112.
    """

    def __cinit__(self, *args, **kwargs):
        self.info.content_length = -1
        self.layer = RECEIVED

    def __init__(
        self, request_id=None, str method not None="GET", path not None="/", headers=None, body not None=b"",
        spiral=None, layer=RECEIVED, double position=0.0,
    ):
        cdef bytes target
        cdef bytes name = method.encode("utf-8", "replace")
        cdef Py_ssize_t size
        cdef const char *query
        try:
            target = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else memoryview(path).tobytes()
        except UnicodeEncodeError as error:
            raise UsageError(f"path {path!r}: {error}") from None
        size = PyBytes_GET_SIZE(target)
        if not scan_is_token(name, len(name)):
            raise UsageError(f"method {method!r} is not a token")
        if size > MAX_HEAD_BYTES:
            raise UsageError(f"the request target has {size} bytes; at most {MAX_HEAD_BYTES} are allowed")
        if self.index != NULL:
            raise UsageError("a point in an index cannot be made anew")
        if request_id is not None and (not isinstance(request_id, str) or not request_id):
            raise UsageError(f"request_id must be a non-empty str or None, not {request_id!r}")
        given = body if type(body) is bytes else memoryview(body).tobytes()
        row = None if spiral is None else spiral_of(spiral)
        stage = layer_of(layer)
        self.forget()
        self.owner = target
        self.base = PyBytes_AS_STRING(target)
        self.info.target_length = <uint16_t> size
        query = <const char *> memchr(self.base, c"?", size)
        self.info.path_length = <uint16_t> (query - self.base if query != NULL else size)
        if query != NULL:
            self.info.query_at = self.info.path_length + 1
            self.info.query_length = <uint16_t> (size - self.info.path_length - 1)
        if memchr(self.base, c"%", self.info.path_length) != NULL:
            self.info.flags |= ESCAPED_PATH
        self._method = method
        self.given_headers = headers
        self._body = given
        if row is None:
            self.info.method = OTHER
            for number in range(OTHER):
                if KNOWN_METHODS[number] == method:
                    self.info.method = <uint8_t> number
            self.spiral = self.info.method
        else:
            self.spiral = row
            self.info.method = <uint8_t> (self.spiral if is_http_method(self.spiral) else OTHER)
        self.layer = stage
        self.position = position
        self._id = request_id
        self.started_ns = monotonic_ns()

    cdef int own(self) except -1:
        """Copy what still lies in a buffer of somebody else's, in one block: fields, then head.

        Who may hold a span (`base`, `fields`, `body_at`) into which buffer, and until when:

        * Three buffers are lent: `Core.inbuf`, `Core.heads`, and the `Inbox` of a connection.  One request borrows
          from them: the `current` of the connection that is being served.  Everybody else owns what they point to.
        * It borrows until the event is through (`through` in `exchange.pyx`), and no longer than until the inbox is
          appended to, moved or freed.  `Carrier.keep_input` and `Carrier.free_inbox` are the only places that do so,
          and both call this first, whatever the connection's state; nothing else touches an inbox.
        * A request that leaves the connection before that is forgotten where nobody else refers to it, and owns its
          bytes where somebody does (`release_request` in `answering.pyx`).
        * Within an event any Python code may run: handlers, iterators, hooks, logs, finalizers.  It can end any
          connection, but buffers in use stay: a connection that is served is only marked as gone (`drop_carrier`),
          what it holds is freed when the event is through, and no second event begins before that (`Core.enter`).
        * To own is safe at any time: what was lent stays readable until the event is through.  Code that
          another thread may run reads `base` and `fields` anew after each object it makes.
        """
        cdef Py_ssize_t table = self.info.n_fields * sizeof(Field)
        cdef char *block
        cdef bytes owner
        if self.body_at != NULL and self._body is None:
            self._body = PyBytes_FromStringAndSize(self.body_at, self.body_size)
        self.body_at = NULL
        if self.owner is not None or self.base == NULL:
            return 0
        owner = PyBytes_FromStringAndSize(NULL, table + self.info.length)
        block = PyBytes_AS_STRING(owner)
        memcpy(block, self.fields, table)
        memcpy(block + table, self.base, self.info.length)
        self.fields = <Field *> block
        self.base = block + table
        self.owner = owner
        return 0

    cdef str name(self):
        return self._id

    @property
    def request_id(self):
        """Unique within the process: hexadecimal text, or the id given by the maker or by a trusted proxy."""
        cdef tuple origin
        global serial
        if self._id is None:
            origin = self.origin()
            if origin is not None and origin[3] is not None:
                return origin[3]
            if self.number:
                return format(self.number, "x")
            serial += 1
            self._id = f"r{serial:x}"
        return self._id

    @property
    def id(self):
        """What the index calls this point: `request_id`, but for an id a proxy gave."""
        if self._id is None and self.number:
            return format(self.number, "x")
        return self.request_id

    @property
    def method(self):
        """The method as sent, for example ``"GET"``."""
        if self._method is None:
            if self.info.method < OTHER:
                return KNOWN_METHODS[self.info.method]
            self._method = PyUnicode_DecodeLatin1(self.base + self.info.method_at, self.info.method_length, NULL)
        return self._method

    @property
    def path(self):
        """The path, percent-decoded once and read as UTF-8 (U+FFFD where it is not)."""
        cdef Py_ssize_t size = 0
        cdef const char *text
        if self._path is None:
            text = self.path_bytes(&size)
            if self.info.flags & ESCAPED_PATH:
                self._path = percent_decoded(text, size, False)
            else:
                self._path = PyUnicode_DecodeUTF8(text, size, "replace")
        return self._path

    @property
    def raw_target(self):
        """The request target as sent (text of ASCII characters)."""
        return PyUnicode_DecodeUTF8(self.base + self.info.target_at, self.info.target_length, "replace")

    @property
    def raw_path(self):
        """The path as sent, percent-encoded, without the query."""
        cdef Py_ssize_t size = 0
        cdef const char *text = self.path_bytes(&size)
        return PyUnicode_DecodeUTF8(text, size, "replace")

    @property
    def query_string(self):
        """What follows the first ``?`` of the target, as sent; ``""`` when there is none."""
        return PyUnicode_DecodeUTF8(self.base + self.info.query_at, self.info.query_length, "replace")

    @property
    def query_params(self):
        """The query decoded: a dict of first values, with `getall` and `pairs` for repeated names."""
        cdef bytes text
        if self._query is None:
            # A copy: while the pairs are made, a finalizer may let the loop's thread give the memory back.
            text = PyBytes_FromStringAndSize(self.base + self.info.query_at, self.info.query_length)
            self._query = parse_query(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        return self._query

    @property
    def headers(self):
        """The header fields, a case-insensitive multi-mapping (see `Headers`)."""
        cdef Headers headers
        if self._headers is None:
            if self.given_headers is not None:
                self.lay_out_headers()
            headers = Headers.__new__(Headers)
            headers.point = self
            return headers
        return self._headers

    @property
    def http_version(self):
        """``"1.1"`` or ``"1.0"``."""
        return "1.0" if self.info.minor == 0 and self.info.length else "1.1"

    @property
    def host(self):
        """Host and port the request is for: as a trusted proxy, an absolute target or the Host field says, or None."""
        cdef tuple origin = self.origin()
        if origin is not None and origin[2] is not None:
            return origin[2]
        if self.info.host_length == 0:
            return self.headers.get("host")
        return PyUnicode_DecodeLatin1(self.base + self.info.host_at, self.info.host_length, NULL)

    @property
    def cookies(self):
        """Cookies by name, quotes around a value removed; of a repeated name the first.

        Source: RFC 6265 4.2 and 5.4 (user agents send the most specific one first).
        """
        if self._cookies is None:
            self._cookies = parse_cookies(self.headers.getall("cookie"))
        return self._cookies

    @property
    def body(self):
        """The whole body; a handler on a thread waits for it here.

        Raises:
            BadRequest: the body did not arrive in full.
            UsageError: a part of it was taken through `stream` already.
        """
        if self.body_missing:
            raise BadRequest(f"{self.body_missing} bytes of the body are missing", 400)
        if self._body is None:
            if self._source is not None:
                self._body = self._source.read()
            elif self.body_at == NULL:
                return b""
            else:
                self._body = PyBytes_FromStringAndSize(self.body_at, self.body_size)
        return self._body

    def stream(self):
        """The body in pieces of `bytes`, for `for` and, in a coroutine, `async for`.

        A body that is larger than what is held in memory is read from a temporary file.
        To a handler registered with ``stream=True`` any body is handed on as it arrives:
        it waits for each piece, and while it lags, the socket is not read.

        Raises:
            BadRequest: while iterating, when the peer leaves or breaks the framing.
        """
        if self._body is None and self._source is not None:
            return self._source if is_async_iterable(self._source) else Pieces(self._source)
        body = self.body
        return Pieces((body,) if body else ())

    cdef void take_body(self, object body) noexcept:
        """The body came apart from the head: `bytes`, or where to read it."""
        if type(body) is bytes:
            self._body = body
        else:
            self._source = body

    def json(self):
        """The body read as JSON (RFC 8259): UTF-8, and without the NaN and Infinity that are none.

        Raises:
            BadRequest: it is not JSON; the server answers 400 if the handler lets it pass.
        """
        global _json_decoder
        if _json_decoder is None:
            from json import JSONDecoder
            _json_decoder = JSONDecoder(parse_constant=_no_constant)
        try:
            return _json_decoder.decode(self.body.decode("utf-8"))
        except BadRequest:
            raise
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}", 400) from None

    @property
    def params(self):
        """What the ``{name}`` segments of the route matched, percent-decoded."""
        cdef Py_ssize_t size = 0
        cdef const char *text
        cdef bytes path
        if self._params is None:
            if self.route is None:
                return {}
            text = self.path_bytes(&size)
            path = PyBytes_FromStringAndSize(text, size)     # as in `query_params`
            self._params = self.route.params(PyBytes_AS_STRING(path), size)
        return self._params

    @property
    def client_ip(self):
        """The address of whoever asks, as text: the peer's, or what trusted proxies say.

        ``None`` for a Unix socket, for a request made by hand, and where a proxy does not say.
        """
        cdef tuple origin = self.origin()
        if origin is not None:
            return origin[0]
        address = getattr(self.connection, "address", None)
        return address[0] if isinstance(address, tuple) and address else None

    @property
    def scheme(self):
        """``"https"`` where a trusted proxy says that its client came so, else ``"http"``."""
        cdef tuple origin = self.origin()
        return "http" if origin is None or origin[1] is None else origin[1]

    cdef tuple origin(self):
        """What trusted proxies say of it; None where there are none."""
        cdef object resolve
        if self._origin is None and isinstance(self.connection, ConnectionPoint):
            resolve = (<ConnectionPoint> self.connection).forwarding()
            if resolve is not None:
                self._origin = resolve((<ConnectionPoint> self.connection).client_address(), self.headers)
        return self._origin

    @property
    def stage_name(self):
        """The name of `layer`, for example ``"routed"``."""
        return _STAGE_NAMES[self.layer]

    @property
    def processing_time_ms(self):
        """Milliseconds since the head was complete; stops when the answer is ready."""
        return ((self.finished_ns or monotonic_ns()) - self.started_ns) / 1e6

    @property
    def identity_vector(self):
        """``(x, y)`` of the path, as the seed defines it; see ``dimcore.compose``."""
        return _identity_vector(self.path)

    @property
    def z_value(self):
        """``x * y`` of the path; close to 1 for nearly every path, so never place by it."""
        return _z_value(self.path)

    def __repr__(self):
        return f"<RequestPoint {self.request_id} {self.method} {self.raw_target} ({self.spiral}, {self.layer})>"


def parse_request(data, Py_ssize_t max_body=16 * 1024 * 1024):
    """Parse the request at the start of `data`.

    Args:
        data: bytes-like.
        max_body: most body bytes allowed.

    Returns:
        ``None`` while the head is incomplete, else ``(RequestPoint, consumed)``.
        `consumed` counts the head, and the body where all of it is in `data`; of
        a body that is not, nothing is consumed and `body` raises.

    Raises:
        BadRequest: with `.status`; no more bytes can mend the request.

    Lifetime: everything is copied; `data` may be reused at once.
    Source: RFC 9112 2-7.
    """
    cdef bytes given = data if type(data) is bytes else memoryview(data).tobytes()
    cdef Py_ssize_t size = PyBytes_GET_SIZE(given), length
    cdef const char *text = PyBytes_AS_STRING(given)
    cdef Head head
    cdef RequestPoint request
    head_reset(&head)
    length = head_parse(&head, text, size, &DEFAULT_LIMITS)
    if length == HEAD_PARTIAL:
        return None
    if length < 0:
        raise BadRequest(fault_text(head.fault).decode(), fault_status(head.fault))
    request = RequestPoint.__new__(RequestPoint)
    request.adopt(&head, text)
    request.started_ns = monotonic_ns()
    request.own()
    if head.info.flags & EXPECT_OTHER:
        raise BadRequest("the only expectation supported is 100-continue", 417)
    if head.info.flags & CHUNKED:
        return request, length + _parse_chunked(request, text + length, size - length, max_body)
    if head.info.content_length > max_body:
        raise BadRequest("the request body is too long", 413)
    if head.info.content_length > size - length:
        request.body_missing = head.info.content_length - (size - length)
        return request, length
    if head.info.content_length > 0:
        request._body = PyBytes_FromStringAndSize(text + length, <Py_ssize_t> head.info.content_length)
        length += <Py_ssize_t> head.info.content_length
    return request, length


cdef Py_ssize_t _parse_chunked(RequestPoint request, const char *text, Py_ssize_t size, Py_ssize_t limit) except -1:
    cdef Body body
    cdef size_t used = 0, piece_size = 0
    cdef Py_ssize_t at = 0
    cdef const char *piece = NULL
    cdef BodyResult result
    pieces = []
    body_start_chunked(&body, limit)
    while True:
        result = body_step(&body, text + at, size - at, &used, &piece, &piece_size)
        if result == BODY_FAILED:
            raise BadRequest(fault_text(body.fault).decode(), fault_status(body.fault))
        at += used
        if result == BODY_PIECE:
            pieces.append(piece[:piece_size])
        elif result == BODY_DONE:
            request._body = b"".join(pieces)
            return at
        elif result == BODY_MORE:
            request.body_missing = max(body.remaining, 1)
            return 0
