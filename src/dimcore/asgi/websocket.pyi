from typing import Any, final

from dimcore.asgi.entry import AsgiEntry, AsgiHttp
from dimcore.http.request import RequestPoint
from dimcore.ws.async_queue import SocketQueue
from dimcore.ws.websocket import Endpoint

@final
class AsgiSocket(SocketQueue): ...

@final
class AsgiUpgrade(AsgiHttp): ...

def make_upgrade(
    entry: AsgiEntry, request: RequestPoint, endpoint: Endpoint, fields: list[tuple[str, str]], codec: Any
) -> AsgiUpgrade: ...
