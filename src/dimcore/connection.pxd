from libc.stdint cimport int64_t, uint32_t

from dimcore.bodyreader cimport BodyReader
from dimcore.core cimport Site
from dimcore.inbox cimport Inbox
from dimcore.points cimport ConnectionPoint
from dimcore.parser cimport Head
from dimcore.request cimport RequestPoint
from dimcore.stream cimport Outbox, Peer

cdef enum Event:
    READABLE = 1             # as in the selectors module
    WRITABLE = 2

cdef enum ConnectionFlag:
    BUSY = 1                 # a handler runs elsewhere
    CLOSE = 2                # close once everything is sent
    LINGER = 4               # ... but let the peer read it first
    GONE = 8                 # the descriptor is closed
    PEER_DONE = 16           # the peer sends no more
    WORKING = 32             # an event is being served: what it uses stays until it is through
    LINGERING = 64           # all is sent; what comes is thrown away
    HAS_ANSWER = 128         # the answer to `current` is written
    AT_DOOR = 256            # turned away: in no pool


cdef class Connection(ConnectionPoint):
    cdef readonly Site site
    cdef Peer peer
    cdef int fd                      # -1 once closed, so that no late call can meet another's descriptor
    cdef uint32_t flags
    cdef uint32_t events             # what the loop watches; 0: nothing
    cdef readonly uint32_t requests
    cdef readonly int64_t bytes_in
    cdef readonly int64_t bytes_out
    cdef Inbox *inbox                # NULL while nothing waits and no head is incomplete
    cdef Outbox outbox
    cdef RequestPoint current
    cdef BodyReader reader

    # the loop and its deadlines
    cdef int readable(self) except -1
    cdef int writable(self) except -1
    cdef int end_of_stream(self) except -1
    cdef void timed_out(self) noexcept
    cdef void fail(self, object error) noexcept
    # input
    cdef int run(self, const char *data, size_t size) except -1
    cdef int run_inbox(self) except -1
    cdef size_t step(self, const char *data, size_t size) except? 0
    cdef int open_request(self) except -1
    cdef int half_head(self, Head *head) except -1
    cdef size_t begin(self, const char *data, size_t size, int length) except? 0
    cdef int start_body(self, bint chunked) except -1
    cdef int call_for_body(self) except -1
    cdef size_t take_body(self, const char *data, size_t size) except? 0
    # the answer
    cdef int dispatch(self) except -1
    cdef int answer(self, object result, object error) except -1
    cdef int answer_error(self, object error) except -1
    cdef int answer_with(self, int status, object headers, bytes body) except -1
    cdef int compose(self, object headers, object body, int status, const char *kind) except -1
    cdef int send_body(self, object body) except -1
    cdef int send_apart(self, object body) except -1
    cdef int refuse(self, int status, bytes text, object headers) except -1
    cdef int write_refusal(self, int status, bytes text, object headers, bint head_only) except -1
    cdef int turn_away(self) except -1
    cdef int not_routed(self, const char *path, Py_ssize_t size) except -1
    cdef int release_request(self) except -1
    # output
    cdef int flush(self) except -1
    cdef int hold(self) except -1
    cdef int64_t delivered(self) noexcept
    cdef int settle(self) except -1
    # the end
    cdef int finish(self) except -1
    cdef void drop(self) noexcept
    cdef void bury(self) noexcept
    cdef void free_inbox(self) noexcept
    cdef int watch(self, uint32_t events) except -1
    cdef void move(self, int event) noexcept


cdef Connection open_connection(Site site, int fd, const Peer *peer)
