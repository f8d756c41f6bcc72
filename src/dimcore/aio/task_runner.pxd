from dimcore.aio.wakeup cimport Wakeup, Waiter


cdef class CoroutineRun(Waiter):
    cdef Runner runner
    cdef object task             # the Task that runs on this; None once it ended
    cdef object coroutine        # what is run, or None
    cdef object context          # of the request: each has a copy of its own
    cdef object awaited          # what the first step waits for, until the Task does
    cdef object future              # the future its Task sleeps on, as a spare and while a wakeup is waited for
    cdef Wakeup wakeup               # what the coroutine waits for, or None
    cdef readonly object owner   # told of the result: ``complete(request, result, error)``
    cdef readonly object request
    cdef int stage
    cdef bint running            # its own code is on the stack
    cdef bint touched            # somebody changed the Task itself: it cannot serve another request
    cdef bint unwanted           # cancelled because nobody waits for the result
    cdef Py_ssize_t weak         # weak references to the Task that are the loop's own

    cdef object rest(self)
    cdef object lie_down(self)
    cdef object listen(self, Wakeup wakeup)
    cdef int silence(self) except -1
    cdef int wake(self, int stage) except -1
    cdef object resume(self, object error)
    cdef int adopt(self, object owner, object request, object coroutine, object context, object awaited) except -1
    cdef int retire(self) except -1
    cdef bint is_pristine(self, Py_ssize_t references) except -1
    cdef int finish(self, object result, object error) except -1


cdef class Runner:
    cdef readonly object loop
    cdef object task_type
    cdef object base             # contextvars.Context every request starts from
    cdef CoroutineRun spare            # its Task is lent to each coroutine for its first step; or None
    cdef set alive               # runs whose coroutine waits
    cdef object context          # of the coroutine that just ended
    cdef object result           # what it returned
    cdef bint closed
    cdef bint forked             # see `Core.forked`

    cdef CoroutineRun begin(self, object owner, object request, object awaitable, object context)
    cdef CoroutineRun take_spare(self)
    cdef object take_result(self)
    cdef object take_context(self)


cdef extern from *:
    """
    static inline int dimcore_is_awaitable(PyObject *value) {
        const PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
        return methods != NULL && methods->am_await != NULL;
    }
    static inline int dimcore_is_async_iterable(PyObject *value) {
        const PyAsyncMethods *methods = Py_TYPE(value)->tp_as_async;
        return methods != NULL && methods->am_aiter != NULL;
    }
    """
    bint is_awaitable "dimcore_is_awaitable"(object value) noexcept
    bint is_async_iterable "dimcore_is_async_iterable"(object value) noexcept
