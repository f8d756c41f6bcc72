"""A client that leaves is no fault of anybody: what the log says of it, and what it still says."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.dimserver.gateway.asgi_peer import PIECE, START, Receive, Scope, Send, Serve, answer, leave
from tests.support.waiting import until


class ClientDisconnect(Exception):
    """As Starlette has it."""


class WebSocketDisconnect(Exception):
    """As Starlette has it."""


LEAVING: dict[str, BaseException | None] = {
    "returns": None,
    "OSError": OSError("the client has left"),
    "a framework's": ClientDisconnect(),
    "cancelled": asyncio.CancelledError(),
    "in a group": BaseExceptionGroup("tasks", [ConnectionResetError("left"), ClientDisconnect()]),
}
FAULTS: dict[str, BaseException] = {
    "another": LookupError("a real one"),
    "of the system": FileNotFoundError(2, "a real one"),
    "in a group": BaseExceptionGroup("tasks", [ClientDisconnect(), LookupError("a real one")]),
    "too late": TimeoutError("a real one"),
}


def events(error: BaseException | None, begun: bool) -> Any:
    """An event stream that ends when it is told that its client has left."""
    ended = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/good":
            await answer(send)
            return
        assert (await receive())["type"] == "http.request"
        if begun:
            await send(START)
            await send(PIECE)
        assert (await receive())["type"] == "http.disconnect"
        ended.append(True)
        if error is not None:
            raise error

    return app, ended


@pytest.mark.parametrize("begun", [True, False], ids=["streams", "before its answer"])
@pytest.mark.parametrize("how", ["half", "close", "reset"])
@pytest.mark.parametrize("what", LEAVING)
def test_an_app_that_ends_since_its_client_left(start: Serve, what: str, how: str, begun: bool) -> None:
    app, ended = events(LEAVING[what], begun)
    server = start(app)
    wire = server.connect().get()
    if begun:
        while b"piece" not in wire.left:
            wire.more()
    leave(wire, how)
    until(lambda: ended)
    assert server.connect().get("/good").answer()[2] == b"fine"
    assert server.told() == ""


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_app_without_the_body_it_waited_for(start: Serve, how: str) -> None:
    """It cannot do otherwise, and asgiref's adapter for WSGI apps raises a ValueError."""
    ended = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/good":
            await answer(send)
            return
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.append(True)
        raise ValueError("no request")

    server = start(app)
    wire = server.connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
    leave(wire, how)
    until(lambda: ended)
    assert server.connect().get("/good").answer()[2] == b"fine"
    assert server.told() == ""


@pytest.mark.parametrize("how", ["half", "reset"])
@pytest.mark.parametrize("what", FAULTS)
def test_faults_are_told_also_then(start: Serve, what: str, how: str) -> None:
    app, _ = events(FAULTS[what], True)
    server = start(app)
    wire = server.connect().get()
    while b"piece" not in wire.left:
        wire.more()
    leave(wire, how)
    until(lambda: "a real one" in server.told())


def test_who_was_not_told_that_its_client_left_is_at_fault(start: Serve) -> None:
    """Half-closed is all a client need be, and it reads on: an answer that breaks off is the app's fault."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(PIECE)
        await asyncio.sleep(0.05)

    server = start(app)
    leave(server.connect().get(), "half")
    until(lambda: "returned without completing response" in server.told())


@pytest.mark.parametrize("error", [None, WebSocketDisconnect(), LookupError("a real one")], ids=["-", "left", "fault"])
def test_a_websocket_whose_client_left(start: Serve, error: Exception | None) -> None:
    ended = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        ended.append(True)
        if error is not None:
            raise error

    server = start(app)
    wire = server.connect()
    wire.get(
        "/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    while b"\r\n\r\n" not in wire.left:
        wire.more()
    leave(wire, "reset")
    until(lambda: ended)
    if isinstance(error, LookupError):
        until(lambda: "a real one" in server.told())
    else:
        server.connect().close()
        assert server.told() == ""
