from collections.abc import Iterable, Mapping
from typing import Any

from dimcore.conn.sending import Channel
from dimcore.http.request import RequestPoint
from dimcore.ws.websocket import Endpoint

class Exchange(Channel):
    def pause_body(self) -> None: ...
    def resume_body(self) -> None: ...
    @property
    def body_paused(self) -> bool: ...
    def upgrade(
        self,
        request: RequestPoint,
        endpoint: Endpoint,
        handler: Any,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        protocol: str | None = None,
        codec: Any = None,
    ) -> bool: ...
