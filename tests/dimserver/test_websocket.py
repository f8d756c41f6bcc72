"""WebSockets from the decorator to another implementation's client."""

from __future__ import annotations

import asyncio
import json
import pathlib
import re
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until
from tests.wire.wsclient import WebSocketClient

from dimcore import UsageError
from dimserver import App
from dimserver.errors import HandlerError

websockets = pytest.importorskip("websockets")
Serve = Callable[..., Any]


@pytest.fixture
def app() -> App:
    app = App()

    @app.websocket("/echo/{name}", subprotocols=["v1"], origins=["https://good.test"])
    class Echo:
        def on_open(self, ws: Any) -> None:
            self.name = ws.request.params["name"]

        def on_message(self, ws: Any, message: str | bytes) -> None:
            if message == "name":
                ws.send(self.name)
            elif message == "leave":
                ws.close(4000, "as you wish")
            else:
                ws.send(message)

    @app.websocket("/async/{name}", on_request=members)
    async def talk(ws: Any) -> None:
        async for message in ws:
            if message == "name":
                await ws.send(ws.request.params["name"])
            elif message == "leave":
                await ws.close(4000, "as you wish")
            else:
                await ws.send(message)

    app.get("/")(lambda request: "plain")
    return app


def members(request: Any) -> Any:
    return (401, {}, "who?") if "x-stranger" in request.headers else None


def with_client(url: str, talk: Callable[[Any], Any], **options: Any) -> Any:
    async def run() -> Any:
        async with websockets.connect(url.replace("http", "ws", 1), proxy=None, **options) as socket:
            return await talk(socket)

    return asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("path", ["/echo/anna", "/async/anna"])
def test_messages_to_and_fro(serve: Serve, app: App, path: str, deflate: bool, threads: int) -> None:
    async def talk(socket: Any) -> None:
        await socket.send("name")
        assert await socket.recv() == "anna"
        for size in (0, 1, 125, 126, 4096, 65535, 65536, 1_000_000):
            await socket.send("é" * size)
            await socket.send(b"\0\xff" * size)
            assert await socket.recv() == "é" * size
            assert await socket.recv() == b"\0\xff" * size
        await socket.send(["in ", "three ", "pieces"])
        assert await socket.recv() == "in three pieces"
        await (await socket.ping())
        assert bool(socket.protocol.extensions) == deflate

    with_client(serve(app, ws_deflate=deflate, threads=threads).url + path, talk, max_size=None)


def test_subprotocol_and_goodbye(serve: Serve, app: App) -> None:
    async def talk(socket: Any) -> None:
        assert socket.subprotocol == "v1"
        await socket.send("leave")
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (4000, "as you wish")

    with_client(serve(app).url + "/echo/x", talk, subprotocols=["v0", "v1"], origin="https://good.test")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_coroutine_form_on_each_loop(serve: Serve, app: App, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")

    async def talk(socket: Any) -> None:
        for n in range(20):
            await socket.send(str(n))
        assert [await socket.recv() for _ in range(20)] == [str(n) for n in range(20)]
        await socket.send("leave")
        await socket.wait_closed()
        assert (socket.close_code, socket.close_reason) == (4000, "as you wish")

    with_client(serve(app, loop=loop).url + "/async/x", talk)


def test_on_request_of_a_coroutine(serve: Serve, app: App) -> None:
    with pytest.raises(websockets.InvalidStatus, match="401"):
        with_client(serve(app).url + "/async/x", lambda socket: None, additional_headers={"X-Stranger": "1"})


def test_an_origin_that_is_not_let_in(serve: Serve, app: App) -> None:
    with pytest.raises(websockets.InvalidStatus, match="403"):
        with_client(serve(app).url + "/echo/x", lambda socket: None, origin="https://evil.test")


def test_a_path_that_is_no_socket_and_a_socket_that_is_asked_plainly(serve: Serve, app: App) -> None:
    server = serve(app)
    with pytest.raises(websockets.InvalidStatus, match="200"):
        with_client(server.url + "/", lambda socket: None)
    wire = server.connect()
    status, headers, _ = wire.get("/echo/x").answer()
    assert (status, headers["upgrade"]) == (426, "websocket")
    assert wire.get("/").answer()[2] == b"plain"


@pytest.mark.parametrize("path", ["/echo/x", "/async/x"])
@pytest.mark.parametrize(("last", "code"), [(True, 1001), (False, 1012)])
def test_a_stop_says_goodbye_and_waits(serve: Serve, app: App, last: bool, code: int, path: str) -> None:
    server = serve(app)

    async def talk(socket: Any) -> None:
        await socket.send("name")
        await socket.recv()
        server.worker.stop(last=last)
        await asyncio.wait_for(socket.wait_closed(), 10)
        assert socket.close_code == code

    with_client(server.url + path, talk)
    server.stop()
    assert server.worker.counts()["cut_off"] == 0


def test_a_handler_that_is_slow_to_end_is_waited_for(serve: Serve) -> None:
    """And cancelled where it takes longer than `drain`."""
    seen: list[str] = []
    app = App()

    @app.websocket("/")
    async def handler(ws: Any) -> None:
        async for message in ws:
            seen.append(message)  # noqa: PERF401 - each is seen when it comes
        await asyncio.sleep(0.3 if seen == ["short"] else 60)
        seen.append("done")

    def end(message: str, **settings: Any) -> None:
        seen.clear()
        server = serve(app, **settings)

        async def talk(socket: Any) -> None:
            await socket.send(message)
            while not seen:  # noqa: ASYNC110 - the server is another thread
                await asyncio.sleep(0.01)
            server.worker.stop()
            await asyncio.wait_for(socket.wait_closed(), 10)

        with_client(server.url, talk)
        server.stop()

    end("short")
    assert seen == ["short", "done"]
    end("long", drain=1)
    assert seen == ["long"]


def test_async_methods_are_refused() -> None:
    class Wrong:
        async def on_message(self, ws: Any, message: str) -> None:
            pass

    with pytest.raises(HandlerError, match="on_message is async"):
        App().websocket("/", Wrong)
    with pytest.raises(HandlerError, match="on_request is async"):
        App().websocket("/", Silent, on_request=Wrong().on_message)


def test_a_plain_function_is_refused() -> None:
    with pytest.raises(HandlerError, match=r"^WebSocket /: \S*echo is a plain function; use an async function"):

        @App().websocket("/")
        def echo(ws: Any) -> None:
            pass


class Silent:
    def on_message(self, ws: Any, message: str) -> None:
        pass


# --- handshakes as bytes ------------------------------------------------------------------------------

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
VERSION = "Sec-WebSocket-Version: 13"
ASK = ("Upgrade: websocket", "Connection: Upgrade", VERSION, KEY)


def without(*names: str) -> list[str]:
    return [line for line in ASK if not line.startswith(names)]


@pytest.mark.parametrize(
    ("first", "lines", "status"),
    [
        ("GET /echo/x HTTP/1.1", [*ASK], 101),
        ("GET /echo/x HTTP/1.1", [*without("Connection"), "Connection: keep-alive, Upgrade"], 101),
        ("GET /echo/x HTTP/1.1", [*without("Upgrade"), "Upgrade: h2c, WebSocket"], 101),
        ("GET /echo/x HTTP/1.1", [*ASK, "Content-Length: 0"], 101),
        ("GET /echo/x HTTP/1.1", [*ASK, "Sec-WebSocket-Protocol: v0"], 101),
        ("GET /echo/x HTTP/1.1", [*ASK, "Sec-WebSocket-Protocol: V1 , v1"], 101),
        ("GET /echo/x HTTP/1.1", [*ASK, "Sec-WebSocket-Protocol: "], 101),
        ("GET /echo/x HTTP/1.1", [*ASK, "Origin: HTTPS://GOOD.TEST"], 101),
        ("GET /echo/x HTTP/1.1", [*ASK, "Origin: null"], 403),
        ("GET /echo/x HTTP/1.1", [*ASK, "Origin: https://good.test.evil.test"], 403),
        ("GET /echo/x HTTP/1.1", [*ASK, "Origin: https://good.test", "Origin: https://evil.test"], 403),
        ("GET /echo/x HTTP/1.1", [*ASK, "Sec-WebSocket-Protocol: " + ", ".join(["x"] * 65)], 400),
        ("GET /echo/x HTTP/1.1", [*ASK, "Sec-WebSocket-Extensions: permessage-deflate; a;"], 101),  # not looked at
        ("GET /echo/x HTTP/1.1", [*ASK, KEY], 400),
        ("GET /echo/x HTTP/1.1", without("Sec-WebSocket-Key"), 400),
        ("GET /echo/x HTTP/1.1", [*without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 12"], 426),
        ("GET /echo/x HTTP/1.1", without("Sec-WebSocket-Version"), 426),
        ("GET /echo/x HTTP/1.1", without("Upgrade"), 426),
        ("GET /echo/x HTTP/1.1", without("Connection"), 426),
        ("GET /echo/x HTTP/1.0", [*ASK], 426),
        ("HEAD /echo/x HTTP/1.1", [*ASK], 426),
        ("POST /echo/x HTTP/1.1", [*ASK, "Content-Length: 0"], 405),
        ("GET /nowhere HTTP/1.1", [*ASK], 404),
        ("GET /async/x HTTP/1.1", [*ASK, "X-Stranger: yes"], 401),
        ("GET /broken HTTP/1.1", [*ASK], 500),
        ("GET /unmade HTTP/1.1", [*ASK], 500),
    ],
)
def test_handshakes(serve: Serve, app: App, first: str, lines: list[str], status: int) -> None:
    def fails(request: Any) -> Any:
        raise ValueError("no")

    class Unmade(Silent):
        def __init__(self) -> None:
            raise ValueError("no")

    app.websocket("/broken", Silent, on_request=fails)
    app.websocket("/unmade", Unmade)
    server = serve(app, log_level="critical")
    wire = server.connect()
    wire.send("\r\n".join([first, "Host: test", *lines, "", ""]).encode())
    code, headers, _ = wire.answer(head_only=first.startswith("HEAD"))
    assert code == status
    if status == 426:
        assert headers["upgrade"] == "websocket"
        assert first.endswith("1.0") or "upgrade" in headers["connection"].lower()
        if not any(line.endswith("Version: 13") for line in lines):
            assert headers["sec-websocket-version"] == "13"
    if status == 101:
        assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert headers.get("sec-websocket-protocol") == ("v1" if "V1 , v1" in str(lines) else None)
        assert "sec-websocket-extensions" not in headers
    elif status != 400:  # a refusal leaves the connection as it was
        ask = wire.get("/") if headers.get("connection") != "close" else server.connect().get("/")
        assert ask.answer()[2] == b"plain"


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_handshake_with_a_body(serve: Serve, app: App, framing: str) -> None:
    """What would be the body is never taken for frames."""
    body = b"hello" if "Length" in framing else b"5\r\nhello\r\n0\r\n\r\n"
    wire = serve(app).connect()
    wire.send("\r\n".join(["GET /echo/x HTTP/1.1", "Host: test", *ASK, framing, "", ""]).encode() + body)
    assert wire.answer()[0] == 400


@pytest.mark.parametrize("path", ["/echo/x", "/async/x"])
@pytest.mark.parametrize("how", ["half", "reset", "half a frame", "close and half"])
def test_ways_to_leave(serve: Serve, app: App, path: str, how: str) -> None:
    server = serve(app)
    client = WebSocketClient(server.url.replace("http", "ws", 1) + path)
    client.send("hello")
    assert client.receive() == "hello"
    if how == "reset":
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    else:
        if how == "half a frame":
            client.raw(b"\x81\xfe\x01")
        if how == "close and half":
            client.say_goodbye(4001)
        client.sock.shutdown(socket.SHUT_WR)
        if how == "close and half":
            assert client.closed()[0] == 4001
        assert client.ended()
    until(lambda: server.worker.pools.index.total_connections() == 0)
    client.close()


@pytest.mark.parametrize("path", ["/events", "/coroutine"])
def test_news_from_another_thread(serve: Serve, path: str) -> None:
    app = App()
    sockets: list[Any] = []

    @app.websocket("/events")
    class Listening:
        def on_open(self, ws: Any) -> None:
            sockets.append(ws)

    @app.websocket("/coroutine")
    async def listen(ws: Any) -> None:
        sockets.append(ws)
        async for _ in ws:
            pass

    server = serve(app)
    with WebSocketClient(server.url.replace("http", "ws", 1) + path) as client:
        until(lambda: bool(sockets))
        with pytest.raises(UsageError, match="call_from_thread"):
            sockets[0].send("x")
        for number in range(100):
            sockets[0].call_from_thread(sockets[0].send, f"{number}")
        assert [client.receive() for _ in range(100)] == [f"{number}" for number in range(100)]
        client.say_goodbye()
        assert client.closed()[0] == 1000


@pytest.mark.parametrize("kind", ["class", "coroutine"])
def test_an_error_line_names_its_request(serve: Serve, tmp_path: pathlib.Path, kind: str) -> None:
    app = App()
    log = tmp_path / "log"

    @app.websocket("/class")
    class Fails:
        def on_message(self, *_said: object) -> None:
            raise LookupError("of the app's own")

    @app.websocket("/coroutine")
    async def fails(ws: Any) -> None:
        await ws.receive()
        raise LookupError("of the app's own")

    for form in ("json", "text"):
        server = serve(app, log_file=str(log), log_format=form, loop="asyncio")
        with_client(server.urls[0] + f"/{kind}?a=b", lambda socket: socket.send("x"))
        until(log.exists)
        until(lambda: "LookupError" in log.read_text())
        server.stop()
        (line,) = [line for line in log.read_text().splitlines() if "handler failed" in line]
        if form == "json":
            request = json.loads(line)["request"]
            assert (request["method"], request["target"], request["client"]) == ("GET", f"/{kind}?a=b", "127.0.0.1")
            assert re.fullmatch("[0-9a-f]+", request["id"])
        else:
            assert re.search(rf": GET /{kind}\?a=b \(request [0-9a-f]+\)$", line)
        log.unlink()
