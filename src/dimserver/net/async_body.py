"""An answer that an async iterable makes, with the peer's pace as its own.

`send_stream` is the coroutine that takes the pieces and pushes them on.  It waits
when the peer lags; when the peer leaves it is cancelled, so that the iterable sees
CancelledError where it waits, or is closed (GeneratorExit) where it does not.
"""

from __future__ import annotations

from types import coroutine

from dimcore import Push
from dimcore.conn.streamed_body import as_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import AsyncIterable, AsyncIterator, Generator
    from typing import Any

    from dimcore import Connection, RequestPoint

__all__ = ["send_stream"]

TURN_BYTES = 1024 * 1024  # sent without waiting, before others get their turn
PIECE_COST = 2 * 1024  # what a piece counts for beside its bytes: a million of one byte are many turns


@coroutine
def _turn() -> Generator[None, None, None]:
    """Let the loop come round once."""
    yield


class _Flow:
    """The way to the peer: waits until it has caught up."""

    __slots__ = ("_caught_up", "_loop", "_spent", "gone", "push")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.push = Push(self._drained, self._left)
        self.gone = False
        self._loop = loop
        self._caught_up: Future[None] | None = None
        self._spent = 0

    async def write(self, data: bytes) -> bool:
        """Send a piece; False once nobody wants more."""
        if not self.push.write(data) and not self.gone:
            self._caught_up = self._loop.create_future()
            try:
                await self._caught_up
            finally:
                self._caught_up = None
            self._spent = 0
        self._spent += len(data) + PIECE_COST
        if self._spent >= TURN_BYTES:
            self._spent = 0
            await _turn()
        return not self.gone

    def _drained(self) -> None:
        if self._caught_up is not None and not self._caught_up.done():
            self._caught_up.set_result(None)

    def _left(self) -> None:
        self.gone = True
        self._drained()


async def send_stream(
    loop: AbstractEventLoop,
    connection: Connection,
    request: RequestPoint,
    status: int,
    headers: Any,
    source: AsyncIterable[bytes | str],
) -> Any:
    """Answer `request` with what `source` makes.

    Returns:
        The answer to give where no piece follows: the body is empty, or not asked for.
        Else it is given already, and what is returned has no meaning.

    Raises:
        Whatever `source` raises before the first piece: nothing was sent, so it can still be answered.

    The first piece is made before the head is written, as for any other body.
    """
    pieces = aiter(source)
    try:
        if request.method == "HEAD":
            return status, headers, Push()
        first = await _first(pieces)
        if first is None:
            return status, headers, b""
        await _turn()  # the connection is being served as long as this is the first step
        flow = _Flow(loop)
        connection.complete(request, (status, headers, flow.push))
        try:
            if not flow.gone and await flow.write(first):
                async for piece in pieces:
                    data = as_bytes(piece)
                    if data and not await flow.write(data):
                        break
        except BaseException as error:
            if flow.gone:
                raise
            flow.push.end(error)
        else:
            flow.push.end()
        return None
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


async def _first(pieces: AsyncIterator[bytes | str]) -> bytes | None:
    async for piece in pieces:
        data = as_bytes(piece)
        if data:
            return data
    return None
