# cython: nonecheck=True
# What `__new__` alone makes has None for each of its parts: that is an exception, not a crash.
"""Coroutines run for requests: the first step at once, the others in an asyncio Task.

A coroutine that ends without waiting should cost no Task, yet its code may ask
for the current one: `asyncio.timeout`, TaskGroup and anyio keep it and cancel it
later.  So the Task it sees in its first step has to be the one it goes on in.

    spare CoroutineRun with its Task ── first step ──┬─ ended: the Task serves the next request
                                               └─ waits: it is the coroutine's from now on

An `CoroutineRun` is what the Task takes for its coroutine.  As a spare it sleeps on a
future (`future`); adopted, it hands the Task what the first step waits for, and then
every further step.  A spare serves another request only if nobody can tell: no
reference to its Task was kept, weak ones included, and nothing of it was changed
(its class says so through `touch`).

A coroutine that waits for a `Wakeup` is stepped by the event that rings it, and its
Task sleeps on through any number of such steps:

    LISTENING ── woken ── a step ──┬─ waits for a wakeup: LISTENING
                                  ├─ waits for something else: ADOPTED, its Task is woken to learn of it
                                  └─ ended: OVER, its Task is woken to end

Not taken: eager tasks (Python 3.12), since they make a Task each request; one
placeholder Task for all first steps, since a timeout that begins in the first
step would cancel the placeholder.

Thread-safety: the loop's thread only.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport _Py_REFCNT

from dimcore.aio.wakeup cimport Wakeup, Waiter

from dimcore.errors import UsageError
from dimcore.forked import leave

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(object iterator, object value, PyObject **result)
    object PyContext_Copy(object context)
    object PyContext_CopyCurrent()
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    bint PyCoro_CheckExact(object value)
    void Py_DECREF(PyObject *value)

cdef enum Stage:
    FRESH            # a spare whose Task has not begun yet
    ASLEEP           # a spare; its Task waits for `future`
    LISTENING        # a coroutine's that waits for a wakeup; its Task sleeps on `future`, or has not begun
    ADOPTED          # a coroutine's, whose first step was made; its Task has to learn what that waits for
    UNDER_WAY        # the Task has
    OVER             # ended, or about to

cdef object CancelledError = None
cdef object weak_references = None
cdef object swap_task = None         # Python 3.12; before it the two below
cdef object enter_task = None
cdef object leave_task = None
cdef dict current_tasks = None


cdef int _import() except -1:
    # On first use: who has no coroutine does not pay for the import of asyncio.
    global CancelledError, weak_references, swap_task, enter_task, leave_task, current_tasks
    from asyncio import tasks
    from asyncio.exceptions import CancelledError as cancelled
    from weakref import getweakrefcount
    weak_references = getweakrefcount
    swap_task = getattr(tasks, "_swap_current_task", None)
    enter_task = tasks._enter_task
    leave_task = tasks._leave_task
    current_tasks = getattr(tasks, "_current_tasks", None)
    CancelledError = cancelled
    return 0


cdef object _swap(object loop, object task):
    """Make `task` (or None) the current one; returns the one before."""
    cdef object before
    if swap_task is not None:
        return swap_task(loop, task)
    before = current_tasks.get(loop)
    if before is not None:
        leave_task(loop, before)
    if task is not None:
        enter_task(loop, task)
    return before


@cython.final
cdef class CoroutineRun(Waiter):
    """What a Task runs on behalf of a request; made by a `Runner`.

    Attributes:
        owner, request: whom the result is for, or None.
    """

    def __init__(self):
        raise UsageError("runs are made by a Runner")

    # --- what a Task asks of a coroutine --------------------------------------------------------

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """The next thing to wait for; the Task's call."""
        if self.stage == UNDER_WAY:
            return self.resume(None)
        if self.stage == ADOPTED:
            self.stage = UNDER_WAY
            awaited, self.awaited = self.awaited, None
            # A bare yield waits for one turn of the loop, and this is the next one.
            return self.resume(None) if awaited is None else awaited
        if self.stage == OVER:
            self.task = None
            raise StopIteration
        # A Task that begins with a coroutine that listens already sleeps as well.
        return self.lie_down() if self.stage == LISTENING else self.rest()

    def throw(self, kind, value=None, traceback=None):
        """Let an exception hit the coroutine where it waits; the Task's call."""
        error = kind if value is None else value
        if isinstance(error, type):
            error = error()
        if self.stage == UNDER_WAY or self.stage == LISTENING:
            self.silence()
            self.stage = UNDER_WAY
            return self.resume(error)
        if self.stage == ADOPTED:
            self.stage = UNDER_WAY
            awaited, self.awaited = self.awaited, None
            if awaited is None or not isinstance(error, CancelledError):
                return self.resume(error)
            # As a Task does that is cancelled before it began to wait: what is waited for is cancelled first.
            awaited.cancel(*error.args)
            return awaited
        # A spare was cancelled, by whoever cancels everything there is.
        if self.runner.spare is self:
            self.runner.spare = None
        self.stage = OVER
        self.task = self.future = None
        raise error

    def close(self):
        """Give up."""
        self.stage = OVER
        coroutine, self.coroutine = self.coroutine, None
        self.task = self.future = None
        self.silence()
        if coroutine is not None:
            coroutine.close()

    def touch(self):
        """The Task is not as it was: it serves no other request."""
        self.touched = True

    # --- as a spare -----------------------------------------------------------------------------

    cdef object rest(self):
        self.stage = ASLEEP
        return self.lie_down()

    cdef object lie_down(self):
        self.future = self.runner.loop.create_future()
        self.future._asyncio_future_blocking = True     # how a Task knows a future that is awaited
        return self.future

    cdef int adopt(self, object owner, object request, object coroutine, object context, object awaited) except -1:
        """The coroutine waits: from now on this is its Task."""
        self.owner = owner
        self.request = request
        self.coroutine = coroutine
        self.context = context
        if type(awaited) is Wakeup:
            self.listen(<Wakeup> awaited)
            return 0
        self.awaited = awaited
        return self.wake(ADOPTED)

    cdef int retire(self) except -1:
        """Let the Task end: whoever watches it sees a Task that is done."""
        return self.wake(OVER)

    cdef int wake(self, int stage) except -1:
        self.stage = stage
        future, self.future = self.future, None
        if future is not None and not future.done():
            future.set_result(None)
        return 0

    cdef bint is_pristine(self, Py_ssize_t references) except -1:
        """Whether nobody kept the Task: `references` is how many there were before the first step."""
        return (
            not self.touched
            and _Py_REFCNT(<PyObject *> self.task) == references
            and weak_references(self.task) == self.weak
        )

    # --- as a coroutine's Task ------------------------------------------------------------------

    cdef object resume(self, object error):
        """One step; what it waits for.  At the end the owner is told and StopIteration raised."""
        cdef PyObject *value = NULL
        cdef PySendResult how = PYGEN_RETURN
        cdef object result = None, failure = None
        PyContext_Enter(self.context)
        self.running = True
        try:
            if error is not None:
                try:
                    result = self.coroutine.throw(error)
                    if self.runner.forked:
                        leave()
                    if type(result) is not Wakeup:
                        return result
                    self.listen(<Wakeup> result)
                    return self.lie_down()
                except StopIteration as end:
                    result = end.value
            else:
                how = PyIter_Send(self.coroutine, None, &value)
                if how == PYGEN_ERROR:
                    _reraise()
                result = <object> value
                Py_DECREF(value)
                if how == PYGEN_NEXT:
                    if self.runner.forked:
                        leave()
                    if type(result) is not Wakeup:
                        return result
                    self.listen(<Wakeup> result)
                    return self.lie_down()
        except BaseException as raised:
            failure = raised
        finally:
            self.running = False
            PyContext_Exit(self.context)
        if self.runner.forked:
            leave(failure)
        self.finish(result, failure)
        if failure is not None and isinstance(failure, (CancelledError, KeyboardInterrupt)):
            raise failure
        raise StopIteration

    # --- woken by a Wakeup -----------------------------------------------------------------

    cdef object listen(self, Wakeup wakeup):
        """The coroutine waits for a wakeup."""
        wakeup._asyncio_future_blocking = False
        wakeup.waiter = self
        self.wakeup = wakeup
        self.stage = LISTENING

    cdef int silence(self) except -1:
        """It waits for the wakeup no longer."""
        if self.wakeup is not None:
            if self.wakeup.waiter is self:
                self.wakeup.waiter = None
            self.wakeup = None
        return 0

    cdef int woken(self) except -1:
        """One step, in the event that rang."""
        cdef PyObject *value = NULL
        cdef PySendResult how = PYGEN_ERROR
        cdef object before, result = None, failure = None
        if self.stage != LISTENING:
            return 0
        if self.touched and self.future is not None and self.future.done():
            return 0         # its Task was cancelled, and is about to say so
        before = _swap(self.runner.loop, self.task)
        try:
            PyContext_Enter(self.context)
            self.running = True
            try:
                how = PyIter_Send(self.coroutine, None, &value)
                if how == PYGEN_ERROR:
                    _reraise()
                result = <object> value
                Py_DECREF(value)
            except BaseException as raised:
                failure = raised
            finally:
                self.running = False
                PyContext_Exit(self.context)
        finally:
            if not self.runner.forked:       # in a child asyncio has forgotten the loop
                _swap(self.runner.loop, before)
        if self.runner.forked:
            leave(failure)
        if how == PYGEN_NEXT:
            if type(result) is Wakeup:
                self.listen(<Wakeup> result)
                return 0
            self.wakeup = None
            self.awaited = result
            return self.wake(ADOPTED)
        self.wakeup = None
        self.finish(result, failure)
        self.wake(OVER)
        if isinstance(failure, KeyboardInterrupt):
            raise failure
        return 0

    cdef int woken_soon(self) except -1:
        """The same, by its Task."""
        self.wakeup = None
        return self.wake(UNDER_WAY) if self.stage == LISTENING else 0

    cdef int finish(self, object result, object error) except -1:
        """Tell the owner, unless nobody waits for it any more."""
        cdef Runner runner = self.runner
        owner, self.owner = self.owner, None
        request, self.request = self.request, None
        self.stage = OVER
        runner.alive.discard(self)
        self.coroutine = None
        self.task = None
        if isinstance(error, KeyboardInterrupt):     # somebody wants the whole program to stop
            owner.close()
            return 0
        if self.unwanted and isinstance(error, CancelledError):
            return 0
        try:
            owner.complete(request, result, error)
        except UsageError:
            # A connection is being served, further up the stack: somebody runs the loop within a handler.
            runner.loop.call_soon(owner.complete, request, result, error)
        self.context = None          # not before: a body that the coroutine left to be made is made in it
        return 0

    def __getattr__(self, name):
        # cr_frame, cr_code, __qualname__: what `asyncio` prints of a Task is the coroutine's.
        coroutine = self.coroutine
        if coroutine is None:
            raise AttributeError(name)
        return getattr(coroutine, name)

    def cancel(self):
        """Nobody waits for the result any more: CancelledError where the coroutine waits.

        Nothing happens while its own code is running: what called this is that code.
        """
        if self.task is not None and not self.running and not self.unwanted:
            self.unwanted = True
            self.task.cancel()


cdef int _reraise() except -1:
    return -1        # the exception is set


@cython.final
cdef class Runner:
    """Runs coroutines for the connections of one worker.

    Args:
        loop: the asyncio loop, which calls the worker's.
        task_type: a subclass of asyncio.Task that calls ``run.touch()`` when it is changed;
            made with ``(run, loop=loop, context=context)``.

    Attributes:
        loop: as given.

    A new context is a copy of the one this is made in.
    """

    def __init__(self, loop, task_type):
        _import()
        self.loop = loop
        self.task_type = task_type
        self.base = PyContext_CopyCurrent()
        self.alive = set()

    @property
    def waiting(self):
        """How many coroutines wait."""
        return len(self.alive)

    cdef CoroutineRun take_spare(self):
        cdef CoroutineRun run = self.spare
        if run is None or run.touched or run.stage > ASLEEP:
            if self.closed:
                raise UsageError("the worker has stopped: it runs no coroutine any more")
            if run is not None:
                self.spare = None
                run.retire()
            run = CoroutineRun.__new__(CoroutineRun)
            run.runner = self
            run.task = self.task_type(run, loop=self.loop, context=PyContext_Copy(self.base))
            run.weak = weak_references(run.task)
            run.touched = False       # making it may set its name
            self.spare = run
        return run

    cdef CoroutineRun begin(self, object owner, object request, object awaitable, object context):
        """Make the first step.

        Returns None where it was the last: `take_result` has what came out.  Else the run: its
        owner is told later, by ``owner.complete(request, result, error)``.
        Raises what the coroutine raises, and UsageError once this is closed.
        """
        cdef CoroutineRun run
        cdef Py_ssize_t references
        cdef PyObject *value = NULL
        cdef PySendResult how = PYGEN_ERROR
        cdef object before, coroutine, result = None, failure = None
        coroutine = awaitable if PyCoro_CheckExact(awaitable) else awaitable.__await__()
        try:
            run = self.take_spare()
        except BaseException:
            close = getattr(coroutine, "close", None)
            if close is not None:
                close()
            raise
        if context is None:
            context = PyContext_Copy(self.base)
        references = _Py_REFCNT(<PyObject *> run.task)
        before = _swap(self.loop, run.task)
        try:
            PyContext_Enter(context)
            run.running = True
            try:
                how = PyIter_Send(coroutine, None, &value)
                if how == PYGEN_ERROR:
                    _reraise()
                result = <object> value
                Py_DECREF(value)
            except BaseException as raised:
                failure = raised
            finally:
                run.running = False
                PyContext_Exit(context)
        finally:
            if not self.forked:      # in a child asyncio has forgotten the loop
                _swap(self.loop, before)
        if self.forked:
            leave(failure)
        if how == PYGEN_NEXT:
            self.spare = None
            self.alive.add(run)
            run.adopt(owner, request, coroutine, context, result)
            return run
        if not run.is_pristine(references):
            self.spare = None
            run.retire()
        if failure is not None:
            raise failure
        self.context = context
        self.result = result
        return None

    cdef object take_result(self):
        result, self.result = self.result, None
        return result

    cdef object take_context(self):
        context, self.context = self.context, None
        return context

    def close(self):
        """Cancel what waits and run nothing more; the loop has to be run until those have ended."""
        cdef CoroutineRun run
        self.closed = True
        run, self.spare = self.spare, None
        if run is not None:
            run.retire()
        for waiting in list(self.alive):
            (<CoroutineRun> waiting).cancel()
