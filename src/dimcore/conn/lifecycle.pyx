"""How a connection ends: when its work is done, at a time limit, by a fault, or because the peer left.

    settle -> finish -> (lingering) -> drop -> bury

Handlers, header mappings and hooks are the program's code, and may close any
connection at any point, this one too.  So while an event is served (WORKING)
closing only takes the descriptor and the place in the pools (`drop`); the
request, its bytes and what is left to send stay until the event is through
(`bury`).
"""

from libc.stdint cimport int64_t

from dimcore.aio.task_runner cimport CoroutineRun
from dimcore.conn.answering cimport refuse, tell_finished, tell_line
from dimcore.conn.core cimport Core, detach_request
from dimcore.conn.exchange cimport AT_DOOR, CHARGED, COUNTED, READABLE, Exchange, become, intervene
from dimcore.conn.handler cimport ResponseDriver
from dimcore.conn.inbox cimport inbox_size
from dimcore.conn.phase cimport (
    BUSY, CLOSE, FILTERED, GONE, HAS_ANSWER, LINGER, LINGERING, PEER_DONE, READING, STREAMING, UNFRAMED, UNREAD,
    UPGRADED, WORKING,
)
from dimcore.conn.protocol cimport Protocol
from dimcore.conn.streamed_body cimport Outflow
from dimcore.http.request cimport RequestPoint
from dimcore.http1.head cimport FAULT_TIMEOUT, fault_status, fault_text
from dimcore.index.states cimport CLOSE_BEGUN, DESCRIPTOR_CLOSED, MOVED_BYTES
from dimcore.limits cimport ARCHIVED, CLOSING, RECEIVE_BYTES

from dimcore.reports import Report

cdef double SECOND_NS = 1e9


# --- when its work is done ----------------------------------------------------------------------

cdef int finish(Carrier carrier) except -1:
    """All is sent.  After a refusal, or where more came than was answered, the peer may still be sending: close
    at once, and the kernel would answer that with a reset, which can destroy the answer before it is read
    (RFC 9112 9.6)."""
    if carrier.state & PEER_DONE or not (carrier.state & LINGER or has_more(carrier)):
        carrier.drop()
        return 0
    if not carrier.state & UPGRADED:
        carrier.named = carrier.site.core.now_ns
    become(carrier, LINGERING)
    carrier.free_inbox()
    carrier.site.transport.close_write(carrier.fd)
    carrier.move(CLOSE_BEGUN)
    return carrier.watch(READABLE)


cdef int linger_on(Carrier carrier, Py_ssize_t size) except -1:
    """Bytes have come that are thrown away: a peer that is still sending is waited for, within limits.

    The limit of *closing* is how long it may be silent.  It begins anew when what has come pays for the time
    since it began, at `body_rate`, and no more when that would go beyond all the time there is."""
    cdef Core core = carrier.site.core
    if type(carrier.named) is not int or carrier.origin & AT_DOOR or core.draining:
        return 0
    if core.now_ns - <int64_t> carrier.named + core.limits.layer_limit_ns[<int> CLOSING] > core.limits.linger_ns:
        return 0
    if <double> size * SECOND_NS >= <double> core.limits.body_rate * <double> (core.now_ns - carrier.entered_ns):
        carrier.move(MOVED_BYTES)
    return 0


cdef bint has_more(Carrier carrier) noexcept:
    """Whether more has come than was asked to be answered."""
    if inbox_size(carrier.inbox):
        return True
    if not carrier.state & UNREAD:
        return False
    return carrier.site.transport.read(carrier.fd, carrier.site.core.scratch.inbuf, RECEIVE_BYTES) > 0


# --- by a fault, or at a time limit -------------------------------------------------------------

cdef int refuse_body_of(Carrier carrier, int fault) except -1:
    """Take no more of a body whose handler runs already: it is malformed, too long, too slow or cut off."""
    return refuse_handled(carrier, fault_status(fault), fault_text(fault), None)


cdef int refuse_handled(Carrier carrier, int status, bytes text, object headers) except -1:
    """Refuse a request whose handler runs already, and whose body still arrives.

    The client gets the server's own answer, the same as where no handler has begun.  What the handler returns or
    raises from here on goes nowhere, as after its client has left.  An answer that has begun is cut instead."""
    cdef RequestPoint request = carrier.current
    carrier.end_body(text)
    tell_peer_done(carrier)
    if carrier.state & GONE:
        return 0
    if carrier.state & HAS_ANSWER:
        carrier.drop()
        return 0
    become(carrier, READING)
    refuse(carrier, status, text, headers)
    release_handler(request)
    carrier.flush()
    return carrier.settle()


cdef void fail_carrier(Carrier carrier, object error) noexcept:
    cdef RequestPoint request = carrier.current
    cdef Core core = carrier.site.core
    core.scratch.writer.size = 0
    carrier.drop()
    if not isinstance(error, KeyboardInterrupt):
        core.tell(Report.CONNECTION_FAILED, request, error)


cdef void end_in_time(Carrier carrier) noexcept:
    """A time limit passed: say 408 where an answer can still be given, then close."""
    if not carrier.state & GONE:
        intervene(carrier, _end_in_time, NULL)


cdef int _end_in_time(Exchange exchange, void *given) except -1:
    cdef Carrier carrier = <Carrier> exchange
    if carrier.state & UPGRADED:
        if not (<Protocol> carrier.named).is_alive():
            return cut(carrier)
    elif carrier.current is not None and carrier.current.reader is not None and carrier.state & (BUSY | STREAMING):
        return carrier.refuse_body(FAULT_TIMEOUT)
    elif carrier.current is None or carrier.state & (BUSY | CLOSE | HAS_ANSWER | LINGERING):
        return cut(carrier)
    else:
        refuse_rest(carrier, FAULT_TIMEOUT)
        carrier.flush()
        carrier.settle()
    return 0


cdef int cut(Carrier carrier) except -1:
    if carrier.outbox is not None and carrier.outbox.pending:
        # Else the kernel keeps what is not read, and the peer never learns of it.
        carrier.abort()
    carrier.drop()
    return 0


cdef int refuse_rest(Carrier carrier, int fault) except -1:
    """Refuse a request whose rest does not come."""
    if carrier.inbox != NULL and carrier.inbox.head != NULL:
        tell_line(carrier, carrier.inbox.head, carrier.inbox.data + carrier.inbox.start)
    return refuse(carrier, fault_status(fault), fault_text(fault), None)


cdef int tell_peer_done(Exchange exchange) except -1:
    """Whoever asked to be told is told, once."""
    cdef RequestPoint request = exchange.current
    if request.on_peer_done is not None:
        tell, request.on_peer_done = request.on_peer_done, None
        try:
            tell()
        except Exception as error:
            exchange.site.core.tell(Report.HOOK_FAILED, request, error)
    return 0


# --- the end ------------------------------------------------------------------------------------

cdef void drop_carrier(Carrier carrier) noexcept:
    """Close now, fold the tallies in, leave the pools."""
    cdef Core core
    if carrier.state & GONE:
        return
    core = carrier.site.core
    try:
        carrier.watch(0)
    except BaseException as error:
        core.tell(Report.LOOP_FAILED, None, error)
    become(carrier, GONE)
    if carrier.state & UNFRAMED and carrier.outbox is not None:
        carrier.abort()              # what was sent would else look like all of it
    if carrier.origin & CHARGED:
        core.memory.release_at(carrier.fd)
        core.disk.release_at(carrier.fd)
    carrier.site.transport.close(carrier.fd)
    carrier.fd = -1
    if carrier.origin & COUNTED:
        core.addresses.leave(&carrier.peer)
    if carrier.origin & AT_DOOR:
        core.doorway.unlink(carrier)
        carrier.layer = ARCHIVED
    else:
        carrier.move(DESCRIPTOR_CLOSED)
        core.pools.archive(carrier, carrier.requests, carrier.bytes_in, carrier.bytes_out)
    if not carrier.state & WORKING:
        carrier.bury()


cdef void bury_carrier(Carrier carrier) noexcept:
    """Give back what a closed connection still held."""
    bury_request(carrier)
    carrier.free_inbox()
    if isinstance(carrier.named, Protocol):
        protocol = carrier.named
        carrier.named = None
        (<Protocol> protocol).gone()


cdef void bury_request(Exchange exchange) noexcept:
    """The same of the request in flight and its answer, whatever carried them."""
    cdef Core core = exchange.site.core
    cdef RequestPoint request = exchange.current
    if request is not None:
        try:
            exchange.end_body(b"the client left before the request was complete")
            tell_peer_done(exchange)
        except BaseException as error:
            core.tell(Report.BODY_SINK_FAILED, request, error)
        request.reader = None
        exchange.current = None
        release_handler(request)
        core.requests.leave(request)
        detach_request(request)      # it may be kept, and its bytes may lie in the inbox
        if exchange.state & HAS_ANSWER and (core.host.access_log is not None or exchange.state & FILTERED):
            if exchange.outbox is not None:
                if exchange.outbox.flow is not None:
                    request.body_sent = (<Outflow> exchange.outbox.flow).bytes_out()
                request.body_sent = max(<int64_t> 0, request.body_sent - exchange.outbox.pending)
        tell_finished(exchange, request, exchange.state & HAS_ANSWER != 0)
    if exchange.outbox is not None:
        flow = exchange.outbox.flow
        exchange.outbox = None
        if flow is not None:
            (<Outflow> flow).release()


cdef void release_handler(RequestPoint request) noexcept:
    """Nobody waits for the answer any more: a coroutine is cancelled, an ASGI app told."""
    coroutine, request.coroutine = request.coroutine, None   # see `release_request`
    if type(coroutine) is CoroutineRun:
        (<CoroutineRun> coroutine).cancel()
    elif isinstance(coroutine, ResponseDriver):
        (<ResponseDriver> coroutine).gone()
