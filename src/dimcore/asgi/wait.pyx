"""What `receive` and `send` of ASGI return where something has to be waited for.

On another thread than the loop's neither does anything when it is called (adapters
such as asgiref's call there and await on the loop): what they return does it when it
is awaited; and awaited on a loop of another thread, it has the server's loop do it.

An `AsgiWait` looks again whenever anything happened to its request (`Waits`): who
waits is told nothing but that, so nothing can be told twice or be missed.
"""

cimport cython
from cpython.ref cimport Py_INCREF

from dimcore.aio.task_runner cimport Runner
from dimcore.aio.waiters cimport DONE, set_am_send
from dimcore.conn.phase cimport GONE, WORKING

from dimcore.errors import UsageError
from dimcore.reports import Report

cdef extern from "Python.h":
    void Py_DECREF(PyObject *value)


cdef class Awaited(ResponseDriver):
    """One request as far as it is waited for; not for use by itself."""

    cdef bint must_wait(self) noexcept:
        """Whether the scratch memory is lent to another connection: its handler called this one."""
        return self.connection.site.core.scratch.serving and not self.connection.state & WORKING

    cdef bint lags(self) noexcept:
        return False

    cdef object deliver(self, object message):
        return None

    cdef object next_message(self):
        return None

    cdef int call_for_body(self) except -1:
        return 0

    cdef int turn_over(self) except -1:
        return 0

    cdef int wake(self) except -1:
        """Whoever waits looks again."""
        if self.waits is not None:
            self.waits.wake()
        return 0

    cdef void stir(self) noexcept:
        try:
            self.wake()
        except BaseException as error:
            self.core.tell(Report.ASGI_NOT_WOKEN, None, error)


@cython.final
@cython.freelist(64)
cdef class AsgiWait:
    """What `receive` returns, and `send` where it cannot be through at once: awaitable, as a coroutine is."""

    def __init__(self):
        raise UsageError("receive and send return these")

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """The next thing to wait for."""
        cdef PyObject *out = NULL
        cdef int how
        if self.owner is None:
            raise UsageError("receive and send return these")
        how = self.advance(&out)
        result = <object> out
        Py_DECREF(out)                   # it was handed over
        if how == 0:
            raise StopIteration(result)
        return result

    def throw(self, kind, value=None, traceback=None):
        """Let an exception hit where it is waited."""
        error = kind if value is None else value
        if self.rest is not None:        # which may have to take something back on another thread
            return self.rest.throw(error)
        self.close()
        raise error

    def close(self):
        """Give up."""
        future, self.future = self.future, None
        rest, self.rest = self.rest, None
        if rest is not None:
            rest.close()
        if future is not None and self.owner is not None and self.owner.waits is not None:
            self.owner.waits.drop(future)

    cdef int advance(self, PyObject **value) except -1:
        """0 with the result, 1 with what is to be waited for; `value` gets a reference of its own."""
        cdef Awaited owner = self.owner
        cdef object result = None
        if self.rest is not None:
            return self.follow(self.rest, value)
        if owner.core.is_foreign():
            again = make_wait(owner, self.kind)
            again.message = self.message
            again.begun = self.begun
            return self.follow(on_loop(owner.core, again), value)
        self.future = None
        if self.kind == FOLLOWS:
            return self.follow(self.message, value)
        if self.kind == SENDS:
            if owner.connection is not None and not owner.connection.state & GONE:
                if owner.lags():
                    return self.sleep(value)
                if owner.must_wait():
                    return self.turn(value)
            then = owner.deliver(self.message)
            self.message = None
            if type(then) is AsgiWait:
                self.kind = (<AsgiWait> then).kind
                self.message = (<AsgiWait> then).message
            elif then is not DONE:
                return self.follow(then, value)
        if self.kind == RECEIVES:
            result = owner.next_message()
            if result is None:
                if owner.arriving is not None and owner.arriving.expected:
                    if owner.must_wait():
                        return self.turn(value)
                    owner.call_for_body()
                return self.sleep(value)
        elif self.kind == CATCHES_UP:
            if owner.connection is not None and not owner.connection.state & GONE and owner.lags():
                return self.sleep(value)
        elif self.kind == TURNS and not self.begun:
            self.begun = True
            return self.turn(value)
        Py_INCREF(result)
        value[0] = <PyObject *> result
        return 0

    cdef int follow(self, object awaitable, PyObject **value) except -1:
        """Wait for something else in its place."""
        cdef object result
        self.rest = awaitable
        try:
            result = awaitable.send(None)
        except StopIteration as end:
            self.rest = None
            result = end.value
            Py_INCREF(result)
            value[0] = <PyObject *> result
            return 0
        except BaseException:
            self.rest = None
            raise
        Py_INCREF(result)
        value[0] = <PyObject *> result
        return 1

    cdef int turn(self, PyObject **value) except -1:
        """A bare yield: once round the loop."""
        Py_INCREF(None)
        value[0] = <PyObject *> None
        return 1

    cdef int sleep(self, PyObject **value) except -1:
        cdef Awaited owner = self.owner
        if owner.waits is None:
            owner.waits = Waits.__new__(Waits)
        self.future = owner.waits.one((<Runner> owner.connection.site.core.host.runner).loop)
        Py_INCREF(self.future)
        value[0] = <PyObject *> self.future
        return 1


cdef int _advance(PyObject *self, PyObject *given, PyObject **value) except -1:
    return (<AsgiWait> self).advance(value)


set_am_send(AsgiWait, <void *> _advance)


async def _await(awaitable):
    return await awaitable


async def _await_over_there(loop, awaitable):
    from asyncio import run_coroutine_threadsafe, wrap_future
    return await wrap_future(run_coroutine_threadsafe(_await(awaitable), loop))


cdef object on_loop(Core core, object awaitable):
    """A coroutine for another thread's loop: it has the server's loop await something."""
    if core.host.runner is None:
        raise UsageError("this worker runs no asyncio loop: set loop to asyncio or uvloop")
    return _await_over_there(core.host.runner.loop, awaitable)


cdef AsgiWait make_wait(Awaited owner, int kind):
    cdef AsgiWait wait = AsgiWait.__new__(AsgiWait)
    wait.owner = owner
    wait.kind = kind
    wait.begun = False
    return wait
