"""The plaintext handler as WSGI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", HEADERS)
    return [b"Hello, World!"]
