from libc.stdint cimport int64_t

from dimcore.index cimport Index
from dimcore.request cimport RequestPoint
from dimcore.router cimport Router

# 40 bytes
cdef struct RequestTotals:
    int64_t requests         # heads understood or refused
    int64_t processed        # answered without a fault
    int64_t errors           # refused as malformed, or answered 500 and above
    int64_t time_ns          # from the head complete to the answer ready, all of them
    int64_t answered


cdef class RequestSubstrate:
    cdef readonly Index index
    cdef RequestTotals totals

    cdef int enter(self, RequestPoint request, int stage, int64_t now_ns) except -1
    cdef void step(self, RequestPoint request, int event, int64_t now_ns) noexcept
    cdef void classify(self, RequestPoint request, int method, int64_t now_ns) noexcept
    cdef void leave(self, RequestPoint request) noexcept


cdef class RequestResponseManifold:
    cdef readonly RequestSubstrate requests
    cdef readonly Router router
