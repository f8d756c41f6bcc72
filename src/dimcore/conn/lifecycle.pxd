from dimcore.conn.answering cimport Exchange
from dimcore.conn.inbox cimport Inbox


cdef class Leaving(Exchange):
    cdef Inbox *inbox                # NULL while nothing waits and no head is incomplete

    cdef int settle(self) except -1
    cdef int finish(self) except -1
    cdef int linger_on(self, Py_ssize_t size) except -1
    cdef bint has_more(self) noexcept
    cdef int refuse_body(self, int fault) except -1
    cdef void fail(self, object error) noexcept
    cdef void timed_out(self) noexcept
    cdef int refuse_rest(self, int fault) except -1
    cdef int tell_peer_done(self) except -1
    # the only ways in which input that waits is moved or freed; see `RequestPoint.own`
    cdef int keep_input(self, const char *data, size_t size) except -1
    cdef void use_input(self, size_t used) noexcept
    cdef void free_inbox(self) noexcept
