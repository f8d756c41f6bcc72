"""Echo servers on WebSockets: the two forms of handlers."""

from __future__ import annotations

from dimcore import AsyncSocket, WebSocket
from dimserver import App

app = App()
coroutines = App()


@app.websocket("/")
class Echo:
    def on_message(self, ws: WebSocket, message: str | bytes) -> None:
        ws.send(message)


@coroutines.websocket("/")
async def echo(ws: AsyncSocket) -> None:
    async for message in ws:
        await ws.send(message)
