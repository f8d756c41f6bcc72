from libc.stdint cimport uint16_t

# One word says where an exchange stands: one phase, and any number of facts.

cdef enum Phase:                 # one at a time; READING is none of the others
    READING = 0                  # requests are read; a handler that runs on the loop is a part of that
    GREETING = 1                 # the header of the PROXY protocol is still to come
    BUSY = 2                     # a handler runs elsewhere
    STREAMING = 4                # somebody pushes the body of the answer
    UPGRADED = 8                 # another protocol has the connection: `ConnectionPoint.named` is it
    LINGERING = 16               # all is sent; what comes is thrown away
    GONE = 32                    # closed
    PHASES = 63

cdef enum Fact:
    WORKING = 64                 # an event is being served: what it uses stays until it is through
    HALTED = 128                 # the handler lags behind the body it is sent
    HAS_ANSWER = 256             # the answer to `current` is written
    UNREAD = 512                 # for a while it was not read, so there may be more than is known of
    PEER_DONE = 1024             # the peer sends no more; it may still read
    UNFRAMED = 2048              # nothing but the end of the connection ends the answer
    CLOSE = 4096                 # close once everything is sent
    LINGER = 8192                # ... but let the peer read it first
    FILTERED = 16384             # filters have seen `current`, and are told of its end

cdef enum:
    PHASE_COUNT = 7

# Whether the table has a way from one phase to another.
cdef bint phase_may(int phase, int target) noexcept nogil
cdef str phase_name(int phase)
