from typing import Any, final

from dimcore.asgi import AsgiEntry, AsgiHttp
from dimcore.request import RequestPoint
from dimcore.socketqueue import SocketQueue
from dimcore.websocket import Endpoint

@final
class AsgiSocket(SocketQueue): ...

@final
class AsgiUpgrade(AsgiHttp): ...

def make_upgrade(
    entry: AsgiEntry, request: RequestPoint, endpoint: Endpoint, fields: list[tuple[str, str]], codec: Any
) -> AsgiUpgrade: ...
