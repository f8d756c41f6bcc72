cdef class Waiter:
    # It is set: run now.
    cdef int woken(self) except -1
    # It is set where nothing may be run: run soon.
    cdef int woken_soon(self) except -1


cdef class Wakeup:
    cdef object loop
    cdef Waiter waiter         # whose coroutine waits for it; or None
    cdef object call             # what another Task wants called; or None
    cdef object context          # that this is called in
    cdef bint was_cancelled         # `result` says so, once
    cdef public bint _asyncio_future_blocking

    cdef bint is_awaited(self) noexcept
    cdef int set(self) except -1
    cdef int set_soon(self) except -1


cdef Wakeup make_wakeup(object loop)
