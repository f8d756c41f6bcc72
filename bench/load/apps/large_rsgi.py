"""The same as ``large_native`` for RSGI, granian's own interface."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

PIECE = bytes(64 << 10)


async def app(scope: Any, protocol: Any) -> None:
    if scope.path == "/make":
        transport = protocol.response_stream(200, [])
        for _ in range(int(parse_qs(scope.query_string)["pieces"][0])):
            await transport.send_bytes(PIECE)
        return
    body = b"Hello, World!"
    if scope.method == "POST":
        size = 0
        async for piece in protocol:
            size += len(piece)
        body = str(size).encode()
    protocol.response_bytes(200, [("content-length", str(len(body)))], body)
