"""What a coroutine waits for that has to wait often: it can be woken again and again.

A future serves once, and wakes its Task in the next turn of the loop.  Where a
coroutine waits for every message of a socket, that costs more than the message.
A coroutine that a `CoroutineRun` runs is *woken*: it runs on within the event
that brought the message, as the method of an object would, with its own Task and
context.  Any other Task (`asyncio.wait_for` makes one, up to Python 3.11) takes
the wakeup for a future: it has what asyncio asks of one.

Thread-safety: the loop's thread only.
"""

cimport cython

from dimcore.errors import UsageError

cdef object CancelledError = None


cdef class Waiter:
    """What can be woken; a `CoroutineRun`."""

    def __init__(self):
        raise UsageError("a CoroutineRun is what sleeps")

    cdef int woken(self) except -1:
        return 0

    cdef int woken_soon(self) except -1:
        return 0


@cython.final
cdef class Wakeup:
    """Rung for one waiter at a time; made by what rings it.

    What is awaited yields the wakeup with `_asyncio_future_blocking` set, as a future does with itself.
    """

    def __init__(self):
        raise UsageError("bells are made by what rings them")

    cdef bint is_awaited(self) noexcept:
        return self.waiter is not None or self.call is not None

    cdef int set(self) except -1:
        """Let the waiter run: at once where it is an run's.  Nobody waiting is fine."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            return (<Waiter> waiter).woken()
        return self.set_soon()

    cdef int set_soon(self) except -1:
        """The same in the next turn of the loop, from where no program may be run."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            return (<Waiter> waiter).woken_soon()
        if self.call is not None:
            call, self.call = self.call, None
            context, self.context = self.context, None
            self.loop.call_soon(call, self, context=context)
        return 0

    # --- what asyncio asks of a future ----------------------------------------------------------

    def get_loop(self):
        return self.loop

    def add_done_callback(self, fn, *, context=None):
        self.call = fn
        self.context = context

    def remove_done_callback(self, fn):
        if self.call != fn:
            return 0
        self.call = self.context = None
        return 1

    def done(self):
        return not self.is_awaited()

    def cancelled(self):
        return self.was_cancelled

    def cancel(self, msg=None):
        """The Task is cancelled while it waits here."""
        if self.call is None:
            return False
        self.was_cancelled = True
        self.set_soon()
        return True

    def result(self):
        global CancelledError
        if self.was_cancelled:
            self.was_cancelled = False
            if CancelledError is None:
                from asyncio.exceptions import CancelledError as cancelled
                CancelledError = cancelled
            raise CancelledError()
        return None

    def exception(self):
        return None


cdef Wakeup make_wakeup(object loop):
    cdef Wakeup wakeup = Wakeup.__new__(Wakeup)
    wakeup.loop = loop
    return wakeup
