"""The answering half of a connection: from a request that begins to its answer in the writer.

    dispatch -> handler -> answer -> compose -> send_body

A handler's fault, a fault of what it returned and a refusal of the server's own
all end here as an answer, and each of them exactly once: nothing is written
before the whole head is known to be valid.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memset

from dimcore.aio.task_runner cimport Errand, Runner, is_awaitable
from dimcore.conn.batching cimport FROM_NS
from dimcore.conn.core cimport Core, detach_request, leave_process
from dimcore.conn.handler cimport Conversation
from dimcore.conn.sending cimport (
    APART_BYTES, BUSY, CLOSE, GONE, HALTED, HANGUP, HAS_ANSWER, LINGER, PEER_DONE, READABLE, STREAMING, UNFRAMED,
    UPGRADED, WORKING, Channel,
)
from dimcore.conn.streamed_body cimport AsyncSource, Outflow, Push
from dimcore.http.body_reader cimport BodyReader
from dimcore.http.request cimport RequestPoint
from dimcore.http.router cimport Route
from dimcore.http1.body cimport body_start_chunked, body_start_length
from dimcore.http1.head cimport ASTERISK_FORM, EXPECT_CONTINUE, KEEP_ALIVE, Head
from dimcore.http1.head_writer cimport CLOSE_AFTER, HEAD_ONLY, OLD_CLIENT, UNKNOWN_LENGTH, Writer, has_no_body
from dimcore.index.states cimport (
    ANSWER_COMPOSED, HANDLER_DONE, HANDLER_FOUND, REFUSED, REQUEST_BEGUN, STAGE_PROGRESS, UPGRADE_BEGUN,
)
from dimcore.limits cimport ACTIVE, CLOSING, HEAD, OPTIONS, OTHER, PARSED, POOL_WEBSOCKET, RECEIVED, RESPONSE_READY
from dimcore.net.socket_io cimport Composite, FileBody, discard_body
from dimcore.worker_record cimport count_answer, set_line
from dimcore.ws.websocket cimport Endpoint, open_websocket
from dimcore.wsgi.call cimport Caller

from dimcore.errors import PeerError, ResponseError, UsageError

cdef str NO_LOOP = "this worker runs no asyncio loop: register an async function, or set loop to asyncio"
cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
cdef enum:
    STREAM_LARGE = 2         # `Route.streaming`: at once unless the body is known to be small

cdef dict PLAIN = {"Content-Type": "text/plain; charset=utf-8"}


@cython.no_gc
cdef class Exchange(Channel):
    """Base of `Connection`; not for use by itself."""

    cdef int open_request(self) except -1:
        """A request at stage *received*, of which nothing is known yet."""
        cdef Core core = self.site.core
        cdef RequestPoint request = core.take_request()
        memset(&request.info, 0, sizeof(request.info))
        request.info.content_length = -1
        request.info.method = OTHER      # until it is known
        request.spiral = OTHER
        request.connection = self
        request.started_ns = core.now_ns
        request.routed_ns = request.finished_ns = 0
        request.head_us = 0
        request.body_size = 0
        core.requests.enter(request, RECEIVED, core.now_ns)
        core.requests.totals.requests += 1
        self.current = request
        if self.layer != ACTIVE:
            self.move(REQUEST_BEGUN)
        return 0

    cdef int tell_line(self, const Head *head, const char *data) except -1:
        """Of a head at `data` that is not whole: its method, and once that is read the target.

        What is answered to a HEAD has no body, a refusal too (RFC 9110 9.3.2); and a refusal is logged with both.
        """
        cdef RequestPoint request = self.current
        cdef Py_ssize_t size
        if head.info.method_length:
            request.info.method = head.info.method
        if head.info.target_length and request.base == NULL:
            size = head.info.target_at + head.info.target_length
            request.owner = PyBytes_FromStringAndSize(data, size)
            request.base = PyBytes_AS_STRING(request.owner)
            request.info.method_at = head.info.method_at
            request.info.method_length = head.info.method_length
            request.info.target_at = head.info.target_at
            request.info.target_length = head.info.target_length
            request.info.minor = head.info.minor
            request.info.length = <uint16_t> size
        return 0

    cdef int64_t most_body(self) noexcept:
        """Most bytes the body of the current request may have: its route's limit, else the server's."""
        cdef Route route = self.current.route
        return self.site.core.max_body if route is None or route.max_body < 0 else route.max_body

    cdef int start_body(self, bint chunked) except -1:
        """Collect a body that is still on its way; the head is copied first."""
        cdef RequestPoint request = self.current
        request.own()
        request.reader = BodyReader.__new__(BodyReader)
        if chunked:
            body_start_chunked(&request.reader.body, self.most_body())
        else:
            body_start_length(&request.reader.body, request.info.content_length)
        request.marked_bytes = 0
        request.credit_ns = self.site.core.stage_credit_ns[<int> PARSED]
        return 0

    cdef int call_for_body(self) except -1:
        """Nothing of the body is here and the handler wants it: say so (RFC 9110 10.1.1)."""
        if self.current.info.flags & EXPECT_CONTINUE:
            self.current.info.flags &= ~<uint32_t> EXPECT_CONTINUE
            self.site.core.writer.append(PyBytes_AS_STRING(CONTINUE), PyBytes_GET_SIZE(CONTINUE))
        return 0

    cdef bint wants_at_once(self) noexcept:
        """Whether the handler is to run before the body is there.

        One that runs on a thread may leave small bodies to us: a client that takes its time holds no thread then.
        """
        cdef RequestPoint request = self.current
        if request.route.streaming != STREAM_LARGE:
            return request.route.streaming != 0
        return (
            request.info.content_length < 0 or request.info.flags & EXPECT_CONTINUE != 0
            or request.info.content_length > <int64_t> self.site.core.body_memory
        )

    cdef int dispatch(self) except -1:
        """The request is whole: run its handler here, or hand it over."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        cdef Route route = request.route
        request.routed_ns = core.now_ns
        if request.reader is None:       # else the body is still arriving, and its limit holds
            core.requests.step(request, HANDLER_FOUND, core.now_ns)
        try:
            if route.blocking:
                request.own()
                self.flags |= BUSY
                core.offload(self, request, route.handler)
                return 0
            # Should this process not survive the handler, its supervisor finds here what it was.
            set_line(core.running, request.base + request.info.method_at,
                     request.info.target_at + request.info.target_length - request.info.method_at, core.now_ns)
            if isinstance(route.handler, Caller):
                result = (<Caller> route.handler).run_app(request)
            else:
                result = route.handler(request)
                if is_awaitable(result):
                    if isinstance(result, Conversation):
                        (<Conversation> result).start(self)
                        if self.flags & (BUSY | GONE | HAS_ANSWER):
                            return 0
                    result = self.first_step(result)
                    if self.flags & BUSY:
                        return 0
        except BaseException as error:
            if core.forked:
                leave_process(error)
            if isinstance(error, KeyboardInterrupt):     # somebody wants the whole program to stop
                raise
            self.flags &= ~<uint16_t> BUSY               # or no thread was to be had
            core.clock()
            return self.answer(None, error)
        core.clock()
        self.answer(result, None)
        if core.afterwards is not None:
            return self.conclude()
        if core.now_ns - request.routed_ns >= FROM_NS:
            core.put_off = core.gathering.pace(core.now_ns - request.routed_ns)
        return 0

    cdef int conclude(self) except -1:
        """The handler has something to do that nobody need wait for: the answer goes out first, unless it is known
        to be little and the answer waits for those of others (`Gathering`)."""
        cdef Core core = self.site.core
        cdef int64_t began_ns = self.current.routed_ns
        afterwards, core.afterwards = core.afterwards, None
        if core.gathering.unproven:
            self.flush()
        try:
            afterwards()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            core.tell("a handler failed after its answer", self.current, error)
        core.put_off = core.gathering.pace(core.clock() - began_ns)
        return 0

    # --- coroutines -----------------------------------------------------------------------------

    cdef object first_step(self, object awaitable):
        """What the coroutine of an async handler returns, or BUSY: it waits, and `complete` is called in the end."""
        cdef Runner runner = self.site.core.runner
        cdef Errand errand
        if runner is None:
            close = getattr(awaitable, "close", None)
            if close is not None:
                close()
            raise UsageError(NO_LOOP)
        errand = runner.begin(self, self.current, awaitable, None)
        if errand is not None:
            # A coroutine that has made a WebSocket of the connection goes on beside it.
            return None if self.flags & UPGRADED else self.wait_for(errand)
        self.current.coroutine = runner.take_context()
        return runner.take_result()

    cdef int wait_for(self, Errand errand) except -1:
        """The answer comes later; a peer that is gone ends the coroutine."""
        self.current.coroutine = errand
        self.flags |= BUSY
        self.current.own()
        if not self.flags & (HALTED | PEER_DONE):
            self.watch(READABLE)         # it may have caught up with a body that was halted
        return 0

    cdef object first_piece(self, AsyncSource source):
        """Let a body be made by a coroutine: BUSY while that waits for the first piece, else the answer to give."""
        cdef Core core = self.site.core
        cdef Runner runner = core.runner
        cdef Errand errand
        if runner is None:
            raise UsageError(NO_LOOP)
        context = self.current.coroutine     # a generator sees what the handler that made it has set
        if type(context) is Errand:
            context = (<Errand> context).context
        errand = runner.begin(
            self, self.current,
            core.open_flow(self, self.current, core.answer.status, core.answer.headers, source.pieces),
            context)
        if errand is not None:
            return self.wait_for(errand)
        runner.take_context()
        return runner.take_result()

    # --- the body of the request ----------------------------------------------------------------

    cdef bint reads_on(self, object result):
        """Whether the handler may go on reading its body while it makes the answer: it is on a thread, and so is what
        makes the pieces.  A peer that still waits to be asked for its body is not asked any more."""
        cdef RequestPoint request = self.current
        return (
            request.route.blocking and request.reader.sink is not None
            and request.info.flags & EXPECT_CONTINUE == 0
            and type(result) is tuple and len(<tuple> result) == 3 and type((<tuple> result)[2]) is Push
        )

    cdef int forgo_body(self) except -1:
        """Nobody reads the rest of the body any more: it is thrown away, and the connection is closed."""
        cdef RequestPoint request = self.current
        self.flags |= CLOSE | LINGER
        self.end_body(b"the answer was given before the request was complete")
        request.reader = None
        self.site.core.requests.step(request, HANDLER_FOUND, self.site.core.now_ns)
        return 0

    cdef int end_body(self, bytes error) except -1:
        """No more of the body that is being streamed; `error` is empty where it is complete."""
        cdef RequestPoint request = self.current
        cdef BodyReader reader
        if request is None:
            return 0
        reader = request.reader
        if reader is not None and reader.sink is not None:
            request.reader = None
            reader.sink.end(error.decode())
            if self.flags & HALTED:      # the handler may go on lagging: nobody waits for it
                self.flags &= ~<uint16_t> HALTED
                if self.outbox is None or self.outbox.pending == 0:
                    self.watch(READABLE)
        return 0

    def pause_body(self):
        """Read no more of the body that arrives, until `resume_body`: its handler lags.  The loop's thread only."""
        if self.flags & GONE:
            return
        self.site.core.check_thread()
        if self.current is not None and self.current.reader is not None:
            self.flags |= HALTED
            if self.outbox is None or self.outbox.pending == 0:      # else it is not read as it is
                self.watch(HANGUP)

    def resume_body(self):
        """Go on after `pause_body`; a peer that waits to be told so is told (RFC 9110 section 10.1.1).

        The loop's thread only.
        """
        cdef Core core
        if self.flags & (GONE | HALTED) != HALTED:
            return
        core = self.site.core
        core.check_thread()
        self.flags &= ~<uint16_t> HALTED
        if self.current is None or self.current.reader is None:
            return
        # The time before was the handler's.
        core.requests.step(self.current, STAGE_PROGRESS, core.clock())
        if self.flags & (BUSY | STREAMING) and (self.outbox is None or self.outbox.pending == 0):
            self.watch(READABLE)
        if not self.current.info.flags & EXPECT_CONTINUE:
            return
        if self.flags & WORKING:         # the handler asks in its first step; behind answers that are written already
            self.call_for_body()
            return
        core.enter()
        try:
            self.call_for_body()
            self.flush()
        finally:
            core.leave()

    @property
    def body_paused(self):
        """Whether `pause_body` was called, and `resume_body` not yet."""
        return self.flags & HALTED != 0

    # --- the answer -----------------------------------------------------------------------------

    cdef int answer(self, object result, object error) except -1:
        """Answer `current`: with what the handler returned, or what its exception means."""
        cdef Core core = self.site.core
        cdef object body = None
        if self.flags & (GONE | UPGRADED):   # the handler closed its own connection, or it is answered with 101
            if error is not None:
                core.tell("a handler failed", self.current, error)
            return 0
        if self.current.reader is not None:      # answered before its body was read: the framing ends here
            self.flags |= CLOSE | LINGER
            if error is not None or not self.reads_on(result):
                self.forgo_body()
        core.requests.step(self.current, HANDLER_DONE, core.now_ns)
        if error is not None:
            return self.answer_error(error)
        try:
            # Up to here nothing of the answer is written, so any fault of it becomes another answer.
            core.answer.take(result)
            claim(core.answer.body)      # one that another answer is sending is not this one's to discard
            body = core.answer.body
            if type(body) is AsyncSource:
                result = self.first_piece(<AsyncSource> body)
                if self.flags & (BUSY | GONE):
                    return 0
                core.answer.take(result)
                claim(core.answer.body)
                body = core.answer.body
            self.compose(core.answer.headers, body, core.answer.status, core.answer.content_type)
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                raise
            discard(body)
            if self.current.reader is not None:
                self.forgo_body()
            return self.answer_error(problem)
        finally:
            core.answer.clear()
        self.send_body(body)
        if self.current.reader is not None and self.flags & (STREAMING | GONE) == 0:
            self.forgo_body()            # nothing is made: to HEAD, or with 204
        return 0

    cdef int answer_error(self, object error) except -1:
        """What an exception of the handler, or a fault of its answer, means to the client."""
        cdef int status = 0
        cdef bytes text
        if isinstance(error, PeerError):
            try:
                status = error.status
                text = f"{error}\n".encode("utf-8", "replace")
            except BaseException as problem:
                error = problem
                status = 0
        if 400 <= status <= 599:
            return self.answer_with(status, PLAIN, text)
        self.site.core.tell("a handler failed", self.current, error)
        return self.answer_with(500, PLAIN, b"Internal Server Error\n")

    cdef int answer_with(self, int status, object headers, bytes body) except -1:
        if self.flags & GONE:
            return 0
        self.compose(headers, body, status, NULL)
        return self.send_body(body)

    cdef int compose(self, object headers, object body, int status, const char *kind) except -1:
        """Write the head; what it raises leaves nothing written."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        cdef int64_t length
        cdef uint32_t flags = 0
        if type(body) is bytes:
            length = PyBytes_GET_SIZE(body)
        elif isinstance(body, FileBody):
            length = (<FileBody> body).length
        elif isinstance(body, Outflow):
            length = UNKNOWN_LENGTH
            if request.info.method != HEAD and not has_no_body(status) and not (<Outflow> body).prime():
                length = 0
            elif request.info.minor == 0 and request.info.length:
                flags |= CLOSE_AFTER     # the end of the connection is the end of the body
        else:
            length = (<Composite?> body).length
        if not request.info.flags & KEEP_ALIVE or self.flags & CLOSE or core.draining or self.layer == CLOSING:
            flags |= CLOSE_AFTER
        if request.info.minor == 0 and request.info.length:
            flags |= OLD_CLIENT
        if request.info.method == HEAD:
            flags |= HEAD_ONLY
        if core.writer.head(status, headers, length, flags, kind) & CLOSE_AFTER:
            self.flags |= CLOSE
            if request.info.flags & KEEP_ALIVE:
                self.flags |= LINGER     # the peer does not expect it, and may be sending the next request
        core.requests.step(request, ANSWER_COMPOSED, core.now_ns)
        self.flags |= HAS_ANSWER
        request.credit_ns = core.stage_credit_ns[<int> RESPONSE_READY]
        request.finished_ns = core.now_ns
        request.status = status
        request.body_sent = 0 if flags & HEAD_ONLY or has_no_body(status) else length
        count_answer(&core.requests.totals, core.now_ns - request.started_ns, status >= 500)
        return 0

    def upgrade(self, RequestPoint request not None, Endpoint endpoint not None, handler, *, headers=None,
                protocol=None, codec=None):
        """Answer a request with 101; from then on the connection is a WebSocket.

        To be called by the handler of the request, on the loop; what that returns is not looked at any more.

        Args:
            request: the one being handled.
            endpoint: what the sockets of the route have in common.
            handler: whom `endpoint`'s events are for.
            headers: mapping or pairs, Upgrade and Sec-WebSocket-Accept among them.
            protocol: the subprotocol agreed on, or None.
            codec: compresses messages, see `MessageReader`; or None.

        Returns:
            False where the server is about to stop or the pool has no room: the request is still to be answered.

        Raises:
            UsageError: the request is not the one being handled, or is answered already.
            ResponseError: headers that must not be sent; nothing was changed.
        """
        cdef Core core
        cdef size_t written
        if self.site is None:
            raise UsageError("connections are made by accepting them")
        core = self.site.core
        core.check_thread()
        written = core.writer.size
        if (
            self.current is not request or request.reader is not None
            or self.flags & (BUSY | GONE | HAS_ANSWER | UPGRADED | WORKING) != WORKING
        ):
            raise UsageError("only the handler of a request can make a WebSocket of its connection, and only once")
        if core.draining:
            return False
        core.writer.switch(headers)
        core.clock()
        if not core.pools.transfer(self, POOL_WEBSOCKET, core.now_ns):
            core.writer.size = written
            core.turned_away("max-websocket", &self.peer)
            return False
        self.named = open_websocket(self, endpoint, handler, request, protocol, codec)
        self.flags |= UPGRADED | HAS_ANSWER
        self.move(UPGRADE_BEGUN)
        core.requests.step(request, HANDLER_DONE, core.now_ns)
        core.requests.step(request, ANSWER_COMPOSED, core.now_ns)
        request.finished_ns = core.now_ns
        request.status = 101
        request.body_sent = 0
        count_answer(&core.requests.totals, core.now_ns - request.started_ns, False)
        return True

    cdef int send_body(self, object body) except -1:
        """Write a small body behind its head; a large one is sent from where it lies, a file by the kernel."""
        cdef Writer writer = self.site.core.writer
        cdef Outflow flow
        if self.current.body_sent == 0:
            discard(body)
            return 0
        if type(body) is bytes and PyBytes_GET_SIZE(body) < APART_BYTES:
            return writer.append(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        if isinstance(body, Outflow):
            flow = <Outflow> body
            flow.declared = writer.declared
            flow.chunked = flow.declared < 0 and not (self.current.info.minor == 0 and self.current.info.length)
            if not flow.chunked and flow.declared < 0:
                self.flags |= UNFRAMED
            self.current.body_sent = 0
            return self.start_stream(flow)
        return self.send_apart(body)

    cdef int refuse(self, int status, bytes text, object headers) except -1:
        """An answer of the server's own that ends the connection: the framing cannot be trusted any more."""
        cdef Core core = self.site.core
        cdef RequestPoint request = self.current
        cdef bint head_only = request.info.method == HEAD
        request.reader = None
        self.write_refusal(status, text, headers, head_only)
        core.requests.totals.errors += 1
        core.requests.step(request, REFUSED, core.now_ns)
        self.flags |= HAS_ANSWER
        request.credit_ns = core.stage_credit_ns[<int> RESPONSE_READY]
        request.finished_ns = core.now_ns
        request.status = status
        request.body_sent = 0 if head_only else PyBytes_GET_SIZE(text) + 1
        return 0

    cdef int write_refusal(self, int status, bytes text, object headers, bint head_only) except -1:
        cdef Writer writer = self.site.core.writer
        self.flags |= CLOSE | LINGER
        writer.head(status, headers, PyBytes_GET_SIZE(text) + 1, CLOSE_AFTER, b"text/plain; charset=utf-8")
        if not head_only:
            writer.append(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
            writer.append(b"\n", 1)
        return 0

    cdef int not_routed(self, const char *path, Py_ssize_t size) except -1:
        """404, 405 with Allow, or 501 for the methods that are no plain exchange."""
        cdef RequestPoint request = self.current
        cdef object allow = self.site.router.allow(path, size)
        if allow is None and self.site.fallback is not None:
            allow = self.site.fallback.allow(path, size)
        self.site.core.requests.step(request, REFUSED, self.site.core.now_ns)
        if request.info.flags & ASTERISK_FORM:
            return self.answer_with(200, {"Allow": "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"}, b"")
        if allow is not None and request.info.method == OPTIONS:     # nobody answers it otherwise (RFC 9110 9.3.7)
            return self.answer_with(204, {"Allow": f"{allow}, OPTIONS"}, b"")
        if allow is not None:
            return self.answer_with(405, {"Allow": allow, **PLAIN}, b"Method Not Allowed\n")
        if request.info.method == OTHER and request.method in ("CONNECT", "TRACE"):
            return self.answer_with(501, PLAIN, b"Not Implemented\n")
        return self.answer_with(404, PLAIN, b"Not Found\n")

    cdef int release_request(self) except -1:
        """An answered request leaves the index; its memory serves the next one unless somebody kept it."""
        cdef Core core
        cdef RequestPoint request
        if not self.flags & HAS_ANSWER:
            return 0
        core = self.site.core
        request = self.current
        self.current = None
        self.flags &= ~<uint16_t> HAS_ANSWER
        # What is in a context may be the request itself, and no collector would see that circle.
        if request.coroutine is not None:
            request.coroutine = None
        if request.on_peer_done is not None:
            request.on_peer_done = None
        core.requests.leave(request)     # sent and logged at once: nobody could look in between
        if core.access_log is not None:
            core.log_access(request, &self.peer)
        if (<PyObject *> request).ob_refcnt == 1:
            request.forget()
            core.spare = request
        else:
            detach_request(request)
        return 0


cdef int claim(object body) except -1:
    """Take a body that is good for one answer only; raises ResponseError where it is another's."""
    if type(body) is bytes:
        return 0
    if isinstance(body, Outflow):
        return (<Outflow> body).claim()
    if isinstance(body, FileBody):
        (<FileBody> body).claim()
    else:
        (<Composite?> body).claim()
    return 0


cdef void discard_unsent(object result) noexcept:
    """Give up the body of a handler's result that nobody waits for, unless it is another answer's."""
    if type(result) is not tuple or len(<tuple> result) != 3:
        return
    body = (<tuple> result)[2]
    try:
        if isinstance(body, (Outflow, FileBody, Composite)):
            claim(body)
            discard(body)
    except ResponseError:
        pass


cdef void discard(object body) noexcept:
    """Give up a body that is not sent: close its files, or end its source."""
    if isinstance(body, Outflow):
        (<Outflow> body).release()
    else:
        discard_body(body)
