from typing_extensions import disjoint_base

from dimcore.conn.exchange import Exchange

@disjoint_base
class Carrier(Exchange):
    @property
    def fileno(self) -> int: ...
    @property
    def proxied(self) -> bool: ...
    @property
    def proxy(self) -> tuple[str, int] | str | None: ...
