"""The lifecycle of a connection and the pipeline of a request: two tables, state x event -> state.

Whoever changes a layer or a stage looks here; nothing else in the package knows
what may follow what.
"""
from libc.stdint cimport uint8_t
from dimcore.limits cimport LAYERS

from dimcore.errors import IllegalTransition, InvalidCoordinate

LAYER_NAMES = ("none", "new", "handshake", "active", "idle", "closing", "closed", "archived")
STAGE_NAMES = ("none", "received", "parsed", "routed", "processed", "response ready", "sent", "logged")
METHOD_NAMES = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "OTHER")

CONNECTION_EVENT_NAMES = ("accepted", "handshake", "established", "request", "answered", "upgrade", "progress",
                          "close", "closed", "archive")
REQUEST_EVENT_NAMES = ("arrived", "parsed", "routed", "processed", "composed", "refused", "progress", "sent",
                       "abandoned", "finished")

# Rows by what happened last, columns as the event names above; 0: it cannot happen there.
# Idle is "between two requests", so nothing gets there but from active: a client that has sent nothing
# yet stays new, under a far shorter limit.
CONNECTION_TABLE = (
    # acc han est req ans upg pro cls cld arc
    (1, 0, 0, 0, 0, 0, 0, 0, 0, 0),    # none
    (0, 2, 0, 3, 0, 0, 1, 5, 6, 7),    # new
    (0, 0, 3, 3, 0, 0, 2, 5, 6, 7),    # handshake
    (0, 0, 0, 3, 4, 2, 3, 5, 6, 7),    # active
    (0, 0, 0, 3, 0, 0, 4, 5, 6, 7),    # idle
    (0, 0, 0, 0, 0, 0, 5, 0, 6, 7),    # closing
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 7),    # closed
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),    # archived
)

# An answer may be ready before a handler was found (refused), never sent before it is ready; a request
# that nobody waits for goes straight to the log.
REQUEST_TABLE = (
    # arr par rou pro com ref prg snt aba fin
    (1, 0, 0, 0, 0, 0, 0, 0, 0, 0),    # none
    (0, 2, 0, 0, 0, 5, 1, 0, 7, 0),    # received
    (0, 0, 3, 0, 0, 5, 2, 0, 7, 0),    # parsed
    (0, 0, 0, 4, 0, 5, 3, 0, 7, 0),    # routed
    (0, 0, 0, 0, 5, 5, 4, 0, 7, 0),    # processed
    (0, 0, 0, 0, 0, 0, 5, 6, 7, 0),    # response ready
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 7),    # sent
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),    # logged
)


# --- the same in C, filled from the tables at import -------------------------------------------------

cdef uint8_t connection_rows[LAYERS + 1][CONNECTION_EVENTS]
cdef uint8_t request_rows[LAYERS + 1][REQUEST_EVENTS]
cdef uint8_t connection_targets[LAYERS + 1]      # bit t: some event leads to t
cdef uint8_t request_targets[LAYERS + 1]


cdef int fill() except -1:
    cdef int state, event, target
    if len(CONNECTION_EVENT_NAMES) != CONNECTION_EVENTS or len(REQUEST_EVENT_NAMES) != REQUEST_EVENTS:
        raise AssertionError("states.pxd and states.pyx name different events")
    for state in range(LAYERS + 1):
        for event in range(<int>CONNECTION_EVENTS):
            target = CONNECTION_TABLE[state][event]
            connection_rows[state][event] = <uint8_t>target
            if target:
                connection_targets[state] |= <uint8_t>(1 << target)
        for event in range(<int>REQUEST_EVENTS):
            target = REQUEST_TABLE[state][event]
            request_rows[state][event] = <uint8_t>target
            if target:
                request_targets[state] |= <uint8_t>(1 << target)
    return 0


fill()
connection_cells = &connection_rows[0][0]
request_cells = &request_rows[0][0]


cdef bint connection_may(int layer, int target) noexcept nogil:
    if layer < 0 or layer > LAYERS or target < 1 or target > LAYERS:
        return False
    return connection_targets[layer] >> target & 1


cdef bint request_may(int stage, int target) noexcept nogil:
    if stage < 0 or stage > LAYERS or target < 1 or target > LAYERS:
        return False
    return request_targets[stage] >> target & 1


cdef str described(int state, tuple names):
    return f"{state} ({names[state]})" if 0 <= state <= LAYERS else f"{state} (no such)"


cdef str allowed(int state, int targets, tuple names):
    cdef int target
    cdef list ways = [described(target, names) for target in range(1, LAYERS + 1) if targets >> target & 1]
    return ", ".join(ways) if ways else "nothing"


cdef int require_connection(int layer, int target) except -1:
    if connection_may(layer, target):
        return 0
    raise IllegalTransition(
        f"no way from layer {described(layer, LAYER_NAMES)} to {described(target, LAYER_NAMES)}; allowed: "
        + allowed(layer, connection_targets[layer] if 0 <= layer <= LAYERS else 0, LAYER_NAMES))


cdef int require_request(int stage, int target) except -1:
    if request_may(stage, target):
        return 0
    raise IllegalTransition(
        f"no way from stage {described(stage, STAGE_NAMES)} to {described(target, STAGE_NAMES)}; allowed: "
        + allowed(stage, request_targets[stage] if 0 <= stage <= LAYERS else 0, STAGE_NAMES))


# --- Python ------------------------------------------------------------------------------------------

cdef int state_of(object value, str what) except -1:
    if not isinstance(value, int):
        raise InvalidCoordinate(f"{what} must be an int, got {type(value).__name__}")
    if not 0 <= value <= LAYERS:
        raise InvalidCoordinate(f"{what} must be 0 to {LAYERS}, got {value}")
    return value


cdef int event_of(object event, tuple names) except -1:
    if event not in names:
        raise IllegalTransition(f"no event is called {event!r}; events: {', '.join(names)}")
    return names.index(event)


def check_connection(layer, target):
    """Return if a connection may go from one layer to another.

    Args:
        layer: 0 (not there yet) to 7.
        target: 1 to 7.

    Raises:
        IllegalTransition: names both layers and what is allowed.
        InvalidCoordinate: a value is not a layer at all.

    Thread-safety: reads constants.
    """
    require_connection(state_of(layer, "layer"), state_of(target, "layer"))


def check_request(stage, target):
    """Return if a request may go from one stage to another.

    Args:
        stage: 0 (not there yet) to 7.
        target: 1 to 7.

    Raises:
        IllegalTransition: names both stages and what is allowed.
        InvalidCoordinate: a value is not a stage at all.

    Thread-safety: reads constants.
    """
    require_request(state_of(stage, "stage"), state_of(target, "stage"))


def next_layer(layer, event):
    """The layer an event leads a connection to.

    Args:
        layer: 0 (not there yet) to 7.
        event: one of `CONNECTION_EVENT_NAMES`.

    Raises:
        IllegalTransition: the event cannot happen there, or does not exist.
        InvalidCoordinate: `layer` is not a layer at all.

    Thread-safety: reads constants.
    """
    cdef int state = state_of(layer, "layer")
    cdef int target = connection_next(state, event_of(event, CONNECTION_EVENT_NAMES))
    if not target:
        raise IllegalTransition(f"event {event!r} cannot happen in layer {described(state, LAYER_NAMES)}; allowed: "
                                + events_at(state, CONNECTION_TABLE, CONNECTION_EVENT_NAMES))
    return target


def next_stage(stage, event):
    """The stage an event leads a request to.

    Args:
        stage: 0 (not there yet) to 7.
        event: one of `REQUEST_EVENT_NAMES`.

    Raises:
        IllegalTransition: the event cannot happen there, or does not exist.
        InvalidCoordinate: `stage` is not a stage at all.

    Thread-safety: reads constants.
    """
    cdef int state = state_of(stage, "stage")
    cdef int target = request_next(state, event_of(event, REQUEST_EVENT_NAMES))
    if not target:
        raise IllegalTransition(f"event {event!r} cannot happen in stage {described(state, STAGE_NAMES)}; allowed: "
                                + events_at(state, REQUEST_TABLE, REQUEST_EVENT_NAMES))
    return target


cdef str events_at(int state, tuple table, tuple names):
    cdef list ways = [name for name, target in zip(names, table[state]) if target]
    return ", ".join(ways) if ways else "nothing"
