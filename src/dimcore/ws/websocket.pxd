from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from dimcore.conn.exchange cimport Exchange
from dimcore.conn.protocol cimport ProtocolFactory
from dimcore.http.request cimport RequestPoint
from dimcore.ws.messages cimport MessageReader

cdef class WebSocket(MessageReader)

cdef enum Hook:
    ON_OPEN = 1
    ON_MESSAGE = 2
    ON_CLOSE = 4
    ON_DRAIN = 8
    TO_LISTENER = 16         # the handlers are Listeners

cdef enum Slow:
    SLOW_WAIT = 0            # read nothing from the peer, and take what is sent up to a second mark
    SLOW_DROP = 1            # lose messages
    SLOW_CLOSE = 2           # end it

cdef enum SocketFlag:
    CLOSE_SENT = 1           # nothing is sent after it
    CLOSE_TOLD = 2           # the program knows
    LAGS = 4                 # the mark was passed: `on_drain` is owed
    KEEPS_REQUEST = 8        # the program asked for the request while it was there
    PAUSED = 16              # a Listener has enough for now
    WAKING = 32              # ... had: the loop is about to go on
    DEFERRED = 64            # others come first: the loop goes on with it, see `Core.defer`

cdef enum Offer:
    OFFER_TAKEN
    OFFER_LOST               # the peer lags
    OFFER_CLOSED


cdef class Endpoint(ProtocolFactory):
    cdef readonly object handler
    cdef readonly int64_t max_message
    cdef readonly int64_t max_frames
    cdef readonly int64_t high_water     # bytes that may wait for a slow peer
    cdef uint16_t slow_code
    cdef uint8_t hooks                   # Hook
    cdef uint8_t slow                    # Slow
    cdef bytes target                    # that the last of its sockets was asked for at


# Told of a socket's events in C; see `Listener` in the .pyx.
cdef class Listener:
    cdef int opened(self, WebSocket ws) except -1
    cdef int heard(self, WebSocket ws, object message) except -1
    cdef int ended(self, WebSocket ws, int code, str reason) except -1
    cdef int drained(self, WebSocket ws) except -1
    cdef int leaving(self, WebSocket ws, int code, str reason) except -1
    cdef int64_t waiting(self) noexcept      # bytes of memory for what the program has not taken yet


# 144 bytes:
# | MessageReader, 64 | connection | endpoint | handler | asked | protocol | joined | unread | marked | number | flags |
cdef class WebSocket(MessageReader):
    cdef readonly Exchange connection
    cdef Endpoint endpoint
    cdef object handler
    cdef object asked                    # the request; once it is given back what its target was; or None
    cdef object protocol
    cdef object joined                   # its first place in a topic (`topic.pyx`), or None
    cdef bytes unread                    # received, and not decoded yet, while it is paused or deferred; or None
    cdef int64_t marked                  # what the peer had taken when it was asked for a sign of life
    cdef uint64_t number                 # of the request
    cdef uint8_t flags                   # SocketFlag

    # what the connection does with it
    cdef int take_inflating(self, char *data, size_t size) except -1
    cdef int take_slice(self, char *data, size_t size) except -1
    cdef int keep_unread(self, const char *data, size_t size) except -1
    cdef int give_request_back(self) except -1
    cdef object whose(self)
    cdef bint owes_message(self) noexcept
    cdef int check_thread(self) except -1
    # in
    cdef int deliver(self, object message) except -1
    cdef int peer_closed(self, str reason) except -1
    cdef int fail_peer(self, int code, str reason) except -1
    cdef int handler_failed(self, object error) except -1
    cdef int tell_close(self, int code, str reason) except -1
    # out
    cdef bint may_send(self) except -1
    cdef int put(self, int opcode, const char *data, size_t size, object held) except -1
    cdef Offer offer(self, bytes frames) except? OFFER_CLOSED
    cdef bint weigh(self) except -1
    cdef int64_t backlog(self) noexcept
    cdef int pause(self) except -1
    cdef int resume(self) except -1
    cdef int goodbye(self, int code, str reason) except -1
    cdef int leave_topics(self) except -1
