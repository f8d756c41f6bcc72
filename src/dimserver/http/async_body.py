"""A request body as it arrives, for a coroutine.

The connection feeds, the coroutine takes; between them lie `HIGH_WATER` bytes at
most.  While the coroutine lags, the socket is not read, so a sender is held back
by TCP and memory stays flat whatever the size of the body.
"""

from __future__ import annotations

from collections import deque

from dimcore import BadRequest, UsageError
from dimserver.http.body_stream import HIGH_WATER, LOW_WATER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable
    from typing import Never

__all__ = ["AsyncBody"]


class AsyncBody:
    """The chunks of one body, in order.

    Args:
        loop: of the coroutine that takes them.
        pause, resume: stop the reading of the socket and go on with it.
        paused: whether it is stopped already, until the first chunk is wanted.

    ``async for`` gives `bytes` and ends with the body.

    Attributes:
        waiting: bytes that were not taken yet.

    Thread-safety: the loop's thread only.
    """

    def __init__(
        self, loop: AbstractEventLoop, pause: Callable[[], object], resume: Callable[[], object], paused: bool = False
    ) -> None:
        self._loop = loop
        self._pause = pause
        self._resume = resume
        self._chunks: deque[bytes] = deque()
        self.waiting = 0
        self._paused = paused
        self._begun = False
        self._ended = False
        self._error = ""
        self._arrival: Future[None] | None = None

    def feed(self, chunk: bytes) -> None:
        """Bytes of the body have arrived."""
        self._chunks.append(chunk)
        self.waiting += len(chunk)
        if self.waiting >= HIGH_WATER and not self._paused:
            self._paused = True
            self._pause()
        self._wake()

    def end(self, error: str = "") -> None:
        """The body is complete, or `error` says why it will never be."""
        self._ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def read(self) -> bytes:
        """All of the body, if it has arrived.

        Raises:
            UsageError: it has not, or a part of it was taken already.
            BadRequest: as for iterating.
        """
        if self._begun:
            raise UsageError("part of the body has been read: the rest is not the whole body")
        if not self._ended:
            raise UsageError("the body is still arriving: read it with `async for piece in request.stream()`")
        if self._error:
            raise BadRequest(self._error, 400)
        return b"".join(self._chunks)

    def __iter__(self) -> Never:
        raise UsageError("the body is still arriving: read it with `async for`, not with `for`")

    def __aiter__(self) -> AsyncBody:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk; waits for it.

        Raises:
            StopAsyncIteration: the body is complete.
            BadRequest: the peer left or broke the framing before it was; never a short body taken for a whole one.
            UsageError: another coroutine waits already.
        """
        if self._paused and not self._chunks:  # it was from the start: the peer waits until its body is wanted
            self._paused = False
            self._resume()
        self._begun = True
        while not self._chunks and not self._ended:
            if self._arrival is not None:
                raise UsageError("two coroutines read the same body")
            self._arrival = self._loop.create_future()
            try:
                await self._arrival
            finally:
                self._arrival = None
        if not self._chunks:
            if self._error:
                raise BadRequest(self._error, 400)
            raise StopAsyncIteration
        chunk = self._chunks.popleft()
        self.waiting -= len(chunk)
        if self._paused and self.waiting <= LOW_WATER:
            self._paused = False
            self._resume()
        return chunk
