from collections.abc import Iterable, Mapping
from typing import Any, Never, final

from dimcore.conn.carrier import Carrier
from dimcore.conn.protocol import ProtocolFactory
from dimcore.http.request import RequestPoint

@final
class Connection(Carrier):
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...  # raises: an Acceptor makes them
    def upgrade(
        self,
        request: RequestPoint,
        endpoint: ProtocolFactory,
        handler: Any,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        protocol: str | None = None,
        codec: Any = None,
    ) -> bool: ...
    def upgrade_late(
        self,
        request: RequestPoint,
        endpoint: ProtocolFactory,
        handler: Any,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        protocol: str | None = None,
        codec: Any = None,
    ) -> bool: ...
    def close(self) -> None: ...
