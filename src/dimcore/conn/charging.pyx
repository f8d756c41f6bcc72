"""What a connection holds for its peer, told to the budgets of its worker.

    an event is served -> held -> Budget.change -> (spill, or give up)

It is counted when an event is through, from what is there by then: the inbox, the
body that arrives, what its handler has not taken, the outbox, and what a protocol
holds that it was upgraded to.  So no buffer has to know of budgets, nothing can be
counted twice or forgotten, and a connection that holds nothing costs a look at four
fields.

A holding is found by the descriptor; the connection itself has no room for it.
What is below 2 KiB is not counted: that is what any connection costs.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t

from dimcore.budget cimport Budget, Holding, Kind, pay
from dimcore.conn.answering cimport refuse
from dimcore.conn.body_stream cimport ArrivingBody
from dimcore.conn.core cimport Core
from dimcore.conn.exchange cimport CHARGED, WRITABLE, Exchange, intervene, note, unnote
from dimcore.conn.inbox cimport Inbox
from dimcore.conn.lifecycle cimport refuse_handled
from dimcore.conn.phase cimport BUSY, CLOSE, GONE, HALTED, HAS_ANSWER, STREAMING, UPGRADED, WORKING
from dimcore.conn.protocol cimport Protocol
from dimcore.http.request cimport RequestPoint
from dimcore.http.spool cimport Spool
from dimcore.http1.head cimport Head
from dimcore.limits cimport KIB, RECEIVE_BYTES

from dimcore.reports import Report

cdef enum:
    SMALLEST = 2 * KIB       # what is held below that is not counted, but for WebSockets
    CODE_POLICY = 1008       # of RFC 6455, which gives the protocols their codes
    CODE_LATER = 1013

cdef double SECOND_NS = 1e9
cdef bytes NO_ROOM = b"the server holds too much for others at the moment"
cdef dict RETRY = {"Retry-After": "5"}


cdef bint _lags(Holding *holding, int64_t now_ns) noexcept:
    return lags(<Carrier> holding.owner, holding, now_ns)


cdef void _end(Holding *holding) noexcept:
    make_room(<Carrier> holding.owner)


cdef Kind CONNECTION
CONNECTION.lags = _lags
CONNECTION.end = _end


# --- counting -------------------------------------------------------------------------------------

cdef void charge(Carrier carrier) noexcept:
    """Count what is held.  Where there is no room for it, a body goes to a file, or the connection ends."""
    cdef int64_t memory, disk, before
    cdef Holding *holding
    cdef bint fits, working = carrier.state & WORKING != 0
    cdef int tries
    for tries in range(3):
        disk = 0
        memory = held(carrier, &disk)
        if memory == 0 and disk == 0 and not carrier.origin & CHARGED:
            return
        holding = carrier.site.core.memory.at(carrier.fd)
        before = holding.bytes if holding != NULL else 0
        fits = put_down(carrier, carrier.site.core.memory, memory)
        if not fits and before and memory - before <= RECEIVE_BYTES and is_complete(carrier):
            fits = True          # the end of what had room until now: nothing more can come
        if not put_down(carrier, carrier.site.core.disk, disk):
            fits = False
        if memory or disk:
            carrier.origin |= CHARGED
        else:
            carrier.origin &= ~<uint8_t> CHARGED
        if fits or tries == 2 or is_one_large_answer(carrier, memory):
            return
        note(carrier, WORKING)
        try:
            if tries == 0 and can_spill(carrier):
                carrier.current.reader.spill(Spool(carrier.site.core.host.open_spool()))
            else:
                give_up(carrier)
        except OSError as error:
            carrier.site.core.tell(Report.BODY_NOT_KEPT, carrier.current, error)
        except BaseException as error:
            carrier.fail(error)
        if not working:
            unnote(carrier, WORKING)
        if carrier.state & GONE:
            if not working:
                carrier.bury()
            return


cdef int64_t held(Carrier carrier, int64_t *disk) noexcept:
    """Bytes of memory that are held for this peer; `*disk`: those in a temporary file."""
    cdef RequestPoint request = carrier.current
    cdef int64_t size = 0
    if carrier.inbox != NULL:
        size += <int64_t> sizeof(Inbox) + carrier.inbox.room
        if carrier.inbox.head != NULL:
            size += <int64_t> sizeof(Head)
    # An answer that only waits for others of its round (`Batching`) does not wait for its peer: all goes with it.
    if carrier.outbox is not None and carrier.state & (HAS_ANSWER | BUSY | STREAMING | UPGRADED) == HAS_ANSWER and (
        not carrier.events & WRITABLE
    ):
        return 0
    if carrier.outbox is not None and carrier.events & WRITABLE:
        size += carrier.outbox.memory()
    if isinstance(carrier.named, Protocol):
        return size + (<Protocol> carrier.named).memory()
    if request is not None:
        if type(request.owner) is bytes:
            size += PyBytes_GET_SIZE(request.owner)
        if type(request._body) is bytes:
            size += PyBytes_GET_SIZE(request._body)
        if request.reader is not None:
            size += <int64_t> request.reader.room
            if request.reader.spool is not None:
                disk[0] = request.reader.spool.size
        if request._source is not None:
            if type(request._source) is Spool:
                disk[0] = (<Spool> request._source).size
            elif type(request._source) is ArrivingBody:
                size += (<ArrivingBody> request._source).waiting
            else:
                size += _waiting(request._source)
    return size if size >= SMALLEST else 0


cdef bint put_down(Carrier carrier, Budget budget, int64_t bytes) noexcept:
    cdef Holding *holding
    if bytes == 0:
        budget.release_at(carrier.fd)
        return True
    holding = budget.hold_at(carrier.fd, <void *> carrier, &CONNECTION)
    if holding == NULL:
        return False
    lags(carrier, holding, carrier.site.core.now_ns)    # what it has moved by now is to its credit
    return budget.change(holding, bytes, carrier.site.core.now_ns)


# --- whether its peer keeps its rate --------------------------------------------------------------

cdef Owed owes(Carrier carrier, int64_t *moved) noexcept:
    """What is waited for from the peer, and how many bytes of it have moved."""
    cdef int64_t own = 0
    cdef bint reads = carrier.outbox is not None and carrier.outbox.pending > 0 and carrier.events & WRITABLE != 0
    if carrier.state & UPGRADED:
        if (<Protocol> carrier.named).owes(moved, &own) and not (reads and carrier.outbox.pending > own):
            return OWES_SENDING
    if reads:
        moved[0] = carrier.delivered()
        return OWES_READING
    if carrier.state & (UPGRADED | HAS_ANSWER) and not carrier.state & STREAMING:
        return OWES_NOTHING
    if carrier.state & (BUSY | STREAMING) and (
        carrier.current is None or carrier.current.reader is None or carrier.state & HALTED
    ):
        return OWES_NOTHING
    moved[0] = carrier.bytes_in
    return OWES_SENDING


cdef bint lags(Carrier carrier, Holding *holding, int64_t now_ns) noexcept:
    """Whether the peer is below its rate: what it moved does not pay for the time that has passed."""
    cdef Core core = carrier.site.core
    cdef int64_t moved = 0, credit_ns
    cdef Owed side
    if carrier.state & (GONE | WORKING) == GONE:
        return False
    side = owes(carrier, &moved)
    credit_ns = core.limits.read_credit_ns if side == OWES_READING else core.limits.credit_ns
    if side == OWES_NOTHING or side != holding.side:
        holding.side = <uint8_t> side
        holding.moved = moved
        holding.kept_until_ns = now_ns + credit_ns
        return False
    if moved < holding.moved:        # of the next message
        holding.moved = 0
    pay(holding, moved, core.limits.body_rate if side == OWES_SENDING else core.limits.send_rate, credit_ns, now_ns)
    return now_ns > holding.kept_until_ns


# --- when it has to go ----------------------------------------------------------------------------

cdef bint can_spill(Carrier carrier) noexcept:
    """Whether it holds a body that could as well be in a file."""
    return (
        not carrier.state & (BUSY | CLOSE | HAS_ANSWER | UPGRADED) and carrier.current is not None
        and carrier.current.reader is not None and carrier.current.reader.sink is None
        and carrier.current.reader.spool is None and carrier.current.reader.size > 0
    )


cdef bint is_complete(Carrier carrier) noexcept:
    """Whether it holds a request that is there in full and waits for its handler."""
    return (
        carrier.state & (BUSY | HAS_ANSWER | UPGRADED) == BUSY and carrier.current is not None
        and carrier.current.reader is None and carrier.outbox is None
    )


cdef bint is_one_large_answer(Carrier carrier, int64_t memory) noexcept:
    """Whether it is an answer that is too much by itself alone: one such is borne at a time, or an app whose
    answers are that large could give none."""
    cdef Budget budget = carrier.site.core.memory
    return (
        carrier.state & (HAS_ANSWER | UPGRADED) == HAS_ANSWER and carrier.outbox is not None
        and carrier.outbox.pending > 0 and budget.used - memory <= budget.limit // 2
    )


cdef int give_up(Carrier carrier) except -1:
    """Hold nothing more: a request that arrives is answered 503, a protocol ends with 1013; what waits for
    somebody who does not read it can only be cut off."""
    cdef bint unread = carrier.outbox is not None and carrier.outbox.pending > 0
    if carrier.state & UPGRADED and not unread:
        (<Protocol> carrier.named).give_up(CODE_LATER, "the server is short of memory")
    elif carrier.state & (BUSY | CLOSE | HAS_ANSWER) == BUSY and not unread and carrier.current.reader is not None:
        return refuse_handled(carrier, 503, NO_ROOM, RETRY)
    elif carrier.current is None or carrier.state & (BUSY | CLOSE | HAS_ANSWER | UPGRADED):
        if unread or carrier.state & BUSY:
            carrier.abort()
        carrier.drop()
        return 0
    else:
        refuse(carrier, 503, NO_ROOM, RETRY)
    carrier.flush()
    return carrier.settle()


cdef void make_room(Carrier carrier) noexcept:
    """Others need the room."""
    if not carrier.state & (GONE | WORKING):
        intervene(carrier, _give_up, NULL)


cdef void review(Carrier carrier, int64_t now_ns) noexcept:
    """Now and then: what its handler or its peer has taken counts no more, and a message has a time limit."""
    if carrier.state & (GONE | WORKING):
        return
    if carrier.state & UPGRADED and carrier.site.core.limits.message_limit_ns and (
        (<Protocol> carrier.named).is_overdue(now_ns)
    ):
        intervene(carrier, _end_message, NULL)
    else:
        carrier.recount()


cdef int _give_up(Exchange exchange, void *given) except -1:
    return give_up(<Carrier> exchange)


cdef int _end_message(Exchange exchange, void *given) except -1:
    (<Protocol> exchange.named).give_up(CODE_POLICY, "a message was not complete in time")
    exchange.flush()
    return exchange.settle()


cdef int64_t _waiting(object source) noexcept:
    try:
        return source.waiting
    except Exception:                # a sink that does not say
        return 0
