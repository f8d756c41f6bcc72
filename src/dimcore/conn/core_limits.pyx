"""The limits of one worker: their defaults, their ranges, and what each belongs to."""

from libc.string cimport memset

from dimcore.limits cimport (
    ACTIVE, CLOSING, HANDSHAKE, IDLE, KIB, MAX_FIELDS, MAX_HEAD_BYTES, MIB, NEW, PARSED, RECEIVED, RESPONSE_READY,
    ROUTED,
)

from dimcore.errors import UsageError

cdef int64_t MAX_BYTES = 0x4000000000000000

cdef enum:
    SECOND = 1000000000      # in nanoseconds
    CREDIT_LOOKS = 60        # at what a peer has moved, in the time its credit lasts at most
    # Seconds that a peer's rate is paid in advance where budgets are concerned, at most.  What a peer reads out of its
    # own kernel's buffer is seen only when there is room for more, so that comes in larger steps.
    CREDIT = 2
    READ_CREDIT = 5
    MAX_COUNT = 1 << 24      # points an index holds
    LONGEST = 1000000000     # seconds a time limit may have: 30 years, and in nanoseconds it fits 63 bits

# Names of `Core.configure`'s time limits, and the cell or stage that each belongs to.
cdef dict LAYER_LIMITS = {
    "connect": NEW, "handshake": HANDSHAKE, "half_closed": ACTIVE, "idle": IDLE,
}
cdef dict SOCKET_LIMITS = {"ws_ping": IDLE, "ws_timeout": ACTIVE, "ws_close": CLOSING}
cdef str MESSAGE_LIMIT = "ws_message"
cdef dict STAGE_LIMITS = {"head": RECEIVED, "handler": ROUTED}
# ... and those that ask for a rate: the stage is looked at so many times in each.
cdef dict CREDITS = {"body_credit": PARSED, "send_credit": RESPONSE_READY}
cdef dict LINGERS = {"linger": CLOSING, "linger_silence": CLOSING}
cdef tuple TIME_LIMITS = (LAYER_LIMITS, SOCKET_LIMITS, STAGE_LIMITS, CREDITS, LINGERS, (MESSAGE_LIMIT,))

# Names of the numbers, with their least and most.
cdef dict RANGES = {
    "max_connections": (1, MAX_COUNT),
    "admin_reserve": (0, MAX_COUNT),
    "max_per_address": (0, MAX_COUNT),
    "max_body": (0, MAX_BYTES),
    "body_memory": (0, MAX_BYTES),
    "request_line": (16, MAX_HEAD_BYTES),
    "head": (64, MAX_HEAD_BYTES),
    "field": (16, MAX_HEAD_BYTES),
    "fields": (1, MAX_FIELDS),
    "body_rate": (0, MAX_BYTES),
    "send_rate": (0, MAX_BYTES),
}


cdef void set_defaults(Limits *limits) noexcept:
    memset(limits, 0, sizeof(Limits))
    limits.head.request_line = 8 * KIB
    limits.head.head = 32 * KIB
    limits.head.field = 8 * KIB
    limits.head.fields = MAX_FIELDS
    limits.max_body = 16 * MIB
    limits.body_memory = 1 * MIB
    limits.max_connections = 10000
    limits.credit_ns = <int64_t> CREDIT * SECOND
    limits.read_credit_ns = <int64_t> READ_CREDIT * SECOND


cdef int change_number(Limits *limits, str name, value) except -1:
    cdef int64_t number
    least, most = RANGES[name]
    number = between(name, value, least, most)
    if name == "max_connections":
        limits.max_connections = number
    elif name == "admin_reserve":
        limits.admin_reserve = number
    elif name == "max_per_address":
        limits.max_per_address = <uint32_t> number
    elif name == "max_body":
        limits.max_body = number
    elif name == "body_memory":
        limits.body_memory = <size_t> number
    elif name == "request_line":
        limits.head.request_line = <uint32_t> number
    elif name == "head":
        limits.head.head = <uint32_t> number
    elif name == "field":
        limits.head.field = <uint32_t> number
    elif name == "fields":
        limits.head.fields = <uint32_t> number
    elif name == "body_rate":
        limits.body_rate = number
    else:
        limits.send_rate = number
    return 0


cdef int change_time(Limits *limits, str name, value) except -1:
    cdef int64_t span
    if not 0 <= value <= LONGEST:
        raise UsageError(f"limit {name} is {value} seconds; 0 to {LONGEST} is allowed")
    if not any(name in table for table in TIME_LIMITS):
        known = ", ".join(name for table in TIME_LIMITS for name in table)
        raise UsageError(f"no time limit is called {name!r}; there are {known}")
    span = <int64_t> (value * SECOND)
    if name in LAYER_LIMITS:
        limits.layer_limit_ns[<int> LAYER_LIMITS[name]] = span
    elif name == MESSAGE_LIMIT:
        limits.message_limit_ns = span
    elif name in SOCKET_LIMITS:
        limits.socket_limit_ns[<int> SOCKET_LIMITS[name]] = span
    elif name in STAGE_LIMITS:
        limits.stage_limit_ns[<int> STAGE_LIMITS[name]] = span
    elif name in CREDITS:
        limits.stage_credit_ns[<int> CREDITS[name]] = span
        limits.stage_limit_ns[<int> CREDITS[name]] = span // CREDIT_LOOKS
    elif name == "linger":
        limits.linger_ns = span
    else:
        limits.silence_ns = span
    return 0


cdef void derive(Limits *limits) noexcept:
    cdef int64_t paid = limits.stage_credit_ns[<int> PARSED]
    if paid == 0:
        paid = MAX_BYTES
    limits.credit_ns = min(paid, <int64_t> CREDIT * SECOND)
    limits.read_credit_ns = min(paid, <int64_t> READ_CREDIT * SECOND)
    limits.layer_limit_ns[<int> CLOSING] = min(limits.silence_ns or MAX_BYTES, limits.linger_ns)


cdef int64_t between(str name, value, int64_t least, int64_t most) except -1:
    if not least <= value <= most:
        raise UsageError(f"{name} is {value}; {least} to {most} is allowed")
    return value
