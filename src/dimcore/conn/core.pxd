from libc.stdint cimport int64_t, uint32_t

from dimcore.aio.task_runner cimport Runner
from dimcore.budget cimport Budget
from dimcore.conn.batching cimport Gathering
from dimcore.conn.filter cimport Filter
from dimcore.conn.result cimport Answer
from dimcore.http.request cimport RequestPoint
from dimcore.http.request_table cimport RequestSubstrate
from dimcore.http.router cimport Router
from dimcore.http1.head cimport Head, HeadLimits
from dimcore.http1.head_writer cimport Writer
from dimcore.index.index cimport Index
from dimcore.index.pools cimport ConnectionPoolManifold
from dimcore.limits cimport LAYERS
from dimcore.net.address_counts cimport Addresses
from dimcore.net.socket_io cimport Peer, Transport
from dimcore.worker_record cimport Line


cdef class Core:
    # The structures of one worker.
    cdef readonly ConnectionPoolManifold pools
    cdef readonly RequestSubstrate requests
    cdef Index connection_index
    cdef Index request_index
    cdef Index doorway               # (0, closing): told that there is no room, and reading that
    cdef readonly Addresses addresses    # of connections that were counted when they came in
    # Scratch, lent to whichever connection is being served.
    cdef Writer writer
    cdef Answer answer
    cdef Head heads[2]               # by turns: the request before may be looked at until it is released
    cdef Head *head                  # the one to parse into
    cdef char *inbuf
    cdef RequestPoint spare
    cdef bint serving                # the scratch is in use
    cdef object afterwards           # what the handler that just ran has left to do once it is answered, or None
    cdef Gathering gathering
    cdef bint put_off                # the answer at hand is to wait for others, see there
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
    cdef int64_t credit_ns           # what arrives pays for its rate in advance, at most
    cdef int64_t read_credit_ns      # the same of what a peer takes
    # Time.
    cdef int64_t now_ns
    cdef int64_t sweep_at_ns
    # Limits; nanoseconds, 0 for none.
    cdef HeadLimits head_limits
    cdef int64_t max_body
    cdef size_t body_memory          # of a body, before it goes to a file or is handed on as it comes
    cdef int64_t layer_limit_ns[LAYERS + 1]
    cdef int64_t socket_limit_ns[LAYERS + 1]     # the layers of the pool of WebSockets
    cdef int64_t message_limit_ns    # of a WebSocket's message that has begun
    cdef int64_t stage_limit_ns[LAYERS + 1]
    cdef int64_t stage_credit_ns[LAYERS + 1]     # how long a peer may be below its rate in that stage
    cdef int64_t linger_ns           # of which the limit of *closing* is the part that may be silent
    cdef int64_t silence_ns
    cdef int64_t body_rate           # bytes a second
    cdef int64_t send_rate
    cdef int64_t max_connections
    cdef int64_t admin_reserve
    cdef uint32_t max_per_address    # 0: nobody counts
    cdef readonly bint draining
    cdef readonly int64_t app_calls  # of ASGI apps that wait for something; an answered one may be among them
    cdef readonly int farewell       # code that WebSockets are closed with when their connection is
    # What the shell does for the core.
    cdef object register
    cdef object modify
    cdef object unregister
    cdef object mute                 # None: the loop cannot watch for a hang-up alone
    cdef object offload
    cdef object open_spool
    cdef object open_stream
    cdef Runner runner               # of coroutines; None: the worker has no asyncio loop
    cdef object open_flow
    cdef object open_body
    cdef object report
    cdef Filter access_log           # told of every request, whatever its route; or None
    cdef object from_thread          # makes a call on the loop's thread, or None
    cdef unsigned long thread        # the loop's; 0 before its first round
    cdef bint forked                 # this is a process that an app forked: nothing here is its own
    cdef object forwarded            # resolves what trusted proxies say, or None

    cdef bint is_foreign(self) noexcept
    cdef int check_thread(self) except -1
    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef int relieve(self) except -1
    cdef bint defer(self, connection) except -1
    cdef RequestPoint take_request(self)
    cdef int64_t clock(self) noexcept
    cdef bint has_room(self, int spiral) noexcept
    cdef void tell(self, str message, object request, object error) noexcept
    cdef int turned_away(self, str why, const Peer *peer) except -1
    cdef void finished(self, Filter filter, RequestPoint request, const Peer *peer) noexcept


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
