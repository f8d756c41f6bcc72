"""Bodies of any size, in dimserver's own form: taken, thrown away, and made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from dimserver import App

PIECE = bytes(64 << 10)
ANSWER = bytes(64 << 20)

app = App()


@app.get("/")
def hello(request: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "text/plain"}, b"Hello, World!"


@app.post("/count", blocking=True)
def count(request: Any) -> str:
    return str(sum(map(len, request.stream())))


@app.post("/slow", blocking=True)
def slow(request: Any) -> str:
    """Take the body at ``?rate=`` bytes a second."""
    rate, began, size = float(request.query_params["rate"]), time.monotonic(), 0
    for piece in request.stream():
        size += len(piece)
        ahead = size / rate - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    return str(size)


@app.get("/make")
def make(request: Any) -> Iterator[bytes]:
    """Make ``?pieces=`` pieces, one when the last is on its way."""
    for _ in range(int(request.query_params["pieces"])):
        yield PIECE


@app.get("/make/thread", blocking=True)
def make_on_a_thread(request: Any) -> Iterator[bytes]:
    return make(request)


@app.get("/large")
def large(request: Any) -> bytes:
    return ANSWER


@app.post("/")
def take(request: Any) -> bytes:
    return b"Hello, World!"
