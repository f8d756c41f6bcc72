"""What the tests of ASGI apps behind a socket share: types, small apps, and the client's side."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

from dimserver import App

Serve = Callable[..., Any]
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

KIB = 1024
MIB = 1024 * KIB
DISCONNECT = {"type": "http.disconnect"}
START = {"type": "http.response.start", "status": 200}
PIECE = {"type": "http.response.body", "body": b"piece", "more_body": True}


def mounted(app: Asgi, prefix: str = "/") -> App:
    server = App()
    server.mount(prefix, app, interface="asgi")
    return server


async def answer(send: Send, body: bytes = b"fine", status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


def chunked(wire: Any) -> tuple[int, dict[str, str], bytes, dict[str, str]]:
    """The next answer in chunks, with its trailers."""
    status, headers, _ = wire.answer()
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers

    def line() -> bytes:
        while b"\r\n" not in wire.left:
            wire.more()
        first, _, wire.left = wire.left.partition(b"\r\n")
        return bytes(first)

    body = b""
    while size := int(line(), 16):
        while len(wire.left) < size + 2:
            wire.more()
        body += wire.left[:size]
        assert wire.left[size : size + 2] == b"\r\n"
        wire.left = wire.left[size + 2 :]
    trailers = {}
    while field := line():
        name, _, value = field.decode().partition(": ")
        trailers[name] = value
    return status, headers, body, trailers


def leave(wire: Any, how: str) -> None:
    if how == "half":
        wire.sock.shutdown(socket.SHUT_WR)
    else:
        if how == "reset":
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.close()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, await read(receive))
