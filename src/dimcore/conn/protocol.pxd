from libc.stdint cimport int64_t, uint8_t

from dimcore.http.request cimport RequestPoint


# What a connection was upgraded to: it has all that arrives, and is asked what to do.
cdef class Protocol:
    cdef int opened(self) except -1
    cdef int take(self, char *data, size_t size) except -1
    cdef int take_unread(self) except -1
    cdef int drained(self) except -1
    cdef uint8_t wanted(self) noexcept
    cdef bint is_alive(self) except -1
    cdef bint depart(self) except -1
    cdef int tell_end(self) except -1
    cdef int give_up(self, int code, str reason) except -1
    cdef int64_t memory(self) noexcept
    cdef bint owes(self, int64_t *moved, int64_t *own) noexcept
    cdef bint is_overdue(self, int64_t now_ns) noexcept
    cdef void gone(self) noexcept


# Makes the protocol of one connection.
cdef class ProtocolFactory:
    cdef readonly bint answers       # the protocol writes the answer itself, 101 or whatever it has

    cdef Protocol open(self, object exchange, object handler, RequestPoint request, object protocol, object codec)
