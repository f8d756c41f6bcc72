from dimcore.conn.answering cimport release_request
from dimcore.conn.carrier cimport Carrier
from dimcore.conn.exchange cimport Exchange
from dimcore.conn.phase cimport BUSY, CLOSE, GONE, HAS_ANSWER, LINGERING, PEER_DONE
from dimcore.index.states cimport ANSWERED
from dimcore.limits cimport ACTIVE

# What methods of `Connection` do.
cdef int refuse_body_of(Carrier carrier, int fault) except -1
cdef int refuse_handled(Carrier carrier, int status, bytes text, object headers) except -1
cdef int refuse_rest(Carrier carrier, int fault) except -1
cdef void fail_carrier(Carrier carrier, object error) noexcept
cdef void end_in_time(Carrier carrier) noexcept
cdef void drop_carrier(Carrier carrier) noexcept
cdef void bury_carrier(Carrier carrier) noexcept
cdef void bury_request(Exchange exchange) noexcept

cdef int linger_on(Carrier carrier, Py_ssize_t size) except -1
cdef int tell_peer_done(Exchange exchange) except -1
cdef int finish(Carrier carrier) except -1


# What every event ends with, inline.
cdef inline int settle_carrier(Carrier carrier) except -1:
    if carrier.state & (GONE | BUSY | LINGERING) or carrier.outbox is not None:
        return 0
    if carrier.state & HAS_ANSWER:
        release_request(carrier)
    if carrier.state & CLOSE:
        return finish(carrier)
    if carrier.current is None and carrier.inbox == NULL:
        if carrier.state & PEER_DONE:
            carrier.drop()
        elif carrier.layer == ACTIVE:
            carrier.move(ANSWERED)
    return 0
