cimport cython
from libc.stdint cimport int64_t
from dimcore.index.index cimport Point


# 96 bytes: | Point, 80 | named | created |, and no header of the collector: see connection_point.pyx
@cython.no_gc
cdef class ConnectionPoint(Point):
    # None, (id, socket, address, vector) as given, what a live one was upgraded to, or since when (int) it lingers
    cdef object named
    cdef int64_t created_ns      # clock.monotonic_ns()

    # What a live connection overrides.
    cdef object client_address(self)     # (host, port), a path (str) of a Unix socket, or None
    cdef void tallies(self, int64_t *requests, int64_t *bytes_in, int64_t *bytes_out) noexcept
    cdef void release(self) noexcept     # close the descriptor; called again it does nothing
    cdef void recount(self) noexcept     # tell the budgets what it holds
    cdef void disown(self) noexcept      # in a forked child: give up what is the parent's, without a word
    cdef object forwarding(self)         # who resolves what proxies say of its requests, or None
    cdef str host(self)
