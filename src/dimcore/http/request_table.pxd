cimport cython
from libc.stdint cimport int64_t

from dimcore.http.request cimport RequestPoint
from dimcore.http.router cimport Router
from dimcore.index.index cimport Index
from dimcore.index.states cimport HEAD_PARSED, request_next
from dimcore.limits cimport LOGGED
from dimcore.worker_record cimport RequestTotals

cdef class RequestSubstrate:
    cdef readonly Index index
    cdef RequestTotals totals

    cdef RequestPoint known(self, object request_id)

    # Each request takes these steps: inline, they go to the index without a detour.
    @cython.final
    cdef inline int enter(self, RequestPoint request, int stage, int64_t now_ns) except -1:
        return self.index.link(request, request.spiral, stage, now_ns)

    @cython.final
    cdef inline void step(self, RequestPoint request, int event, int64_t now_ns) noexcept:
        """Move on by an event of the table; an event with no way from here changes nothing."""
        cdef int stage = request_next(request.layer, event)
        if stage:
            self.index.relink(request, request.spiral, stage, now_ns)

    @cython.final
    cdef inline void classify(self, RequestPoint request, int method, int64_t now_ns) noexcept:
        """The head of a request that arrived in pieces is complete: *parsed*, and its method is known."""
        cdef int stage = request_next(request.layer, HEAD_PARSED)
        self.index.relink(request, method, stage if stage else request.layer, now_ns)

    @cython.final
    cdef inline void leave(self, RequestPoint request) noexcept:
        """Archive: the point leaves the index at stage *logged*."""
        if request.index != NULL:
            self.index.unlink(request)
        request.layer = LOGGED


# The totals as `RequestSubstrate.get_stats` shows them.
cdef dict request_stats(const RequestTotals *totals, int64_t in_flight)


cdef class RequestResponseManifold:
    cdef readonly RequestSubstrate requests
    cdef readonly Router router
