cimport cython
from libc.stdint cimport int64_t

from dimcore.conn.exchange cimport Exchange
from dimcore.conn.inbox cimport Inbox


@cython.no_gc
cdef class Carrier(Exchange):
    cdef Inbox *inbox                # NULL while nothing waits and no head is incomplete

    cdef int put_off(self) except -1
    # the only ways in which input that waits is moved or freed; see `RequestPoint.own`
    cdef int keep_input(self, const char *data, size_t size) except -1
    cdef void use_input(self, size_t used) noexcept
    cdef void free_inbox(self) noexcept
