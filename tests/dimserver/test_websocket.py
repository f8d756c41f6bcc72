"""WebSockets from the decorator to another implementation's client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

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

    app.get("/")(lambda request: "plain")
    return app


def with_client(url: str, talk: Callable[[Any], Any], **options: Any) -> Any:
    async def run() -> Any:
        async with websockets.connect(url.replace("http", "ws", 1), proxy=None, **options) as socket:
            return await talk(socket)

    return asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("deflate", [True, False])
def test_messages_to_and_fro(serve: Serve, app: App, deflate: bool, threads: int) -> None:
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

    with_client(serve(app, ws_deflate=deflate, threads=threads).url + "/echo/anna", talk, max_size=None)


def test_subprotocol_and_goodbye(serve: Serve, app: App) -> None:
    async def talk(socket: Any) -> None:
        assert socket.subprotocol == "v1"
        await socket.send("leave")
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (4000, "as you wish")

    with_client(serve(app).url + "/echo/x", talk, subprotocols=["v0", "v1"], origin="https://good.test")


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


@pytest.mark.parametrize(("last", "code"), [(True, 1001), (False, 1012)])
def test_a_stop_says_goodbye_and_waits(serve: Serve, app: App, last: bool, code: int) -> None:
    server = serve(app)

    async def talk(socket: Any) -> None:
        await socket.send("name")
        await socket.recv()
        server.worker.stop(last=last)
        await asyncio.wait_for(socket.wait_closed(), 10)
        assert socket.close_code == code

    with_client(server.url + "/echo/x", talk)
    server.stop()
    assert server.worker.counts()["cut_off"] == 0


def test_async_methods_are_refused() -> None:
    class Wrong:
        async def on_message(self, ws: Any, message: str) -> None:
            pass

    with pytest.raises(HandlerError, match="on_message is async"):
        App().websocket("/", Wrong)
