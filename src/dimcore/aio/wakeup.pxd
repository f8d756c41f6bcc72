cdef class Sleeper:
    # The bell was rung: run now.
    cdef int rung(self) except -1
    # The bell was rung where nothing may be run: run soon.
    cdef int rung_softly(self) except -1


cdef class Bell:
    cdef object loop
    cdef Sleeper sleeper         # whose coroutine waits for it; or None
    cdef object call             # what another Task wants called; or None
    cdef object context          # that this is called in
    cdef bint was_cancelled         # `result` says so, once
    cdef public bint _asyncio_future_blocking

    cdef bint is_awaited(self) noexcept
    cdef int ring(self) except -1
    cdef int ring_softly(self) except -1


cdef Bell make_bell(object loop)
