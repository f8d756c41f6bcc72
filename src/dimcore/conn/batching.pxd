from libc.stdint cimport int64_t

cdef enum:
    FROM_NS = 20000          # a handler quicker than that keeps its client awake as it is


cdef class Batching:
    cdef object call_soon            # has a call made at the end of the round; None: nobody waits for anybody
    cdef list held                   # connections whose answers wait
    cdef int64_t since_ns            # when the first of them was put off
    cdef int unproven                # calls that have to be quick, before any answer waits
    cdef bint due                    # they have waited for long enough

    cdef bint pace(self, int64_t took_ns) noexcept
    cdef int hold(self, object connection, int64_t now_ns) except -1
    cdef int release(self) except -1
