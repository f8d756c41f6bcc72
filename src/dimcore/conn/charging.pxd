from libc.stdint cimport int64_t

from dimcore.conn.carrier cimport Carrier
from dimcore.conn.exchange cimport CHARGED, UNCOUNTED
from dimcore.conn.phase cimport UPGRADED

cdef enum Owed:
    OWES_NOTHING = 0         # a handler or a program is waited for
    OWES_SENDING = 1         # the rest of a head, a body or a message
    OWES_READING = 2         # what was sent


# Whether there is something to count, or to take back.
cdef inline bint holds(Carrier carrier) noexcept:
    return (
        carrier.inbox != NULL or carrier.outbox is not None or carrier.current is not None
        or carrier.state & UPGRADED or carrier.origin & (CHARGED | UNCOUNTED)
    )


cdef void charge(Carrier carrier) noexcept
cdef void review(Carrier carrier, int64_t now_ns) noexcept
