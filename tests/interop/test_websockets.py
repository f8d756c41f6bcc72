"""WebSockets with other implementations at the other end, both ways round, and with proxies in between."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until
from tests.wire.wsclient import CLOSE, PING, PONG, WebSocketClient

from dimserver import App

Serve = Callable[..., Any]
SIZES = (0, 1, 125, 126, 65535, 65536, 1_000_000)
FORMS = ("events", "coroutine")


@pytest.fixture
def app() -> App:
    app = App()

    @app.websocket("/events")
    class Echo:
        def on_message(self, ws: Any, message: str | bytes) -> None:
            if message == "leave":
                ws.close(4000, "as you wish")
            elif message == "ping":
                ws.ping(b"there?")
            else:
                ws.send(message)

    @app.websocket("/coroutine")
    async def echo(ws: Any) -> None:
        async for message in ws:
            if message == "leave":
                await ws.close(4000, "as you wish")
            elif message == "ping":
                await ws.ping(b"there?")
            else:
                await ws.send(message)

    return app


def address(server: Any, form: str) -> str:
    return f"{server.url.replace('http', 'ws', 1)}/{form}"


def asynchronously(coroutine: Any) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 30))


# --- their clients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("deflate", [True, False])
def test_a_client_of_websockets(serve: Serve, app: App, form: str, deflate: bool) -> None:
    websockets = pytest.importorskip("websockets")

    async def talk() -> None:
        compression = "deflate" if deflate else None
        async with websockets.connect(
            address(server, form), proxy=None, max_size=None, compression=compression
        ) as socket:
            assert bool(socket.protocol.extensions) == deflate
            for size in SIZES:
                await socket.send("é" * size)
                await socket.send(b"\0\xff" * size)
                assert [await socket.recv(), await socket.recv()] == ["é" * size, b"\0\xff" * size]
            await socket.send(["in ", "three ", "pieces"])
            assert await socket.recv() == "in three pieces"
            await (await socket.ping(b"p"))
            await socket.send("ping")
            await socket.send("after the ping")
            assert await socket.recv() == "after the ping"
            await socket.send("leave")
            with pytest.raises(websockets.ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (4000, "as you wish")
        async with websockets.connect(address(server, form), proxy=None) as socket:
            await socket.close(4321, "bye")
            assert (socket.close_code, socket.close_reason) == (4321, "")

    server = serve(app, ws_deflate=True)
    asynchronously(talk())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("deflate", [15, 0])
def test_a_client_of_aiohttp(serve: Serve, app: App, form: str, deflate: int) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address(server, form), compress=deflate, max_msg_size=0) as socket,
        ):
            assert bool(socket.compress) == bool(deflate)
            for size in SIZES:
                await socket.send_str("é" * size)
                await socket.send_bytes(b"\0\xff" * size)
                assert await socket.receive_str() == "é" * size
                assert await socket.receive_bytes() == b"\0\xff" * size
            await socket.send_str("ping")
            await socket.ping(b"p")
            await socket.send_str("leave")
            message = await socket.receive()
            assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4000, "as you wish")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address(server, form)) as socket,
        ):
            await socket.close(code=4321, message=b"bye")
            assert socket.close_code == 4321

    server = serve(app, ws_deflate=True)
    asynchronously(talk())


@pytest.mark.parametrize("form", FORMS)
def test_a_client_of_picows(serve: Serve, app: App, form: str) -> None:
    picows = pytest.importorskip("picows")
    text, binary, ping = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.PING

    class Listener(picows.WSListener):  # type: ignore[misc]
        def __init__(self) -> None:
            self.got: asyncio.Queue[Any] = asyncio.Queue()
            self.part = b""

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            payload = frame.get_payload_as_bytes()
            if frame.msg_type == picows.WSMsgType.CLOSE:
                self.got.put_nowait((frame.get_close_code(), frame.get_close_reason()))
                transport.send_close(frame.get_close_code())
            else:
                self.got.put_nowait((frame.msg_type, payload))

    async def talk() -> None:
        transport, listener = await picows.ws_connect(
            Listener, address(server, form), max_frame_size=1 << 24, enable_auto_pong=False
        )
        for size in SIZES:
            transport.send(text, b"x" * size)
            transport.send(binary, b"\0\xff" * size)
            assert await listener.got.get() == (text, b"x" * size)
            assert await listener.got.get() == (binary, b"\0\xff" * size)
        transport.send(text, b"in ", False)
        transport.send(picows.WSMsgType.CONTINUATION, b"pieces", True)
        assert await listener.got.get() == (text, b"in pieces")
        transport.send_ping(b"p")
        assert await listener.got.get() == (picows.WSMsgType.PONG, b"p")
        transport.send(text, b"ping")
        while (got := await listener.got.get())[0] != ping:
            pass
        assert got == (ping, b"there?")
        transport.send_pong(b"there?")
        transport.send(text, b"leave")
        assert await listener.got.get() == (4000, "as you wish")
        await transport.wait_disconnected()

    server = serve(app)
    asynchronously(talk())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("deflate", [True, False])
def test_a_client_of_wsproto(serve: Serve, app: App, form: str, deflate: bool) -> None:
    wsproto = pytest.importorskip("wsproto")
    from wsproto import events
    from wsproto.extensions import PerMessageDeflate

    server = serve(app, ws_deflate=True)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as sock:
        peer = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        extensions = [PerMessageDeflate()] if deflate else []
        sock.sendall(peer.send(events.Request(host=f"{host}:{port}", target=f"/{form}", extensions=extensions)))
        got = received(peer, sock)
        accepted = next(got)
        assert isinstance(accepted, events.AcceptConnection)
        assert bool(accepted.extensions) == deflate
        for size in SIZES:
            half = size // 2
            data = peer.send(events.TextMessage("é" * half, message_finished=False))
            data += peer.send(events.Ping(b"p"))
            data += peer.send(events.TextMessage("ü" * (size - half)))
            sock.sendall(data)
            parts = ""
            pong = False
            for event in got:
                if isinstance(event, events.Pong):
                    pong = True
                elif isinstance(event, events.TextMessage):
                    parts += event.data
                    if event.message_finished:
                        break
            assert parts == "é" * half + "ü" * (size - half)
            assert pong
        sock.sendall(peer.send(events.TextMessage("leave")))
        closed = next(got)
        assert (closed.code, closed.reason) == (4000, "as you wish")
        sock.sendall(peer.send(closed.response()))
        assert sock.recv(1) == b""


def received(peer: Any, sock: socket.socket) -> Any:
    """The events of a connection of wsproto's, as they come."""
    while True:
        yield from peer.events()
        peer.receive_data(sock.recv(65536) or None)


# --- our codec as a client, and their servers -------------------------------------------------------------


def converse(client: WebSocketClient, pieces: tuple[int, ...] = (1, 3), sizes: tuple[int, ...] = SIZES) -> None:
    """What a peer that echoes has to understand."""
    for size in sizes:
        for count in pieces:
            client.send("é" * size, pieces=count if size % 2 == 0 else 1)  # never within a character
            assert client.receive() == "é" * size
            client.send(b"\0\xff" * size, pieces=count)
            assert client.receive() == b"\0\xff" * size
    client.frame(PING, b"there?")
    assert client.event() == (PONG, b"there?")


def part(client: WebSocketClient, reason: str = "bye", answer: int = 4321) -> None:
    client.say_goodbye(4321, reason)
    assert client.closed()[0] == answer
    assert client.ended()


@pytest.mark.parametrize("deflate", [True, False])
def test_a_server_of_websockets(aside: Any, deflate: bool) -> None:
    websockets = pytest.importorskip("websockets")

    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)

    async def start() -> Any:
        server = await websockets.serve(echo, "127.0.0.1", 0, max_size=None, compression="deflate" if deflate else None)

        async def end() -> None:
            server.close()
            await server.wait_closed()

        return server.sockets[0].getsockname()[1], end

    with WebSocketClient(f"ws://127.0.0.1:{aside(start).port}/", deflate=True) as client:
        assert client.deflates == deflate
        converse(client)
        part(client)


@pytest.mark.parametrize("deflate", [True, False])
def test_a_server_of_aiohttp(aside: Any, deflate: bool) -> None:
    pytest.importorskip("aiohttp")
    from aiohttp import WSMsgType, web

    async def echo(request: Any) -> Any:
        socket = web.WebSocketResponse(compress=deflate, max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    async def start() -> Any:
        application = web.Application()
        application.add_routes([web.get("/", echo)])
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner.addresses[0][1], runner.cleanup

    with WebSocketClient(f"ws://127.0.0.1:{aside(start).port}/", deflate=True) as client:
        assert client.deflates == deflate
        converse(client)
        part(client, answer=1000)  # whatever the code that it was told


def test_a_server_of_picows(aside: Any) -> None:
    picows = pytest.importorskip("picows")

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == picows.WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
            elif frame.msg_type != picows.WSMsgType.PING:
                transport.send(frame.msg_type, frame.get_payload_as_bytes(), frame.fin)

    async def start() -> Any:
        server = await picows.ws_create_server(lambda request: Listener(), "127.0.0.1", 0)

        async def end() -> None:
            server.close()
            await server.wait_closed()

        return server.sockets[0].getsockname()[1], end

    with WebSocketClient(f"ws://127.0.0.1:{aside(start).port}/") as client:
        converse(client)
        part(client)


@pytest.mark.parametrize("deflate", [True, False])
def test_a_server_of_wsproto(aside: Any, deflate: bool) -> None:
    wsproto = pytest.importorskip("wsproto")
    from wsproto import events
    from wsproto.extensions import PerMessageDeflate

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        open_ = True
        while open_:
            data = await reader.read(65536)
            peer.receive_data(data or None)
            for event in peer.events():
                if isinstance(event, events.Request):
                    extensions = [PerMessageDeflate()] if deflate else []
                    writer.write(peer.send(events.AcceptConnection(extensions=extensions)))
                elif isinstance(event, (events.TextMessage, events.BytesMessage)):
                    writer.write(peer.send(event))
                elif isinstance(event, events.Ping):
                    writer.write(peer.send(event.response()))
                elif isinstance(event, events.CloseConnection):
                    if data:
                        writer.write(peer.send(event.response()))
                    open_ = False
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def start() -> Any:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)

        async def end() -> None:
            server.close()
            await server.wait_closed()

        return server.sockets[0].getsockname()[1], end

    with WebSocketClient(f"ws://127.0.0.1:{aside(start).port}/", deflate=True) as client:
        assert client.deflates == deflate
        converse(client)
        part(client)


# --- through a proxy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("deflate", [True, False])
def test_through_a_proxy(serve: Serve, app: App, proxy: Any, name: str, form: str, deflate: bool) -> None:
    server = serve(app, ws_deflate=True)
    port = proxy(name, int(server.url.rpartition(":")[2]))
    url = f"ws://127.0.0.1:{port}/{form}"
    with WebSocketClient(url, deflate=deflate) as client:
        assert client.deflates == deflate
        converse(client)
        client.send("ping")
        assert client.event() == (PING, b"there?")
        client.frame(PONG, b"there?")
        part(client, "gone")
    with WebSocketClient(url) as client:
        client.send("leave")
        assert client.closed() == (4000, "as you wish")
        client.say_goodbye(4000)
        assert client.ended()
    # What the server tells at a stop comes through as well.
    with WebSocketClient(url) as client:
        client.send("hello")
        client.receive()
        server.worker.stop()
        assert client.closed()[0] == 1001
        client.say_goodbye(1001)
        assert client.ended()


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_proxy_whose_client_leaves(serve: Serve, app: App, proxy: Any, name: str) -> None:
    server = serve(app)
    port = proxy(name, int(server.url.rpartition(":")[2]))
    client = WebSocketClient(f"ws://127.0.0.1:{port}/coroutine")
    client.send("hello")
    assert client.receive() == "hello"
    client.close()
    until(
        lambda: not (server.worker.pools.index.count_at(1, 4) + server.worker.pools.index.count_at(1, 3)),
        "the socket behind the proxy stays",
    )


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_a_refusal_through_a_proxy(serve: Serve, proxy: Any, name: str) -> None:
    app = App()
    app.websocket("/", on_request=lambda request: (401, {}, "who?"))(Silent)
    port = proxy(name, int(serve(app).url.rpartition(":")[2]))
    with WebSocketClient(f"ws://127.0.0.1:{port}/") as client:
        assert client.status == 401


class Silent:
    def on_message(self, ws: Any, message: str | bytes) -> None:
        pass


def test_what_a_client_must_not_send(serve: Serve, app: App) -> None:
    """Our own client, saying what is wrong: the codes of the goodbye."""
    server = serve(app)
    for form in FORMS:
        for wrong, code in (
            (b"\x81\x01a", 1002),  # without a mask
            (b"\x83\x80\0\0\0\0", 1002),
            (b"\x81\x81\0\0\0\0\xff", 1007),
            (b"\x88\x82\0\0\0\0\x03\xed", 1002),
        ):
            with WebSocketClient(address(server, form)) as client:
                client.raw(wrong)
                assert client.event()[0] == CLOSE
                assert client.close_code == code
                assert client.ended()
