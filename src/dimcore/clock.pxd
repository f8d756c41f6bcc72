"""The one clock of the core: nanoseconds on the scale of ``time.monotonic()``.

Entry times are compared with values a Python program got from ``time.monotonic()``,
so both must count from the same start.  On Linux that is CLOCK_MONOTONIC; on macOS
Python reads the clock that stops while the machine sleeps, which CLOCK_MONOTONIC
there does not.  The coarse clocks (5 ns instead of 16) were tried and dropped: they
lag by up to 4 ms, so a point could seem to have entered before it did.
"""
from libc.stdint cimport int64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <time.h>

    static inline int64_t dimcore_monotonic_ns(void) {
    #ifdef __APPLE__
        return (int64_t)clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
    #else
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    #endif
    }
    """
    int64_t monotonic_ns "dimcore_monotonic_ns"() noexcept nogil
