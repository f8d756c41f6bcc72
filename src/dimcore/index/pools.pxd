from libc.stdint cimport int64_t
from dimcore.index.index cimport Index, Point
from dimcore.limits cimport MAX_SPIRALS
from dimcore.index.connection_point cimport ConnectionPoint


# 32 bytes: | requests | bytes_in | bytes_out | refused |
# How many were created and closed is not here: the index counts what enters a row and what is in it, so
# created - closed == in the pool holds whoever moves a point, and however.
cdef struct PoolTotals:
    int64_t requests             # of archived points
    int64_t bytes_in
    int64_t bytes_out
    int64_t refused              # not admitted because the pool was full


cdef class ConnectionPoolManifold:
    cdef readonly Index index
    cdef PoolTotals totals[MAX_SPIRALS]
    cdef int64_t caps[MAX_SPIRALS]       # points a pool may hold; INT64_MAX: no cap
    cdef dict names                      # pool name -> spiral

    # 1 when the point is in, at layer NEW; 0 when the pool is full (counted as refused, nothing linked).
    cdef int admit(self, Point point, int spiral, int64_t now_ns) except -1
    # To another pool, same layer.  False when that one is full: counted as refused, nothing moved.
    cdef bint transfer(self, Point point, int spiral, int64_t now_ns) noexcept
    # Out of the index into layer ARCHIVED, counters folded in; a second call does nothing.
    cdef void archive(self, Point point, int64_t requests, int64_t bytes_in, int64_t bytes_out) noexcept

    cdef int64_t live(self, int spiral) noexcept
    cdef int64_t created(self, int spiral) noexcept
    cdef int64_t closed(self, int spiral) noexcept
    cdef int64_t admitted_ever(self) noexcept    # connections, each counted once, without the reserved spirals

    cdef int shift(self, Point point, object layer) except -1
    cdef int64_t sweep(self, int spiral, double max_idle_seconds) except -1
    cdef Point known(self, object connection_id)
    cdef int enter(self, ConnectionPoint point, int spiral) except -1
    cdef str described(self, int spiral)
    cdef int spiral_named(self, object name) except -1
    cdef dict pool_stats(self, int spiral)


cdef class ConnectionSubstrate:
    cdef readonly ConnectionPoolManifold pools
    cdef readonly int spiral
