from libc.stdint cimport int64_t

from dimcore.http.request cimport RequestPoint
from dimcore.http.router cimport Router
from dimcore.index.index cimport Index
from dimcore.worker_record cimport RequestTotals

cdef class RequestSubstrate:
    cdef readonly Index index
    cdef RequestTotals totals

    cdef RequestPoint known(self, object request_id)
    cdef int enter(self, RequestPoint request, int stage, int64_t now_ns) except -1
    cdef void step(self, RequestPoint request, int event, int64_t now_ns) noexcept
    cdef void classify(self, RequestPoint request, int method, int64_t now_ns) noexcept
    cdef void leave(self, RequestPoint request) noexcept


# The totals as `RequestSubstrate.get_stats` shows them.
cdef dict request_stats(const RequestTotals *totals, int64_t in_flight)


cdef class RequestResponseManifold:
    cdef readonly RequestSubstrate requests
    cdef readonly Router router
