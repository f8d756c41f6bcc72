from libc.stdint cimport int64_t, uint32_t

from dimcore.bodyreader cimport BodyReader
from dimcore.core cimport Site
from dimcore.exchange cimport Exchange
from dimcore.inbox cimport Inbox
from dimcore.points cimport ConnectionPoint
from dimcore.parser cimport Head
from dimcore.request cimport RequestPoint
from dimcore.stream cimport Outbox, Peer


cdef bytes TOO_MANY              # what a client is told whose address has as many connections as it may
cdef str NOT_INTRODUCED          # what is reported of a connection without a word of a trusted proxy


cdef class Connection(Exchange):
    cdef Inbox *inbox                # NULL while nothing waits and no head is incomplete

    # the loop and its deadlines
    cdef int readable(self) except -1
    cdef int read_body(self) except -1
    cdef int writable(self) except -1
    cdef int end_of_stream(self) except -1
    cdef int tell_peer_done(self) except -1
    cdef void timed_out(self) noexcept
    cdef void fail(self, object error) noexcept
    cdef int go_on(self) except -1
    # input
    cdef int take_introduction(self, const char *data, size_t size) except -1
    cdef int be_introduced(self, const Peer *client) except -1
    cdef int run(self, const char *data, size_t size) except -1
    cdef int run_inbox(self) except -1
    cdef size_t step(self, const char *data, size_t size) except? 0
    cdef int half_head(self, Head *head) except -1
    cdef size_t begin(self, const char *data, size_t size, int length) except? 0
    cdef size_t take_body(self, const char *data, size_t size) except? 0
    cdef int divert(self, BodyReader reader) except -1
    cdef int turn_away(self, bytes why) except -1
    # output
    cdef int settle(self) except -1
    # a WebSocket
    cdef int open_socket(self, const char *data, size_t size) except -1
    # the end
    cdef int finish(self) except -1
    cdef void free_inbox(self) noexcept


cdef Connection open_connection(Site site, int fd, const Peer *peer)
