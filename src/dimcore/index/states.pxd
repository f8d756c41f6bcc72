from libc.stdint cimport uint8_t

from dimcore.limits cimport LAYERS

# Layers and stages are `ConnectionLayer` and `RequestStage` of limits.pxd; 0 is "not there yet".

cdef enum ConnectionEvent:
    ACCEPTED = 0             # the peer connected
    HANDSHAKE_BEGUN = 1      # TLS, before the first request
    ESTABLISHED = 2          # TLS or an upgrade is agreed on
    REQUEST_BEGUN = 3        # the first byte of a request
    ANSWERED = 4             # the answer is sent, and the connection stays
    UPGRADE_BEGUN = 5        # a request asked for another protocol
    MOVED_BYTES = 6          # progress within a layer: renews the entry time
    CLOSE_BEGUN = 7          # no further request is read; what is left gets sent
    DESCRIPTOR_CLOSED = 8
    ARCHIVE = 9              # counters folded in, the point leaves the index
    CONNECTION_EVENTS = 10

cdef enum RequestEvent:
    HEAD_BEGUN = 0           # the first byte arrived
    HEAD_PARSED = 1
    HANDLER_FOUND = 2
    HANDLER_DONE = 3
    ANSWER_COMPOSED = 4
    REFUSED = 5              # answered without (or instead of) a handler: 400, 404, 413, 500 ...
    STAGE_PROGRESS = 6       # body bytes in, answer bytes out: renews the entry time
    ANSWER_SENT = 7
    ABANDONED = 8            # the client left, nobody waits for the answer
    FINISHED = 9             # counted and logged
    REQUEST_EVENTS = 10

# The layer or stage an event leads to; 0 for an illegal one and for numbers that are none.
# Inline, because a call into another module costs more than the look-up.
cdef const uint8_t *connection_cells     # [layer][event]
cdef const uint8_t *request_cells        # [stage][event]


cdef inline int connection_next(int layer, int event) noexcept nogil:
    if layer < 0 or layer > LAYERS or event < 0 or event >= CONNECTION_EVENTS:
        return 0
    return connection_cells[layer * <int> CONNECTION_EVENTS + event]


cdef inline int request_next(int stage, int event) noexcept nogil:
    if stage < 0 or stage > LAYERS or event < 0 or event >= REQUEST_EVENTS:
        return 0
    return request_cells[stage * <int> REQUEST_EVENTS + event]


# Whether some event leads from one layer or stage to the other.
cdef bint connection_may(int layer, int target) noexcept nogil
cdef bint request_may(int stage, int target) noexcept nogil

# The same, raising IllegalTransition.
cdef int require_connection(int layer, int target) except -1
cdef int require_request(int stage, int target) except -1
