"""A chat with rooms: everybody in a room sees what is written there.

dimserver run examples/chat.py
dimserver run examples/chat.py --workers 4

Open http://127.0.0.1:8080/lobby in two windows.
"""

from __future__ import annotations

from pathlib import Path

from dimserver import App, AsyncSocket, Request, Response

PAGE = Path(__file__).with_name("chat.html").read_bytes()

app = App()


@app.get("/{room}")
def page(request: Request) -> Response:
    return Response(PAGE, content_type="text/html; charset=utf-8")


@app.websocket("/{room}/socket")
async def guest(ws: AsyncSocket) -> None:
    name = ws.request.query_params.get("name", "somebody")[:40]
    room = app.topic(ws.request.params["room"])
    room.subscribe(ws)
    room.publish(f"{name} came in")
    async for message in ws:
        if isinstance(message, str):
            room.publish(f"{name}: {message[:2000]}")
    room.publish(f"{name} left")
