"""Threads for handlers that wait, with their answers handed back to the loop."""

from __future__ import annotations

from _queue import SimpleQueue  # what `queue` offers too, without the import of `threading` by who needs no thread
from _thread import get_ident
from functools import partial
from time import monotonic, monotonic_ns

from dimcore import stream_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread
    from typing import Any

    from dimcore import Connection, RequestPoint
    from dimserver.net.loop import Loop

    Job = tuple[Connection, RequestPoint, Callable[[RequestPoint], Any]]

__all__ = ["ThreadPool"]


class ThreadPool:
    """Runs blocking handlers.

    Args:
        size: threads at most; each is started when it is first needed.
        loop: where answers are given.
        running: where to note what each thread does, by its ident: the request, and when its handler began
            (``time.monotonic_ns()``).  None costs nothing.

    Attributes:
        in_flight: jobs whose answer, a streamed one to its end, was not handed back yet.

    A connection has one request in flight, so jobs never outnumber connections
    and answers on one connection keep their order.

    Thread-safety: the loop's thread only.
    """

    def __init__(self, size: int, loop: Loop, running: dict[int, tuple[RequestPoint, int]] | None = None) -> None:
        self.in_flight = 0
        self._running = running
        self._size = size
        self._loop = loop
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[Thread] = []

    def submit(self, connection: Connection, request: RequestPoint, handler: Callable[[RequestPoint], Any]) -> None:
        """Run ``handler(request)`` on a thread, then ``connection.complete`` on the loop's.

        Raises:
            RuntimeError: the system gives no thread, and there is none yet.
        """
        if self.in_flight >= len(self._threads) < self._size:
            self._start()
        self.in_flight += 1
        self._jobs.put((connection, request, handler))

    def _start(self) -> None:
        from threading import Thread

        # Daemons: a handler that never returns must not keep the process from ending.
        thread = Thread(target=self._work, name=f"dimserver-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            return  # out of threads: those that run take the job in their turn
        self._threads.append(thread)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            connection, request, handler = job
            result: object = None
            error: BaseException | None = None
            try:
                if self._running is not None:
                    self._running[get_ident()] = request, monotonic_ns()
                result = handler(request)
                source = stream_source(result)
                if source is not None and request.method != "HEAD":  # whose answer has no use for it
                    self._stream(connection, request, result, source)
                    continue
            except BaseException as raised:
                result, error = None, raised
            finally:
                # What a request holds must not live until the next one comes.
                del job, handler
                source = None
                self._is_done()
            self._loop.call_from_thread(partial(self._hand_back, connection, request, result, error))
            del connection, request, result, error

    def _stream(self, connection: Connection, request: RequestPoint, result: Any, source: Any) -> None:
        """Answer with a body that is made while it is sent, on this very thread."""
        from dimserver.net.outstream import OutStream

        stream = OutStream(self._loop, iter(source))
        if isinstance(result, tuple):
            status, headers = result[:2]
        elif result is source:
            status, headers = 200, None
        else:
            status, headers = result.status, result.headers

        def start(has_body: bool) -> None:
            self._is_done()  # the answer has begun: a stream takes as long as it takes
            answer = (status, headers, stream.body if has_body else b"")
            self._loop.call_from_thread(partial(connection.complete, request, answer))

        stream.run(start)
        self._loop.call_from_thread(self._ended)

    def _is_done(self) -> None:
        if self._running is not None:
            self._running.pop(get_ident(), None)

    def _ended(self) -> None:
        # Only now: until its stream ended, the thread is not there for another job.
        self.in_flight -= 1

    def _hand_back(
        self, connection: Connection, request: RequestPoint, result: object, error: BaseException | None
    ) -> None:
        self.in_flight -= 1
        connection.complete(request, result, error)

    def close(self, timeout: float) -> int:
        """Let the threads end.

        Args:
            timeout: seconds to wait for them; handlers that still run are left to themselves after it.

        Returns:
            How many did not end in time.
        """
        for _ in self._threads:
            self._jobs.put(None)
        end = monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))
        return sum(thread.is_alive() for thread in self._threads)
