"""What is published to everybody who is connected, in dimserver's own form."""

from __future__ import annotations

from typing import Any

from dimserver import App

app = App()
topic = app.topic("all")


@app.get("/")
def hello(request: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "text/plain"}, b"Hello, World!"


@app.get("/publish/{size}/{number}")
def publish(request: Any) -> str:
    message = b"x" * int(request.params["size"])
    return str([topic.publish(message) for _ in range(int(request.params["number"]))].count(True))


@app.websocket("/ws")
class Listener:
    def on_open(self, ws: Any) -> None:
        topic.subscribe(ws)
