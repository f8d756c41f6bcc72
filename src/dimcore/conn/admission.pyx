"""What comes before the first request: whom a proxy speaks for, and that there is no room.

A connection that is turned away waits *at the door*: told 503, in no pool, and for
as long as it takes to read that.
"""

cimport cython
from libc.stdint cimport uint16_t

from dimcore.conn.charging cimport Charging
from dimcore.conn.core cimport Core
from dimcore.conn.sending cimport AT_DOOR, CLOSE, COUNTED, EXPECTED, LINGER, UNNAMED
from dimcore.index.states cimport MOVED_BYTES
from dimcore.limits cimport CLOSING, POOL_ADMIN, RECEIVE_BYTES
from dimcore.net.proxy_protocol cimport PROXY_PARTIAL, ProxyHead, proxy_fault_text, proxy_parse
from dimcore.net.socket_io cimport Peer

from dimcore.errors import PeerError

cdef enum:
    AT_DOOR_MOST = 256           # told 503 and waited for, at a time; further ones are told and closed

cdef bytes TOO_MANY = b"too many connections from this address"
cdef str NOT_INTRODUCED = "a connection without a word of a trusted proxy was closed"
cdef dict RETRY = {"Retry-After": "1"}


@cython.no_gc
cdef class Door(Charging):
    """Base of `Connection`; not for use by itself."""

    cdef int take_introduction(self, const char *data, size_t size) except -1:
        """Take bytes of the PROXY header, which comes before all else, and may have some of that behind it.

        Returns how many of `data` were of it, or, where there is an inbox by then, of what lies in that: it is whole
        and was good.  0: it is not whole, or the connection ends."""
        cdef Core core = self.site.core
        cdef ProxyHead head
        cdef int length
        if self.inbox != NULL:
            self.keep_input(data, size)
            data = self.inbox.data + self.inbox.start
            size = self.inbox.end - self.inbox.start
        length = proxy_parse(&head, data, size)
        if length == PROXY_PARTIAL:
            if self.inbox == NULL:
                self.keep_input(data, size)
            return 0
        if length < 0:
            core.pools.totals[self.spiral].refused += 1
            client = self.client_address()
            core.tell(NOT_INTRODUCED, None, PeerError(
                f"of the PROXY header from {client[0] if client else 'a Unix socket'}: "
                + proxy_fault_text(head.fault).decode()
            ))
            self.drop()
            return 0
        self.flags &= ~<uint16_t> EXPECTED
        self.be_introduced(&head.source)
        if self.flags & CLOSE:
            self.free_inbox()
            self.flush()
            self.settle()
            return 0
        self.move(MOVED_BYTES)           # the time for what is next begins now
        return length

    cdef int be_introduced(self, const Peer *client) except -1:
        """A trusted proxy has said whom it speaks for; family 0: it did not."""
        cdef Core core = self.site.core
        if client.family == 0:
            self.origin |= UNNAMED
            return 0
        self.peer = client[0]
        if core.max_per_address and self.spiral != POOL_ADMIN:
            if not core.addresses.enter(&self.peer, core.max_per_address):
                core.pools.totals[self.spiral].refused += 1
                core.turned_away("max-per-address", &self.peer)
                return self.write_refusal(503, TOO_MANY, RETRY, False)
            self.origin |= COUNTED
        return 0

    cdef int turn_away(self, bytes why) except -1:
        """There is no room: the answer goes out at once, whatever the peer is about to ask."""
        cdef Core core = self.site.core
        self.write_refusal(503, why, RETRY, False)
        if core.draining or core.doorway.total >= AT_DOOR_MOST:
            # No time to linger.  With its request read, closing does not destroy the answer, as a rule.
            self.site.transport.read(self.fd, core.inbuf, RECEIVE_BYTES)
            self.flags &= ~<uint16_t> LINGER
        else:
            core.doorway.link(self, 0, CLOSING, core.now_ns)
            self.origin |= AT_DOOR
        self.flush()
        return self.settle()
