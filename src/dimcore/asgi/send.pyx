"""The answer to an ASGI request: what the app gives to `send`, on its way as soon as it is given.

    EXPECTS_START ─ http.response.start ─► EXPECTS_BODY ─┬─ the whole body ─────────────► COMPLETE
                                                         ├─ a piece ─► STREAMS ─ last ──► COMPLETE
                                                         │                └─ last ─► EXPECTS_TRAILERS ─► COMPLETE
                                                         └─ no body is sent (HEAD) ─► SWALLOWS ─► COMPLETE

`http.response.start` waits for the first piece of the body: until then nothing is
on the wire, and a fault is a plain 500.

Whatever touches the connection is an `Act`: within the pass that serves it a part of
that, later an event of its own.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint32_t

from dimcore.aio.task_runner cimport Runner
from dimcore.aio.waiters cimport DONE
from dimcore.asgi.wait cimport CATCHES_UP, SENDS, TURNS, AsgiWait, make_wait
from dimcore.conn.answering cimport compose, send_body
from dimcore.conn.core cimport Core
from dimcore.conn.exchange cimport Exchange, become, note, serve
from dimcore.conn.phase cimport BUSY, CLOSE, GONE, LINGER, PEER_DONE, READING, WORKING
from dimcore.conn.streamed_body cimport Outflow
from dimcore.http1.head_writer cimport Writer
from dimcore.index.states cimport HANDLER_DONE, HANDLER_FOUND, MOVED_BYTES
from dimcore.limits cimport KIB
from dimcore.net.socket_io cimport FileBody

from dimcore.errors import ClientLeft, ResponseError

cdef enum:
    TURN_BYTES = 1024 * KIB  # sent without waiting, before others get their turn
    UNHEARD_BYTES = 8192 * KIB   # sent to nobody, before the app is told by an error
    PIECE_COST = 2 * KIB     # what a piece counts for beside its bytes: a million of one byte are many turns

cdef tuple EXPECTED = (
    "'http.response.start'", "'http.response.body'", "'http.response.body'", "'http.response.body'",
    "'http.response.trailers'",
)


cdef class AsgiAnswer(Awaited):
    """The sending half of an `AsgiHttp`; not for use by itself."""

    # --- what the app sends ---------------------------------------------------------------------

    cdef bint lags(self) noexcept:
        """Whether the peer has still to take what was sent."""
        return self.flow is not None and self.connection.outbox is not None and self.connection.outbox.pending != 0

    cdef object deliver(self, object message):
        if self.connection is None:
            return self.unconnected(message["type"], message)
        if self.connection.state & GONE:
            return self.unheard(message)
        if self.must_wait() or self.lags():
            return self.put_off(message)
        return self.send_now(message)

    cdef object put_off(self, object message):
        """Send a message when that can be."""
        cdef AsgiWait wait = make_wait(self, SENDS)
        wait.message = message
        return wait

    cdef object send_now(self, object message):
        cdef dict given = <dict> message if type(message) is dict else dict(message)
        cdef object kind = given["type"]
        if self.state == EXPECTS_START:
            if kind == "http.response.start":
                self.take_start(given)
                return DONE
            if kind == "http.response.early_hint":
                return self.take_hint(given)
        elif self.state == EXPECTS_TRAILERS:
            if kind == "http.response.trailers":
                return self.take_trailers(given)
        elif kind == "http.response.body":
            return self.take_body(given)
        elif kind == "http.response.pathsend" and self.state == EXPECTS_BODY:
            return self.take_path(given)
        raise RuntimeError(f"Expected ASGI message {EXPECTED[self.state]}, but got {kind!r}.")

    cdef object unconnected(self, object kind, object message):
        """A message that goes nowhere."""
        if self.state == COMPLETE:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} sent, after response already completed.")
        if self.state == SWALLOWS:
            if kind == "http.response.body":
                if not message.get("more_body", False) and not self.has_trailers:
                    self.state = COMPLETE
            elif kind == "http.response.trailers" and self.has_trailers:
                if not message.get("more_trailers", False):
                    self.state = COMPLETE
            else:
                raise RuntimeError(f"Expected ASGI message {EXPECTED[SWALLOWS]}, but got {kind!r}.")
            return DONE
        return self.unheard(message)

    cdef object unheard(self, object message):
        """The peer has left.  The app may not look for that: it is let be for a while, then told."""
        self.spent += PIECE_COST + len(message.get("body", b""))
        if self.spent >= UNHEARD_BYTES:
            self.knows_left = True
            raise ClientLeft("the client has left, and what is sent goes nowhere")
        return make_wait(self, TURNS)    # an endless loop must not hold up all others

    cdef int take_start(self, dict message) except -1:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise RuntimeError(f"the status of a response is 200 to 599, not {status!r:.60}")
        self.status = status
        headers = message.get("headers", ())
        self.headers = headers if type(headers) is list or type(headers) is tuple else list(headers)
        self.has_trailers = message.get("trailers", False)
        self.state = EXPECTS_BODY
        return 0

    cdef object take_body(self, dict message):
        cdef object body = message.get("body", b"")
        cdef bint more = message.get("more_body", False)
        if type(body) is not bytes:
            if not isinstance(body, (bytes, bytearray, memoryview)):
                raise RuntimeError(f"the body of a response is bytes, not {type(body).__name__}")
            body = bytes(body)
        if self.state == STREAMS:
            return self.write(body, not more)
        if more or self.has_trailers:
            wait = self.begin_stream(body)
            if not more and self.state == STREAMS:
                self.state = EXPECTS_TRAILERS
            elif not more and self.state == SWALLOWS and not self.has_trailers:
                self.state = COMPLETE
            return wait
        self.act(ANSWERS, body, None)
        return DONE

    cdef object take_path(self, dict message):
        """http.response.pathsend: the kernel sends the file."""
        import os
        from stat import S_ISREG
        cdef int fd = os.open(message["path"], os.O_RDONLY | os.O_CLOEXEC)
        cdef FileBody body
        try:
            about = os.fstat(fd)
            if not S_ISREG(about.st_mode):
                raise RuntimeError(f"http.response.pathsend: {message['path']!r} is no regular file")
            body = FileBody(fd, 0, about.st_size)
        except BaseException:
            os.close(fd)
            raise
        body.claim()
        try:
            self.act(ANSWERS, body, None)
        except BaseException:
            body.close()
            raise
        return DONE

    cdef object take_trailers(self, dict message):
        cdef bytes lines = self.lines_of(list(message.get("headers", ())), "trailers")
        if self.wants_trailers():
            self.flow.trailers = lines if self.flow.trailers is None else self.flow.trailers + lines
        return DONE if message.get("more_trailers", False) else self.write(b"", True)

    cdef object take_hint(self, dict message):
        """http.response.early_hint: 103 with Link fields (RFC 8297)."""
        cdef bytes lines = self.lines_of([(b"link", link) for link in message.get("links", ())], "links")
        if self.request.info.minor:
            self.act(HINTS, None, lines)
        return DONE

    cdef bytes lines_of(self, list pairs, object what):
        """Fields as they are written."""
        cdef Writer writer = self.core.scratch.writer
        cdef size_t size = writer.size
        cdef uint32_t given = 0
        try:
            for name, value in pairs:
                writer._field(name, value, 0, 0, 200, &given)
            return writer.data[size:writer.size]
        except ResponseError as error:
            raise RuntimeError(f"the {what} cannot be sent: {error}") from None
        finally:
            writer.size = size

    cdef bint wants_trailers(self):
        """Whether the peer said that it reads trailers (RFC 9110 6.5.1): else they are dropped."""
        return any(b"trailers" in value.encode("latin-1").lower() for value in self.request.headers.getall("te"))

    # --- the answer -----------------------------------------------------------------------------

    cdef int act(self, Act act, object body, bytes piece) except -1:
        """Do something with the connection.

        Args:
            body: of the answer that begins: bytes, a FileBody, or an AsgiFlow.
            piece: what is sent of a stream; or of a hint.

        Raises:
            RuntimeError: the app's fault; nothing was sent, and the answer is still to be given.
        """
        cdef Given given
        given.answer = <void *> self
        given.act = act
        given.body = <void *> body
        given.piece = <void *> piece
        given.nested = self.connection.state & WORKING != 0
        given.fault = NULL
        serve(self.connection, _act, &given, True)
        if given.fault == NULL:
            return 0
        fault = <object> given.fault
        Py_DECREF(fault)
        raise fault

    cdef int perform(self, Act act, object body, bytes piece, bint nested) except -1:
        """Within an event, the head being written."""
        cdef Exchange at = self.connection
        if act == ANSWERS:
            self.let_go(COMPLETE)
            send_body(at, body)
        elif act == BEGINS:
            self.open_flow(<AsgiFlow> body, piece)
        elif act == HINTS:
            at.put_interim(103, piece)
        else:
            at.site.core.clock()
            if at.state & PEER_DONE:     # it may be alone; see `end_of_stream`
                at.move(MOVED_BYTES)
            self.flow.put(at, piece, act == ENDS)
            if act == ENDS and not at.state & GONE:
                self.close_flow()
        at.flush()                       # also within the pass: what the app does next may take its time
        if not nested and self.connection is None:
            return at.go_on()            # which may run the app for the next request
        return 0

    cdef object write_head(self, object body):
        """Write the head, and return the body to send; what it raises leaves nothing written, and is the app's fault.
        """
        cdef Exchange at = self.connection
        cdef Core core = at.site.core
        cdef bint busy = at.state & BUSY != 0
        if busy:
            become(at, READING)
        try:
            core.clock()
            if self.request.reader is not None:
                if isinstance(body, Outflow):
                    core.requests.step(self.request, HANDLER_FOUND, core.now_ns)
                else:
                    self.end_request()
            core.requests.step(self.request, HANDLER_DONE, core.now_ns)
            try:
                body = compose(at, self.headers, body, self.status, NULL)
            except ResponseError:
                # The one field an app may set in vain: ASGI has the server drop it.
                self.headers = _without_coding(self.headers)
                body = compose(at, self.headers, body, self.status, NULL)
        except BaseException as error:
            if busy:
                become(at, BUSY)
            if isinstance(error, ResponseError):
                raise RuntimeError(f"the response cannot be sent: {error}") from None
            raise
        self.headers = None
        return body

    cdef int open_flow(self, AsgiFlow flow, bytes first) except -1:
        """The head is written: begin the body, if there is to be one."""
        cdef Exchange at = self.connection
        cdef Py_ssize_t size = PyBytes_GET_SIZE(first)
        if at.current.body_sent == 0:
            flow.ended = True
            self.end_request()
            return self.let_go(SWALLOWS)
        flow.owner = self
        self.flow = flow
        self.state = STREAMS
        send_body(at, flow)
        if size and not at.state & GONE and not 0 <= flow.declared < size:
            flow.count(size)
            flow.put(at, first, False)
        return 0

    cdef object begin_stream(self, bytes first):
        """The head, and the first piece with it."""
        cdef AsgiFlow flow = AsgiFlow.__new__(AsgiFlow)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(first)
        flow.corked = size != 0
        self.act(BEGINS, flow, first)
        if self.flow is flow and 0 <= flow.declared < size:
            raise RuntimeError(f"Response content longer than Content-Length, which is {flow.declared}")
        return self.pace(size)

    cdef object write(self, bytes piece, bint last):
        """One more piece, and the end behind the last one."""
        cdef AsgiFlow flow = self.flow
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
        if flow.declared >= 0:
            if flow.sent + size > flow.declared:
                raise RuntimeError(f"Response content longer than Content-Length, which is {flow.declared}")
            if last and flow.sent + size < flow.declared:
                raise RuntimeError(
                    f"Response content shorter than Content-Length: {flow.sent + size} of {flow.declared} bytes")
        flow.count(size)
        if last and self.has_trailers and self.state == STREAMS:
            self.state = EXPECTS_TRAILERS
            last = False
        if last:
            self.act(ENDS, None, piece)
        elif not size:
            pass
        elif not flow.gather(piece, self.core.clock()):
            self.act(CONTINUES, None, piece)
        elif not flow.due:
            self.call_turn()
        return self.pace(size)

    cdef int call_turn(self) except -1:
        self.flow.due = True
        (<Runner> self.core.host.runner).loop.call_soon(self.flow.turn_over)
        return 0

    cdef int turn_over(self) except -1:
        if self.connection is None or self.connection.state & GONE:
            return 0
        return self.call_turn() if self.must_wait() else self.act(CONTINUES, None, b"")

    cdef int end_request(self) except -1:
        """The answer is complete: what is still to come of the request's body is nobody's, and the framing ends."""
        cdef Exchange at = self.connection
        if self.request.reader is not None:
            note(at, CLOSE | LINGER)
            at.end_body(b"the answer was given before the request was complete")
            self.request.reader = None
            at.site.core.requests.step(self.request, HANDLER_FOUND, at.site.core.now_ns)
        return 0

    cdef int close_flow(self) except -1:
        """The end of a stream is written."""
        cdef Exchange at = self.connection
        self.end_request()
        self.let_go(COMPLETE)
        return at.end_stream()

    cdef int complete_body(self) except -1:
        """The app ended where its trailers were due: the answer ends without them."""
        cdef Exchange at = self.connection
        self.flow.put(at, b"", True)
        return 0 if at.state & GONE else self.close_flow()

    cdef int let_go(self, int state) except -1:
        """The answer is written: the connection is free for the next request."""
        self.state = state
        self.connection = None
        self.request = None
        self.flow = None
        return self.wake()

    cdef object pace(self, Py_ssize_t size):
        """What `send` returns behind a piece: something to wait for, if the app runs ahead."""
        cdef Exchange at = self.connection
        if at is None or at.state & GONE:
            return DONE
        if self.lags():
            self.spent = 0
            return make_wait(self, CATCHES_UP)
        self.spent += size + PIECE_COST
        if self.spent >= TURN_BYTES:
            self.spent = 0
            return make_wait(self, TURNS)
        return DONE


cdef object _without_coding(object headers):
    return [(name, value) for name, value in headers if bytes(name).lower() != b"transfer-encoding"]


cdef struct Given:
    void *answer
    void *body
    void *piece
    void *fault                      # of the app's, with a reference of its own; or NULL
    Act act
    bint nested


cdef int _act(Exchange exchange, void *given) except -1:
    cdef Given *act = <Given *> given
    cdef AsgiAnswer answer = <AsgiAnswer> act.answer
    if act.act <= BEGINS:
        try:
            body = answer.write_head(<object> act.body)
        except BaseException as error:
            Py_INCREF(error)
            act.fault = <void *> error
            return 0
        return answer.perform(act.act, body, <bytes> act.piece, act.nested)
    return answer.perform(act.act, None, <bytes> act.piece, act.nested)
