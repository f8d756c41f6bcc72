"""Time limits, kept by the index: every cell is ordered by entry time, so its head is the next to expire.

A sweep looks at the head of each cell that has a limit and stops at the first
point that still has time: O(expired), no timer a connection, no scan.  Points
that a program keeps in the same pools are passed over: they are its own affair.

Limits that ask for a rate (a body arriving, an answer being read) look at what the
peer has moved 60 times in the time its credit lasts (`Exchange.credit_left`).  So
progress costs nothing while it happens, and a pause is not slowness.

The limit of a half-closed peer is that of the *active* cell; everybody else there is
given another period, a visit each.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from dimcore.budget cimport Holding
from dimcore.clock cimport monotonic_ns
from dimcore.conn.charging cimport review
from dimcore.conn.connection cimport Connection
from dimcore.conn.core cimport Core, points_before
from dimcore.conn.phase cimport HALTED, WORKING
from dimcore.http.request cimport RequestPoint
from dimcore.index.index cimport Index, Point
from dimcore.limits cimport (
    ACTIVE, CLOSING, LAYERS, METHODS, PARSED, POOLS, POOL_WEBSOCKET, RESPONSE_READY, ROUTED, SPIRALS,
)

from dimcore.reports import Report

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil

cdef extern from "time.h" nogil:
    ctypedef long time_t
    time_t time(time_t *out)

cdef enum:
    SWEEP_NS = 100000000     # between two sweeps: limits are kept to a tenth of a second
    EXPIRED_A_SWEEP = 1000   # in one cell; the rest a tenth of a second later
    REVIEWED_A_SWEEP = 4096  # descriptors, of those who hold something: ten thousand have their turn in 0.3 s


def tick(Core core not None):
    """To be called once a round of the loop, right after it woke: clock, Date and time limits.

    Raises:
        UsageError: called from within a handler, or while another thread serves.
    """
    cdef int64_t now
    if core.scratch.serving:
        core.check_thread()
    now = core.clock()
    core.round_ns[0] = now
    core.inflated = 0
    core.thread = PyThread_get_thread_ident()
    core.scratch.writer.set_time(time(NULL))
    if core.overdrawn:
        core.relieve()
    if now >= core.sweep_at_ns:
        core.enter()
        core.sweep_at_ns = now + SWEEP_NS
        try:
            sweep(core, now)
        finally:
            core.leave()


def held_up(Core core not None, int64_t limit_ns):
    """What has kept the loop's thread from serving anybody else.

    Args:
        core: a worker's.
        limit_ns: nanoseconds; less than that is no matter.

    Returns:
        None, or (since when on the clock of ``time.monotonic_ns()``, the RequestPoint in hand or None).

    Thread-safety: any thread; it is meant for one that watches the loop's.
    """
    cdef Index index = core.connection_index
    cdef int spiral, layer
    cdef PyObject *at
    # Nothing below lets go of the GIL before what was found is held, so the cells cannot change meanwhile.
    if not core.scratch.serving or monotonic_ns() - core.now_ns < limit_ns:
        return None
    # A walk of all connections, which nothing on the way of a request has to pay for: the loop stands still anyway.
    for spiral in range(index.spirals):
        if index.rows[spiral] == NULL:
            continue
        for layer in range(1, LAYERS + 1):
            at = index.rows[spiral][layer].first
            while at != NULL:
                if type(<object> at) is Connection and (<Connection> at).state & WORKING:
                    return core.now_ns, (<Connection> at).current
                at = (<Point> at).next
    return core.now_ns, None


cdef int sweep(Core core, int64_t now_ns) except -1:
    """End what is past its limit; returns how many points were looked at."""
    cdef int spiral, layer, seen = 0
    cdef int64_t limit
    for layer in range(1, LAYERS + 1):
        for spiral in range(core.connection_index.spirals):
            if POOLS <= spiral < SPIRALS:    # points of other kinds: their owners have their limits
                continue
            limit = core.limits.layer_limit_ns[layer]
            if spiral == POOL_WEBSOCKET:
                limit = core.limits.socket_limit_ns[layer]
            if limit:
                seen += _sweep_connections(core.connection_index, spiral, layer, now_ns, limit)
        if core.limits.stage_limit_ns[layer]:
            for spiral in range(METHODS):
                seen += _sweep_requests(core, spiral, layer, now_ns - core.limits.stage_limit_ns[layer])
    if core.limits.layer_limit_ns[<int> CLOSING]:
        seen += _sweep_connections(core.doorway, 0, CLOSING, now_ns, core.limits.layer_limit_ns[<int> CLOSING])
    if core.memory.holders or core.disk.holders:
        _review_holders(core, now_ns)
    return seen


cdef int _review_holders(Core core, int64_t now_ns) except -1:
    """Look at some of those who hold something, by their descriptors: all of them in some sweeps."""
    cdef int last = max(core.memory.room, core.disk.room)
    cdef int end = min(core.swept + REVIEWED_A_SWEEP, last)
    cdef int key
    cdef Holding *holding
    for key in range(core.swept, end):
        holding = core.memory.at(key)
        if holding == NULL:
            holding = core.disk.at(key)
        if holding != NULL:
            review(<Connection> holding.owner, now_ns)
    core.swept = end if end < last else 0
    return 0


cdef int _sweep_connections(Index index, int spiral, int layer, int64_t now_ns, int64_t limit_ns) except -1:
    cdef int64_t before_ns = now_ns - limit_ns
    cdef list found = points_before(index, spiral, layer, before_ns, Connection, EXPIRED_A_SWEEP)
    cdef Connection connection
    for point in found:
        connection = <Connection> point
        # The end of the one before may have run code that moved this one.
        if connection.layer == layer and connection.entered_ns <= before_ns:
            if layer == ACTIVE and spiral != POOL_WEBSOCKET and not connection.may_be_alone():
                index.relink(connection, spiral, layer, now_ns)
                continue
            connection.timed_out()
    return <int> len(found)


cdef int _sweep_requests(Core core, int spiral, int stage, int64_t before_ns) except -1:
    cdef list found = points_before(core.request_index, spiral, stage, before_ns, RequestPoint, EXPIRED_A_SWEEP)
    cdef RequestPoint request
    cdef Connection connection
    cdef int64_t credit, moved = 0
    cdef bint lags, reads_on
    for point in found:
        request = <RequestPoint> point
        if type(request.connection) is not Connection:
            continue
        connection = <Connection> request.connection
        if connection.current is not request or request.layer != stage or request.entered_ns > before_ns:
            continue
        # A handler may read on while it answers.  Then it is the peer it waits for, as long as it keeps up.
        reads_on = stage == RESPONSE_READY and request.reader is not None
        lags = connection.state & HALTED != 0
        if stage == PARSED and lags or stage == RESPONSE_READY and connection.waits_for_source() and (
            lags or not reads_on
        ):
            # The handler lags, or makes nothing: the peer has done its part.
            core.request_index.relink(request, spiral, stage, core.now_ns)
            continue
        if stage == PARSED or stage == RESPONSE_READY:
            credit = connection.credit_left(core.now_ns, &moved)
            if credit > 0:
                request.credit_ns = credit
                request.marked_bytes = moved
                core.request_index.relink(request, spiral, stage, core.now_ns)
                continue
        elif stage == ROUTED:
            core.tell(Report.HANDLER_RUNS_LONG, request, None)
            core.request_index.relink(request, spiral, stage, core.now_ns)
            continue
        connection.timed_out()
    return <int> len(found)
