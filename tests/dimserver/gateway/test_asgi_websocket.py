"""The websocket scope over sockets, message by message, with every way to answer, to leave and to fail."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest
from tests.dimserver.gateway.asgi_peer import Serve
from tests.support.waiting import PATIENCE, until

websockets = pytest.importorskip("websockets")
from websockets.sync.client import connect  # noqa: E402

ACCEPT = {"type": "websocket.accept"}
KEY = ("Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Version: 13",
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def test_echo(start: Serve) -> None:
    server = start(echo)
    with connect(server.ws, max_size=None) as client:
        for message in ("text", b"bytes", "", b"", "\u20ac" * 50_000, bytes(1 << 20)):
            client.send(message)
            assert client.recv() == message
        for number in range(300):
            client.send(str(number))
        assert [client.recv() for _ in range(300)] == [str(number) for number in range(300)]
    assert server.told() == ""


def test_without_compression(start: Serve) -> None:
    with connect(start(echo).ws, compression=None) as client:
        client.send("plain")
        assert client.recv() == "plain"


def test_scope(start: Serve) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    server = start(app, "/in", root_path="/out")
    with connect(server.ws + "/in/a%20b?x=y", subprotocols=["one", "two"]):
        pass
    (scope,) = seen
    headers = dict(scope.pop("headers"))
    assert headers[b"sec-websocket-protocol"] == b"one, two"
    assert isinstance(scope.pop("client"), tuple)
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/out/in/a b",
        "raw_path": b"/out/in/a%20b",
        "query_string": b"x=y",
        "root_path": "/out/in",
        "server": ("127.0.0.1", int(server.url.rpartition(":")[2])),
        "subprotocols": ["one", "two"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }


@pytest.mark.parametrize("waits", [False, True])
def test_accepting(start: Serve, waits: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if waits:
            await asyncio.sleep(0.02)
        await send({**ACCEPT, "subprotocol": "two", "headers": [(b"x-a", b"b"), (b"x-a", b"c")]})
        await send({"type": "websocket.send", "text": "hello"})
        await echo_on(receive, send)

    async def echo_on(receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    server = start(app)
    with connect(server.ws, subprotocols=["one", "two"]) as client:
        assert client.subprotocol == "two"
        assert client.response.headers.get_all("x-a") == ["b", "c"]
        assert client.recv() == "hello"
        client.send("on")
        assert client.recv() == "on"
    assert server.told() == ""


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("messages", "status", "body", "logged"),
    [
        ([{"type": "websocket.close"}], 403, b"", ""),
        ([], 500, b"Internal Server Error\n", "returned without sending handshake"),
        ([LookupError("why")], 500, b"Internal Server Error\n", "LookupError: why"),
        ([{"type": "websocket.send", "text": "x"}], 500, b"Internal Server Error\n", "Expected ASGI message"),
        ([{**ACCEPT, "headers": [(b"a b", b"c")]}], 500, b"Internal Server Error\n", "cannot be accepted"),
        (
            [
                {"type": "websocket.http.response.start", "status": 402, "headers": [(b"x", b"y")]},
                {"type": "websocket.http.response.body", "body": b"pay"},
            ],
            402, b"pay", "",
        ),
    ],
)  # fmt: skip
def test_refusing(start: Serve, messages: Any, status: int, body: bytes, logged: str, waits: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in messages:
            if waits:
                await asyncio.sleep(0.005)
            if isinstance(message, Exception):
                raise message
            await send(message)
        if logged == "":
            assert (await receive())["type"] == "websocket.disconnect"
            with pytest.raises(RuntimeError, match="Unexpected ASGI message"):
                await send(ACCEPT)

    server = start(app)
    wire = server.connect()
    for _ in range(2):  # the connection is good for another request
        got, _, text = wire.get("/", *KEY).answer()
        assert (got, text) == (status, body)
    until(lambda: logged in server.told())
    assert (server.told() == "") == (logged == "")


def test_a_refusal_that_is_streamed(start: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 503})
        for piece in (b"one", b"two"):
            await send({"type": "websocket.http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "websocket.http.response.body", "body": b"three"})

    wire = start(app).connect().get("/", *KEY)
    assert wire.answer()[0] == 503
    while not wire.left.endswith(b"0\r\n\r\n"):
        wire.more()
    assert wire.left == b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("field", "status"),
    [("Sec-WebSocket-Version: 12", 426), ("Sec-WebSocket-Key: short", 400), ("Content-Length: 1", 400)],
)
def test_handshakes_that_never_reach_the_app(start: Serve, field: str, status: int) -> None:
    calls: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope)

    name = field.partition(":")[0]
    fields = [kept for kept in KEY if not kept.startswith(name)]
    assert start(app).connect().get("/", *fields, field).answer()[0] == status
    assert calls == []


@pytest.mark.parametrize("how", ["close", "code", "drop", "app", "raise", "return"])
def test_ends(start: Serve, how: str) -> None:
    seen: list[Any] = []
    ended = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": "ready"})
        try:
            if how == "app":
                await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
                with pytest.raises(RuntimeError, match="Unexpected ASGI message"):
                    await send({"type": "websocket.send", "text": "more"})
            elif how == "raise":
                raise LookupError("in a socket")
            if how == "return":
                return
            seen.append(await receive())
            seen.append(await receive())
            if how in ("close", "code", "drop"):
                with pytest.raises(OSError, match="closed"):
                    await send({"type": "websocket.send", "text": "into nothing"})
                await send({"type": "websocket.send", "text": "unheard"})  # not caught: a client that left is no fault
        finally:
            ended.set()

    server = start(app)
    stack = contextlib.ExitStack()
    client = stack.enter_context(connect(server.ws))
    assert client.recv() == "ready"
    expected: Any
    if how == "close":
        client.close()
        expected = (1000, "")
    elif how == "code":
        client.close(4000, "bye")
        expected = (4000, "bye")
    elif how == "drop":
        client.socket.close()
        expected = (1006, "")
    else:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            client.recv()
        code, reason = {"app": (4001, "enough"), "raise": (1011, ""), "return": (1000, "")}[how]
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)
        expected = (code, reason)
    assert ended.wait(PATIENCE)
    if how in ("raise", "return"):
        assert seen == []
    else:
        disconnect = {"type": "websocket.disconnect", "code": expected[0], "reason": expected[1]}
        assert seen == [disconnect, disconnect]
    with contextlib.suppress(OSError):
        stack.close()
    if how == "raise":
        until(lambda: "LookupError: in a socket" in server.told())
    else:
        assert server.told() == ""


@pytest.mark.parametrize("message", [{}, {"code": None, "reason": None}])
def test_a_close_without_a_code(start: Serve, message: dict[str, None]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close", **message})

    server = start(app)
    with connect(server.ws) as client, pytest.raises(websockets.ConnectionClosed) as closed:
        client.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "")
    assert server.told() == ""


def test_a_client_that_leaves_before_the_handshake_is_answered(start: Serve) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(await receive())
        seen.append(await receive())
        await asyncio.sleep(0.05)
        with contextlib.suppress(OSError):
            await send(ACCEPT)
        seen.append("through")

    server = start(app)
    wire = server.connect().get("/", *KEY)
    until(lambda: seen)
    wire.close()
    until(lambda: len(seen) == 3)
    assert seen[1]["type"] == "websocket.disconnect"
    assert seen[1]["code"] == 1006
    assert server.told() == ""


def test_messages_out_of_place(start: Serve) -> None:
    faults: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        for message in (
            ACCEPT,
            {"type": "websocket.send"},
            {"type": "websocket.send", "bytes": "text"},
            {"type": "websocket.send", "text": b"bytes"},
            {"type": "websocket.close", "code": 1},
            {"type": "http.response.start", "status": 200},
        ):
            try:
                await send(message)
            except RuntimeError as error:
                faults.append(str(error))
        await send({"type": "websocket.close"})

    with connect(start(app).ws) as client, pytest.raises(websockets.ConnectionClosedOK):
        client.recv()
    assert len(faults) == 6


def test_a_slow_reader_holds_the_app_back(start: Serve) -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await receive()
        await send(ACCEPT)
        for _ in range(1000):
            await send({"type": "websocket.send", "bytes": bytes(64 * 1024)})
            sent += 1
        await send({"type": "websocket.close"})

    server = start(app, ws_deflate=False)
    wire = server.connect().get("/", *KEY)
    time.sleep(0.3)
    before = sent
    assert before < 400
    time.sleep(0.1)
    assert sent == before
    wire.answer()
    size = len(wire.left)
    while size < 1000 * 64 * 1024:
        size += len(wire.sock.recv(1 << 20))
    until(lambda: sent == 1000)


def test_a_slow_app_holds_the_sender_back(start: Serve) -> None:
    go = threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        while not go.is_set():  # noqa: ASYNC110 - set by the test's thread
            await asyncio.sleep(0.005)
        size = 0
        for _ in range(400):
            size += len((await receive())["bytes"])
        await send({"type": "websocket.send", "text": str(size)})
        await receive()

    with connect(start(app).ws, compression=None) as client:
        done = threading.Event()

        def push() -> None:
            for _ in range(400):
                client.send(bytes(64 * 1024))
            done.set()

        sender = threading.Thread(target=push)
        sender.start()
        assert not done.wait(0.5)
        go.set()
        assert client.recv() == str(400 * 64 * 1024)
        sender.join(PATIENCE)


def test_a_stop_says_goodbye(start: Serve) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.send", "text": "ready"})
        seen.append(await receive())

    server = start(app)
    with connect(server.ws) as client:
        client.recv()
        stopper = threading.Thread(target=server.stop)
        stopper.start()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            client.recv()
    assert closed.value.rcvd.code == 1001
    stopper.join(PATIENCE)
    assert seen == [{"type": "websocket.disconnect", "code": 1001, "reason": ""}]
    assert server.told() == ""


def test_an_app_that_goes_on_without_its_client_ends_with_the_server(start: Serve) -> None:
    """As with http: it is not cancelled, does not hear of it where it waits, and cannot outlast the server."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        seen.append("open")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append(await receive())
            with pytest.raises(OSError, match="goes nowhere"):
                await send({"type": "websocket.send", "text": "late"})
            raise

    server = start(app, drain=0.3)
    with connect(server.ws):
        until(lambda: seen)
    time.sleep(0.05)
    assert seen == ["open"]
    server.stop()
    assert seen[1:] == [{"type": "websocket.disconnect", "code": 1000, "reason": ""}]
    assert server.told() == ""
