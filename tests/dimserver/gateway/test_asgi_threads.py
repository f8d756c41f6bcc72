"""`send` and `receive` away from the loop's thread: called there, awaited on the loop or on a loop of its own."""

from __future__ import annotations

import asyncio
import inspect
import socket
import struct
import threading
from typing import Any

import pytest
from tests.dimserver.gateway.asgi_peer import START, Message, Receive, Scope, Send, Serve, answer, chunked
from tests.support.waiting import PATIENCE, until

pytest.importorskip("asgiref")
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.wsgi import WsgiToAsgi

SIZE = 200_000
HANDSHAKE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


async def by_asgiref(app: Any, *given: Any) -> None:
    """A plain function on a worker thread, as asgiref's adapters and sync consumers of Channels are run."""
    scope, receive, send = given

    def work() -> None:
        app(scope, async_to_sync(receive), async_to_sync(send))

    await sync_to_async(work)()


async def by_its_own_loop(app: Any, *given: Any) -> None:
    """A thread with an asyncio loop of its own."""
    scope, receive, send = given

    def work() -> None:
        with asyncio.Runner() as runner:

            async def one(call: Any, *message: Any) -> Any:
                return await call(*message)

            app(scope, lambda: runner.run(one(receive)), lambda message: runner.run(one(send, message)))

    await asyncio.to_thread(work)


WAYS = {"asgiref": by_asgiref, "a loop of its own": by_its_own_loop}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("error::UserWarning")
def test_http(start: Serve, way: str) -> None:
    def plain(scope: Scope, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = receive()
            body += message["body"]
            if not message["more_body"]:
                break
        send(START)
        send({"type": "http.response.body", "body": body, "more_body": True})
        send({"type": "http.response.body", "body": b"x" * SIZE, "more_body": True})
        send({"type": "http.response.body", "body": b"end"})
        with pytest.raises(RuntimeError, match="already completed"):
            send({"type": "http.response.body"})

    async def app(*given: Any) -> None:
        await WAYS[way](plain, *given)

    server = start(app)
    wire = server.connect()
    for size in (0, 10, SIZE):
        wire.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        wire.send(b"b" * size)
        assert chunked(wire)[2] == b"b" * size + b"x" * SIZE + b"end"
    assert server.told() == ""


@pytest.mark.parametrize("way", WAYS)
def test_websocket(start: Serve, way: str) -> None:
    def plain(scope: Scope, receive: Any, send: Any) -> None:
        assert receive() == {"type": "websocket.connect"}
        send({"type": "websocket.accept"})
        while (message := receive())["type"] == "websocket.receive":
            for _ in range(10):
                send({"type": "websocket.send", "bytes": message["bytes"]})
        closed.append(message["code"])

    async def app(*given: Any) -> None:
        await WAYS[way](plain, *given)

    closed: list[int] = []
    server = start(app)
    wire = server.connect()
    wire.get("/", *HANDSHAKE)
    while b"\r\n\r\n" not in wire.left:
        wire.more()
    wire.left = wire.left.partition(b"\r\n\r\n")[2]
    payload = bytes(60_000)
    for _ in range(20):
        wire.send(b"\x82\xfe" + struct.pack("!H", len(payload)) + bytes(4) + payload)
        expected = (b"\x82\x7e" + struct.pack("!H", len(payload)) + payload) * 10
        while len(wire.left) < len(expected):
            wire.more()
        assert wire.left == expected
        wire.left = b""
    wire.send(b"\x88\x82" + bytes(4) + struct.pack("!H", 1000))
    while len(wire.left) < 4:
        wire.more()
    assert wire.left == b"\x88\x02\x03\xe8"
    wire.sock.settimeout(PATIENCE)
    assert wire.sock.recv(1) == b""
    until(lambda: closed == [1000])
    assert server.told() == ""


def test_nothing_is_done_on_another_thread(start: Serve) -> None:
    """What is called there and never awaited was never sent; what is, is done on the loop."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        def call(message: Message) -> Any:
            return send(message)

        await send(START)
        await asyncio.to_thread(call, {"type": "http.response.body", "body": b"never"})
        wrong = await asyncio.to_thread(call, {"type": "nonsense"})
        try:
            await wrong
        except RuntimeError as error:
            seen.append(str(error))
        await (await asyncio.to_thread(call, {"type": "http.response.body", "body": b"fine"}))

    assert start(app).connect().get().answer()[2] == b"fine"
    assert seen == ["Expected ASGI message 'http.response.body', but got 'nonsense'."]


def test_both_are_marked_as_what_they_are(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        marked = all(inspect.iscoroutinefunction(call) or _by_asyncio(call) for call in (send, receive))
        await answer(send, str(marked).encode())

    assert start(app).connect().get().answer()[2] == b"True"


def _by_asyncio(call: Any) -> bool:
    return getattr(call, "_is_coroutine", None) is getattr(asyncio.coroutines, "_is_coroutine", ...)


def pages(environ: dict[str, Any], start_response: Any) -> Any:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % len(body), *(b"x" * 30_000 for _ in range(int(environ["QUERY_STRING"])))]


def load(server: Any, requests: int) -> list[int]:
    """Requests on connections of their own, of which each third is left in the middle; how many were answered."""
    answered = []
    host, _, port = server.url.removeprefix("http://").rpartition(":")

    def client(first: int) -> None:
        for number in range(first, requests, 8):
            with socket.create_connection((host, int(port)), timeout=PATIENCE) as sock:
                pieces = number % 5
                sock.sendall(
                    b"POST /?%d HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12345" % pieces
                )
                if number % 3 == 0:
                    if number % 2:
                        sock.sendall(b"67890")
                        sock.recv(1000)
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 4 > 1, 0))
                    continue
                sock.sendall(b"67890")
                got = b""
                while more := sock.recv(65536):
                    got += more
                assert got.startswith(b"HTTP/1.1 200 "), got[:300]
                assert got.count(b"x") >= pieces * 30_000
                answered.append(number)

    threads = [threading.Thread(target=client, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


@pytest.mark.parametrize("requests", [400, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("error::UserWarning")
def test_a_wsgi_app_behind_asgirefs_adapter(start: Serve, requests: int) -> None:
    """Under load, with clients that leave: nobody else's answer suffers, and the log has nothing to say."""
    server = start(WsgiToAsgi(pages))
    assert len(load(server, requests)) == sum(number % 3 != 0 for number in range(requests))
    assert server.told() == ""
