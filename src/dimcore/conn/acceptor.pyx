"""Accepting: a listening descriptor in, connections in their pool out, or a 503 where there is no room.

What is open already goes first.  All that newcomers cause in a round of the loop, to
be accepted, answered and closed, is bounded by how many come in: so a few at a time,
however many wait.  A flood of clients that connect, ask for nonsense and connect again
is slowed down by its own queue, and the others hardly notice; a burst that finds the
loop idle is taken in as fast, since a round costs little beside the system calls of
eight connections.

Room is asked for in this order: the worker's, the client address's, the pool's.
An address is only counted where there is a limit for it, and given back when the
connection is dropped, whichever way that comes.
"""

cimport cython
from libc.stdint cimport uint8_t

from dimcore.conn.admission cimport TOO_MANY, turn_away
from dimcore.conn.connection cimport Connection, open_connection
from dimcore.conn.core cimport Core, Site, points_before
from dimcore.conn.exchange cimport COUNTED, READABLE, become
from dimcore.conn.phase cimport GREETING
from dimcore.index.states cimport HANDSHAKE_BEGUN
from dimcore.limits cimport IDLE, POOL_ADMIN, POOL_WEBSOCKET
from dimcore.net.socket_io cimport STREAM_EXHAUSTED, Peer, peer_address

from dimcore.errors import PeerError, UsageError
from dimcore.reports import Report

cdef enum:
    BATCH = 8                # connections a call, which is a round of the loop
    EVICTED = 16             # idle connections given up when descriptors run out

cdef bytes NO_ROOM = b"too many connections"
cdef tuple CAPS = ("max-http", "max-websocket", "max-api", "the cap of the admin pool")


@cython.final
cdef class Acceptor:
    """Accepts for one Site.

    Args:
        site: what the connections are served.
        fileno: a listening, non-blocking descriptor; stays the caller's.
        exhausted: called without arguments when the process is out of descriptors
            or memory; should stop watching the listener for a moment.

    Raises:
        UsageError: a negative descriptor.

    Thread-safety: the loop's thread only.
    """

    def __cinit__(self, Site site not None, int fileno, exhausted):
        if fileno < 0:
            raise UsageError(f"{fileno} is no descriptor")
        self.site = site
        self.fileno = fileno
        self.exhausted = exhausted

    def on_ready(self, int mask):
        """Accept of those who wait, `BATCH` at most; returns how many came in.

        Raises:
            UsageError: called from within a handler; nothing was done.
        """
        cdef Core core = self.site.core
        cdef Peer peer
        cdef int fd, accepted = 0
        core.enter()
        try:
            core.clock()
            while accepted < BATCH:
                fd = self.site.transport.accept(self.fileno, &peer)
                if fd == STREAM_EXHAUSTED:
                    self.evict()
                    self.exhausted()
                    break
                if fd < 0:
                    break
                accepted += 1
                self.admit(fd, &peer)
        finally:
            core.leave()
        return accepted

    cdef int admit(self, int fd, const Peer *peer) except -1:
        cdef Core core = self.site.core
        cdef int spiral = self.site.spiral
        cdef Connection connection
        if self.site.trusts is not None and not self.expects(peer):
            self.site.transport.close(fd)
            return 0
        connection = open_connection(self.site, fd, peer)
        try:
            if not core.has_room(spiral):
                core.pools.totals[spiral].refused += 1
                core.turned_away("max-connections", peer)
                return turn_away(connection, NO_ROOM)
            if self.site.trusts is not None:     # whom it is from is not known yet
                if not core.pools.admit(connection, spiral, core.now_ns):
                    core.turned_away(CAPS[spiral], peer)
                    return turn_away(connection, NO_ROOM)
                become(connection, GREETING)
                connection.move(HANDSHAKE_BEGUN)
                return connection.watch(READABLE)
            if core.limits.max_per_address and spiral != POOL_ADMIN:
                if not core.addresses.enter(peer, core.limits.max_per_address):
                    core.pools.totals[spiral].refused += 1
                    core.turned_away("max-per-address", peer)
                    return turn_away(connection, TOO_MANY)
                connection.origin |= COUNTED
            if core.pools.admit(connection, spiral, core.now_ns):
                return connection.watch(READABLE)
            if connection.origin & COUNTED:       # whoever waits at the door takes no place of its address either
                connection.origin &= ~<uint8_t> COUNTED
                core.addresses.leave(peer)
            core.turned_away(CAPS[spiral], peer)
            return turn_away(connection, NO_ROOM)
        except Exception as error:       # out of memory, or the loop refused: the others are not to blame
            connection.fail(error)
        return 0

    cdef bint expects(self, const Peer *peer) except -1:
        """Whether a peer may speak for others."""
        cdef Core core = self.site.core
        cdef object address = peer_address(peer)
        try:
            if self.site.trusts(address):
                return True
        except Exception as error:
            core.tell(Report.PROXY_UNDECIDED, None, error)
        core.pools.totals[self.site.spiral].refused += 1
        name = address[0] if address else "a Unix socket"
        core.tell(Report.NOT_INTRODUCED, None, PeerError(f"{name} is no trusted proxy"))
        return False

    cdef int evict(self) except -1:
        """Close the connections that have been idle longest, to have descriptors again; returns how many."""
        cdef Core core = self.site.core
        cdef int spiral, closed = 0
        for spiral in range(core.connection_index.spirals):
            if spiral == POOL_WEBSOCKET:     # its client would lose a state, not just a round trip
                continue
            for connection in points_before(core.connection_index, spiral, IDLE, core.now_ns, Connection, EVICTED):
                (<Connection> connection).drop()
                closed += 1
                if closed == EVICTED:
                    return closed
        return closed
