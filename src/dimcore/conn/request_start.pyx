"""A request as it comes in: from its head to the handler, with the body in between.

    half_head -> begin -> take_body -> (divert) -> dispatch

What is known to be wrong with a request by its head alone is said here: an
expectation, a body that is too long, a pool without room.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp

from dimcore.conn.admission cimport RETRY
from dimcore.conn.answering cimport (
    answer_early, ask_filters, dispatch, open_request, refuse, refuse_unrouted, release_request,
)
from dimcore.conn.core cimport Core
from dimcore.conn.exchange cimport note
from dimcore.conn.handler cimport DrivenHandler
from dimcore.conn.inbox cimport inbox_keep_head, inbox_new
from dimcore.conn.phase cimport BUSY, CLOSE, GONE, HAS_ANSWER, LINGER, STREAMING
from dimcore.http.body_reader cimport BodyReader
from dimcore.http.request cimport RequestPoint
from dimcore.http.router cimport Route
from dimcore.http.spool cimport Spool
from dimcore.http1.body cimport (
    BODY_DONE, BODY_FAILED, BODY_MORE, BodyResult, body_start_chunked, body_start_length,
)
from dimcore.http1.head cimport (
    CHUNKED, EXPECT_CONTINUE, EXPECT_OTHER, FAULT_BODY_LENGTH, FAULT_EXPECTATION, fault_status, fault_text,
)
from dimcore.index.states cimport HANDLER_FOUND, REQUEST_BEGUN
from dimcore.limits cimport ACTIVE, PARSED, POOL_API

from dimcore.reports import Report

cdef enum:
    STREAM_LARGE = 2         # `Route.streaming`: at once unless the body is known to be small


cdef int half_head(Carrier carrier, Head *head) except -1:
    """Half a head is here: a request at stage *received*, and the parser's state kept for the rest."""
    # What is answered goes out first: a peer that does not read it is held to that, not to this head.
    carrier.flush()
    if carrier.outbox is not None or carrier.state & GONE:
        return 0
    release_request(carrier)
    if carrier.current is None:
        open_request(carrier)
    if head.info.method_length:
        carrier.current.info.method = head.info.method
    if carrier.inbox == NULL:
        carrier.inbox = inbox_new()
    if carrier.inbox.head == NULL:
        inbox_keep_head(carrier.inbox, head)
    return 0


cdef int64_t most_body(Carrier carrier) noexcept:
    """Most bytes the body of the current request may have: its route's limit, else the server's."""
    cdef Route route = carrier.current.route
    return carrier.site.core.limits.max_body if route is None or route.max_body < 0 else route.max_body


cdef int start_body(Carrier carrier, bint chunked) except -1:
    """Collect a body that is still on its way; the head is copied first."""
    cdef RequestPoint request = carrier.current
    request.own()
    request.reader = BodyReader.__new__(BodyReader)
    if chunked:
        body_start_chunked(&request.reader.body, most_body(carrier))
    else:
        body_start_length(&request.reader.body, request.info.content_length)
    request.marked_bytes = 0
    request.credit_ns = carrier.site.core.limits.stage_credit_ns[<int> PARSED]
    return 0


cdef bint wants_at_once(Carrier carrier) noexcept:
    """Whether the handler is to run before the body is there.

    One that runs on a thread may leave small bodies to us: a client that takes its time holds no thread then.
    """
    cdef RequestPoint request = carrier.current
    if request.route.streaming != STREAM_LARGE:
        return request.route.streaming != 0
    return (
        request.info.content_length < 0 or request.info.flags & EXPECT_CONTINUE != 0
        or request.info.content_length > <int64_t> carrier.site.core.limits.body_memory
    )


cdef size_t begin(Carrier carrier, const char *data, size_t size, int length) except? 0:
    """Serve the request whose parsed head is in `Core.head`; returns the bytes used."""
    cdef Core core = carrier.site.core
    cdef Head *head = core.scratch.head
    cdef RequestPoint request
    cdef const char *path
    cdef Py_ssize_t path_size = 0
    cdef int64_t now = core.now_ns
    release_request(carrier)
    if carrier.state & GONE:            # the access log's doing
        return length
    request = carrier.current
    if request is None:
        request = core.take_request()
        request.adopt(head, data)
        request.connection = carrier
        request.head_us = 0
        core.requests.enter(request, PARSED, now)
        core.requests.totals.requests += 1
        carrier.current = request
    else:
        # The index knows it under OTHER, and whoever looked at it may have decoded what was not there yet.
        request.forget()
        request.connection = carrier
        core.requests.classify(request, head.info.method, now)
        request.head_us = <uint32_t> min((now - request.started_ns) // 1000, <int64_t> 0xffffffff)
        request.adopt(head, data)
    core.scratch.head = &core.scratch.heads[head == &core.scratch.heads[0]]
    request.started_ns = now
    request.routed_ns = request.body_size = 0
    path = request.path_bytes(&path_size)
    if carrier.layer != ACTIVE:
        carrier.move(REQUEST_BEGUN)
    carrier.requests += 1
    if carrier.requests == 1 and carrier.site.splits_api and path_size >= 5 and memcmp(path, b"/api/", 5) == 0:
        if not core.pools.transfer(carrier, POOL_API, now):
            core.turned_away("max-api", &carrier.peer)
            refuse(carrier, 503, b"the api pool is full", RETRY)
            return length
    if head.info.flags & EXPECT_OTHER:
        refuse(carrier, fault_status(FAULT_EXPECTATION), fault_text(FAULT_EXPECTATION), None)
        return length
    request.route = carrier.site.router.find(
        request.info.method, data + request.info.method_at, request.info.method_length, path, path_size
    )
    if request.route is None and carrier.site.fallback is not None:
        request.route = carrier.site.fallback.find(
            request.info.method, data + request.info.method_at, request.info.method_length, path, path_size
        )
    if (carrier.site.filters if request.route is None else request.route.filters) is not None:
        length = ask_before(carrier, size, length)
        if carrier.state & (HAS_ANSWER | BUSY | STREAMING | GONE):
            return length
    if head.info.flags & CHUNKED or head.info.content_length > 0:
        if head.info.content_length > most_body(carrier):
            refuse(carrier, fault_status(FAULT_BODY_LENGTH), fault_text(FAULT_BODY_LENGTH), None)
            return length
        if head.info.content_length > 0 and <int64_t> (size - length) >= head.info.content_length:
            request.body_at = data + length
            request.body_size = <Py_ssize_t> head.info.content_length
            length += <int> head.info.content_length
        elif request.route is None:
            note(carrier, CLOSE | LINGER)     # answered without its body: the framing ends here
        else:
            start_body(carrier, head.info.flags & CHUNKED)
            if size > <size_t> length:
                request.info.flags &= ~<uint32_t> EXPECT_CONTINUE    # the peer did not wait to be told
            elif wants_at_once(carrier):
                divert(carrier, request.reader)
            else:
                carrier.call_for_body()
            return length
    if request.route is None:
        refuse_unrouted(carrier, path, path_size)
    else:
        dispatch(carrier)
    return length


cdef int ask_before(Carrier carrier, size_t size, int length) except -1:
    """Ask the filters, if this request has any; the bytes used, with those of its body where they answered."""
    cdef RequestPoint request = carrier.current
    answer = failure = None
    try:
        answer = ask_filters(carrier)
    except BaseException as error:
        failure = error
    if answer is None and failure is None or carrier.state & GONE:
        return length
    if request.info.flags & CHUNKED or request.info.content_length > <int64_t> (size - length):
        note(carrier, CLOSE | LINGER)    # answered without its body: the framing ends here
    elif request.info.content_length > 0:
        length += <int> request.info.content_length
    answer_early(carrier, answer, failure)
    return length


cdef size_t take_body(Carrier carrier, const char *data, size_t size) except? 0:
    """Take in more of the body; the number of bytes that were its own."""
    cdef size_t used = 0
    cdef BodyReader reader = carrier.current.reader
    cdef BodyResult result
    try:
        result = reader.take(data, size, &used)
        carrier.current.body_size = <Py_ssize_t> reader.body.total
        if result == BODY_MORE and (reader.size > carrier.site.core.limits.body_memory or wants_at_once(carrier)):
            divert(carrier, reader)
    except OSError as error:         # the disk is full, as a rule
        carrier.site.core.tell(Report.BODY_NOT_KEPT, carrier.current, error)
        refuse(carrier, 503, b"there is no room for the request body", RETRY)
        return size
    if result == BODY_FAILED:
        if reader.sink is not None:      # the handler has begun
            carrier.refuse_body(reader.body.fault)
        else:
            refuse(carrier, fault_status(reader.body.fault), fault_text(reader.body.fault), None)
        return size
    if result == BODY_DONE:
        if reader.sink is not None:
            carrier.end_body(b"")
            carrier.site.core.requests.step(carrier.current, HANDLER_FOUND, carrier.site.core.now_ns)
        else:
            carrier.current.take_body(reader.whole())
            carrier.current.reader = None
            dispatch(carrier)
    return used


cdef int divert(Carrier carrier, BodyReader reader) except -1:
    """More than is to be held in memory: to the handler, if it asked for that and can wait, else to a file.

    A handler that did not ask gets the whole body, on a thread too: a client that sends slowly then holds no
    thread, however many such clients there are."""
    cdef Core core = carrier.site.core
    if reader.sink is not None or reader.spool is not None:
        return 0
    if not carrier.current.route.streaming or not carrier.current.route.blocking and core.host.runner is None:
        carrier.call_for_body()
        return reader.spill(Spool(core.host.open_spool()))
    if carrier.current.info.flags & EXPECT_CONTINUE:
        carrier.pause_body()            # until the handler wants it: whether it does, only it can tell
    handler = carrier.current.route.handler
    if isinstance(handler, DrivenHandler):
        sink = (<DrivenHandler> handler).open_body(carrier)
    else:
        sink = core.host.open_stream(carrier) if carrier.current.route.blocking else core.host.open_body(carrier)
    carrier.current.take_body(sink)
    reader.pour(sink)
    return dispatch(carrier)
