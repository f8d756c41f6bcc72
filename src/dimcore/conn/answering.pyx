"""From a request to its answer in the writer, for every kind of exchange.

    dispatch -> handler -> give_answer -> compose -> send_body

A handler's fault, a fault of what it returned and a refusal of the server's own
all end here as an answer, and each of them exactly once: nothing is written
before the whole head is known to be valid.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport _Py_REFCNT
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memset

from dimcore.aio.task_runner cimport CoroutineRun, Runner, is_awaitable
from dimcore.conn.batching cimport FROM_NS
from dimcore.conn.core cimport Core, detach_request, leave_process
from dimcore.conn.exchange cimport APART_BYTES, READABLE, become, note, unnote
from dimcore.conn.filter cimport AnswerHead, Filter, Transform, joined
from dimcore.conn.handler cimport CompiledHandler, ResponseDriver
from dimcore.conn.phase cimport (
    BUSY, CLOSE, FILTERED, GONE, HALTED, HAS_ANSWER, LINGER, PEER_DONE, READING, STREAMING, UPGRADED,
)
from dimcore.conn.result cimport Result, claim, discard
from dimcore.conn.streamed_body cimport AsyncSource, Outflow, Push
from dimcore.http.request cimport RequestPoint
from dimcore.http.router cimport Route
from dimcore.http1.head cimport ASTERISK_FORM, AUTHORITY_FORM, EXPECT_CONTINUE, KEEP_ALIVE, Head
from dimcore.http1.head_writer cimport (
    CLOSE_AFTER, HEAD_ONLY, LENGTH_CHANGES, OLD_CLIENT, UNKNOWN_LENGTH, Writer, has_no_body,
)
from dimcore.index.states cimport ANSWER_COMPOSED, HANDLER_DONE, HANDLER_FOUND, REFUSED, REQUEST_BEGUN
from dimcore.limits cimport ACTIVE, CLOSING, HEAD, OPTIONS, OTHER, RECEIVED, RESPONSE_READY
from dimcore.net.socket_io cimport Composite, FileBody
from dimcore.worker_record cimport count_answer, set_line

from dimcore.conn.result import pieces_of
from dimcore.errors import PeerError, UsageError
from dimcore.reports import Report

cdef str NO_LOOP = "this worker runs no asyncio loop: register an async function, or set loop to asyncio"

cdef bytes PLAIN_TYPE = b"text/plain; charset=utf-8"
cdef dict PLAIN = {"Content-Type": PLAIN_TYPE.decode()}


# --- the request --------------------------------------------------------------------------------

cdef int open_request(Exchange exchange) except -1:
    """A request at stage *received*, of which nothing is known yet."""
    cdef Core core = exchange.site.core
    cdef RequestPoint request = core.take_request()
    memset(&request.info, 0, sizeof(request.info))
    request.info.content_length = -1
    request.info.method = OTHER      # until it is known
    request.spiral = OTHER
    request.connection = exchange
    request.started_ns = core.now_ns
    request.routed_ns = request.finished_ns = 0
    request.head_us = 0
    request.body_size = 0
    core.requests.enter(request, RECEIVED, core.now_ns)
    core.requests.totals.requests += 1
    exchange.current = request
    if exchange.layer != ACTIVE:
        exchange.move(REQUEST_BEGUN)
    return 0


cdef int tell_line(Exchange exchange, const Head *head, const char *data) except -1:
    """Of a head at `data` that is not whole: its method, and once that is read the target.

    What is answered to a HEAD has no body, a refusal too (RFC 9110 9.3.2); and a refusal is logged with both.
    """
    cdef RequestPoint request = exchange.current
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


# --- the handler --------------------------------------------------------------------------------

cdef int dispatch(Exchange exchange) except -1:
    """The request is whole: run its handler here, or hand it over."""
    cdef Core core = exchange.site.core
    cdef RequestPoint request = exchange.current
    cdef Route route = request.route
    request.routed_ns = core.now_ns
    if request.reader is None:       # else the body is still arriving, and its limit holds
        core.requests.step(request, HANDLER_FOUND, core.now_ns)
    try:
        if route.blocking:
            request.own()
            become(exchange, BUSY)
            core.host.offload(exchange, request, route.handler)
            return 0
        # Should this process not survive the handler, its supervisor finds here what it was.
        set_line(core.running, request.base + request.info.method_at,
                 request.info.target_at + request.info.target_length - request.info.method_at, core.now_ns)
        if isinstance(route.handler, CompiledHandler):
            result = (<CompiledHandler> route.handler).run(request)
        else:
            result = route.handler(request)
            if is_awaitable(result):
                result = begin_waiting(exchange, result)
                if exchange.state & (BUSY | GONE | HAS_ANSWER):
                    return 0
    except BaseException as error:
        return answer_failure(exchange, error)
    core.clock()
    give_answer(exchange, result, None)
    if core.scratch.afterwards is not None:
        return conclude(exchange)
    if core.now_ns - request.routed_ns >= FROM_NS:
        core.scratch.put_off = core.batching.pace(core.now_ns - request.routed_ns)
    return 0


cdef int answer_failure(Exchange exchange, object error) except -1:
    """What was to make the answer raised."""
    if exchange.site.core.forked:
        leave_process(error)
    if isinstance(error, KeyboardInterrupt):     # somebody wants the whole program to stop
        raise error
    if exchange.state & BUSY:                    # no thread was to be had
        become(exchange, READING)
    exchange.site.core.clock()
    return give_answer(exchange, None, error)


cdef object ask_filters(Exchange exchange):
    """What a filter answers in the handler's place, or None."""
    cdef tuple filters = filters_of(exchange)
    note(exchange, FILTERED)
    for filter in filters:
        answer = (<Filter> filter).before(exchange.current)
        if answer is not None or exchange.state & GONE:
            return answer
    return None


cdef int answer_early(Exchange exchange, object result, object error) except -1:
    """Give that answer, or the one to what a filter raised."""
    cdef Core core = exchange.site.core
    exchange.current.routed_ns = core.now_ns
    core.requests.step(exchange.current, HANDLER_FOUND, core.now_ns)
    if error is not None:
        return answer_failure(exchange, error)
    try:
        if is_awaitable(result):
            result = begin_waiting(exchange, result)
            if exchange.state & (BUSY | GONE | HAS_ANSWER):
                return 0
    except BaseException as error:
        return answer_failure(exchange, error)
    core.clock()
    return give_answer(exchange, result, None)


cdef int conclude(Exchange exchange) except -1:
    """The handler has something to do that nobody need wait for: the answer goes out first, unless it is known
    to be little and the answer waits for those of others (`Batching`)."""
    cdef Core core = exchange.site.core
    cdef int64_t began_ns = exchange.current.routed_ns
    afterwards, core.scratch.afterwards = core.scratch.afterwards, None
    if core.batching.unproven:
        exchange.flush()
    try:
        afterwards()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        core.tell(Report.HANDLER_FAILED_LATE, exchange.current, error)
    core.scratch.put_off = core.batching.pace(core.clock() - began_ns)
    return 0


# --- coroutines ---------------------------------------------------------------------------------

cdef object begin_waiting(Exchange exchange, object awaitable):
    """Begin a response driver or a coroutine; what that returns, unless it waits or has answered by itself."""
    if isinstance(awaitable, ResponseDriver):
        (<ResponseDriver> awaitable).start(exchange)
        if exchange.state & (BUSY | GONE | HAS_ANSWER):
            return None
    return first_step(exchange, awaitable)


cdef object first_step(Exchange exchange, object awaitable):
    """What the coroutine of an async handler returns, or *busy*: it waits, and `complete` is called in the end."""
    cdef Runner runner = exchange.site.core.host.runner
    cdef CoroutineRun run
    if runner is None:
        close = getattr(awaitable, "close", None)
        if close is not None:
            close()
        raise UsageError(NO_LOOP)
    run = runner.begin(exchange, exchange.current, awaitable, None)
    if run is not None:
        # A coroutine that has upgraded the connection goes on beside it.
        if not exchange.state & UPGRADED:
            wait_for(exchange, run)
        return None
    exchange.current.coroutine = runner.take_context()
    return runner.take_result()


cdef int wait_for(Exchange exchange, CoroutineRun run) except -1:
    """The answer comes later; a peer that is gone ends the coroutine."""
    exchange.current.coroutine = run
    become(exchange, BUSY)
    exchange.current.own()
    if not exchange.state & (HALTED | PEER_DONE):
        exchange.watch(READABLE)         # it may have caught up with a body that was halted
    return 0


cdef object first_piece(Exchange exchange, AsyncSource source):
    """Let a body be made by a coroutine: *busy* while that waits for the first piece, else the answer to give."""
    cdef Core core = exchange.site.core
    cdef Result unpacked = core.scratch.result
    cdef Runner runner = core.host.runner
    cdef CoroutineRun run
    if runner is None:
        raise UsageError(NO_LOOP)
    context = exchange.current.coroutine     # a generator sees what the handler that made it has set
    if type(context) is CoroutineRun:
        context = (<CoroutineRun> context).context
    run = runner.begin(
        exchange, exchange.current,
        core.host.open_flow(exchange, exchange.current, unpacked.status, unpacked.headers, source.pieces), context)
    if run is not None:
        wait_for(exchange, run)
        return None
    runner.take_context()
    return runner.take_result()


cdef bint reads_on(Exchange exchange, object result):
    """Whether the handler may go on reading its body while it makes the answer: it is on a thread, and so is what
    makes the pieces.  A peer that still waits to be asked for its body is not asked any more."""
    cdef RequestPoint request = exchange.current
    return (
        request.route.blocking and request.reader.sink is not None
        and request.info.flags & EXPECT_CONTINUE == 0
        and type(result) is tuple and len(<tuple> result) == 3 and type((<tuple> result)[2]) is Push
    )


# --- the answer ---------------------------------------------------------------------------------

cdef int give_answer(Exchange exchange, object result, object error) except -1:
    """Answer `current`: with what the handler returned, or what its exception means."""
    cdef Core core = exchange.site.core
    cdef Result unpacked = core.scratch.result
    cdef object body = None
    if exchange.state & (GONE | UPGRADED):   # the handler closed its own connection, or it is answered with 101
        if error is not None:
            core.tell(Report.HANDLER_FAILED, exchange.current, error)
        return 0
    if exchange.current.reader is not None:      # answered before its body was read: the framing ends here
        note(exchange, CLOSE | LINGER)
        if error is not None or not reads_on(exchange, result):
            exchange.forgo_body()
    core.requests.step(exchange.current, HANDLER_DONE, core.now_ns)
    if error is not None:
        return answer_error(exchange, error)
    try:
        # Up to here nothing of the answer is written, so any fault of it becomes another answer.
        unpacked.take(result)
        claim(unpacked.body)      # one that another answer is sending is not this one's to discard
        body = unpacked.body
        if type(body) is AsyncSource:
            result = first_piece(exchange, <AsyncSource> body)
            if exchange.state & (BUSY | GONE):
                return 0
            unpacked.take(result)
            claim(unpacked.body)
            body = unpacked.body
        if exchange.current.route is not None and exchange.current.route.filters is None:
            write_head(exchange, unpacked.headers, body, unpacked.status, unpacked.content_type, 0)
        else:
            body = compose(exchange, unpacked.headers, body, unpacked.status, unpacked.content_type)
    except BaseException as problem:
        if isinstance(problem, KeyboardInterrupt):
            raise
        discard(body)
        if exchange.current.reader is not None:
            exchange.forgo_body()
        return answer_error(exchange, problem)
    finally:
        unpacked.clear()
    send_body(exchange, body)
    if exchange.current.reader is not None and exchange.state & (STREAMING | GONE) == 0:
        exchange.forgo_body()            # nothing is made: to HEAD, or with 204
    return 0


cdef int answer_error(Exchange exchange, object error) except -1:
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
        return answer_with(exchange, status, PLAIN, text)
    exchange.site.core.tell(Report.HANDLER_FAILED, exchange.current, error)
    return answer_with(exchange, 500, PLAIN, b"Internal Server Error\n")


cdef int answer_with(Exchange exchange, int status, object headers, bytes body) except -1:
    cdef object filtered = body
    if exchange.state & GONE:
        return 0
    try:
        filtered = compose(exchange, headers, body, status, NULL)
    except BaseException as error:
        # A filter failed, and had its chance: the answer goes out as it is.
        if filters_of(exchange) is None or isinstance(error, KeyboardInterrupt):
            raise
        exchange.site.core.tell(Report.FILTER_FAILED, exchange.current, error)
        write_head(exchange, headers, body, status, NULL, 0)
    return send_body(exchange, filtered)


cdef tuple filters_of(Exchange exchange):
    """Those of the request's route, or of requests that have none; or None."""
    cdef Route route = exchange.current.route
    return exchange.site.filters if route is None else route.filters


cdef object compose(Exchange exchange, object headers, object body, int status, const char *kind):
    """Write the head; what it raises leaves nothing written.  Returns the body to send."""
    cdef tuple filters = filters_of(exchange)
    if filters is not None:
        return compose_filtered(exchange, filters, headers, body, status, kind)
    write_head(exchange, headers, body, status, kind, 0)
    return body


cdef object compose_filtered(
    Exchange exchange, tuple filters, object headers, object body, int status, const char *kind
):
    """The same for an answer that filters see, the one beside the handler first."""
    cdef AnswerHead head = AnswerHead.__new__(AnswerHead)
    cdef list transforms
    cdef Writer writer = exchange.site.core.scratch.writer
    head.status = status
    head.headers = headers
    head.content_type = kind if kind != NULL else None
    head.length = -1
    if not isinstance(body, Outflow):
        head.length = length_of(body)
    note(exchange, FILTERED)
    transforms = ask_after(exchange, filters, head)
    if exchange.state & GONE:
        return body
    kind = NULL
    if head.content_type is not None:
        kind = head.content_type
    writer.further = head.further
    try:
        # To HEAD the length is told where it is known: of bytes.
        if transforms and not has_no_body(head.status) and (
            type(body) is bytes or exchange.current.info.method != HEAD
        ):
            body = transformed(body, joined(transforms))
        write_head(exchange, head.headers, body, head.status, kind, LENGTH_CHANGES if transforms else 0)
        return body
    finally:
        writer.further = None


cdef list ask_after(Exchange exchange, tuple filters, AnswerHead head):
    """Show a head to filters, the one beside the handler first; returns what they send the body through."""
    cdef Transform transform
    cdef list transforms = []
    for filter in reversed(filters):
        transform = (<Filter> filter).after(exchange.current, head)
        if transform is not None:
            transforms.append(transform)
    return transforms


cdef object transformed(object body, Transform transform):
    """A body whose bytes go through a transform: at once, or as they are sent."""
    cdef Outflow flow
    if type(body) is bytes:
        return transform.feed(<bytes> body) + transform.end()
    if isinstance(body, Outflow):
        flow = <Outflow> body
    else:
        flow = Outflow(pieces_of(body))
    flow.transform = transform
    return flow


cdef int64_t length_of(object body) except -2:
    if type(body) is bytes:
        return PyBytes_GET_SIZE(body)
    if isinstance(body, FileBody):
        return (<FileBody> body).length
    return (<Composite?> body).length


cdef int write_head(
    Exchange exchange, object headers, object body, int status, const char *kind, uint32_t flags
) except -1:
    cdef Core core = exchange.site.core
    cdef RequestPoint request = exchange.current
    cdef int64_t length
    if type(body) is bytes:
        length = PyBytes_GET_SIZE(body)
    elif flags & LENGTH_CHANGES and request.info.method == HEAD:
        length = UNKNOWN_LENGTH
    elif isinstance(body, Outflow):
        length = UNKNOWN_LENGTH
        if request.info.method != HEAD and not has_no_body(status) and not (<Outflow> body).prime():
            length = 0
        elif request.info.minor == 0 and request.info.length:
            flags |= CLOSE_AFTER     # the end of the connection is the end of the body
    else:
        length = length_of(body)
    if not request.info.flags & KEEP_ALIVE or exchange.state & CLOSE or core.draining or exchange.layer == CLOSING:
        flags |= CLOSE_AFTER
    if request.info.minor == 0 and request.info.length:
        flags |= OLD_CLIENT
    if request.info.method == HEAD:
        flags |= HEAD_ONLY
    if exchange.put_head(status, headers, length, flags, kind) & CLOSE_AFTER:
        note(exchange, CLOSE)
        if request.info.flags & KEEP_ALIVE:
            note(exchange, LINGER)       # the peer does not expect it, and may be sending the next request
    core.requests.step(request, ANSWER_COMPOSED, core.now_ns)
    note(exchange, HAS_ANSWER)
    request.credit_ns = core.limits.stage_credit_ns[<int> RESPONSE_READY]
    request.finished_ns = core.now_ns
    request.status = status
    request.body_sent = 0 if flags & HEAD_ONLY or has_no_body(status) else length
    count_answer(&core.requests.totals, core.now_ns - request.started_ns, status >= 500)
    return 0


cdef int send_body(Exchange exchange, object body) except -1:
    """Write a small body behind its head; a large one is sent from where it lies, a file by the kernel."""
    cdef Writer writer = exchange.site.core.scratch.writer
    cdef Outflow flow
    if exchange.current.body_sent == 0:
        discard(body)
        return 0
    if type(body) is bytes and PyBytes_GET_SIZE(body) < APART_BYTES:
        return writer.append(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    if isinstance(body, Outflow):
        flow = <Outflow> body
        flow.declared = writer.declared
        flow.chunked = False
        if flow.declared < 0 or flow.transform is not None:
            exchange.frame_stream(flow)
        exchange.current.body_sent = 0
        return exchange.start_stream(flow)
    return exchange.send_apart(body)


# --- answers of the server's own ----------------------------------------------------------------

cdef int refuse(Exchange exchange, int status, bytes text, object headers) except -1:
    """An answer of the server's own that ends the connection: the framing cannot be trusted any more."""
    cdef RequestPoint request = exchange.current
    cdef bint head_only = request.info.method == HEAD
    request.reader = None
    if exchange.state & FILTERED:
        return refuse_filtered(exchange, status, text, headers)
    write_refusal(exchange, status, text, headers, head_only)
    return refused(exchange, status, 0 if head_only else PyBytes_GET_SIZE(text) + 1)


cdef int refuse_filtered(Exchange exchange, int status, bytes text, object headers) except -1:
    """The same for a request that filters have seen: its answer is theirs as well."""
    cdef Writer writer = exchange.site.core.scratch.writer
    cdef RequestPoint request = exchange.current
    cdef AnswerHead head = AnswerHead.__new__(AnswerHead)
    cdef bytes body = text + b"\n"
    cdef const char *kind = NULL
    cdef list transforms
    head.status = status
    head.headers = headers
    head.content_type = PLAIN_TYPE
    head.length = PyBytes_GET_SIZE(body)
    note(exchange, CLOSE | LINGER)
    try:
        transforms = ask_after(exchange, filters_of(exchange), head)
        if exchange.state & GONE:
            return 0
        if transforms:
            body = transformed(body, joined(transforms))
        if head.content_type is not None:
            kind = head.content_type
        writer.further = head.further
        exchange.put_head(head.status, head.headers, PyBytes_GET_SIZE(body), CLOSE_AFTER, kind)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        exchange.site.core.tell(Report.FILTER_FAILED, request, error)
        if exchange.state & GONE:
            return 0
        head.status = status
        body = text + b"\n"
        writer.further = None
        exchange.put_head(status, headers, PyBytes_GET_SIZE(body), CLOSE_AFTER, PLAIN_TYPE)
    finally:
        writer.further = None
    if request.info.method == HEAD:
        return refused(exchange, head.status, 0)
    writer.append(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
    return refused(exchange, head.status, PyBytes_GET_SIZE(body))


cdef int refused(Exchange exchange, int status, int64_t sent) except -1:
    """What is noted of a refusal that is written."""
    cdef Core core = exchange.site.core
    cdef RequestPoint request = exchange.current
    core.requests.totals.errors += 1
    core.requests.step(request, REFUSED, core.now_ns)
    note(exchange, HAS_ANSWER)
    request.credit_ns = core.limits.stage_credit_ns[<int> RESPONSE_READY]
    request.finished_ns = core.now_ns
    request.status = status
    request.body_sent = sent
    return 0


cdef int write_refusal(Exchange exchange, int status, bytes text, object headers, bint head_only) except -1:
    cdef Writer writer = exchange.site.core.scratch.writer
    note(exchange, CLOSE | LINGER)
    exchange.put_head(status, headers, PyBytes_GET_SIZE(text) + 1, CLOSE_AFTER, PLAIN_TYPE)
    if not head_only:
        writer.append(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        writer.append(b"\n", 1)
    return 0


cdef int refuse_unrouted(Exchange exchange, const char *path, Py_ssize_t size) except -1:
    """404, 405 with Allow, or 501 for the methods that are no plain exchange."""
    cdef RequestPoint request = exchange.current
    cdef object allow
    exchange.site.core.requests.step(request, REFUSED, exchange.site.core.now_ns)
    if request.info.flags & AUTHORITY_FORM:      # CONNECT: no resource that could allow others (RFC 9110 9.3.6)
        return answer_with(exchange, 501, PLAIN, b"Not Implemented\n")
    allow = exchange.site.router.allow(path, size)
    if allow is None and exchange.site.fallback is not None:
        allow = exchange.site.fallback.allow(path, size)
    if request.info.flags & ASTERISK_FORM:
        return answer_with(exchange, 200, {"Allow": "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"}, b"")
    if allow is not None and request.info.method == OPTIONS:     # nobody answers it otherwise (RFC 9110 9.3.7)
        return answer_with(exchange, 204, {"Allow": f"{allow}, OPTIONS"}, b"")
    if allow is not None:
        return answer_with(exchange, 405, {"Allow": allow, **PLAIN}, b"Method Not Allowed\n")
    if request.info.method == OTHER and request.method == "TRACE":
        return answer_with(exchange, 501, PLAIN, b"Not Implemented\n")
    return answer_with(exchange, 404, PLAIN, b"Not Found\n")


# --- the end of the request ---------------------------------------------------------------------

cdef int release_request(Exchange exchange) except -1:
    """An answered request leaves the index; its memory serves the next one unless somebody kept it."""
    cdef Core core
    cdef RequestPoint request
    if not exchange.state & HAS_ANSWER:
        return 0
    core = exchange.site.core
    request = exchange.current
    exchange.current = None
    unnote(exchange, HAS_ANSWER)
    # What is in a context may be the request itself, and no collector would see that circle.
    if request.coroutine is not None:
        request.coroutine = None
    if request.on_peer_done is not None:
        request.on_peer_done = None
    core.requests.leave(request)     # sent and logged at once: nobody could look in between
    if core.host.access_log is not None or exchange.state & FILTERED:
        tell_finished(exchange, request, True)
    if _Py_REFCNT(<PyObject *> request) == 1:
        request.forget()
        core.scratch.spare = request
    else:
        detach_request(request)
    return 0


cdef void tell_finished(Exchange exchange, RequestPoint request, bint answered) noexcept:
    """The access log hears of every answer, filters of every request that they have seen."""
    cdef Core core = exchange.site.core
    cdef tuple filters
    if answered and core.host.access_log is not None:
        core.finished(core.host.access_log, request, &exchange.peer)
    if exchange.state & FILTERED:
        unnote(exchange, FILTERED)
        filters = exchange.site.filters if request.route is None else request.route.filters
        for filter in filters or ():
            core.finished(<Filter> filter, request, &exchange.peer)
