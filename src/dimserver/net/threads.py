"""Threads for handlers that wait, with their answers handed back to the loop."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
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

    A connection has one request in flight, so jobs never outnumber connections
    and answers on one connection keep their order.

    Thread-safety: `submit` from the loop's thread.
    """

    def __init__(self, size: int, loop: Loop) -> None:
        self._size = size
        self._loop = loop
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._in_flight = 0

    def submit(self, connection: Connection, request: RequestPoint, handler: Callable[[RequestPoint], Any]) -> None:
        """Run ``handler(request)`` on a thread, then ``connection.complete`` on the loop's."""
        self._in_flight += 1
        if self._in_flight > len(self._threads) and len(self._threads) < self._size:
            # Daemons: a handler that never returns must not keep the process from ending.
            thread = Thread(target=self._work, name=f"dimserver-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((connection, request, handler))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            connection, request, handler = job
            result: object = None
            error: BaseException | None = None
            try:
                result = handler(request)
            except BaseException as raised:
                error = raised
            self._loop.call_from_thread(_Completion(self, connection, request, result, error))
            del job, connection, request, handler, result, error

    def _completed(self) -> None:
        self._in_flight -= 1

    def close(self, timeout: float) -> int:
        """Let the threads end.

        Args:
            timeout: seconds to wait for handlers that still run.

        Returns:
            How many did not end in time.
        """
        from time import monotonic

        for _ in self._threads:
            self._jobs.put(None)
        end = monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - monotonic()))
        return sum(thread.is_alive() for thread in self._threads)


class _Completion:
    """One answer on its way back to the loop."""

    __slots__ = ("_connection", "_error", "_pool", "_request", "_result")

    def __init__(
        self,
        pool: ThreadPool,
        connection: Connection,
        request: RequestPoint,
        result: object,
        error: BaseException | None,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._request = request
        self._result = result
        self._error = error

    def __call__(self) -> None:
        self._pool._completed()
        self._connection.complete(self._request, self._result, self._error)
