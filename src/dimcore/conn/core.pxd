cimport cython
from libc.stdint cimport int64_t

from dimcore.budget cimport Budget
from dimcore.clock cimport monotonic_ns
from dimcore.conn.batching cimport Batching
from dimcore.conn.core_limits cimport Limits
from dimcore.conn.filter cimport Filter
from dimcore.conn.host cimport Host
from dimcore.conn.scratch cimport Scratch
from dimcore.http.request cimport RequestPoint
from dimcore.http.request_table cimport RequestSubstrate
from dimcore.http.router cimport Router
from dimcore.http1.head_writer cimport LARGE_ROOM
from dimcore.index.index cimport Index
from dimcore.index.pools cimport ConnectionPoolManifold
from dimcore.net.address_counts cimport Addresses
from dimcore.net.socket_io cimport Peer, Transport
from dimcore.worker_record cimport Line


cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil


cdef class Core:
    # The structures of one worker.
    cdef readonly ConnectionPoolManifold pools
    cdef readonly RequestSubstrate requests
    cdef Index connection_index
    cdef Index request_index
    cdef Index doorway               # (0, closing): told that there is no room, and reading that
    cdef readonly Addresses addresses    # of connections that were counted when they came in
    cdef Scratch scratch             # lent to whichever connection is being served
    cdef Batching batching
    # What other processes may see of this moment; both point to shared memory once there is a board.
    cdef Line *running               # the request whose handler runs on the loop
    cdef int64_t *round_ns           # when this round of the loop began
    cdef Line own_running
    cdef int64_t own_round_ns
    cdef object board                # owner of that memory, or None
    # What all its peers together may make it hold.
    cdef readonly Budget memory
    cdef readonly Budget disk        # temporary files of bodies
    cdef bint overdrawn              # somebody is to go, or is not counted yet: see `relieve`
    cdef list uncounted              # connections that were sent something while they were not served
    cdef object deferred             # WebSockets that have more to inflate, and wait for their turn; or None
    cdef bint deferring              # their turn is asked for
    cdef int64_t inflated            # bytes, in this round of the loop
    cdef int swept                   # of the numbers of holders, see `deadlines`
    # Time.
    cdef int64_t now_ns
    cdef int64_t sweep_at_ns
    cdef Limits limits
    cdef readonly bint draining
    cdef readonly int64_t app_calls  # of ASGI apps that wait for something; an answered one may be among them
    cdef readonly int farewell       # code that WebSockets are closed with when their connection is
    cdef Host host                   # what the program that drives it does for it
    cdef unsigned long thread        # the loop's; 0 before its first round
    cdef bint forked                 # this is a process that an app forked: nothing here is its own

    cdef bint is_foreign(self) noexcept
    cdef int check_thread(self) except -1
    cdef int refuse_to_enter(self) except -1
    cdef void clean_up(self) noexcept
    cdef int relieve(self) except -1
    cdef bint defer(self, connection) except -1
    cdef bint has_room(self, int spiral) noexcept
    cdef void tell(self, object report, object request, object error) noexcept
    cdef int turned_away(self, str why, const Peer *peer) except -1
    cdef void finished(self, Filter filter, RequestPoint request, const Peer *peer) noexcept

    # What every event does, inline.

    @cython.final
    cdef inline int enter(self) except -1:
        """Take the scratch memory, until `leave`."""
        if self.scratch.serving or self.thread != 0 and PyThread_get_thread_ident() != self.thread:
            return self.refuse_to_enter()
        self.scratch.serving = True
        return 0

    @cython.final
    cdef inline void leave(self) noexcept:
        # What was written is sent by now; what is not, after a fault, must not reach the next connection.
        self.scratch.writer.size = 0
        if self.forked or self.scratch.writer.room > LARGE_ROOM:
            self.clean_up()
        self.scratch.serving = False

    @cython.final
    cdef inline int64_t clock(self) noexcept:
        self.now_ns = monotonic_ns()
        return self.now_ns

    @cython.final
    cdef inline RequestPoint take_request(self):
        """A request point nobody else refers to; the last one's memory where it was given back."""
        cdef RequestPoint request = self.scratch.spare
        if request is None:
            return RequestPoint.__new__(RequestPoint)
        self.scratch.spare = None
        request.position = 0.0           # the handler before could have set it
        return request


# End a process that an app forked; see `forked.leave`.
cdef int leave_process(object error=*) except -1


# Own what lies in a buffer of the worker's, or, without memory, become an empty request.
cdef void detach_request(RequestPoint request) noexcept


# The points of one type that entered a cell at `before_ns` or earlier, oldest first, `most` at most.
cdef list points_before(Index index, int spiral, int layer, int64_t before_ns, object kind, int most)


cdef class Site:
    cdef readonly Core core
    cdef readonly Router router
    cdef readonly Router fallback        # asked when `router` has no answer; or None
    cdef readonly int spiral             # pool of what is accepted here
    cdef readonly bint splits_api        # first request under /api/: pool 2
    cdef const Transport *transport      # of its connections
    cdef public tuple filters            # of requests that have no route; or None
    cdef readonly object trusts          # says who may speak for others (PROXY protocol); None: nobody does
