"""Topics from the decorator to other implementations' clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.waiting import PATIENCE

from dimserver import App

websockets = pytest.importorskip("websockets")
Serve = Callable[..., Any]


def make_app() -> App:
    app = App()

    @app.websocket("/room/{name}")
    class Room:
        def on_open(self, ws: Any) -> None:
            self.topic = app.topic(ws.request.params["name"])
            self.topic.subscribe(ws)
            ws.send("welcome")

        def on_message(self, ws: Any, message: str | bytes) -> None:
            if message == "own":
                ws.send("the same text again and again " * 20)
            else:
                self.topic.publish(message, exclude=ws if message == "others" else None)

    @app.websocket("/coroutine/{name}")
    async def room(ws: Any) -> None:
        topic = app.topic(ws.request.params["name"])
        assert topic.subscribe(ws)
        assert ws in topic
        await ws.send("welcome")
        async for message in ws:
            if message == "leave":
                topic.unsubscribe(ws)
            topic.publish(message, exclude=ws if message == "others" else None)
        assert not topic.subscribe(ws)
        assert ws not in topic

    @app.post("/publish/{name}")
    def publish(request: Any) -> str:
        return f"{app.topic(request.params['name']).publish(request.body.decode())}"

    @app.post("/async/{name}")
    async def publish_async(request: Any) -> str:
        await asyncio.sleep(0)
        return f"{app.topic(request.params['name']).publish(request.body.decode())}"

    @app.post("/blocking/{name}", blocking=True)
    def publish_blocking(request: Any) -> str:
        return f"{app.topic(request.params['name']).publish(request.body.decode())}"

    return app


def run(talk: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))  # type: ignore[arg-type]


def enter(url: str, room: str = "x", **options: Any) -> Any:
    return websockets.connect(url.replace("http", "ws", 1) + f"/room/{room}", proxy=None, **options)


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
@pytest.mark.parametrize("deflate", [True, False])
def test_a_room(serve: Serve, deflate: bool, loop: str) -> None:
    server = serve(make_app(), ws_deflate=deflate, loop=loop)

    async def talk() -> None:
        async with enter(server.url) as one, enter(server.url) as two, enter(server.url, "other") as other:
            for socket in (one, two, other):
                assert await socket.recv() == "welcome"
            for message in ("hé", b"\0\xff", "x" * 100_000, ""):
                await one.send(message)
                assert [await socket.recv() for socket in (one, two)] == [message, message]
            await two.send("others")
            assert await one.recv() == "others"
            await two.send("last")
            assert [await socket.recv() for socket in (one, two)] == ["last", "last"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.recv(), 0.05)

    run(talk)


def test_coroutines(serve: Serve) -> None:
    """Both forms in one room."""
    app = make_app()
    server = serve(app)

    async def talk() -> None:
        coroutine = websockets.connect(server.url.replace("http", "ws", 1) + "/coroutine/x", proxy=None)
        async with coroutine as one, enter(server.url) as two:
            for socket in (one, two):
                assert await socket.recv() == "welcome"
            for sender in (one, two):
                await sender.send("to both")
                assert (await one.recv(), await two.recv()) == ("to both", "to both")
            await one.send("others")
            assert await two.recv() == "others"
            await one.send("leave")
            assert await two.recv() == "leave"
            await two.send("alone")
            assert await two.recv() == "alone"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.recv(), 0.05)

    run(talk)
    server.stop()
    assert app.topics.subscriptions == 0


@pytest.mark.parametrize("path", ["publish", "async", "blocking"])
def test_a_publish_from_a_plain_request(serve: Serve, path: str) -> None:
    server = serve(make_app())
    wire = server.connect()

    async def talk() -> None:
        async with enter(server.url) as socket:
            assert await socket.recv() == "welcome"
            for number in range(20):
                wire.send(f"POST /{path}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{number:02}".encode())
                assert (await asyncio.to_thread(wire.answer))[2] == b"True"
                assert await socket.recv() == f"{number:02}"

    run(talk)


@pytest.mark.parametrize("takeover", [True, False])
def test_compression_with_websockets(serve: Serve, takeover: bool) -> None:
    """Own messages and shared ones by turns, to clients that keep their window and to those that do not."""
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

    server = serve(make_app(), ws_deflate=True)
    factory = ClientPerMessageDeflateFactory(server_no_context_takeover=not takeover)

    async def talk() -> None:
        async with enter(server.url, extensions=[factory]) as one, enter(server.url) as two:
            await one.recv()
            await two.recv()
            for number in range(30):
                shared = f"shared text {number} again and again " * (1 + 10 * (number % 3))
                for message in ("own", shared, "own", "short"):
                    await one.send(message)
                expected = [shared, "short"]
                assert [await two.recv() for _ in expected] == expected
                got = [await one.recv() for _ in range(4)]
                assert sorted(got) == sorted([*["the same text again and again " * 20] * 2, *expected])

    run(talk)


@pytest.mark.parametrize("compress", [0, 15, 9])
def test_compression_with_aiohttp(serve: Serve, compress: int) -> None:
    aiohttp = pytest.importorskip("aiohttp")
    server = serve(make_app(), ws_deflate=True)

    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            url = f"{server.url}/room/x"
            async with session.ws_connect(url, compress=compress) as one, session.ws_connect(url, compress=15) as two:
                assert (await one.receive_str(), await two.receive_str()) == ("welcome", "welcome")
                assert (one.compress > 0) == (compress > 0)
                for number in range(30):
                    await one.send_str("own")
                    assert await one.receive_str() == "the same text again and again " * 20
                    shared = f"shared text {number} again and again " * (1 + 10 * (number % 3))
                    await two.send_str(shared)
                    assert (await one.receive_str(), await two.receive_str()) == (shared, shared)

    run(talk)


def test_picows(serve: Serve) -> None:
    picows = pytest.importorskip("picows")
    server = serve(make_app())

    class Listener(picows.WSListener):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.got: asyncio.Queue[bytes] = asyncio.Queue()

        def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002 - its call
            if frame.msg_type in (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY):
                self.got.put_nowait(frame.get_payload_as_bytes())

    async def talk() -> None:
        transport, listener = await picows.ws_connect(Listener, server.url.replace("http", "ws") + "/room/x")
        assert await listener.got.get() == b"welcome"
        for size in (0, 125, 126, 65535, 65536, 200_000):
            transport.send(picows.WSMsgType.BINARY, b"x" * size)
            assert await listener.got.get() == b"x" * size
        transport.disconnect()

    run(talk)
