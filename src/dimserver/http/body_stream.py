"""A request body as it arrives, for a handler on a thread.

The loop feeds, the handler takes; between them lie `HIGH_WATER` bytes at most.
While the handler lags, the socket is not read, so a sender is held back by TCP
and memory stays flat whatever the size of the body.
"""

from __future__ import annotations

from collections import deque
from threading import Condition

from dimcore import IncompleteBody, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HIGH_WATER", "LOW_WATER", "BodyStream"]

HIGH_WATER = 256 * 1024  # bytes waiting: reading stops
LOW_WATER = 64 * 1024  # bytes waiting: reading goes on


class BodyStream:
    """The chunks of one body, in order.

    Args:
        pause: stops the reading of the socket; called on the loop's thread.
        resume: goes on with it; called on the handler's thread, so it has to hand over to the loop.
        paused: whether it is stopped already, until the handler wants the first chunk.

    Iterating gives `bytes` and ends with the body.

    Attributes:
        waiting: bytes that were not taken yet.

    Thread-safety: `feed` and `end` on the loop's thread, iteration on one other.
    """

    def __init__(self, pause: Callable[[], object], resume: Callable[[], object], paused: bool = False) -> None:
        self._pause = pause
        self._resume = resume
        self._chunks: deque[bytes] = deque()
        self.waiting = 0
        self._paused = paused
        self._begun = False
        self._ended = False
        self._error = ""
        self._changed = Condition()

    def feed(self, chunk: bytes) -> None:
        """Bytes of the body have arrived."""
        with self._changed:
            self._chunks.append(chunk)
            self.waiting += len(chunk)
            if self.waiting >= HIGH_WATER and not self._paused:
                self._paused = True
                self._pause()
            self._changed.notify()

    def end(self, error: str = "") -> None:
        """The body is complete, or `error` says why it will never be."""
        with self._changed:
            self._ended = True
            self._error = error
            self._changed.notify()

    def read(self) -> bytes:
        """All of the body; waits for its end.

        Raises:
            IncompleteBody: as for iterating.
            UsageError: a part of it was taken already.
        """
        if self._begun:
            raise UsageError("part of the body has been read: the rest is not the whole body")
        return b"".join(self)

    def __iter__(self) -> BodyStream:
        return self

    def __next__(self) -> bytes:
        """The next chunk; waits for it.

        Raises:
            StopIteration: the body is complete.
            IncompleteBody: the peer left or broke the framing before it was; never a short body taken for a whole one.
        """
        if self._paused and not self._chunks:  # it was from the start: the peer waits until its body is wanted
            self._paused = False
            self._resume()
        resume = False
        self._begun = True
        with self._changed:
            while not self._chunks and not self._ended:
                self._changed.wait()
            if not self._chunks:
                if self._error:
                    raise IncompleteBody(self._error, 400)
                raise StopIteration
            chunk = self._chunks.popleft()
            self.waiting -= len(chunk)
            if self._paused and self.waiting <= LOW_WATER:
                self._paused = False
                resume = True
        if resume:
            self._resume()
        return chunk
