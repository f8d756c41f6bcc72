"""What arrives, and what goes out when there is room again: request after request, in one pass without a copy.

    receive -> parse -> route -> handler -> write -> send

All requests that arrived together are answered in order with one send.  What a
socket does not take waits in an `Outbox`, and nothing more is read from that
peer until it is gone.  What cannot be used yet (half a head, requests behind a
slow handler) waits in an `Inbox`; a connection without either holds no buffer.
"""

from cpython.mem cimport PyMem_Free
from libc.stdint cimport int64_t

from dimcore.conn.admission cimport take_introduction
from dimcore.conn.answering cimport open_request, refuse, release_request, tell_line
from dimcore.conn.core cimport Core
from dimcore.conn.exchange cimport HANGUP, READABLE, WRITABLE, note
from dimcore.conn.handler cimport ResponseDriver
from dimcore.conn.inbox cimport inbox_size
from dimcore.conn.lifecycle cimport linger_on, refuse_rest, tell_peer_done
from dimcore.conn.phase cimport (
    BUSY, CLOSE, GONE, GREETING, HALTED, HAS_ANSWER, LINGER, LINGERING, PEER_DONE, STREAMING, UPGRADED,
)
from dimcore.conn.protocol cimport Protocol
from dimcore.conn.request_start cimport begin, half_head, take_body
from dimcore.conn.streamed_body cimport Push
from dimcore.http1.head cimport (
    FAULT_CUT, HEAD_PARTIAL, Head, fault_status, fault_text, head_is_blank, head_parse, head_reset,
)
from dimcore.index.states cimport ANSWERED, ESTABLISHED, MOVED_BYTES
from dimcore.limits cimport KIB, RECEIVE_BYTES
from dimcore.net.socket_io cimport STREAM_BROKEN

cdef enum:
    READ_AHEAD = 64 * KIB        # input kept behind a slow handler before reading stops
    BODY_TURN = 4                # receives of a body that is streamed, before the other connections get their turn
    OUTPUT_BYTES = 64 * KIB      # answers gathered before one send


# --- the descriptor is readable -------------------------------------------------------------


cdef int readable(Carrier carrier) except -1:
    cdef Core core = carrier.site.core
    cdef size_t room = RECEIVE_BYTES
    cdef Py_ssize_t size
    cdef bint waiting = carrier.state & (BUSY | STREAMING) != 0
    if waiting:
        if carrier.current.reader is not None:
            return read_body(carrier)
        if inbox_size(carrier.inbox) >= READ_AHEAD or not core.memory.has_room(READ_AHEAD, True):
            return carrier.watch(HANGUP)
        room = READ_AHEAD - inbox_size(carrier.inbox)
    size = carrier.site.transport.read(carrier.fd, core.scratch.inbuf, room)
    if size > 0:
        carrier.bytes_in += size
        if waiting or carrier.state & (LINGERING | CLOSE | UPGRADED | GREETING):
            if carrier.state & LINGERING:
                return linger_on(carrier, size)
            if carrier.state & (LINGERING | CLOSE | GREETING) == GREETING:
                return greet(carrier, core.scratch.inbuf, size)
            if carrier.state & (LINGERING | CLOSE | UPGRADED) == UPGRADED:
                (<Protocol> carrier.named).take(core.scratch.inbuf, size)
                return carrier.settle()
            if waiting and not carrier.state & (CLOSE | GONE):
                carrier.keep_input(core.scratch.inbuf, size)
            return 0
        if carrier.inbox == NULL:
            return run(carrier, core.scratch.inbuf, size)
        carrier.keep_input(core.scratch.inbuf, size)
        return run_inbox(carrier)
    if size == 0:
        return end_of_stream(carrier)
    if size == STREAM_BROKEN:
        carrier.drop()
    elif carrier.site.transport.wants != NULL:
        carrier.watch(READABLE | carrier.site.transport.wants(carrier.fd))
    return 0


cdef int greet(Carrier carrier, const char *data, size_t size) except -1:
    """The PROXY header first, then what came behind it."""
    cdef int length = take_introduction(carrier, data, size)
    if length == 0:
        return 0
    if carrier.inbox == NULL:
        return run(carrier, data + length, size - length) if size > <size_t> length else 0
    carrier.use_input(length)
    return run_inbox(carrier) if carrier.inbox != NULL else 0


cdef int read_body(Carrier carrier) except -1:
    """A body whose handler runs already: several receives a turn, since each turn wakes its thread."""
    cdef Core core = carrier.site.core
    cdef size_t used
    cdef Py_ssize_t size
    for _ in range(BODY_TURN):
        size = carrier.site.transport.read(carrier.fd, core.scratch.inbuf, RECEIVE_BYTES)
        if size == 0:
            return end_of_stream(carrier)
        if size < 0:
            if size == STREAM_BROKEN:
                carrier.drop()
            return 0
        carrier.bytes_in += size
        used = take_body(carrier, core.scratch.inbuf, size)
        if used < <size_t> size and not carrier.state & (CLOSE | GONE):
            carrier.keep_input(core.scratch.inbuf + used, size - used)
        if size < RECEIVE_BYTES or carrier.state & (HALTED | GONE) or not carrier.state & (BUSY | STREAMING):
            return 0
        if carrier.current is None or carrier.current.reader is None:
            return 0
    return 0


cdef int end_of_stream(Carrier carrier) except -1:
    """The peer sends no more; it still gets the answer to what it asked in full.

    One that is gone looks the same until something is sent.  So `may_be_alone` has a limit, counted from here
    and from whatever is sent."""
    note(carrier, PEER_DONE)
    if carrier.state & (BUSY | STREAMING):
        if carrier.current.reader is not None:
            return carrier.refuse_body(FAULT_CUT)
        carrier.move(MOVED_BYTES)
        tell_peer_done(carrier)
        if isinstance(carrier.current.coroutine, ResponseDriver):
            (<ResponseDriver> carrier.current.coroutine).peer_done()
        # End-of-file stays readable, so that is not watched for; `settle` closes after the answer.
        return carrier.watch(HANGUP)
    if carrier.outbox is not None and carrier.outbox.pending:
        return carrier.watch(WRITABLE)      # it was read on beside an answer that it may still take
    if carrier.current is not None and not carrier.state & (HAS_ANSWER | CLOSE):
        refuse_rest(carrier, FAULT_CUT)
        carrier.flush()
        return carrier.settle()
    carrier.drop()
    return 0


# --- request after request ------------------------------------------------------------------------

cdef int run(Carrier carrier, const char *data, size_t size) except -1:
    """Work through bytes that lie outside the inbox; keep what is left."""
    cdef size_t at = step(carrier, data, size)
    if carrier.site.core.scratch.put_off and at == size:
        carrier.put_off()
    else:
        carrier.flush()
    if at < size and not carrier.state & (GONE | CLOSE):
        carrier.keep_input(data + at, size - at)
    return carrier.settle()


cdef int run_inbox(Carrier carrier) except -1:
    """The same for bytes in the inbox."""
    cdef size_t at
    if inbox_size(carrier.inbox) == 0:
        return carrier.settle()
    at = step(carrier, carrier.inbox.data + carrier.inbox.start, carrier.inbox.end - carrier.inbox.start)
    carrier.flush()
    if carrier.outbox is None:
        release_request(carrier)       # while its bytes are where they were: nothing need be copied
    carrier.use_input(at)
    return carrier.settle()


cdef size_t step(Carrier carrier, const char *data, size_t size) except? 0:
    """Serve request after request; the number of bytes that are dealt with."""
    cdef Core core = carrier.site.core
    cdef Head *head
    cdef size_t at = 0
    cdef int length
    while not carrier.state & (BUSY | CLOSE | GONE | UPGRADED) and carrier.outbox is None:
        if carrier.current is not None and carrier.current.reader is not None:
            at += take_body(carrier, data + at, size - at)
            if carrier.current is not None and carrier.current.reader is not None:
                break
            continue
        if at == size:
            break
        if carrier.inbox != NULL and carrier.inbox.head != NULL:
            head = carrier.inbox.head
        else:
            head = core.scratch.head
            head_reset(head)
        length = head_parse(head, data + at, size - at, &core.limits.head)
        if length < 0:
            if length == HEAD_PARTIAL:
                if carrier.requests and head_is_blank(head) and head == core.scratch.head:
                    at = size        # an empty line behind a request: neither a request nor a sign of life
                else:
                    half_head(carrier, head)
                break
            release_request(carrier)
            if carrier.current is None:
                open_request(carrier)
            tell_line(carrier, head, data + at)
            refuse(carrier, fault_status(head.fault), fault_text(head.fault), None)
            at = size
            break
        if head != core.scratch.head:
            core.scratch.head[0] = head[0]
            PyMem_Free(carrier.inbox.head)
            carrier.inbox.head = NULL
        at += begin(carrier, data + at, size - at, length)
        if core.scratch.writer.size >= OUTPUT_BYTES:
            carrier.flush()
    if carrier.state & UPGRADED or carrier.state & GONE and isinstance(carrier.named, Protocol):
        open_protocol(carrier, data + at, size - at)
        return size
    if carrier.state & CLOSE:
        if at < size or size == RECEIVE_BYTES:
            note(carrier, LINGER)        # what follows the last answer is dropped, and may not be all
        return size
    return at


# --- another protocol -----------------------------------------------------------------------------

cdef int open_protocol(Carrier carrier, const char *data, size_t size) except -1:
    """The handler said 101; `data` is what has come of the other protocol."""
    cdef Protocol protocol = <Protocol> carrier.named
    carrier.move(ESTABLISHED)
    protocol.opened()
    if carrier.state & GONE:
        return 0
    release_request(carrier)           # while its bytes are where they were
    if carrier.state & GONE:            # the access log's doing
        return 0
    carrier.move(ANSWERED)
    return protocol.take(<char *> data, size)


# --- the descriptor is writable -------------------------------------------------------------------

cdef int writable(Carrier carrier) except -1:
    cdef int64_t moved = carrier.outbox.flush(carrier.site.transport, carrier.fd)
    cdef Push flow
    if moved == STREAM_BROKEN:
        carrier.drop()
        return 0
    carrier.bytes_out += moved
    if carrier.outbox.pending:          # of an answer that was put off this is the first try
        return 0 if carrier.events & WRITABLE else carrier.hold()
    if carrier.outbox.flow is not None:
        carrier.spend_credit()
    if carrier.state & STREAMING:
        carrier.watch(HANGUP if carrier.state & (PEER_DONE | HALTED) else READABLE)
        flow = <Push> carrier.outbox.flow
        flow.drained()               # which may write, or end it
        return 0 if carrier.state & (STREAMING | GONE) or carrier.outbox is not None else carrier.go_on()
    if carrier.outbox.flow is not None:
        carrier.pull()
        if carrier.outbox is not None or carrier.state & GONE:
            return 0
    carrier.outbox = None
    release_request(carrier)
    if carrier.state & UPGRADED:
        (<Protocol> carrier.named).drained()
    return carrier.go_on()


cdef int go_on_reading(Carrier carrier) except -1:
    """The answer is out: read on, or close."""
    carrier.settle()
    if carrier.state & GONE or carrier.outbox is not None:
        return 0
    if carrier.state & BUSY:            # what went out was the answer before; else the loop would spin meanwhile
        return carrier.watch(HANGUP if carrier.state & (PEER_DONE | HALTED) else READABLE)
    if not carrier.state & CLOSE:
        carrier.watch((<Protocol> carrier.named).wanted() if carrier.state & UPGRADED else READABLE)
        return run_inbox(carrier)
    return 0
