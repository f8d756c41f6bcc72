from dimcore.conn.carrier cimport Carrier
from dimcore.conn.exchange cimport Exchange

# What the methods of `Connection` of the same names do.
cdef int settle_carrier(Carrier carrier) except -1
cdef int refuse_body_of(Carrier carrier, int fault) except -1
cdef int refuse_rest(Carrier carrier, int fault) except -1
cdef void fail_carrier(Carrier carrier, object error) noexcept
cdef void end_in_time(Carrier carrier) noexcept
cdef void drop_carrier(Carrier carrier) noexcept
cdef void bury_carrier(Carrier carrier) noexcept
cdef void bury_request(Exchange exchange) noexcept

cdef int linger_on(Carrier carrier, Py_ssize_t size) except -1
cdef int tell_peer_done(Exchange exchange) except -1
