from collections.abc import Iterable
from typing import Self, final

from dimcore.index.connection_point import ConnectionPoint
from dimcore.index.index import Index

@final
class Roll:
    def __new__(
        cls,
        index: Index,
        worker: int,
        names: tuple[str, ...],
        spirals: Iterable[int],
        layers: Iterable[int],
        limit: int,
        *,
        slice_us: int = 50,
    ) -> Self: ...
    @staticmethod
    def describe(index: Index, worker: int, names: tuple[str, ...], point: ConnectionPoint) -> bytes: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> list[tuple[int, int, bytes]]: ...
