"""The same as ``large_native`` for WSGI."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any
from urllib.parse import parse_qs

PIECE = bytes(64 << 10)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/make":
        start_response("200 OK", [])
        return repeat(PIECE, int(parse_qs(environ["QUERY_STRING"])["pieces"][0]))
    body = b"Hello, World!"
    if environ["REQUEST_METHOD"] == "POST":
        size = 0
        while piece := environ["wsgi.input"].read(64 << 10):
            size += len(piece)
        body = str(size).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
