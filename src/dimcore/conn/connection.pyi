from typing import Any, Never, final

from dimcore.conn.receiving import Reading
from dimcore.conn.streamed_body import Push
from dimcore.http.request import RequestPoint
from dimcore.ws.websocket import Endpoint

@final
class Connection(Reading):
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...  # raises: an Acceptor makes them
    @property
    def request(self) -> RequestPoint | None: ...
    @property
    def closing(self) -> bool: ...
    @property
    def half_closed(self) -> bool: ...
    def push(self, flow: Push, piece: bytes) -> bool: ...
    def end_push(self, flow: Push, error: BaseException | None) -> None: ...
    def complete(self, request: RequestPoint, result: Any, error: BaseException | None = None) -> None: ...
    def upgrade_late(
        self,
        request: RequestPoint,
        endpoint: Endpoint,
        handler: Any,
        *,
        headers: Any = None,
        protocol: str | None = None,
        codec: Any = None,
    ) -> bool: ...
    def close(self) -> None: ...
    def tell_end(self) -> None: ...
