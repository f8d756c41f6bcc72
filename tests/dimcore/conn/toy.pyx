"""A toy protocol: lines ``number method path``, as many exchanges at once on one connection as there are numbers.

    1 GET /a  ─►  1 head 200 5 ─► 1 data 5, a line feed and the bytes ─► 1 end

It stands where a protocol with streams would: the connection is upgraded to it, and each of its exchanges is a point in
the pool of streams whose bytes another connection carries.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t

from dimcore.conn.answering cimport dispatch, give_answer, refuse_unrouted, release_request
from dimcore.conn.core cimport Site
from dimcore.conn.exchange cimport READABLE, WRITABLE, Exchange, come_alive, become, intervene
from dimcore.conn.filter cimport AnswerHead, Filter, Transform
from dimcore.conn.lifecycle cimport bury_request
from dimcore.conn.phase cimport BUSY, GONE, WORKING
from dimcore.conn.protocol cimport Protocol, ProtocolFactory
from dimcore.conn.streamed_body cimport Outflow
from dimcore.http.request cimport RequestPoint
from dimcore.index.states cimport DESCRIPTOR_CLOSED, REQUEST_BEGUN
from dimcore.limits cimport NEW, RECEIVED
from dimcore.net.socket_io cimport Peer, Transport

from dimcore import parse_request

cdef enum:
    STREAM_POOL = 4


cdef class ToyFactory(ProtocolFactory):
    cdef Protocol open(self, object exchange, object handler, RequestPoint request, object protocol, object codec):
        cdef ToySession session = ToySession()
        session.carrier = exchange
        session.streams = {}
        session.left = b""
        return session


cdef class ToySession(Protocol):
    cdef readonly Exchange carrier
    cdef readonly dict streams
    cdef bytes left

    cdef int take(self, char *data, size_t size) except -1:
        cdef bytes line
        *lines, self.left = (self.left + PyBytes_FromStringAndSize(data, size)).split(b"\n")
        for line in lines:
            number, _, asked = line.partition(b" ")
            open_stream(self, int(number), asked)
        return 0

    cdef uint8_t wanted(self) noexcept:
        cdef bint pending = self.carrier.outbox is not None and self.carrier.outbox.pending > 0
        return READABLE | WRITABLE if pending else READABLE

    cdef void gone(self) noexcept:
        for stream in list(self.streams.values()):
            (<ToyStream> stream).drop()


cdef class ToyStream(Exchange):
    cdef ToySession session
    cdef int number

    cdef int say(self, str line) except -1:
        cdef bytes text = f"{self.number} {line}\n".encode()
        return self.site.core.scratch.writer.append(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    cdef int put_head(self, int status, object headers, int64_t length, uint32_t flags, const char *kind) except -1:
        self.site.core.scratch.writer.declared = -1
        self.say(f"head {status} {length}")
        if length > 0:
            self.say(f"data {length}")
        return 0

    cdef int put_piece(self, Outflow flow, bytes piece) except -1:
        self.say(f"data {len(piece)}")
        return self.site.core.scratch.writer.append(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))

    cdef int write_pieces(self, Outflow flow, list pieces, Py_ssize_t total, bint last) except -1:
        self.say(f"data {total}")
        return self.session.carrier.send_pieces(pieces, total, b"")

    cdef int send_apart(self, object body) except -1:
        return self.session.carrier.send_apart(body)

    cdef int end_output(self) except -1:
        return self.say("end")

    cdef int flush(self) except -1:
        return self.session.carrier.flush()

    cdef int answer(self, object result, object error) except -1:
        return give_answer(self, result, error)

    cdef int go_on(self) except -1:
        return self.settle()

    cdef int settle(self) except -1:
        if self.state & (GONE | BUSY) or self.outbox is not None:
            return 0
        release_request(self)
        self.drop()
        return 0

    cdef void fail(self, object error) noexcept:
        self.site.core.scratch.writer.size = 0
        self.drop()
        self.site.core.tell("a stream failed", self.current, error)

    cdef void drop(self) noexcept:
        if self.state & GONE:
            return
        self.move(DESCRIPTOR_CLOSED)
        become(self, GONE)
        self.session.streams.pop(self.number, None)
        self.site.core.pools.archive(self, self.requests, self.bytes_in, self.bytes_out)
        if not self.state & WORKING:
            self.bury()

    cdef void bury(self) noexcept:
        bury_request(self)


cdef int open_stream(ToySession session, int number, bytes asked) except -1:
    cdef Exchange carrier = session.carrier
    cdef Site site = carrier.site
    cdef ToyStream stream = ToyStream.__new__(ToyStream)
    cdef RequestPoint request = parse_request(asked + b" HTTP/1.1\r\nHost: toy\r\n\r\n")[0]
    cdef const char *path
    cdef Py_ssize_t size = 0
    stream.site = site
    stream.peer = carrier.peer
    stream.session = session
    stream.number = number
    come_alive(stream)
    session.streams[number] = stream
    site.core.connection_index.link(stream, STREAM_POOL, NEW, site.core.now_ns)
    stream.move(REQUEST_BEGUN)
    request.connection = stream
    stream.current = request
    stream.requests = 1
    site.core.requests.enter(request, RECEIVED, site.core.now_ns)
    path = request.path_bytes(&size)
    request.route = site.router.find(request.info.method, request.base + request.info.method_at,
                                     request.info.method_length, path, size)
    intervene(stream, _serve, NULL)
    return 0


cdef int _serve(Exchange exchange, void *given) except -1:
    cdef Py_ssize_t size = 0
    cdef const char *path
    if exchange.current.route is None:
        path = exchange.current.path_bytes(&size)
        refuse_unrouted(exchange, path, size)
    else:
        dispatch(exchange)
    exchange.flush()
    return exchange.settle()


# --- a transport that keeps some of what has come -------------------------------------------------

cdef Transport KEEPING
cdef const Transport *under
cdef char kept[1 << 16]
cdef size_t kept_from = 0, kept_size = 0


cdef Py_ssize_t _read(int end, char *data, size_t room) noexcept nogil:
    """Seven bytes a call out of all that the one below has given, as a record of TLS is read in parts."""
    global kept_from, kept_size
    cdef Py_ssize_t got
    cdef size_t size, i
    if kept_size == 0:
        got = under.read(end, kept, sizeof(kept))
        if got <= 0:
            return got
        kept_from = 0
        kept_size = got
    size = min(<size_t> 7, min(room, kept_size))
    for i in range(size):
        data[i] = kept[kept_from + i]
    kept_from += size
    kept_size -= size
    return <Py_ssize_t> size


cdef bint _pending(int end) noexcept nogil:
    return kept_size > 0


cdef int _wants(int end) noexcept nogil:
    return 1


def keep_input(Site site):
    """Have a site's connections, one at a time, read through such a transport."""
    global under
    if under == NULL:
        under = site.transport
        KEEPING.accept = under.accept
        KEEPING.read = _read
        KEEPING.write = under.write
        KEEPING.write_pieces = under.write_pieces
        KEEPING.write_file = under.write_file
        KEEPING.cork = under.cork
        KEEPING.unsent = under.unsent
        KEEPING.close_write = under.close_write
        KEEPING.abort = under.abort
        KEEPING.close = under.close
        KEEPING.pending = _pending
        KEEPING.wants = _wants
    site.transport = &KEEPING


# --- a filter -----------------------------------------------------------------------------------------

cdef class Shout(Transform):
    cdef bytes feed(self, bytes piece):
        return piece.upper()

    cdef bytes end(self):
        return b"!"


cdef class ToyFilter(Filter):
    """Answers what has `?before` in its target, changes bodies unless `?plain`, and keeps what it was told."""

    cdef readonly list told
    cdef readonly str fails

    def __init__(self, fails=None):
        self.told = []
        self.fails = fails

    cdef object before(self, RequestPoint request):
        self.told.append("before")
        if self.fails == "before":
            raise LookupError("before")
        return (299, None, b"early") if "before" in request.raw_target else None

    cdef Transform after(self, RequestPoint request, AnswerHead head):
        self.told.append(("after", head.status, head.length))
        if self.fails == "after":
            raise LookupError("after")
        if self.fails == "closes":
            request.connection.close()
        head.add(b"x-toy", b"X-Toy: filtered\r\n")
        return None if "plain" in request.raw_target else Shout()

    cdef int finished(self, RequestPoint request, const Peer *peer, int64_t now_ns) except -1:
        self.told.append(("finished", request.status, request.body_sent))
        return 0
