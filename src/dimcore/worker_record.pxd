"""Where a worker's figures lie in memory that all workers of a server share, and how they get there.

A record has one writer, its worker, and any number of readers in other processes:

    | sequence | round | lines: requests in flight | copy 0 | copy 1 |
                                                       │        └ being written, seen by nobody
                                                       └ the figures at an even sequence

`shared/two_copies.pxd` says how the figures are written and read.  The round is a
single word.  A line has no size while it is being changed, so that nobody reads
half of one.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from dimcore.limits cimport LAYERS, MAX_SPIRALS, METHODS
from dimcore.shared.atomics cimport release_fence

cdef extern from * nogil:
    """
    #include <stdint.h>
    /* 0 for less than 2^10 ns, k for less than 2^(10 + k), the last one for all that is longer. */
    static inline int dimcore_bucket_of(int64_t took_ns) {
        int bits;
        if (took_ns < 1024)
            return 0;
        bits = 64 - __builtin_clzll((unsigned long long)took_ns) - 10;
        return bits < 31 ? bits : 31;
    }
    """
    # The bucket of `RequestTotals.buckets` that a duration belongs to.
    int bucket_of "dimcore_bucket_of"(int64_t took_ns) noexcept

cdef enum:
    BUCKETS = 32
    FIRST_BUCKET_BITS = 10   # bucket 0 ends at 2^10 ns, each further one at twice the time of the one before
    LINES = 8                # of requests in flight: 0 is on the loop, the others wait on threads or for the peer
    LINE_BYTES = 112
    BUDGETS = 2              # of memory, and of temporary files

# 296 bytes: | requests | processed | errors | time_ns | answered | buckets, 32 of them |
cdef struct RequestTotals:
    int64_t requests         # heads understood or refused
    int64_t processed        # answered without a fault
    int64_t errors           # refused as malformed, or answered 500 and above
    int64_t time_ns          # from the head complete to the answer ready, all of them
    int64_t answered
    int64_t buckets[BUCKETS]     # how many of the answered took how long; see bucket_of

# 128 bytes: | since_ns | size | unused | text |
cdef struct Line:
    int64_t since_ns
    uint32_t size            # 0: no request
    uint32_t unused
    char text[LINE_BYTES]    # method and target as sent, cut off at that many bytes

# 48 bytes: | limit | used | peak | holders | ended | refused |
cdef struct BudgetFigures:
    int64_t limit
    int64_t used
    int64_t peak             # of a worker that is gone: no more than 0, as the three before
    int64_t holders
    int64_t ended            # holders that had to go for others
    int64_t refused          # growths that found no room

# 80 bytes: | created | closed | refused | requests | bytes_in | bytes_out | layers |
cdef struct PoolFigures:
    int64_t created
    int64_t closed
    int64_t refused
    int64_t requests         # of archived connections, as the two below
    int64_t bytes_in
    int64_t bytes_out
    int32_t layers[LAYERS + 1]   # connections in each cell; [0] is not used

# 5,832 bytes, of which the pools not in use are neither written nor read.
cdef struct Figures:
    uint64_t serial          # tells this worker from those that had the record before; 0: nobody had it
    int64_t pid
    int64_t state            # WorkerState
    int64_t started_ns
    int64_t heartbeat_ns     # when it was last written
    int64_t connections      # ever accepted, each counted once
    int64_t turned_away      # connections told that there is no room and not gone yet; in no pool
    int32_t spirals          # pools in use
    int32_t number           # the worker's place, as the supervisor counts
    RequestTotals requests
    int32_t stages[METHODS][LAYERS + 1]
    BudgetFigures budgets[BUDGETS]
    PoolFigures pools[MAX_SPIRALS]

cdef struct Record:
    uint64_t sequence
    int64_t round_ns         # when the round of the loop began that is not over; 0 while it waits for events
    int64_t full             # whether all threads are taken and requests wait for one
    Line lines[LINES]
    Figures copies[2]

cdef enum WorkerState:
    FREE = 0
    STARTING = 1
    SERVING = 2
    DRAINING = 3
    ENDED = 4                # left by itself, its last figures written


cdef inline size_t figures_size(int spirals) noexcept nogil:
    """Bytes of `Figures` that matter with so many pools in use."""
    return sizeof(Figures) - <size_t> (MAX_SPIRALS - spirals) * sizeof(PoolFigures)


cdef inline void count_answer(RequestTotals *totals, int64_t took_ns, bint failed) noexcept nogil:
    """Count a request whose answer is ready."""
    totals.answered += 1
    totals.time_ns += took_ns
    totals.buckets[bucket_of(took_ns)] += 1
    if failed:
        totals.errors += 1
    else:
        totals.processed += 1


cdef inline void set_line(Line *line, const char *text, size_t size, int64_t since_ns) noexcept nogil:
    """Name a request in flight.  A handful of stores: this is done for every request."""
    if size > LINE_BYTES:
        size = LINE_BYTES
    line.size = 0                # whoever is killed in here leaves no request rather than half of one
    release_fence()
    line.since_ns = since_ns
    memcpy(line.text, text, size)
    release_fence()
    line.size = <uint32_t> size
