cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from dimcore.conn.core cimport Site
from dimcore.conn.streamed_body cimport Outflow
from dimcore.http.request cimport RequestPoint
from dimcore.index.connection_point cimport ConnectionPoint
from dimcore.net.socket_io cimport Outbox, Peer

cdef enum:
    APART_BYTES = 16384      # a body or a piece of one is sent from where it lies, from here on

cdef enum Event:
    READABLE = 1             # as in the selectors module
    WRITABLE = 2
    HANGUP = 4               # an error or a hang-up alone, where the loop can tell

cdef enum Origin:
    COUNTED = 1              # among the connections of its address
    UNNAMED = 2              # the proxy named nobody: who is behind it is not known
    AT_DOOR = 4              # turned away: in no pool
    CHARGED = 8              # the budgets have something under its descriptor
    UNCOUNTED = 16           # was sent something while it was not served: `Core.uncounted` has it

cdef enum ConnectionFlag:
    # what is going on
    EXPECTED = 1             # the header of the PROXY protocol is still to come
    WORKING = 2              # an event is being served: what it uses stays until it is through
    BUSY = 4                 # a handler runs elsewhere
    HALTED = 8               # the handler lags behind the body it is sent
    HAS_ANSWER = 16          # the answer to `current` is written
    STREAMING = 32           # somebody pushes the body of the answer
    UPGRADED = 64            # a WebSocket: `ConnectionPoint.named` has it
    UNREAD = 128             # for a while it was not read, so there may be more than is known of
    # how it ends
    PEER_DONE = 256          # the peer sends no more; it may still read
    UNFRAMED = 512           # nothing but the end of the connection ends the answer
    CLOSE = 1024             # close once everything is sent
    LINGER = 2048            # ... but let the peer read it first
    LINGERING = 4096         # all is sent; what comes is thrown away
    GONE = 8192              # the descriptor is closed


@cython.no_gc
cdef class Channel(ConnectionPoint):
    cdef readonly Site site
    cdef Peer peer                   # the client; whom the proxy named, once it has
    cdef int fd                      # -1 once closed, so that no late call can meet another's descriptor
    cdef uint16_t flags              # ConnectionFlag: where it stands
    cdef uint8_t origin              # Origin: how it came
    cdef uint8_t events              # what the loop watches; 0: nothing
    cdef readonly uint32_t requests
    cdef readonly int64_t bytes_in
    cdef readonly int64_t bytes_out
    cdef Outbox outbox               # None while the peer has everything
    cdef RequestPoint current

    cdef void drop(self) noexcept
    cdef void bury(self) noexcept
    cdef void through(self) noexcept
    # the loop
    cdef int watch(self, uint8_t events) except -1
    cdef void move(self, int event) noexcept
    # bytes that are there
    cdef int flush(self) except -1
    cdef int put_off(self) except -1
    cdef int count_later(self) except -1
    cdef int hold(self) except -1
    cdef int64_t delivered(self) noexcept
    cdef int64_t credit_left(self, int64_t now_ns, int64_t *moved) noexcept
    cdef int spend_credit(self) except -1
    cdef int send_pieces(self, list pieces, Py_ssize_t total, bytes tail) except -1
    cdef int send_apart(self, object body) except -1
    # a body that is made while it is sent
    cdef int start_stream(self, Outflow flow) except -1
    cdef int pull(self) except -1
    cdef int write_piece(self, Outflow flow, bytes piece) except -1
    cdef int write_pieces(self, Outflow flow, list pieces, Py_ssize_t total, bint last) except -1
    cdef int end_stream(self) except -1
    cdef int cut_short(self, object error) except -1
    cdef bint waits_for_source(self) noexcept
    cdef bint may_be_alone(self) noexcept
