"""ASGI 3 over the compiled connection: `scope`, `receive` and `send` without a Task where nothing waits.

    EXPECTS_START ─ http.response.start ─► EXPECTS_BODY ─┬─ the whole body ─────────────► COMPLETE
                                                         ├─ a piece ─► STREAMS ─ last ──► COMPLETE
                                                         │                └─ last ─► EXPECTS_TRAILERS ─► COMPLETE
                                                         └─ no body is sent (HEAD) ─► SWALLOWS ─► COMPLETE

The app's first step is made in the pass that read the request (`errand.pyx`).  What
it sends is written at once: within that pass straight to the connection that is
being served, later in an event of its own.  So an answer is on its way when the app
has sent the last of it, and the connection serves the next request while the app's
coroutine goes on with what it does behind its answer.

`http.response.start` waits for the first piece of the body: until then nothing is
on the wire, and a fault is a plain 500.

Thread-safety: the loop's thread only.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint16_t, uint32_t

from dimcore.channel cimport APART_BYTES, BUSY, CLOSE, GONE, HALTED, LINGER, PEER_DONE, READABLE, WORKING
from dimcore.core cimport Core
from dimcore.errand cimport Errand, Runner
from dimcore.limits cimport KIB
from dimcore.parser cimport EXPECT_CONTINUE, FAULT_COUNT, UPGRADE, fault_status, fault_text
from dimcore.states cimport HANDLER_DONE, HANDLER_FOUND
from dimcore.stream cimport FileBody
from dimcore.intake cimport make_intake
from dimcore.waits cimport DONE, set_am_send

from dimcore.errors import ClientLeft, ResponseError, UsageError

cdef extern from "Python.h":
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    void Py_DECREF(PyObject *value)

cdef enum State:
    EXPECTS_START
    EXPECTS_BODY             # the head is known; nothing is on the wire
    STREAMS
    SWALLOWS                 # the answer has no body, and is sent: what the app makes of one is not
    EXPECTS_TRAILERS
    COMPLETE

cdef enum Kind:
    RECEIVES
    SENDS                    # a message that could not be sent at once
    CATCHES_UP               # the peer lags
    TURNS                    # the others have their turn

cdef enum:
    TURN_BYTES = 1024 * KIB  # sent without waiting, before others get their turn
    UNHEARD_BYTES = 8192 * KIB   # sent to nobody, before the app is told by an error
    PIECE_COST = 2 * KIB     # what a piece counts for beside its bytes: a million of one byte are many turns

cdef tuple EXPECTED = (
    "'http.response.start'", "'http.response.body'", "'http.response.body'", "'http.response.body'",
    "'http.response.trailers'",
)
cdef bytes EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\n"
cdef str NO_LOOP = "this worker runs no asyncio loop: set loop to asyncio or uvloop"
cdef dict FAULTS = {fault_text(_number).decode(): fault_status(_number) for _number in range(1, FAULT_COUNT)}


cdef class AsgiEntry(Conversant):
    """The handler of a route that an ASGI app stands behind.

    Args:
        app: called with ``(scope, receive, send)``; returns a coroutine.
        root_path: what a proxy takes off the path before it asks.
        prefix: where the app is mounted; part of the path.
    """

    def __init__(self, app, str root_path not None="", str prefix not None=""):
        self.app = app
        self.scopes = ScopeMaker(root_path, prefix)

    def place(self, str root_path not None="", str prefix not None=""):
        """Change where the app stands; requests that have begun keep what they were told."""
        state = self.scopes.state
        self.scopes = ScopeMaker(root_path, prefix)
        self.scopes.state = state

    @property
    def state(self):
        """What the lifespan of the app left for its requests; each gets a shallow copy."""
        return self.scopes.state

    def upgrade(self, RequestPoint request not None):
        """Asked for requests that want to change the protocol: the answer, or None for those that are plain ones."""
        return None

    def __call__(self, RequestPoint request not None):
        if request.info.flags & UPGRADE:
            answer = self.upgrade(request)
            if answer is not None:
                return answer
        return self.converse(request)

    cdef object converse(self, RequestPoint request):
        cdef AsgiReceive receive = self.spare
        cdef AsgiHttp http
        if (
            receive is not None and (<PyObject *> receive).ob_refcnt == 2
            and (<PyObject *> receive.owner).ob_refcnt == 1 and receive.owner.connection is None
        ):
            http = receive.owner
            http.state = EXPECTS_START
            http.spent = 0
            http.body_told = http.peer_left = http.has_trailers = False
            http.intake = None
        else:
            receive = AsgiReceive.__new__(AsgiReceive)
            receive.owner = http = AsgiHttp.__new__(AsgiHttp)
            http.entry = self
            self.spare = receive
        http.receive = receive
        http.request = request
        if type(request._source) is Intake:
            http.intake = <Intake> request._source
        return http

    cdef int bring(self, AsgiHttp http, RequestPoint request) except -1:
        """The same for a conversation of another kind."""
        cdef AsgiReceive receive = AsgiReceive.__new__(AsgiReceive)
        receive.owner = http
        http.entry = self
        http.receive = receive
        http.request = request
        return 0

    cdef object open_body(self, object connection):
        cdef RequestPoint request = (<Connection> connection).current
        cdef Intake intake = make_intake(connection, request.info.flags & EXPECT_CONTINUE != 0)
        cdef BodyTaker taker = BodyTaker.__new__(BodyTaker)
        intake.owner = taker         # of an app that is called next
        return intake


cdef class BodyTaker(Taker):
    cdef int fed(self) except -1:
        return 0 if self.owner is None else self.owner.wake()


@cython.final
cdef class AsgiReceive:
    """`receive` of one request."""

    def __init__(self):
        raise UsageError("a request brings this with it")

    def __call__(self):
        """The next message; see ASGI."""
        return self.owner.receive_now()


@cython.final
cdef class AsgiFlow(Push):
    cdef int drained(self) except -1:
        return 0 if self.owner is None else self.owner.wake()

    cdef int finish(self, Writer writer) except -1:
        if not self.chunked:
            return 0
        writer.append(b"0\r\n", 3)
        if self.trailers is not None:
            writer.append(PyBytes_AS_STRING(self.trailers), PyBytes_GET_SIZE(self.trailers))
        return writer.append(b"\r\n", 2)

    cdef void release(self) noexcept:
        cdef AsgiHttp owner = self.owner
        self.connection = None
        self.owner = None
        self.trailers = None
        if owner is not None and not self.ended:
            self.ended = True
            owner.gone()


cdef class AsgiHttp(Conversation):
    """One request of an ASGI app; called, it is its `send`."""

    def __init__(self):
        raise UsageError("a request brings this with it")

    def __call__(self, message):
        """Send a message; see ASGI."""
        return self.deliver(message)

    # --- the server -----------------------------------------------------------------------------

    cdef int start(self, object connection) except -1:
        cdef Connection at = <Connection> connection
        cdef Runner runner = at.site.core.runner
        cdef AsgiReceive receive = self.receive
        cdef Errand errand = None
        cdef dict scope
        cdef object context, coroutine
        self.receive = None
        if runner is None:
            self.request = None
            raise UsageError(NO_LOOP)
        scope = self.scope_of(at)
        if self.intake is not None:
            (<BodyTaker> self.intake.owner).owner = self
        self.core = at.site.core
        self.connection = at
        self.request.coroutine = self
        context = PyContext_Copy(runner.base)
        try:
            PyContext_Enter(context)
            try:
                coroutine = self.entry.app(scope, receive, self)
            finally:
                PyContext_Exit(context)
            errand = runner.begin(self, None, coroutine, context)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):     # somebody wants the whole program to stop
                raise
            self.ended(None, error)
            return 0
        if errand is None:
            runner.take_context()
            self.ended(runner.take_result(), None)
        elif self.connection is not None and not at.flags & GONE and self.state <= EXPECTS_BODY:
            at.flags |= BUSY
            self.request.own()
            if not at.flags & (HALTED | PEER_DONE):
                at.watch(READABLE)
        return 0

    def complete(self, request, result, error):
        """The coroutine ended; its Runner's call."""
        if self.connection is not None and self.must_wait():
            raise UsageError("a connection is being served already: this is for the loop to call")
        self.ended(result, error)

    def close(self):
        """The whole program is to stop; the Runner's call."""
        if self.connection is not None:
            self.connection.close()

    cdef void peer_done(self) noexcept:
        self.peer_left = True
        self.stir()

    cdef void gone(self) noexcept:
        self.peer_left = True
        self.connection = None
        self.request = None
        self.flow = None
        self.headers = None
        self.stir()

    cdef void stir(self) noexcept:
        try:
            self.wake()
        except BaseException as error:
            self.core.tell("an ASGI app could not be woken", None, error)

    cdef int wake(self) except -1:
        """Whoever waits looks again."""
        if self.waits is not None:
            self.waits.wake()
        return 0

    # --- what the app receives ------------------------------------------------------------------

    cdef dict scope_of(self, Connection at):
        return self.entry.scopes.make(at, self.request)

    cdef object receive_now(self):
        return _wait(self, RECEIVES)

    cdef object next_message(self):
        """The next message, or None where there is none yet."""
        cdef Intake intake = self.intake
        cdef bint more = False
        if self.connection is None or self.connection.flags & GONE:
            return {"type": "http.disconnect"}
        if not self.body_told:
            if intake is None:
                self.body_told = True
                return {"type": "http.request", "body": self.request.body, "more_body": False}
            chunk = intake.take()
            if chunk is None:
                if not intake.ended:
                    return None
                if intake.error:
                    return {"type": "http.disconnect"}
                self.body_told = True
                chunk = b""
            elif intake.chunks or not intake.ended or intake.error:
                more = True
            else:
                self.body_told = True
            return {"type": "http.request", "body": chunk, "more_body": more}
        return {"type": "http.disconnect"} if self.peer_left else None

    cdef int call_for_body(self) except -1:
        """The app waits for a body whose sender waits to be asked (RFC 9110 10.1.1)."""
        self.intake.expected = False
        if self.state > EXPECTS_BODY:        # the answer has begun: too late to ask
            self.request.info.flags &= ~<uint32_t> EXPECT_CONTINUE
        self.connection.resume_body()
        return 0

    # --- what the app sends ---------------------------------------------------------------------

    cdef bint must_wait(self) noexcept:
        """Whether the scratch memory is lent to another connection: its handler called this one."""
        return self.connection.site.core.serving and not self.connection.flags & WORKING

    cdef bint lags(self) noexcept:
        """Whether the peer has still to take what was sent."""
        return self.flow is not None and self.connection.outbox is not None and self.connection.outbox.pending != 0

    cdef object deliver(self, object message):
        if self.connection is None:
            return self.unconnected(message["type"], message)
        if self.connection.flags & GONE:
            return self.unheard(message)
        if self.must_wait() or self.lags():
            return self.put_off(message)
        return self.send_now(message)

    cdef object put_off(self, object message):
        """Send a message when that can be."""
        cdef AsgiWait wait = _wait(self, SENDS)
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
                return self.hint(given)
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
            raise ClientLeft("the client has left, and what is sent goes nowhere")
        return _wait(self, TURNS)        # an endless loop must not hold up all others

    cdef int take_start(self, dict message) except -1:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise RuntimeError(f"the status of a response is 200 to 599, not {status!r:.60}")
        self.status = status
        self.headers = message.get("headers", ())
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
        return self.respond(body)

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
            return self.respond(body)
        except BaseException:
            body.close()
            raise

    cdef object take_trailers(self, dict message):
        cdef Writer writer = self.core.writer
        cdef size_t size = writer.size
        cdef uint32_t given = 0
        cdef bytes fields
        try:
            for name, value in message.get("headers", ()):
                writer._field(name, value, 0, 0, 200, &given)
            fields = writer.data[size:writer.size]
        except ResponseError as error:
            raise RuntimeError(f"the trailers cannot be sent: {error}") from None
        finally:
            writer.size = size
        if self.wants_trailers():
            self.flow.trailers = fields if self.flow.trailers is None else self.flow.trailers + fields
        return DONE if message.get("more_trailers", False) else self.write(b"", True)

    cdef bint wants_trailers(self):
        """Whether the peer said that it reads trailers (RFC 9110 6.5.1): else they are dropped."""
        return any(b"trailers" in value.encode("latin-1").lower() for value in self.request.headers.getall("te"))

    cdef object hint(self, dict message):
        """http.response.early_hint: 103 with Link fields (RFC 8297)."""
        cdef Connection at = self.connection
        cdef Writer writer = self.core.writer
        cdef size_t size
        cdef uint32_t given = 0
        cdef bint entered
        if self.request.info.minor == 0:
            return DONE
        entered = self.enter()
        size = writer.size
        try:
            try:
                writer.append(PyBytes_AS_STRING(EARLY_HINTS), PyBytes_GET_SIZE(EARLY_HINTS))
                for link in message.get("links", ()):
                    writer._field(b"link", link, 0, 0, 200, &given)
                writer.append(b"\r\n", 2)
            except BaseException as error:
                writer.size = size
                if isinstance(error, ResponseError):
                    raise RuntimeError(str(error)) from None
                raise
            at.flush()
        finally:
            if entered:
                at.through()
        return DONE

    # --- the answer -----------------------------------------------------------------------------

    cdef bint enter(self) except -1:
        """Take the connection; False where it is being served already, and this is part of that."""
        if self.connection.flags & WORKING:
            return False
        self.connection.site.core.enter()
        self.connection.flags |= WORKING
        return True

    cdef int write_head(self, object body) except -1:
        """Write the head; what it raises leaves nothing written, and is the app's fault."""
        cdef Connection at = self.connection
        cdef Core core = at.site.core
        cdef uint16_t busy = at.flags & BUSY
        at.flags &= ~<uint16_t> BUSY
        try:
            core.clock()
            if self.request.reader is not None:
                if isinstance(body, Outflow):
                    core.requests.step(self.request, HANDLER_FOUND, core.now_ns)
                else:
                    self.end_request()
            core.requests.step(self.request, HANDLER_DONE, core.now_ns)
            try:
                at.compose(self.headers, body, self.status, NULL)
            except ResponseError:
                # The one field an app may set in vain: ASGI has the server drop it.
                self.headers = _without_coding(self.headers)
                at.compose(self.headers, body, self.status, NULL)
        except BaseException as error:
            at.flags |= busy
            if isinstance(error, ResponseError):
                raise RuntimeError(f"the response cannot be sent: {error}") from None
            raise
        self.headers = None
        return 0

    cdef object respond(self, object body):
        """The answer in one."""
        cdef Connection at = self.connection
        cdef bint entered = self.enter()
        try:
            self.write_head(body)
            try:
                self.let_go(COMPLETE)
                at.send_body(body)
                at.flush()           # also within the pass: what the app does next may take its time
                if entered:
                    at.go_on()       # which may run the app for the next request
            except BaseException as error:
                at.fail(error)
                if isinstance(error, KeyboardInterrupt):
                    raise
        finally:
            if entered:
                at.through()
        return DONE

    cdef object begin_stream(self, bytes first):
        """The head, and the first piece with it."""
        cdef Connection at = self.connection
        cdef AsgiFlow flow = AsgiFlow.__new__(AsgiFlow)
        cdef bint entered = self.enter()
        cdef Py_ssize_t size = PyBytes_GET_SIZE(first)
        flow.corked = size != 0
        try:
            self.write_head(flow)
            try:
                if at.current.body_sent == 0:
                    flow.ended = True
                    self.end_request()
                    self.let_go(SWALLOWS)
                    at.flush()
                    if entered:
                        at.go_on()
                    return DONE
                flow.owner = self
                self.flow = flow
                self.state = STREAMS
                at.send_body(flow)
                if size and not at.flags & GONE:
                    if 0 <= flow.declared < size:
                        at.flush()
                        raise RuntimeError(f"Response content longer than Content-Length, which is {flow.declared}")
                    flow.count(size)
                    at.write_piece(flow, first)
            except RuntimeError:
                raise
            except BaseException as error:
                at.fail(error)
                if isinstance(error, KeyboardInterrupt):
                    raise
        finally:
            if entered:
                at.through()
        return self.pace(size)

    cdef object write(self, bytes piece, bint last):
        """One more piece, and the end behind the last one."""
        cdef Connection at = self.connection
        cdef AsgiFlow flow = self.flow
        cdef Writer writer = at.site.core.writer
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
        cdef bint entered
        if flow.declared >= 0:
            if flow.sent + size > flow.declared:
                raise RuntimeError(f"Response content longer than Content-Length, which is {flow.declared}")
            if last and flow.sent + size < flow.declared:
                raise RuntimeError(
                    f"Response content shorter than Content-Length: {flow.sent + size} of {flow.declared} bytes")
        entered = self.enter()
        try:
            at.site.core.clock()
            flow.count(size)
            if last and self.has_trailers and self.state == STREAMS:
                self.state = EXPECTS_TRAILERS
                last = False
            if size:
                if last and size < APART_BYTES:      # its end follows in the same send
                    flow.open_chunk(writer, size)
                    writer.append(PyBytes_AS_STRING(piece), size)
                    flow.close_chunk(writer)
                else:
                    at.write_piece(flow, piece)
            if last and not at.flags & GONE:
                flow.finish(writer)
                self.end_request()
                self.let_go(COMPLETE)
                at.end_stream()
                if entered:
                    at.go_on()
                return DONE
        except BaseException as error:
            at.fail(error)
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            if entered:
                at.through()
        return self.pace(size)

    cdef int end_request(self) except -1:
        """The answer is complete: what is still to come of the request's body is nobody's, and the framing ends."""
        cdef Connection at = self.connection
        if self.request.reader is not None:
            at.flags |= CLOSE | LINGER
            at.end_body(b"the answer was given before the request was complete")
            self.request.reader = None
            at.site.core.requests.step(self.request, HANDLER_FOUND, at.site.core.now_ns)
        return 0

    cdef int let_go(self, int state) except -1:
        """The answer is written: the connection is free for the next request."""
        self.state = state
        self.connection = None
        self.request = None
        self.flow = None
        return self.wake()

    cdef object pace(self, Py_ssize_t size):
        """What `send` returns behind a piece: something to wait for, if the app runs ahead."""
        cdef Connection at = self.connection
        if at is None or at.flags & GONE:
            return DONE
        if self.lags():
            self.spent = 0
            return _wait(self, CATCHES_UP)
        self.spent += size + PIECE_COST
        if self.spent >= TURN_BYTES:
            self.spent = 0
            return _wait(self, TURNS)
        return DONE

    # --- the end --------------------------------------------------------------------------------

    cdef int ended(self, object result, object error) except -1:
        """The app's coroutine is through."""
        cdef Connection at = self.connection
        cdef Intake intake = self.intake
        cdef Core core
        cdef int peers_fault = 0
        cdef bint entered
        self.intake = None
        if error is None and result is not None:
            error = RuntimeError(f"ASGI callable should return None, but returned {result!r:.100}.")
        if at is None or at.flags & GONE:
            if error is not None and not isinstance(error, ClientLeft):
                self.core.tell("an ASGI app failed behind its answer", None, error)
            return 0
        core = self.core
        entered = self.enter()
        try:
            core.clock()
            if self.state > EXPECTS_BODY:
                if error is None:
                    error = RuntimeError("ASGI callable returned without completing response.")
                at.cut_short(error)
                return 0
            at.flags &= ~<uint16_t> BUSY
            if intake is not None and intake.error:
                peers_fault = FAULTS.get(intake.error, 400)
            if error is None:
                error = RuntimeError("ASGI callable returned without starting response.")
                if self.peer_left and not peers_fault:   # it saw that the peer left, and has nothing to say
                    self.let_go(COMPLETE)
                    at.drop()
                    return 0
            self.let_go(COMPLETE)
            if peers_fault:
                core.requests.step(at.current, HANDLER_FOUND, core.now_ns)
                core.requests.step(at.current, HANDLER_DONE, core.now_ns)
                at.answer_with(peers_fault, {"Content-Type": "text/plain; charset=utf-8"}, f"{intake.error}\n".encode())
            else:
                at.answer(None, error)
            at.flush()
            if entered:
                at.go_on()
        except BaseException as problem:
            at.fail(problem)
            if isinstance(problem, KeyboardInterrupt):
                raise
        finally:
            if entered:
                at.through()
        return 0


cdef object _without_coding(object headers):
    return [(name, value) for name, value in headers if bytes(name).lower() != b"transfer-encoding"]


# --- waiting -----------------------------------------------------------------------------------------

@cython.final
@cython.freelist(64)
cdef class AsgiWait:
    """What `receive` returns, and `send` where it cannot be through at once: awaitable, as a coroutine is."""

    def __init__(self):
        raise UsageError("receive and send return these")

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """The next thing to wait for."""
        cdef PyObject *out = NULL
        cdef int how = self.advance(&out)
        result = <object> out
        Py_DECREF(out)                   # it was handed over
        if how == 0:
            raise StopIteration(result)
        return result

    def throw(self, kind, value=None, traceback=None):
        """Let an exception hit where it is waited."""
        self.close()
        error = kind if value is None else value
        raise error

    def close(self):
        """Give up."""
        future, self.future = self.future, None
        if future is not None and self.owner.waits is not None:
            self.owner.waits.drop(future)

    cdef int advance(self, PyObject **value) except -1:
        """0 with the result, 1 with what is to be waited for; `value` gets a reference of its own."""
        cdef AsgiHttp owner = self.owner
        cdef object result = None
        self.future = None
        if self.kind == SENDS:
            if owner.connection is not None and not owner.connection.flags & GONE:
                if owner.lags():
                    return self.sleep(value)
                if owner.must_wait():
                    return self.turn(value)
            then = owner.deliver(self.message)
            self.message = None
            if type(then) is AsgiWait:
                self.kind = (<AsgiWait> then).kind
        if self.kind == RECEIVES:
            result = owner.next_message()
            if result is None:
                if owner.intake is not None and owner.intake.expected:
                    if owner.must_wait():
                        return self.turn(value)
                    owner.call_for_body()
                return self.sleep(value)
        elif self.kind == CATCHES_UP:
            if owner.connection is not None and not owner.connection.flags & GONE and owner.lags():
                return self.sleep(value)
        elif self.kind == TURNS and not self.begun:
            self.begun = True
            return self.turn(value)
        Py_INCREF(result)
        value[0] = <PyObject *> result
        return 0

    cdef int turn(self, PyObject **value) except -1:
        """A bare yield: once round the loop."""
        Py_INCREF(None)
        value[0] = <PyObject *> None
        return 1

    cdef int sleep(self, PyObject **value) except -1:
        cdef AsgiHttp owner = self.owner
        if owner.waits is None:
            owner.waits = Waits.__new__(Waits)
        self.future = owner.waits.one((<Runner> owner.connection.site.core.runner).loop)
        Py_INCREF(self.future)
        value[0] = <PyObject *> self.future
        return 1


cdef int _advance(PyObject *self, PyObject *given, PyObject **value) except -1:
    return (<AsgiWait> self).advance(value)


set_am_send(AsgiWait, <void *> _advance)


cdef object _wait(AsgiHttp owner, int kind):
    cdef AsgiWait wait = AsgiWait.__new__(AsgiWait)
    wait.owner = owner
    wait.kind = kind
    wait.begun = False
    return wait
