cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t

from dimcore.core cimport Site
from dimcore.outflow cimport Outflow
from dimcore.points cimport ConnectionPoint
from dimcore.request cimport RequestPoint
from dimcore.stream cimport Outbox, Peer

cdef enum:
    APART_BYTES = 16384      # a body or a piece of one is sent from where it lies, from here on

cdef enum Event:
    READABLE = 1             # as in the selectors module
    WRITABLE = 2
    HANGUP = 4               # an error or a hang-up alone, where the loop can tell

cdef enum ConnectionFlag:
    BUSY = 1                 # a handler runs elsewhere
    CLOSE = 2                # close once everything is sent
    LINGER = 4               # ... but let the peer read it first
    GONE = 8                 # the descriptor is closed
    PEER_DONE = 16           # the peer sends no more; it may still read
    WORKING = 32             # an event is being served: what it uses stays until it is through
    LINGERING = 64           # all is sent; what comes is thrown away
    HAS_ANSWER = 128         # the answer to `current` is written
    AT_DOOR = 256            # turned away: in no pool
    STREAMING = 512          # somebody pushes the body of the answer
    HALTED = 1024            # the handler lags behind the body it is sent
    UNFRAMED = 2048          # nothing but the end of the connection ends the answer
    COUNTED = 4096           # among the connections of its address
    UPGRADED = 8192          # a WebSocket: `ConnectionPoint.named` has it
    EXPECTED = 16384         # the header of the PROXY protocol is still to come
    UNNAMED = 32768          # that header named nobody: who is behind the proxy is not known


@cython.no_gc
cdef class Channel(ConnectionPoint):
    cdef readonly Site site
    cdef Peer peer                   # the client; whom the proxy named, once it has
    cdef int fd                      # -1 once closed, so that no late call can meet another's descriptor
    cdef uint16_t flags              # ConnectionFlag
    cdef uint16_t events             # what the loop watches; 0: nothing
    cdef readonly uint32_t requests
    cdef readonly int64_t bytes_in
    cdef readonly int64_t bytes_out
    cdef Outbox outbox               # None while the peer has everything
    cdef RequestPoint current

    cdef void drop(self) noexcept
    cdef void bury(self) noexcept
    cdef void through(self) noexcept
    # the loop
    cdef int watch(self, uint16_t events) except -1
    cdef void move(self, int event) noexcept
    # bytes that are there
    cdef int flush(self) except -1
    cdef int hold(self) except -1
    cdef int64_t delivered(self) noexcept
    cdef int send_apart(self, object body, bint chunk=*) except -1
    # a body that is made while it is sent
    cdef int start_stream(self, Outflow flow) except -1
    cdef int pull(self) except -1
    cdef int write_piece(self, Outflow flow, bytes piece) except -1
    cdef int end_stream(self) except -1
    cdef int cut_short(self, object error) except -1
    cdef bint waits_for_source(self) noexcept
    cdef bint may_be_alone(self) noexcept
