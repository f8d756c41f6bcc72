"""The pieces of a body that is there already, for `for` and `async for` alike."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Pieces"]


class Pieces:
    """Gives each piece once, whichever loop asks.

    Args:
        source: the pieces; nothing of it waits for anybody.

    Thread-safety: one thread.
    """

    __slots__ = ("_pieces",)

    def __init__(self, source: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(source)

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise StopAsyncIteration from None
