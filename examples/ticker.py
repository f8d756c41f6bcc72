"""A page whose figures change by themselves: a thread publishes, and every open page shows it.

For one worker: each has a thread of its own, and would publish figures of its own.

dimserver run examples/ticker.py
then open http://127.0.0.1:8080/
"""

from __future__ import annotations

import json
import random
import threading
import time
from pathlib import Path

from dimserver import App, Request, Response, WebSocket

app = App()
PAGE = Path(__file__).with_name("ticker.html").read_bytes()
NAMES = ("spiral", "layer", "point")
EVERY = 0.25  # seconds

prices = app.topic("prices")


@app.get("/")
def page(request: Request) -> Response:
    return Response(PAGE, content_type="text/html; charset=utf-8")


@app.websocket("/ws")
class Watcher:
    def on_open(self, ws: WebSocket) -> None:
        prices.subscribe(ws)


def tick() -> None:
    """Publish new figures for as long as the program runs; a thread may publish as well as a handler."""
    values = dict.fromkeys(NAMES, 100.0)
    number = 0
    while True:
        number += 1
        for name in NAMES:
            values[name] = round(values[name] * random.uniform(0.99, 1.01), 2)
        prices.publish(json.dumps({"number": number, "prices": values}))
        time.sleep(EVERY)


threading.Thread(target=tick, name="ticker", daemon=True).start()

if __name__ == "__main__":
    app.run(port=8080)
