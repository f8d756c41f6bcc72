from typing import Any, Never, final

from dimcore.conn.connection import Connection
from dimcore.conn.protocol import Protocol, ProtocolFactory
from dimcore.http.request import RequestPoint

@final
class HandedOver(Protocol):
    def __init__(self, /, *args: Never, **kwargs: Never) -> None: ...  # raises: `hand_over` makes them
    def take_received(self) -> bytes: ...
    def finish(self) -> None: ...

@final
class Handover(ProtocolFactory): ...

def hand_over(connection: Connection, request: RequestPoint, sock: Any) -> HandedOver | None: ...
