"""Handlers that take long, told of with the line of code they are at.

A handler on the loop keeps the loop from noticing anything, so somebody else has
to: a thread, there only when the setting asks for it.  It looks at what each
thread of the pool does, and at how long the loop has been at one connection;
nothing is measured on the way of a request.

What it cannot see is a handler inside C code that holds the GIL: this thread does
not run then either, and speaks when it does again.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from threading import Event, Thread
from time import monotonic_ns
from traceback import format_stack

from dimcore.conn.deadlines import held_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimcore import Core, RequestPoint
    from dimserver.log import Log

    Found = tuple[int, int, RequestPoint | None]  # thread, since when, what for

__all__ = ["Watchdog"]

SECOND_NS = 1_000_000_000
LONGEST_LOOK = 1.0  # seconds between two looks; else a quarter of the limit, so that it is kept to that
SHORTEST_LOOK = 0.01
MOST_FRAMES = 60  # the innermost; a recursion may be a thousand deep
ENDS_WITHIN = 1.0  # seconds


class Watchdog:
    """Reports handlers that run for longer than `limit`, and again at twice, four times … that.

    Args:
        limit: seconds.
        core: of the worker.
        running: what the threads of its pool do: ident -> (request, since when in nanoseconds).
        log: told of it.

    A stream is watched until its first piece is made, then it may take its time;
    on the loop, where a piece that takes long keeps everybody waiting, each is.

    Thread-safety: `start` and `stop` on the loop's thread.
    """

    def __init__(self, limit: float, core: Core, running: dict[int, tuple[RequestPoint, int]], log: Log) -> None:
        self._limit_ns = max(1, int(limit * SECOND_NS))
        self._pause = min(LONGEST_LOOK, max(SHORTEST_LOOK, limit / 4))
        self._core = core
        self._running = running
        self._log = log
        self._ended = Event()
        self._loop_thread = 0
        self._thread: Thread | None = None
        self._next_ns: dict[tuple[int, int], int] = {}  # (thread, since when) -> age at which it is told of again

    def start(self) -> None:
        """Watch from now on; the calling thread is the loop's."""
        self._loop_thread = get_ident()
        self._thread = Thread(target=self._watch, name="dimserver-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; again is fine."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(ENDS_WITHIN)

    def _watch(self) -> None:
        while not self._ended.wait(self._pause):
            self.look()

    def look(self) -> None:
        """Report whoever is over the limit now."""
        now = monotonic_ns()
        found = self._found(now)
        # Those that ended meanwhile begin anew.
        self._next_ns = {key: age for key, age in self._next_ns.items() if any(each[:2] == key for each in found)}
        for thread, since, request in found:
            if now - since >= self._next_ns.get((thread, since), self._limit_ns):
                self._report(thread, since, request, now - since)

    def _found(self, now: int) -> list[Found]:
        found: list[Found] = [
            (thread, since, request)
            for thread, (request, since) in self._running.copy().items()
            if now - since >= self._limit_ns
        ]
        held = held_up(self._core, self._limit_ns)
        if held is not None:
            found.append((self._loop_thread, *held))
        return found

    def _is_still(self, thread: int, since: int) -> bool:
        """Whether a thread is still at what it was at."""
        if thread == self._loop_thread:
            held = held_up(self._core, self._limit_ns)
            return held is not None and held[0] == since
        return self._running.get(thread, (None, 0))[1] == since

    def _report(self, thread: int, since: int, request: RequestPoint | None, age: int) -> None:
        frame = sys._current_frames().get(thread)
        stack = "".join(format_stack(frame, MOST_FRAMES)) if frame is not None else ""
        del frame
        if not self._is_still(thread, since):
            return  # and the stack is another's
        where = "on the loop, which serves no other client meanwhile" if thread == self._loop_thread else "on a thread"
        what = "a connection" if request is None else f"{request.method} {request.raw_target}"
        self._log.warning(f"handler still running after {age / SECOND_NS:.3g} s: {what}, {where}", stack)
        self._next_ns[thread, since] = 2 * max(age, self._limit_ns)
