from libc.stdint cimport int64_t, uint32_t

from dimcore.body cimport BodyReader
from dimcore.core cimport Core, Site
from dimcore.parser cimport Head
from dimcore.points cimport ConnectionPoint
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
    IN_HANDLER = 32
    LINGERING = 64           # all is sent; what comes is thrown away

# Input that could not be used yet.  24 bytes, and the parser's state while a head is incomplete.
cdef struct Inbox:
    char *data
    uint32_t size
    uint32_t room
    Head *head


cdef class Connection(ConnectionPoint):
    cdef readonly Site site
    cdef Peer peer
    cdef int fd
    cdef uint32_t flags
    cdef uint32_t events             # what the loop watches; 0: nothing
    cdef readonly uint32_t requests
    cdef readonly int64_t bytes_in
    cdef readonly int64_t bytes_out
    cdef Inbox *inbox
    cdef Outbox outbox
    cdef RequestPoint current
    cdef BodyReader reader

    cdef int readable(self) except -1
    cdef int writable(self) except -1
    cdef int end_of_stream(self) except -1
    cdef int run(self, const char *data, size_t size) except -1
    cdef int run_inbox(self) except -1
    cdef size_t step(self, const char *data, size_t size) except? 0
    cdef size_t begin(self, const char *data, size_t size, int length) except? 0
    cdef int _head_begun(self, Head *head) except -1
    cdef int _continue(self) except -1
    cdef int _send_apart(self, object body) except -1
    cdef int start_body(self, bint chunked) except -1
    cdef size_t take_body(self, const char *data, size_t size) except? 0
    cdef int dispatch(self) except -1
    cdef int answer(self, object result, object error) except -1
    cdef int send_answer(self, object headers, object body, int status, const char *kind) except -1
    cdef int refuse(self, int status, bytes text, object headers) except -1
    cdef int not_routed(self, const char *path, Py_ssize_t size) except -1
    cdef int flush(self) except -1
    cdef int hold(self) except -1
    cdef int settle(self) except -1
    cdef int release_request(self) except -1
    cdef int keep(self, const char *data, size_t size) except -1
    cdef void free_inbox(self) noexcept
    cdef int watch(self, uint32_t events) except -1
    cdef void move(self, int event) noexcept
    cdef int finish(self) except -1
    cdef void drop(self) noexcept
    cdef void timed_out(self) noexcept


cdef Connection open_connection(Site site, int fd, const Peer *peer)
