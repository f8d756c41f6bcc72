from libc.stdint cimport int64_t, uint32_t

from dimcore.http1.head cimport HeadLimits
from dimcore.limits cimport LAYERS


# Limits of one worker; nanoseconds, 0 for none.
cdef struct Limits:
    HeadLimits head
    int64_t max_body
    size_t body_memory           # of a body, before it goes to a file or is handed on as it comes
    int64_t layer_limit_ns[LAYERS + 1]
    int64_t socket_limit_ns[LAYERS + 1]  # the layers of the pool of WebSockets
    int64_t message_limit_ns     # of a WebSocket's message that has begun
    int64_t stage_limit_ns[LAYERS + 1]
    int64_t stage_credit_ns[LAYERS + 1]  # how long a peer may be below its rate in that stage
    int64_t linger_ns            # of which the limit of *closing* is the part that may be silent
    int64_t silence_ns
    int64_t body_rate            # bytes a second
    int64_t send_rate
    int64_t credit_ns            # what arrives pays for its rate in advance, at most
    int64_t read_credit_ns       # the same of what a peer takes
    int64_t max_connections
    int64_t admin_reserve
    uint32_t max_per_address     # 0: nobody counts


cdef void set_defaults(Limits *limits) noexcept
# Both raise UsageError for an unknown name or a value that is not allowed, and then have changed nothing.
cdef int change_number(Limits *limits, str name, value) except -1
cdef int change_time(Limits *limits, str name, value) except -1      # in seconds
# To be called after changes of times: limits that follow from others.
cdef void derive(Limits *limits) noexcept

cdef int64_t between(str name, value, int64_t least, int64_t most) except -1
cdef int64_t MAX_BYTES
