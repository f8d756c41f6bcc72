# cython: nonecheck=True
# What `__new__` alone makes has None for each of its parts: that is an exception, not a crash.
"""ASGI 3 over the compiled connection: `scope`, `receive` and `send` without a Task where nothing waits.

    AsgiEntry, a handler ──► AsgiHttp, one request: AsgiReceive is its `receive`, itself its `send` (`send.pyx`)

The app's first step is made in the pass that read the request (`task_runner.pyx`).  What
it sends is written at once: within that pass straight to the connection that is
being served, later in an event of its own.  So an answer is on its way when the app
has sent the last of it, and the connection serves the next request while the app's
coroutine goes on with what it does behind its answer.

Thread-safety: the loop's thread only.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport _Py_REFCNT
from libc.stdint cimport uint32_t

from dimcore.aio.task_runner cimport CoroutineRun, Runner
from dimcore.asgi.send cimport COMPLETE, EXPECTS_BODY, EXPECTS_START, EXPECTS_TRAILERS, SWALLOWS
from dimcore.asgi.wait cimport RECEIVES, make_wait
from dimcore.conn.body_stream cimport make_arriving_body
from dimcore.conn.exchange cimport READABLE, become, serve
from dimcore.conn.phase cimport BUSY, GONE, HALTED, PEER_DONE, READING, WORKING
from dimcore.http.asked cimport Asked
from dimcore.http1.head cimport EXPECT_CONTINUE, UPGRADE

from dimcore.errors import ClientLeft, UsageError
from dimcore.reports import Report

cdef extern from "Python.h":
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

cdef str NO_LOOP = "this worker runs no asyncio loop: set loop to asyncio or uvloop"
# Exceptions of frameworks that say nothing but that the client has left; by name, since none of them is imported here.
cdef set LEAVING = {"ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect", "CancelledError"}


cdef object coroutine_mark():
    """How `inspect` (from 3.12 on) and `asyncio` know what returns an awaitable, though it is no coroutine function.

    Adapters ask: asgiref warns of a `send` without it.
    """
    import inspect
    from asyncio import coroutines
    from types import SimpleNamespace
    mark = getattr(inspect, "markcoroutinefunction", None)
    # The mark itself has another name in 3.12.1 than in 3.13.
    return coroutines._is_coroutine if mark is None else mark(SimpleNamespace())._is_coroutine_marker


cdef bint tells_of_leaving(object error) except -1:
    """Whether an exception says no more than that the client has left.

    An `OSError` without an errno is one that a program made; those of the system are of another descriptor.
    """
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            if not tells_of_leaving(part):
                return False
        return True
    if isinstance(error, OSError):
        return error.errno is None and not isinstance(error, TimeoutError)
    return type(error).__name__ in LEAVING


cdef class AsgiEntry(DrivenHandler):
    """The handler of a route that an ASGI app stands behind.

    Args:
        app: called with ``(scope, receive, send)``; returns a coroutine.
        root_path: what a proxy takes off the path before it asks.
        prefix: where the app is mounted; part of the path.
    """

    def __init__(self, app, str root_path not None="", str prefix not None=""):
        self.app = app
        self.scopes = ScopeMaker(root_path, prefix)

    def place(self, str root_path not None="", str prefix not None="", *, bint pathsend=False):
        """Change where the app stands; requests that have begun keep what they were told.

        Args:
            root_path, prefix: as of the class.
            pathsend: offer the app `http.response.pathsend`, which many middlewares do not know.
        """
        state = self.scopes.state
        self.scopes = ScopeMaker(root_path, prefix, pathsend)
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
            receive is not None and _Py_REFCNT(<PyObject *> receive) == 2
            and _Py_REFCNT(<PyObject *> receive.owner) == 1 and receive.owner.connection is None
        ):
            http = receive.owner
            http.state = EXPECTS_START
            http.spent = 0
            http.body_told = http.peer_left = http.knows_left = http.has_trailers = False
            http.arriving = None
            http.scope = None
            http.name = None
        else:
            receive = AsgiReceive.__new__(AsgiReceive)
            receive.owner = http = AsgiHttp.__new__(AsgiHttp)
            http.entry = self
            self.spare = receive
        http.receive = receive
        http.request = request
        if type(request._source) is ArrivingBody:
            http.arriving = <ArrivingBody> request._source
        return http

    cdef int bring(self, AsgiHttp http, RequestPoint request) except -1:
        """The same for a response driver of another kind."""
        cdef AsgiReceive receive = AsgiReceive.__new__(AsgiReceive)
        receive.owner = http
        http.entry = self
        http.receive = receive
        http.request = request
        return 0

    cdef object open_body(self, object connection):
        cdef RequestPoint request = (<Exchange> connection).current
        cdef ArrivingBody arriving = make_arriving_body(connection, request.info.flags & EXPECT_CONTINUE != 0)
        cdef AsgiBodyConsumer consumer = AsgiBodyConsumer.__new__(AsgiBodyConsumer)
        arriving.owner = consumer         # of an app that is called next
        return arriving


cdef class AsgiBodyConsumer(BodyConsumer):
    cdef int fed(self) except -1:
        return 0 if self.owner is None else self.owner.wake()


@cython.final
cdef class AsgiReceive:
    """`receive` of one request."""

    def __init__(self):
        raise UsageError("a request brings this with it")

    def __call__(self):
        """The next message; see ASGI."""
        if self.owner is None or self.owner.core is None:
            raise UsageError("a request brings this with it")
        return self.owner.receive_now()

    @property
    def _is_coroutine(self):
        return coroutine_mark()

    @property
    def _is_coroutine_marker(self):
        return coroutine_mark()


cdef class AsgiHttp(AsgiAnswer):
    """One request of an ASGI app; called, it is its `send`."""

    def __init__(self):
        raise UsageError("a request brings this with it")

    def __call__(self, message):
        """Send a message; see ASGI."""
        if self.core is None:
            raise UsageError("a request brings this with it")
        if self.core.is_foreign():
            return self.put_off(message)
        return self.deliver(message)

    @property
    def _is_coroutine(self):
        return coroutine_mark()

    @property
    def _is_coroutine_marker(self):
        return coroutine_mark()

    # --- the server -----------------------------------------------------------------------------

    cdef int start(self, object connection) except -1:
        cdef Exchange at = <Exchange> connection
        cdef Runner runner = at.site.core.host.runner
        cdef AsgiReceive receive = self.receive
        cdef CoroutineRun run = None
        cdef dict scope
        cdef object context, coroutine
        self.receive = None
        if runner is None:
            self.request = None
            raise UsageError(NO_LOOP)
        self.number = self.request.number
        self.scope = scope = self.scope_of(at)
        if at.site.core.host.forwarded is not None:
            self.name = self.request.request_id          # a proxy may have given it
        if self.arriving is not None:
            (<AsgiBodyConsumer> self.arriving.owner).owner = self
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
            run = runner.begin(self, None, coroutine, context)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):     # somebody wants the whole program to stop
                raise
            self.ended(None, error)
            return 0
        if run is not None:
            self.core.app_calls += 1
        if run is None:
            runner.take_context()
            self.ended(runner.take_result(), None)
        elif self.connection is not None and not at.state & GONE and self.state <= EXPECTS_BODY:
            become(at, BUSY)
            self.request.own()
            if not at.state & (HALTED | PEER_DONE):
                at.watch(READABLE)
        return 0

    def complete(self, request, result, error):
        """The coroutine ended; its Runner's call."""
        if self.connection is not None and self.must_wait():
            raise UsageError("a connection is being served already: this is for the loop to call")
        self.core.app_calls -= 1
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
        if self.flow is not None:
            self.flow.sent -= self.flow.held_bytes       # gathered, and never sent
        self.connection = None
        self.request = None
        self.flow = None
        self.headers = None
        self.stir()

    # --- what the app receives ------------------------------------------------------------------

    cdef object asked(self):
        """What was asked, for a message of a time when the request may be another one's by now."""
        cdef dict scope = self.scope
        if self.request is not None:
            return self.request
        if scope is None:
            return None
        try:
            target = scope.get("raw_path") or b""
            if scope.get("query_string"):
                target += b"?" + scope["query_string"]
            client = scope.get("client")
            return Asked(self.name or format(self.number, "x"), scope.get("method", "GET"), target.decode("latin-1"),
                         client and client[0])
        except Exception:                # the scope is the app's to change
            return None

    cdef dict scope_of(self, Exchange at):
        return self.entry.scopes.make(at, self.request)

    cdef object receive_now(self):
        return make_wait(self, RECEIVES)

    cdef object next_message(self):
        """The next message, or None where there is none yet."""
        cdef ArrivingBody arriving = self.arriving
        cdef bint more = False
        if self.connection is None or self.connection.state & GONE:
            self.knows_left = True
            return {"type": "http.disconnect"}
        if not self.body_told:
            if arriving is None:
                self.body_told = True
                return {"type": "http.request", "body": self.request.body, "more_body": False}
            chunk = arriving.take()
            if chunk is None:
                if not arriving.ended:
                    return None
                if arriving.error:
                    return {"type": "http.disconnect"}
                self.body_told = True
                chunk = b""
            elif arriving.chunks or not arriving.ended or arriving.error:
                more = True
            else:
                self.body_told = True
            return {"type": "http.request", "body": chunk, "more_body": more}
        if not self.peer_left:
            return None
        self.knows_left = True
        return {"type": "http.disconnect"}

    cdef object take_path(self, dict message):
        if not self.entry.scopes.pathsend:
            raise RuntimeError("http.response.pathsend is not offered: the setting asgi-pathsend does")
        return AsgiAnswer.take_path(self, message)

    cdef int call_for_body(self) except -1:
        """The app waits for a body whose sender waits to be asked (RFC 9110 10.1.1)."""
        self.arriving.expected = False
        if self.state > EXPECTS_BODY:        # the answer has begun: too late to ask
            self.request.info.flags &= ~<uint32_t> EXPECT_CONTINUE
        self.connection.resume_body()
        return 0

    # --- the end --------------------------------------------------------------------------------

    cdef bint excuses(self, object error) except -1:
        """Whether an app that was told of its client's leaving says no more than that with this exception.

        One that was told in the middle of the request's body has nothing to work on: whatever it raises is due to that.
        """
        if not self.knows_left or self.state == COMPLETE:
            return False
        return not self.body_told and self.state <= EXPECTS_BODY or tells_of_leaving(error)

    cdef int ended(self, object result, object error) except -1:
        """The app's coroutine is through."""
        cdef ArrivingBody arriving = self.arriving
        self.arriving = None
        try:
            return self.settle(result, error, arriving)
        finally:
            self.scope = None

    cdef int settle(self, object result, object error, ArrivingBody arriving) except -1:
        cdef Exchange at = self.connection
        cdef Settled given
        if error is None and result is not None:
            error = RuntimeError(f"ASGI callable should return None, but returned {result!r:.100}.")
        if at is None or at.state & GONE:
            if error is None or self.excuses(error):
                return 0
            if arriving is not None and arriving.error and self.state != COMPLETE and self.state != SWALLOWS:
                return 0     # what comes of a body that was refused, or whose client left, is no fault of the app's
            if not isinstance(error, ClientLeft):
                self.core.tell(Report.ASGI_FAILED_LATE, self.asked(), error)
            return 0
        given.answer = <void *> self
        given.error = <void *> error
        given.nested = at.state & WORKING != 0
        return serve(at, _settle, &given, True)

    cdef int end_answer(self, object error, bint nested) except -1:
        """Within an event: what is left to be sent of an app that is through."""
        cdef Exchange at = self.connection
        self.core.clock()
        if self.state == EXPECTS_TRAILERS and error is None:
            self.complete_body()         # all that a middleware kept to itself is the trailers
            at.flush()
            return 0 if nested else at.go_on()
        if self.state > EXPECTS_BODY:
            if self.knows_left and (error is None or self.excuses(error)):
                error = None             # nobody reads the rest, and the app has stopped making it
            elif error is None:
                error = RuntimeError("ASGI callable returned without completing response.")
            if self.flow is not None:
                self.flow.put(at, b"", False)    # what was gathered, so that the peer has what the app sent
            return at.cut_short(error)
        if at.state & BUSY:
            become(at, READING)
        if error is None and self.peer_left or error is not None and self.excuses(error):
            self.let_go(COMPLETE)        # it saw that the peer left, and has nothing to say
            at.drop()
            return 0
        if error is None:
            error = RuntimeError("ASGI callable returned without starting response.")
        self.let_go(COMPLETE)
        at.answer(None, error)
        at.flush()
        return 0 if nested else at.go_on()


cdef struct Settled:
    void *answer
    void *error
    bint nested


cdef int _settle(Exchange exchange, void *given) except -1:
    cdef Settled *settled = <Settled *> given
    return (<AsgiHttp> settled.answer).end_answer(<object> settled.error, settled.nested)
