"""Waiting for a response driver to move: futures for coroutines, and an awaitable that has nothing to wait for."""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from dimcore.errors import UsageError


@cython.final
cdef class Waits:
    """The coroutines that wait for one response driver; all are woken by whatever happens, and look for themselves.

    Thread-safety: the loop's thread only.
    """

    def __cinit__(self):
        self.futures = []

    cdef object one(self, object loop):
        """A future to yield to a Task."""
        future = loop.create_future()
        future._asyncio_future_blocking = True       # how a Task knows a future that is awaited
        self.futures.append(future)
        return future

    cdef int drop(self, object future) except -1:
        """Nobody waits for it any more."""
        if future in self.futures:
            self.futures.remove(future)
        return 0

    cdef int wake(self) except -1:
        if self.futures:
            futures, self.futures = self.futures, []
            for future in futures:
                if not future.done():
                    future.set_result(None)
        return 0


@cython.final
cdef class Done:
    """Awaited, it gives None at once; one serves all."""

    def __init__(self):
        raise UsageError("there is one of this")

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        raise StopIteration

    def throw(self, kind, value=None, traceback=None):
        raise kind if value is None else value

    def close(self):
        """There is nothing to give up."""


cdef int _done(PyObject *self, PyObject *given, PyObject **value) noexcept:
    Py_INCREF(None)
    value[0] = <PyObject *> None
    return 0                         # PYGEN_RETURN


set_am_send(Done, <void *> _done)
DONE = Done.__new__(Done)
