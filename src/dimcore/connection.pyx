"""The hot path: readable descriptor in, answers out, in one pass without a copy.

    receive -> parse -> route -> handler -> write -> send

All requests that arrived together are answered in order with one send.  What a
socket does not take waits in an `Outbox`, and nothing more is read from that
peer until it is gone.  What cannot be used yet (half a head, requests behind a
slow handler) waits in an `Inbox`; a connection without either holds no buffer.

One request of a connection is in flight at a time, so answers cannot overtake
each other, wherever their handlers run.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.string cimport memcmp, memcpy, memmove

from dimcore.body cimport (
    BODY_DONE, BODY_FAILED, BodyReader, BodyResult, body_start_chunked, body_start_length,
)
from dimcore.clock cimport monotonic_ns
from dimcore.core cimport Core, Site
from dimcore.limits cimport (
    ACTIVE, CLOSING, HEAD, IDLE, KIB, NEW, OTHER, PARSED, POOL_API, POOL_HTTP, RECEIVED, RESPONSE_READY, ROUTED,
)
from dimcore.parser cimport (
    ASTERISK_FORM, CHUNKED, EXPECT_CONTINUE, EXPECT_OTHER, FAULT_BODY_LENGTH, FAULT_CUT, FAULT_EXPECTATION,
    FAULT_TIMEOUT, HEAD_PARTIAL, KEEP_ALIVE, Field, fault_status, fault_text, head_parse, head_reset,
)
from dimcore.request cimport RequestPoint
from dimcore.router cimport Route
from dimcore.states cimport (
    ANSWER_COMPOSED, ANSWER_SENT, ANSWERED, CLOSE_BEGUN, DESCRIPTOR_CLOSED, HANDLER_DONE, HANDLER_FOUND, HEAD_PARSED,
    REFUSED, REQUEST_BEGUN, connection_next,
)
from dimcore.stream cimport (
    STREAM_BROKEN, Composite, FileBody, Outbox, Peer, peer_address, stream_close, stream_half_close, stream_receive,
    stream_send, stream_send_two,
)
from dimcore.writer cimport (
    CLOSE_AFTER, HEAD_ONLY, OLD_CLIENT, Writer, has_no_body,
)

from dimcore.errors import PeerError, ResponseError, UsageError

cdef enum:
    RECEIVE_BYTES = 64 * KIB     # size of Core.inbuf
    READ_AHEAD = 64 * KIB        # input kept behind a slow handler before reading stops
    OUTPUT_BYTES = 64 * KIB      # answers gathered before one send
    APART_BYTES = 16 * KIB       # a body from here on is sent from where it lies

cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
cdef dict PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@cython.final
@cython.no_gc
cdef class Connection(ConnectionPoint):
    """A live connection; made by an Acceptor, never by hand.

    Python sees the point (`id`, `address`, `age_seconds` ...) and its tallies:
    `requests` begun, `bytes_in`, `bytes_out`, `request` in flight.

    Thread-safety: only the thread of its loop may call a method.
    """

    def __init__(self):
        raise UsageError("connections are made by accepting them")

    def __dealloc__(self):
        self.free_inbox()
        if self.fd >= 0 and not self.flags & GONE:
            stream_close(self.fd)

    # --- the loop calls -------------------------------------------------------------------------

    def on_ready(self, int mask):
        """The descriptor is readable (1), writable (2) or both."""
        try:
            if mask & WRITABLE and self.outbox is not None and not self.flags & GONE:
                self.writable()
            if mask & READABLE and not self.flags & GONE and self.events & READABLE:
                self.readable()
        except BaseException as error:
            self._broke(error)

    def complete(self, request, result, error=None):
        """Answer a request whose handler ran elsewhere; one that nobody waits for any more is dropped."""
        if self.flags & GONE or self.current is not request or not self.flags & BUSY:
            close = getattr(result[2] if type(result) is tuple and len(result) == 3 else None, "close", None)
            if close is not None:
                close()
            return
        try:
            self.flags &= ~<uint32_t> BUSY
            self.site.core.clock()
            self.answer(result, error)
            self.flush()
            self.settle()
            if not self.flags & GONE and self.outbox is None and not self.flags & CLOSE:
                self.watch(READABLE)
                self.run_inbox()
        except BaseException as problem:
            self._broke(problem)

    def close(self):
        """Close now; from within its own handler, after the answer."""
        if self.flags & IN_HANDLER:
            self.flags |= CLOSE
        else:
            self.drop()

    @property
    def request(self):
        """The RequestPoint in flight, or None.  It stays valid for as long as it is kept."""
        return self.current

    @property
    def fileno(self):
        """The descriptor, or -1 once it is closed."""
        return -1 if self.flags & GONE else self.fd

    def _broke(self, error):
        # A fault of ours (or no memory): this connection ends, no other notices.
        request = self.current
        self.flags &= ~<uint32_t> IN_HANDLER
        self.site.core.writer.size = 0
        self.drop()
        self.site.core.report("a connection failed", request, error)

    # --- what a point overrides -----------------------------------------------------------------

    cdef object client_address(self):
        return peer_address(&self.peer)

    cdef void tallies(self, int64_t *requests, int64_t *bytes_in, int64_t *bytes_out) noexcept:
        requests[0] = self.requests
        bytes_in[0] = self.bytes_in
        bytes_out[0] = self.bytes_out

    cdef void release(self) noexcept:
        self.drop()

    # --- input ----------------------------------------------------------------------------------

    cdef int readable(self) except -1:
        cdef Core core = self.site.core
        cdef Py_ssize_t size = stream_receive(self.fd, core.inbuf, RECEIVE_BYTES)
        if size > 0:
            self.bytes_in += size
            if self.flags & (BUSY | LINGERING | CLOSE):
                if self.flags & BUSY and not self.flags & CLOSE:
                    self.keep(core.inbuf, size)
                    if self.inbox.size >= READ_AHEAD:
                        self.watch(0)
                return 0
            if self.inbox == NULL:
                return self.run(core.inbuf, size)
            self.keep(core.inbuf, size)
            return self.run_inbox()
        if size == 0:
            return self.end_of_stream()
        if size == STREAM_BROKEN:
            self.drop()
        return 0

    cdef int end_of_stream(self) except -1:
        """The peer sends no more; it still gets the answer to what it asked in full."""
        self.flags |= PEER_DONE
        if self.flags & BUSY:
            return self.watch(0)         # end-of-file stays readable; `settle` closes after the answer
        if self.current is not None and self.current.layer < RESPONSE_READY and not self.flags & CLOSE:
            self.refuse(fault_status(FAULT_CUT), fault_text(FAULT_CUT), None)
            self.flush()
            return self.settle()
        self.drop()
        return 0

    cdef int run(self, const char *data, size_t size) except -1:
        """Work through bytes that lie outside the inbox; keep what is left."""
        cdef size_t at = self.step(data, size)
        self.flush()
        if self.outbox is None:
            self.release_request()
        if at < size and not self.flags & (GONE | CLOSE):
            self.keep(data + at, size - at)
        return self.settle()

    cdef int run_inbox(self) except -1:
        """The same for bytes in the inbox."""
        cdef size_t at
        if self.inbox == NULL or self.inbox.size == 0:
            return self.settle()
        at = self.step(self.inbox.data, self.inbox.size)
        self.flush()
        if self.outbox is None:
            self.release_request()
        if self.inbox != NULL:
            if at == self.inbox.size or self.flags & (GONE | CLOSE):
                self.free_inbox()
            elif at:
                self.inbox.size -= <uint32_t> at
                memmove(self.inbox.data, self.inbox.data + at, self.inbox.size)
        return self.settle()

    cdef size_t step(self, const char *data, size_t size) except? 0:
        """Serve request after request; the number of bytes that are dealt with."""
        cdef Core core = self.site.core
        cdef Head *head
        cdef size_t at = 0
        cdef int length
        while not self.flags & (BUSY | CLOSE | GONE) and self.outbox is None:
            if self.reader is not None:
                at += self.take_body(data + at, size - at)
                if self.reader is not None:
                    break
                continue
            if at == size:
                break
            if self.inbox != NULL and self.inbox.head != NULL:
                head = self.inbox.head
            else:
                head = &core.head
                head_reset(head)
            length = head_parse(head, data + at, size - at, &core.head_limits)
            if length == HEAD_PARTIAL:
                self._head_begun(head)
                break
            if length < 0:
                self.release_request()
                core.requests.totals.requests += self.current is None
                self.refuse(fault_status(head.fault), fault_text(head.fault), None)
                return size
            if head != &core.head:
                core.head = head[0]
                PyMem_Free(self.inbox.head)
                self.inbox.head = NULL
            at += self.begin(data + at, size - at, length)
            if core.writer.size >= OUTPUT_BYTES:
                self.flush()
        if self.flags & CLOSE:
            if at < size:
                self.flags |= LINGER     # what follows the last answer is dropped, and may not be all
            return size
        return at

    cdef int _head_begun(self, Head *head) except -1:
        """Half a head is here: a request at stage *received*, and the parser's state kept for the rest."""
        cdef Core core = self.site.core
        cdef RequestPoint request
        cdef size_t used = sizeof(Head)
        self.release_request()
        if self.current is None:
            if self.layer != ACTIVE:
                self.move(REQUEST_BEGUN)
            request = core.take_request()
            request.spiral = OTHER       # until the method is known
            request.info.n_fields = 0
            request.info.length = 0
            request.connection = self
            request.started_ns = core.now_ns
            core.requests.enter(request, RECEIVED, core.now_ns)
            core.requests.totals.requests += 1
            self.current = request
        if self.inbox == NULL:
            self.keep(NULL, 0)
        if self.inbox.head == NULL:
            self.inbox.head = <Head *> PyMem_Malloc(used)
            if self.inbox.head == NULL:
                raise MemoryError
            self.inbox.head[0] = head[0]
        return 0

    cdef int keep(self, const char *data, size_t size) except -1:
        """Append to the inbox."""
        cdef size_t room
        cdef char *grown
        if self.inbox == NULL:
            self.inbox = <Inbox *> PyMem_Malloc(sizeof(Inbox))
            if self.inbox == NULL:
                raise MemoryError
            self.inbox.data = NULL
            self.inbox.size = 0
            self.inbox.room = 0
            self.inbox.head = NULL
        if self.inbox.size + size > self.inbox.room:
            room = max(self.inbox.size + size, <size_t> self.inbox.room * 2)
            grown = <char *> PyMem_Realloc(self.inbox.data, room)
            if grown == NULL:
                raise MemoryError
            self.inbox.data = grown
            self.inbox.room = <uint32_t> room
        if size:
            memcpy(self.inbox.data + self.inbox.size, data, size)
            self.inbox.size += <uint32_t> size
        return 0

    cdef void free_inbox(self) noexcept:
        if self.inbox != NULL:
            PyMem_Free(self.inbox.data)
            PyMem_Free(self.inbox.head)
            PyMem_Free(self.inbox)
            self.inbox = NULL

    # --- a request ------------------------------------------------------------------------------

    cdef size_t begin(self, const char *data, size_t size, int length) except? 0:
        """Serve the request whose parsed head is in `Core.head`; returns the bytes used."""
        cdef Core core = self.site.core
        cdef RequestPoint request
        cdef const char *path
        cdef Py_ssize_t path_size = 0
        cdef int64_t now = core.now_ns
        self.release_request()
        request = self.current
        if request is None:
            request = core.take_request()
            request.adopt(&core.head, data)
            request.connection = self
            core.requests.enter(request, PARSED, now)
            core.requests.totals.requests += 1
            self.current = request
        else:
            request.adopt(&core.head, data)
            core.requests.step(request, HEAD_PARSED, now)
        request.started_ns = now
        path = request.path_bytes(&path_size)
        if self.layer != ACTIVE:
            self.move(REQUEST_BEGUN)
        if self.requests == 0 and self.site.splits_api and path_size >= 5 and memcmp(path, b"/api/", 5) == 0:
            if not core.pools.transfer(self, POOL_API, now):
                self.refuse(503, b"the api pool is full", {"Retry-After": "1"})
                return length
        self.requests += 1
        if core.head.info.flags & EXPECT_OTHER:
            self.refuse(fault_status(FAULT_EXPECTATION), fault_text(FAULT_EXPECTATION), None)
            return length
        if core.head.info.content_length > core.max_body:
            self.refuse(fault_status(FAULT_BODY_LENGTH), fault_text(FAULT_BODY_LENGTH), None)
            return length
        request.route = self.site.router.find(
            request.info.method, data + request.info.method_at, request.info.method_length, path, path_size
        )
        if request.route is None and self.site.fallback is not None:
            request.route = self.site.fallback.find(
                request.info.method, data + request.info.method_at, request.info.method_length, path, path_size
            )
        if core.head.info.content_length > 0 and not core.head.info.flags & CHUNKED:
            if <int64_t> (size - length) >= core.head.info.content_length:
                request.body_at = data + length
                request.body_size = <Py_ssize_t> core.head.info.content_length
                length += <int> core.head.info.content_length
            elif request.route is None:
                self.flags |= CLOSE | LINGER     # answered without its body: the framing ends here
            else:
                self.start_body(False)
                if size == <size_t> length:
                    self._continue()
                return length
        elif core.head.info.flags & CHUNKED:
            if request.route is None:
                self.flags |= CLOSE | LINGER
            else:
                self.start_body(True)
                if size == <size_t> length:
                    self._continue()
                return length
        if request.route is None:
            self.not_routed(path, path_size)
        else:
            self.dispatch()
        return length

    cdef int start_body(self, bint chunked) except -1:
        """Collect a body that is still on its way; the head is copied first."""
        cdef RequestPoint request = self.current
        request.own()
        self.reader = BodyReader.__new__(BodyReader)
        if chunked:
            body_start_chunked(&self.reader.body, self.site.core.max_body)
        else:
            body_start_length(&self.reader.body, request.info.content_length)
        request.marked_bytes = 0
        return 0

    cdef int _continue(self) except -1:
        """Nothing of the body is here and the handler wants it: say so (RFC 9110 10.1.1)."""
        if self.current.info.flags & EXPECT_CONTINUE:
            self.site.core.writer.append(PyBytes_AS_STRING(CONTINUE), PyBytes_GET_SIZE(CONTINUE))
        return 0

    cdef size_t take_body(self, const char *data, size_t size) except? 0:
        cdef size_t used = 0
        cdef BodyResult result = self.reader.take(data, size, &used)
        cdef BodyReader reader = self.reader
        if result == BODY_FAILED:
            self.refuse(fault_status(reader.body.fault), fault_text(reader.body.fault), None)
            return size
        if result == BODY_DONE:
            self.current._body = PyBytes_FromStringAndSize(reader.data, reader.size)
            self.reader = None
            self.dispatch()
        return used

    cdef int dispatch(self) except -1:
        """The request is whole: run its handler here, or hand it over."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        cdef Route route = request.route
        core.requests.step(request, HANDLER_FOUND, core.now_ns)
        if route.blocking:
            request.own()
            self.flags |= BUSY
            core.offload(self, request, route.handler)
            return 0
        self.flags |= IN_HANDLER
        try:
            result = route.handler(request)
        except BaseException as error:
            self.flags &= ~<uint32_t> IN_HANDLER
            core.clock()
            return self.answer(None, error)
        self.flags &= ~<uint32_t> IN_HANDLER
        core.clock()
        return self.answer(result, None)

    # --- the answer -----------------------------------------------------------------------------

    cdef int answer(self, object result, object error) except -1:
        """Write the answer to `current`: what the handler returned, or what its exception means."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        if self.flags & GONE:            # the handler closed its own connection through the pools
            self.current = None
            core.requests.leave(request)
            return request.own()
        core.requests.step(request, HANDLER_DONE, core.now_ns)
        if error is None:
            try:
                core.answer.take(result)
                self.send_answer(core.answer.headers, core.answer.body, core.answer.status, core.answer.content_type)
                return 0
            except ResponseError as problem:
                error = problem
            finally:
                core.answer.clear()
        if isinstance(error, PeerError):
            return self.send_answer(PLAIN, f"{error}\n".encode(), error.status, NULL)
        core.report("a handler failed", request, error)
        return self.send_answer(PLAIN, b"Internal Server Error\n", 500, NULL)

    cdef int send_answer(self, object headers, object body, int status, const char *kind) except -1:
        """Write head and body; a large body is sent from where it lies, a file by the kernel."""
        cdef Core core = self.site.core
        cdef Writer writer = core.writer
        cdef RequestPoint request = self.current
        cdef bint is_bytes = type(body) is bytes
        cdef int64_t length
        cdef uint32_t flags = 0
        if is_bytes:
            length = PyBytes_GET_SIZE(body)
        elif isinstance(body, FileBody):
            length = (<FileBody> body).length
        else:
            length = (<Composite> body).length
        if not request.info.flags & KEEP_ALIVE or self.flags & CLOSE or core.draining:
            flags |= CLOSE_AFTER
        if request.info.minor == 0 and request.info.length:
            flags |= OLD_CLIENT
        if request.info.method == HEAD:
            flags |= HEAD_ONLY
        if writer.head(status, headers, length, flags, kind) & CLOSE_AFTER:
            self.flags |= CLOSE
        core.requests.step(request, ANSWER_COMPOSED, core.now_ns)
        request.finished_ns = core.now_ns
        request.status = status
        core.requests.totals.answered += 1
        core.requests.totals.time_ns += core.now_ns - request.started_ns
        if status >= 500:
            core.requests.totals.errors += 1
        else:
            core.requests.totals.processed += 1
        if flags & HEAD_ONLY or has_no_body(status) or length == 0:
            request.body_sent = 0
            if not is_bytes:
                body.close()
            return 0
        request.body_sent = length
        if is_bytes and length < APART_BYTES:
            writer.append(PyBytes_AS_STRING(body), length)
            return 0
        return self._send_apart(body)

    cdef int _send_apart(self, object body) except -1:
        """Send what is written, then `body`; what the socket does not take goes to the outbox."""
        cdef Core core = self.site.core
        cdef Writer writer = core.writer
        cdef Py_ssize_t sent
        cdef int64_t moved
        cdef Outbox outbox
        if self.outbox is None and type(body) is bytes:
            sent = stream_send_two(
                self.fd, writer.data, writer.size, PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body)
            )
            if sent == STREAM_BROKEN:
                writer.size = 0
                self.drop()
                return 0
            sent = max(sent, 0)
            self.bytes_out += sent
            if <size_t> sent >= writer.size:
                sent -= writer.size
                writer.size = 0
                if sent == PyBytes_GET_SIZE(body):
                    return 0
                self.outbox = Outbox()
                self.outbox.put(body)
                self.outbox.offset = sent
                self.outbox.pending -= sent
            else:
                self.outbox = Outbox()
                self.outbox.put(PyBytes_FromStringAndSize(writer.data + sent, writer.size - sent))
                self.outbox.put(body)
                writer.size = 0
            return self.hold()
        outbox = self.outbox if self.outbox is not None else Outbox()
        outbox.put(PyBytes_FromStringAndSize(writer.data, writer.size))
        outbox.put(body)
        writer.size = 0
        self.outbox = outbox
        moved = outbox.flush(self.fd)
        if moved == STREAM_BROKEN:
            self.drop()
            return 0
        self.bytes_out += moved
        if outbox.pending == 0:
            self.outbox = None
            return 0
        return self.hold()

    cdef int refuse(self, int status, bytes text, object headers) except -1:
        """An answer of the server's own that ends the connection: the framing cannot be trusted any more."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        cdef Writer writer = core.writer
        cdef bint head_only = request is not None and request.info.length and request.info.method == HEAD
        self.flags |= CLOSE | LINGER
        self.reader = None
        writer.head(status, headers, PyBytes_GET_SIZE(text) + 1, CLOSE_AFTER, b"text/plain; charset=utf-8")
        if not head_only:
            writer.append(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
            writer.append(b"\n", 1)
        core.requests.totals.errors += 1
        if request is not None:
            core.requests.step(request, REFUSED, core.now_ns)
            request.finished_ns = core.now_ns
            request.status = status
            request.body_sent = 0 if head_only else PyBytes_GET_SIZE(text) + 1
        return 0

    cdef int not_routed(self, const char *path, Py_ssize_t size) except -1:
        """404, 405 with Allow, or 501 for the methods that are no plain exchange."""
        cdef RequestPoint request = self.current
        cdef object allow = self.site.router.allow(path, size)
        if allow is None and self.site.fallback is not None:
            allow = self.site.fallback.allow(path, size)
        self.site.core.requests.step(request, REFUSED, self.site.core.now_ns)
        if request.info.flags & ASTERISK_FORM:
            return self.send_answer({"Allow": "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"}, b"", 200, NULL)
        if allow is not None:
            return self.send_answer({"Allow": allow, **PLAIN}, b"Method Not Allowed\n", 405, NULL)
        if request.info.method == OTHER and request.method in ("CONNECT", "TRACE"):
            return self.send_answer(PLAIN, b"Not Implemented\n", 501, NULL)
        return self.send_answer(PLAIN, b"Not Found\n", 404, NULL)

    cdef int release_request(self) except -1:
        """An answered request leaves the index; its memory serves the next one unless somebody kept it."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        if request is None or request.layer != RESPONSE_READY:
            return 0
        self.current = None
        core.requests.step(request, ANSWER_SENT, core.now_ns)
        core.requests.leave(request)
        if core.access_log is not None:
            core.access_log(request, request.status, request.body_sent, request.finished_ns - request.started_ns)
        if (<PyObject *> request).ob_refcnt == 1:
            request.forget()
            core.spare = request
        else:
            request.own()
        return 0

    # --- output ---------------------------------------------------------------------------------

    cdef int flush(self) except -1:
        """Send what is written."""
        cdef Writer writer = self.site.core.writer
        cdef size_t size = writer.size
        cdef Py_ssize_t sent
        if size == 0:
            return 0
        writer.size = 0
        if self.flags & GONE:
            return 0
        if self.outbox is not None:
            self.outbox.put(PyBytes_FromStringAndSize(writer.data, size))
            return 0
        sent = stream_send(self.fd, writer.data, size, False)
        if sent == <Py_ssize_t> size:
            self.bytes_out += sent
            return 0
        if sent == STREAM_BROKEN:
            self.drop()
            return 0
        sent = max(sent, 0)
        self.bytes_out += sent
        self.outbox = Outbox()
        self.outbox.put(PyBytes_FromStringAndSize(writer.data + sent, size - sent))
        return self.hold()

    cdef int hold(self) except -1:
        """The peer lags: wait until it reads, and read nothing from it meanwhile."""
        if self.current is not None:
            self.current.own()
            self.current.marked_bytes = self.bytes_out
        return self.watch(WRITABLE)

    cdef int writable(self) except -1:
        cdef int64_t moved
        moved = self.outbox.flush(self.fd)
        if moved == STREAM_BROKEN:
            self.drop()
            return 0
        self.bytes_out += moved
        if self.outbox.pending:
            return 0
        self.outbox = None
        self.release_request()
        if self.flags & CLOSE:
            return self.settle()
        self.watch(READABLE)
        return self.run_inbox()

    # --- the end --------------------------------------------------------------------------------

    cdef int settle(self) except -1:
        """After a round of work: idle, waiting, or on the way out."""
        if self.flags & (GONE | BUSY | LINGERING) or self.outbox is not None:
            return 0
        self.release_request()
        if self.flags & CLOSE:
            return self.finish()
        if self.current is None and (self.inbox == NULL or self.inbox.size == 0):
            self.free_inbox()
            if self.flags & PEER_DONE:
                self.drop()
            elif self.layer == ACTIVE:
                self.move(ANSWERED)
        return 0

    cdef int finish(self) except -1:
        """All is sent.  After a refusal the peer may still be sending: close at once, and the kernel would
        answer that with a reset, which can destroy the answer before it is read (RFC 9112 9.6)."""
        if not self.flags & LINGER or self.flags & PEER_DONE:
            self.drop()
            return 0
        self.flags |= LINGERING
        self.free_inbox()
        stream_half_close(self.fd)
        self.move(CLOSE_BEGUN)
        return self.watch(READABLE)

    cdef void drop(self) noexcept:
        """Close now, fold the tallies in, leave every structure."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        if self.flags & GONE:
            return
        self.flags |= GONE
        try:
            self.watch(0)
        except BaseException as error:
            core.report("the loop lost a connection", None, error)
        stream_close(self.fd)
        self.outbox = None
        self.reader = None
        self.move(DESCRIPTOR_CLOSED)
        core.pools.archive(self, self.requests, self.bytes_in, self.bytes_out)
        if request is not None and not self.flags & IN_HANDLER:
            self.current = None
            core.requests.leave(request)
            try:
                request.own()
            except MemoryError:
                request.forget()
        if not self.flags & IN_HANDLER:      # its request may still lie there
            self.free_inbox()

    cdef void timed_out(self) noexcept:
        """A time limit passed: say 408 where an answer can still be given, then close."""
        cdef RequestPoint request = self.current
        try:
            if request is not None and request.layer < ROUTED and not self.flags & (CLOSE | GONE):
                self.refuse(fault_status(FAULT_TIMEOUT), fault_text(FAULT_TIMEOUT), None)
                self.flush()
                self.settle()
            else:
                self.drop()
        except BaseException as error:
            self._broke(error)

    cdef int watch(self, uint32_t events) except -1:
        """Change what the loop watches; the selector is asked only when something changes."""
        cdef Core core = self.site.core
        cdef uint32_t before = self.events
        if events == before:
            return 0
        self.events = events
        if events == 0:
            core.unregister(self.fd)
        elif before == 0:
            core.register(self.fd, events, self.on_ready)
        else:
            core.modify(self.fd, events, self.on_ready)
        return 0

    cdef void move(self, int event) noexcept:
        cdef int layer = connection_next(self.layer, event)
        if layer:
            self.site.core.connection_index.relink(self, self.spiral, layer, self.site.core.now_ns)


cdef Connection open_connection(Site site, int fd, const Peer *peer):
    """A connection over an accepted descriptor, in no index yet; closes `fd` when dropped."""
    cdef Connection connection = Connection.__new__(Connection)
    connection.site = site
    connection.fd = fd
    connection.peer = peer[0]
    return connection
