"""Bodies that are iterators."""

from __future__ import annotations

from typing import Any


class Source:
    """An iterator that remembers what was done to it; a piece that is an error is raised, a function is called."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = iter(pieces)
        self.pulled = 0
        self.closed = 0

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> Any:
        piece = next(self.pieces)
        self.pulled += 1
        if isinstance(piece, BaseException):
            raise piece
        return piece() if callable(piece) else piece

    def close(self) -> None:
        self.closed += 1
