"""An answer that an iterator makes on a thread, with the peer's pace as its own.

The thread makes pieces, the loop writes them; between them lie `HIGH_WATER`
bytes at most.  When the peer lags, the thread waits; when the peer leaves, the
iterator is closed, on the thread it runs on (a generator sees GeneratorExit).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from threading import Condition

from dimcore import Push
from dimcore.conn.streamed_body import as_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dimserver.net.loop import Loop

__all__ = ["HIGH_WATER", "ThreadBody"]

HIGH_WATER = 256 * 1024  # bytes made and not written yet: the thread waits
JOIN_BELOW = 32 * 1024  # bytes in all: a copy is cheaper than a system call for each


class ThreadBody:
    """Carries one body from a thread to the loop.

    Args:
        loop: what the connection belongs to.
        source: makes `bytes` or `str`; None for who calls `put` and `end`.

    Attributes:
        body: to be answered with; the pieces follow once it is being sent.

    Thread-safety: `run`, `put` and `end` on one thread, the one that made the iterator; the rest is internal.
    """

    def __init__(self, loop: Loop, source: Iterator[Any] | None = None) -> None:
        self.body = Push(self._go_on, self._leave)
        self._loop = loop
        self._source: Iterator[Any] = iter(()) if source is None else source
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._scheduled = False
        self._lagging = False  # the peer: the loop must not write before it is told to go on
        self._gone = False
        self._changed = Condition()

    def run(self, start: Callable[[bool], object]) -> None:
        """Make the whole body.

        Args:
            start: begins the answer, once the first piece is there; called on this thread, with False where
                there is none: the body is empty, and nothing else is called.

        Raises:
            Whatever the source raises before the first piece: nothing was sent, so it can still be answered.
        """
        try:
            first = self._first()
        except BaseException:
            self._close_source()
            raise
        start(first is not None)
        error: BaseException | None = None
        try:
            if first is None:
                return
            if self.put(first):
                for piece in self._source:
                    if not self.put(piece):
                        break
        except BaseException as raised:
            error = raised
        finally:
            try:
                self._close_source()
            except BaseException as raised:
                error = error or raised
            self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """The body is complete; with `error` it is cut off."""
        self._loop.call_from_thread(partial(self._end, error))

    def _first(self) -> bytes | None:
        for piece in self._source:
            data = as_bytes(piece)
            if data:
                return data
        return None

    def _close_source(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def put(self, piece: Any) -> bool:
        """Pass a piece on, and wait while the peer lags; False once nobody wants it."""
        data = as_bytes(piece)
        with self._changed:
            while self._waiting >= HIGH_WATER and not self._gone:
                self._changed.wait()
            if self._gone:
                return False
            self._pieces.append(data)
            self._waiting += len(data)
            if self._scheduled:
                return True
            self._scheduled = True
        self._loop.call_from_thread(self._write)
        return True

    # --- on the loop's thread -------------------------------------------------------------------

    def _write(self) -> None:
        with self._changed:
            self._scheduled = False
            if self._lagging or self._gone:
                return
            pieces = list(self._pieces)
            self._pieces.clear()
            self._waiting = 0
            self._changed.notify()
        if len(pieces) > 1 and sum(map(len, pieces)) < JOIN_BELOW:
            pieces = [b"".join(pieces)]
        keeps_up = True
        for piece in pieces:
            keeps_up = self.body.write(piece)
        if not keeps_up:
            with self._changed:
                self._lagging = True

    def _go_on(self) -> None:
        # Called while the connection is being served: what it sends next has to wait until that is through.
        with self._changed:
            self._lagging = False
            self._scheduled = True
        self._loop.call_from_thread(self._write)

    def _leave(self) -> None:
        with self._changed:
            self._gone = True
            self._pieces.clear()
            self._changed.notify()

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            self._lagging = False
        self._write()
        self.body.end(error)
