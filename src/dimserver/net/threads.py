"""Threads for handlers that wait, with their answers handed back to the loop.

What costs is not the call but the change of threads: each may be two system calls
and a wait for the interpreter's lock.  So there is one a batch where there can be:

* the loop wakes one thread, which does what has come one after the other, and looks
  again after `LOOK`.  If there is still something to do, whoever does it waits for
  something itself, and as many more are woken as there are jobs;
* a thread tells the loop of its answers when it has nothing more to do.  One whose
  job takes longer need not: until then the loop looks by itself, and after that
  every answer is told at once.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident  # without the import of `threading` by who needs no thread
from collections import deque
from functools import partial
from time import monotonic, monotonic_ns

from dimcore import stream_source
from dimcore.forked import leave

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

    from dimcore import Connection, RequestPoint
    from dimserver.net.loop import Loop
    from dimserver.net.thread_body import ThreadBody

    Job = tuple[Connection, RequestPoint, Callable[[RequestPoint], Any]]
    # The last: whether the thread is through with it.  Without a connection that is all there is to say.
    Done = tuple[Connection | None, Any, object, BaseException | None, bool]

__all__ = ["Hand", "ThreadPool"]

LOOK = 0.001  # seconds: answers wait no longer to be told, and jobs not for a second thread
WAITED = 0.02  # seconds a job waits for a thread before they count as all taken
THROUGH: Done = (None, None, None, None, True)


class Hand:
    """Takes the answer of a handler that goes on after it; what `perform` of a gateway is given.

    Attributes:
        given: whether there was one.

    Thread-safety: the thread it belongs to; it serves one job after the other.
    """

    __slots__ = ("_pool", "connection", "given", "request")

    connection: Any
    request: Any

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self.connection = self.request = None
        self.given = False

    def __call__(self, result: object) -> None:
        """Answer with what a handler returns; one that is made while it is sent is sent to its end."""
        self.given = True
        source = stream_source(result)
        if source is not None and self.request.method != "HEAD":
            self._pool._stream(self.connection, self.request, result, source)
        else:
            self._pool._answer((self.connection, self.request, result, None, False))

    def open(self, status: int, headers: Any) -> ThreadBody:
        """Begin an answer whose body is put in piece by piece, and ended."""
        from dimserver.net.thread_body import ThreadBody

        self.given = True
        loop = self._pool._loop
        stream = ThreadBody(loop)
        loop.call_from_thread(partial(self.connection.complete, self.request, (status, headers, stream.body)))
        return stream

    def call_on_loop(self, call: Callable[[], object]) -> None:
        """Have `call` made on the loop's thread, soon; never once `is_ending`.  Any thread."""
        self._pool._loop.call_from_thread(call)

    def unwatch(self, thread: int) -> None:
        """What that thread of the pool is at takes as long as it takes.  Any thread."""
        if self._pool._running is not None:
            self._pool._running.pop(thread, None)

    def is_ending(self) -> bool:
        """Whether the loop may have ended."""
        return self._pool._ending


class ThreadPool:
    """Runs blocking handlers.

    Args:
        size: threads at most; each is started when it is first needed.
        loop: where answers are given.
        running: where to note what each thread does, by its ident: the request, and when its handler began
            (``time.monotonic_ns()``).  None costs nothing.
        full: told True when a job has waited for a thread for `WAITED`, again and again as long as that is so, and
            False when it is over.

    Attributes:
        in_flight: jobs that a thread is not through with, or whose answer was not handed back yet.

    A handler with a method ``perform(request, hand)`` has that called instead: it
    returns the answer, or gives it to the `Hand` and goes on, and returns None.

    A connection has one request in flight, so jobs never outnumber connections
    and answers on one connection keep their order.

    Thread-safety: the loop's thread only.
    """

    def __init__(
        self,
        size: int,
        loop: Loop,
        running: dict[int, tuple[RequestPoint, int]] | None = None,
        full: Callable[[bool], object] | None = None,
    ) -> None:
        self.in_flight = 0
        self._full = full
        self._is_full = False
        self._watched: Job | None = None  # the next in the queue when it was last looked at
        self._running = running
        self._size = size
        self._loop = loop
        self._threads: list[Thread] = []
        # Each operation on these is one step under the interpreter's lock.
        self._jobs: deque[Job] = deque()
        self._done: deque[Done] = deque()
        self._asleep: list[LockType] = []  # who fell asleep last is woken first: its stack is in the cache
        self._coming = False  # a thread was woken or started, and has not looked yet
        self._due = False  # the loop looks by itself in a moment
        self._told = False  # ... or was told to
        self._ending = False
        self.disowned = False  # in a forked child: who comes back from a handler ends the process

    # --- on the loop's thread -------------------------------------------------------------------

    def submit(self, connection: Connection, request: RequestPoint, handler: Callable[[RequestPoint], Any]) -> None:
        """Run ``handler(request)`` on a thread, then ``connection.complete`` on the loop's.

        Raises:
            RuntimeError: the system gives no thread, and there is none yet.
        """
        self.in_flight += 1
        self._jobs.append((connection, request, handler))
        if not self._coming:
            try:
                self._rouse()
            except RuntimeError:
                self.in_flight -= 1
                self._jobs.pop()
                raise
        if not self._due:
            self._due = True
            self._loop.call_later(LOOK, self._look)
        if self.in_flight > self._size and self._watched is None and self._full is not None:
            self._watch()

    def _watch(self) -> None:
        try:
            self._watched = self._jobs[0]
        except IndexError:
            self._watched = None
        else:
            self._loop.call_later(WAITED, self._watch_ends)

    def _watch_ends(self) -> None:
        before = self._watched
        self._watch()
        full = before is not None and before is self._watched and not self._ending
        if (full or self._is_full) and self._full is not None:
            self._is_full = full
            self._full(full)

    def _rouse(self) -> bool:
        """Have one more thread look for jobs; False when there is none."""
        try:
            lock = self._asleep.pop()
        except IndexError:
            # With fewer jobs than threads, one of these is about to fall asleep, and looks once more before it does.
            return len(self._threads) < min(self._size, self.in_flight) and self._start()
        self._coming = True
        lock.release()
        return True

    def _start(self) -> bool:
        from threading import Thread

        lock = allocate_lock()
        lock.acquire()
        # Daemons: a handler that never returns must not keep the process from ending.
        thread = Thread(target=self._work, args=(lock,), name=f"dimserver-{len(self._threads)}", daemon=True)
        self._coming = True  # before it can come
        try:
            thread.start()
        except RuntimeError:
            self._coming = False
            if not self._threads:
                raise
            return False  # out of threads: those that run take the job in their turn
        self._threads.append(thread)
        return True

    def _look(self) -> None:
        self._due = False
        self._deliver()
        waiting = len(self._jobs)
        while waiting and self._rouse():
            waiting -= 1

    def _deliver(self) -> None:
        self._told = False
        done = self._done
        while done:
            connection, request, result, error, through = done.popleft()
            if through:
                self.in_flight -= 1
            if connection is None:
                continue
            try:
                connection.complete(request, result, error)
            except BaseException:
                if done:  # the others are not to suffer for it
                    self._told = True
                    self._loop.call_from_thread(self._deliver)
                raise

    # --- on a thread ----------------------------------------------------------------------------

    def _work(self, lock: LockType) -> None:
        jobs = self._jobs
        running = self._running
        hand = Hand(self)
        self._coming = False
        while True:
            try:
                connection, request, handler = jobs.popleft()
            except IndexError:
                if self._sleep(lock):
                    continue
                return
            result: Any = None
            error: BaseException | None = None
            hand.given = False
            try:
                if running is not None:
                    running[get_ident()] = request, monotonic_ns()
                perform = getattr(handler, "perform", None)
                if perform is None:
                    result = handler(request)
                else:
                    hand.connection, hand.request = connection, request
                    result = perform(request, hand)
                if not hand.given:
                    source = stream_source(result)
                    if source is not None and request.method != "HEAD":  # whose answer has no use for it
                        hand.given = True
                        self._stream(connection, request, result, source)
            except BaseException as raised:
                result, error = None, raised
            finally:
                if self.disowned:
                    leave(error)
                source = perform = None
                if running is not None:
                    running.pop(get_ident(), None)
            if not hand.given or error is not None:
                self._answer((connection, request, result, error, True))
            else:
                self._answer(THROUGH)
            # What a request holds must not live until the next one comes.
            del connection, request, handler, result, error
            hand.connection = hand.request = None

    def _answer(self, done: Done) -> None:
        """Hand something to the loop; soon, or at once where it does not come by itself."""
        self._done.append(done)
        if not self._due and not self._told:
            self._told = True
            self._loop.call_from_thread(self._deliver)

    def _sleep(self, lock: LockType) -> bool:
        """Wait for a job; False at the end."""
        self._asleep.append(lock)
        if self._jobs:  # one that came when nobody was asleep yet
            try:
                self._asleep.remove(lock)
            except ValueError:
                pass  # woken for it already
            else:
                return True
        if self._done and not self._told:
            self._told = True
            self._loop.call_from_thread(self._deliver)
        if not self._ending:
            lock.acquire()
        self._coming = False
        return not self._ending

    def _stream(self, connection: Connection, request: RequestPoint, result: Any, source: Any) -> None:
        """Answer with a body that is made while it is sent, on this very thread."""
        from dimserver.net.thread_body import ThreadBody

        stream = ThreadBody(self._loop, iter(source))
        if isinstance(result, tuple):
            status, headers = result[:2]
        elif result is source:
            status, headers = 200, None
        else:
            status, headers = result.status, result.headers

        def start(has_body: bool) -> None:
            if self._running is not None:  # the answer has begun: a stream takes as long as it takes
                self._running.pop(get_ident(), None)
            answer = (status, headers, stream.body if has_body else b"")
            self._loop.call_from_thread(partial(connection.complete, request, answer))

        stream.run(start)

    # --- the end --------------------------------------------------------------------------------

    def close(self, timeout: float) -> int:
        """Let the threads end; jobs that none of them has begun are dropped, since nobody is there to be answered.

        Args:
            timeout: seconds to wait for them; handlers that still run are left to themselves after it.

        Returns:
            How many did not end in time.
        """
        if not self._threads:
            return 0
        self._ending = True
        self._jobs.clear()
        while self._asleep:
            self._asleep.pop().release()
        end = monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))
        return sum(thread.is_alive() for thread in self._threads)
