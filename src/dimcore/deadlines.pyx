"""Time limits, kept by the index: every cell is ordered by entry time, so its head is the next to expire.

A sweep looks at the head of each cell that has a limit and stops at the first
point that still has time: O(expired), no timer a connection, no scan.

Limits that ask for progress (a body arriving, an answer being read) are grace
periods: when one ends, the bytes moved since it began decide between another
period and the end.
"""

from dimcore.connection cimport Connection
from dimcore.core cimport Core
from dimcore.index cimport Point
from dimcore.limits cimport LAYERS, METHODS, PARSED, RESPONSE_READY, ROUTED
from dimcore.request cimport RequestPoint

cdef extern from "time.h" nogil:
    ctypedef long time_t
    time_t time(time_t *out)

cdef enum:
    SWEEP_NS = 100000000     # between two sweeps: limits are kept to a tenth of a second
    EXPIRED_A_SWEEP = 1000   # in one cell; the rest a tenth of a second later
    SECOND_NS = 1000000000


def tick(Core core not None):
    """To be called once a round of the loop, right after it woke: clock, Date and time limits."""
    cdef int64_t now = core.clock()
    core.writer.set_time(time(NULL))
    if now >= core.sweep_at_ns:
        core.sweep_at_ns = now + SWEEP_NS
        sweep(core, now)


cdef int sweep(Core core, int64_t now_ns) except -1:
    """End what is past its limit; returns how many points were looked at."""
    cdef int spiral, layer, seen = 0
    for layer in range(1, LAYERS + 1):
        if core.layer_limit_ns[layer]:
            for spiral in range(core.connection_index.spirals):
                seen += _sweep_connections(core, spiral, layer, now_ns - core.layer_limit_ns[layer])
        if core.stage_limit_ns[layer]:
            for spiral in range(METHODS):
                seen += _sweep_requests(core, spiral, layer, now_ns - core.stage_limit_ns[layer])
    return seen


cdef int _sweep_connections(Core core, int spiral, int layer, int64_t before_ns) except -1:
    cdef Point point
    cdef int seen = 0
    while seen < EXPIRED_A_SWEEP:
        point = core.connection_index.first(spiral, layer)
        if point is None or point.entered_ns > before_ns or not isinstance(point, Connection):
            break
        seen += 1
        (<Connection> point).timed_out()
    return seen


cdef int _sweep_requests(Core core, int spiral, int stage, int64_t before_ns) except -1:
    cdef Point point
    cdef RequestPoint request
    cdef Connection connection
    cdef int64_t moved, due
    cdef int seen = 0
    while seen < EXPIRED_A_SWEEP:
        point = core.request_index.first(spiral, stage)
        if point is None or point.entered_ns > before_ns or not isinstance(point, RequestPoint):
            break
        request = <RequestPoint> point
        if not isinstance(request.connection, Connection):
            break
        connection = <Connection> request.connection
        seen += 1
        if stage == PARSED or stage == RESPONSE_READY:
            if stage == PARSED:
                moved = connection.reader.body.total if connection.reader is not None else 0
                due = core.body_rate
            else:
                moved = connection.bytes_out
                due = core.send_rate
            due = due * (core.now_ns - request.entered_ns) // SECOND_NS
            if moved - request.marked_bytes >= due and moved > request.marked_bytes:
                request.marked_bytes = moved
                core.request_index.relink(request, spiral, stage, core.now_ns)
                continue
        elif stage == ROUTED:
            core.report("a handler takes long", request, None)
            core.request_index.relink(request, spiral, stage, core.now_ns)
            continue
        connection.timed_out()
    return seen
