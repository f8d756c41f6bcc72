"""What comes before the first request: whom a proxy speaks for, and that there is no room.

A connection that is turned away waits *at the door*: told 503, in no pool, and for
as long as it takes to read that.
"""

from dimcore.conn.answering cimport write_refusal
from dimcore.conn.core cimport Core
from dimcore.conn.exchange cimport AT_DOOR, COUNTED, UNNAMED, become, unnote
from dimcore.conn.phase cimport CLOSE, LINGER, READING
from dimcore.index.states cimport MOVED_BYTES
from dimcore.limits cimport CLOSING, POOL_ADMIN, RECEIVE_BYTES
from dimcore.net.proxy_protocol cimport PROXY_PARTIAL, ProxyHead, proxy_fault_text, proxy_parse

from dimcore.errors import PeerError
from dimcore.reports import Report

cdef enum:
    AT_DOOR_MOST = 256           # told 503 and waited for, at a time; further ones are told and closed

cdef bytes TOO_MANY = b"too many connections from this address"
cdef dict RETRY = {"Retry-After": "1"}


cdef int take_introduction(Carrier carrier, const char *data, size_t size) except -1:
    """Take bytes of the PROXY header, which comes before all else, and may have some of that behind it.

    Returns how many of `data` were of it, or, where there is an inbox by then, of what lies in that: it is whole
    and was good.  0: it is not whole, or the connection ends."""
    cdef Core core = carrier.site.core
    cdef ProxyHead head
    cdef int length
    if carrier.inbox != NULL:
        carrier.keep_input(data, size)
        data = carrier.inbox.data + carrier.inbox.start
        size = carrier.inbox.end - carrier.inbox.start
    length = proxy_parse(&head, data, size)
    if length == PROXY_PARTIAL:
        if carrier.inbox == NULL:
            carrier.keep_input(data, size)
        return 0
    if length < 0:
        core.pools.totals[carrier.spiral].refused += 1
        client = carrier.client_address()
        core.tell(Report.NOT_INTRODUCED, None, PeerError(
            f"of the PROXY header from {client[0] if client else 'a Unix socket'}: "
            + proxy_fault_text(head.fault).decode()
        ))
        carrier.drop()
        return 0
    become(carrier, READING)
    be_introduced(carrier, &head.source)
    if carrier.state & CLOSE:
        carrier.free_inbox()
        carrier.flush()
        carrier.settle()
        return 0
    carrier.move(MOVED_BYTES)           # the time for what is next begins now
    return length


cdef int be_introduced(Carrier carrier, const Peer *client) except -1:
    """A trusted proxy has said whom it speaks for; family 0: it did not."""
    cdef Core core = carrier.site.core
    if client.family == 0:
        carrier.origin |= UNNAMED
        return 0
    carrier.peer = client[0]
    if core.limits.max_per_address and carrier.spiral != POOL_ADMIN:
        if not core.addresses.enter(&carrier.peer, core.limits.max_per_address):
            core.pools.totals[carrier.spiral].refused += 1
            core.turned_away("max-per-address", &carrier.peer)
            return write_refusal(carrier, 503, TOO_MANY, RETRY, False)
        carrier.origin |= COUNTED
    return 0


cdef int turn_away(Carrier carrier, bytes why) except -1:
    """There is no room: the answer goes out at once, whatever the peer is about to ask."""
    cdef Core core = carrier.site.core
    write_refusal(carrier, 503, why, RETRY, False)
    if core.draining or core.doorway.total >= AT_DOOR_MOST:
        # No time to linger.  With its request read, closing does not destroy the answer, as a rule.
        carrier.site.transport.read(carrier.fd, core.scratch.inbuf, RECEIVE_BYTES)
        unnote(carrier, LINGER)
    else:
        core.doorway.link(carrier, 0, CLOSING, core.now_ns)
        carrier.origin |= AT_DOOR
    carrier.flush()
    return carrier.settle()
