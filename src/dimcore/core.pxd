from libc.stdint cimport int64_t, uint32_t

from dimcore.answer cimport Answer
from dimcore.index cimport Index
from dimcore.limits cimport LAYERS
from dimcore.parser cimport Head, HeadLimits
from dimcore.pipeline cimport RequestSubstrate
from dimcore.pools cimport ConnectionPoolManifold
from dimcore.request cimport RequestPoint
from dimcore.router cimport Router
from dimcore.writer cimport Writer


cdef class Core:
    # The structures of one worker.
    cdef readonly ConnectionPoolManifold pools
    cdef readonly RequestSubstrate requests
    cdef Index connection_index
    cdef Index request_index
    # Scratch, lent to whichever connection is being served.
    cdef Writer writer
    cdef Answer answer
    cdef Head head
    cdef char *inbuf
    cdef RequestPoint spare
    # Time.
    cdef int64_t now_ns
    cdef int64_t sweep_at_ns
    # Limits; nanoseconds, 0 for none.
    cdef HeadLimits head_limits
    cdef int64_t max_body
    cdef int64_t layer_limit_ns[LAYERS + 1]
    cdef int64_t stage_limit_ns[LAYERS + 1]
    cdef int64_t body_rate           # bytes a second
    cdef int64_t send_rate
    cdef int64_t max_connections
    cdef int64_t admin_reserve
    cdef readonly bint draining
    # What the shell does for the core.
    cdef object register
    cdef object modify
    cdef object unregister
    cdef object offload
    cdef object report
    cdef object access_log

    cdef RequestPoint take_request(self)
    cdef int64_t clock(self) noexcept
    cdef bint has_room(self, int spiral) noexcept


cdef class Site:
    cdef readonly Core core
    cdef readonly Router router
    cdef readonly Router fallback        # asked when `router` has no answer; or None
    cdef readonly int spiral             # pool of what is accepted here
    cdef readonly bint splits_api        # first request under /api/: pool 2
