"""Shared constants of the compiled core.

Hard bounds only: what the data structures can hold.  The defaults an operator
may change live in ``dimserver.config``; the numbers here are their ceilings.
"""

cdef enum:
    KIB = 1024
    MIB = 1048576

    RECEIVE_BYTES = 65536    # of the buffer a worker receives into (Core.inbuf)

    LAYERS = 7               # layer 1 .. 7; 0 is no layer
    POOLS = 4                # spirals every connection index starts with: those of clients, which count for totals
    SPIRALS = 8              # of connections with a meaning: the pools, and points of other kinds
    METHODS = 8              # spirals of the request index
    MAX_SPIRALS = 64         # rows an index may grow to

    MAX_FIELDS = 100         # header fields a head may carry (RFC 9110 5.4 leaves the bound to us)
    MAX_HEAD_BYTES = 65535   # spans are 16 bits wide

cdef enum ConnectionLayer:
    NEW = 1
    HANDSHAKE = 2
    ACTIVE = 3
    IDLE = 4
    CLOSING = 5
    CLOSED = 6
    ARCHIVED = 7

cdef enum RequestStage:
    RECEIVED = 1
    PARSED = 2
    ROUTED = 3
    PROCESSED = 4
    RESPONSE_READY = 5
    SENT = 6
    LOGGED = 7

# Spirals of the connection index.  0 to 3 are the pools of clients; only they count for totals, caps and max-*.
cdef enum Pool:
    POOL_HTTP = 0
    POOL_WEBSOCKET = 1
    POOL_API = 2
    POOL_ADMIN = 3
    POOL_STREAM = 4          # streams of HTTP/2, each on a connection of 0 to 3
    POOL_UPSTREAM = 5        # connections to upstream servers
    POOL_DATABASE = 6        # connections to databases
    POOL_JOBS = 7            # running jobs

cdef enum Method:
    GET = 0
    POST = 1
    PUT = 2
    DELETE = 3
    PATCH = 4
    OPTIONS = 5
    HEAD = 6
    OTHER = 7
