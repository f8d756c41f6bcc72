from typing import Final, Self, final

from dimcore.conn.filter import Filter
from dimcore.index.pools import ConnectionPoolManifold

FORMS: Final[tuple[str, ...]]

@final
class AccessLines(Filter):
    def __new__(
        cls,
        form: str,
        pools: ConnectionPoolManifold | None = None,
        *,
        worker: int = 0,
        process: int = 0,
        limit: int = 4194304,
    ) -> Self: ...
    @property
    def dropped(self) -> int: ...
    @property
    def pending(self) -> int: ...
    def take(self) -> tuple[bytes, int]: ...
