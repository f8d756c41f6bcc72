"""Accepting: a listening descriptor in, connections in their pool out, or a 503 where there is no room."""


from dimcore.connection cimport READABLE, Connection, open_connection
from dimcore.core cimport Core, Site
from dimcore.limits cimport CLOSING, IDLE
from dimcore.stream cimport STREAM_EXHAUSTED, Peer, stream_accept, stream_close

from dimcore.errors import UsageError

cdef enum:
    BATCH = 256              # connections a call: the open ones get their turn in between
    OVERFLOW = 256           # told 503 at a time beyond the cap; further ones are closed unread
    EVICTED = 16             # idle connections given up when descriptors run out

cdef dict RETRY = {"Retry-After": "1"}


cdef class Acceptor:
    """Accepts for one Site.

    Args:
        site: what the connections are served.
        fileno: a listening, non-blocking descriptor; stays the caller's.
        exhausted: called without arguments when the process is out of descriptors
            or memory; should stop watching the listener for a moment.

    Thread-safety: the loop's thread only.
    """

    def __cinit__(self, Site site not None, int fileno, exhausted):
        if fileno < 0:
            raise UsageError(f"{fileno} is no descriptor")
        self.site = site
        self.fileno = fileno
        self.exhausted = exhausted

    def on_ready(self, int mask):
        """Accept what waits; returns how many came in."""
        cdef Peer peer
        cdef int fd, accepted = 0
        self.site.core.clock()
        while accepted < BATCH:
            fd = stream_accept(self.fileno, &peer)
            if fd == STREAM_EXHAUSTED:
                self.evict()
                self.exhausted()
                break
            if fd < 0:
                break
            accepted += 1
            self.admit(fd, &peer)
        return accepted

    cdef int admit(self, int fd, const Peer *peer) except -1:
        cdef Core core = self.site.core
        cdef Connection connection
        if not core.has_room(self.site.spiral):
            core.pools.totals[self.site.spiral].refused += 1
            return self.turn_away(fd, peer)
        connection = open_connection(self.site, fd, peer)
        if not core.pools.admit(connection, self.site.spiral, core.now_ns):
            return self._refuse(connection)
        connection.watch(READABLE)
        return 0

    cdef int turn_away(self, int fd, const Peer *peer) except -1:
        return self._refuse(open_connection(self.site, fd, peer))

    def _refuse(self, Connection connection not None):
        # The answer goes out at once, whatever the peer is about to ask, and lingers like any refusal.
        cdef Core core = self.site.core
        if core.connection_index.total >= core.max_connections + core.admin_reserve + OVERFLOW:
            stream_close(connection.fd)
            connection.fd = -1
            return 0
        core.connection_index.link(connection, self.site.spiral, CLOSING, core.now_ns)
        connection.refuse(503, b"too many connections", RETRY)
        core.requests.totals.errors -= 1     # nothing was asked, so no request failed
        connection.flush()
        connection.settle()
        return 0

    def evict(self):
        """Close the connections that have been idle longest, to have descriptors again; returns how many."""
        cdef Core core = self.site.core
        cdef int spiral, closed = 0
        for spiral in range(core.connection_index.spirals):
            while closed < EVICTED:
                point = core.connection_index.first(spiral, IDLE)
                if not isinstance(point, Connection):
                    break
                (<Connection> point).drop()
                closed += 1
        return closed
