"""The plaintext handler as RSGI, granian's own interface."""

from __future__ import annotations

from typing import Any

HEADERS = [("content-type", "text/plain")]


async def app(scope: Any, protocol: Any) -> None:
    protocol.response_bytes(200, HEADERS, b"Hello, World!")
