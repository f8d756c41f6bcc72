"""The same as ``large_native`` for ASGI."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs

from plain_asgi import Receive, Send, lifespan

PIECE = bytes(64 << 10)
ANSWER = bytes(64 << 20)


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    path = scope["path"]
    if path == "/make":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(int(query["pieces"])):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    body = b"Hello, World!"
    if path == "/large":
        body = ANSWER
    elif scope["method"] == "POST":
        body = str(await taken(receive, float(query.get("rate", 0)))).encode()
    length = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


async def taken(receive: Receive, rate: float) -> int:
    """Take the body, at ``rate`` bytes a second if there is one."""
    began, size, more = time.monotonic(), 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return size
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
        ahead = size / rate - (time.monotonic() - began) if rate else 0
        if ahead > 0:
            await asyncio.sleep(ahead)
    return size
