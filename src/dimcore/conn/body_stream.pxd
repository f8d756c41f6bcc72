from libc.stdint cimport int64_t


cdef class ArrivingBody:
    cdef object connection           # to be paused and resumed; None once no more comes
    cdef list chunks                 # in order, the next one last while `turned`
    cdef int64_t waiting             # bytes in them
    cdef bint turned
    cdef bint paused
    cdef bint expected               # the peer waits to be asked for the body
    cdef readonly bint ended         # no more comes
    cdef readonly str error          # why, where it is not complete; else empty
    cdef object owner                # a `BodyConsumer`, or None

    cdef object take(self)
    cdef int wake(self) except -1


cdef class BodyConsumer:
    # More of the body, or its end, is there.
    cdef int fed(self) except -1


cdef ArrivingBody make_arriving_body(object connection, bint expected)
