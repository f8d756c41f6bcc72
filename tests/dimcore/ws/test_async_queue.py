"""The queue between a WebSocket and a coroutine: it is bounded, and the peer is held back rather than lost."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.dimcore.socket_peer import AsyncPeer, converse, for_a_while, frame, goodbye
from tests.support.waiting import until_async

from dimcore import AsyncSocket, ConnectionClosed, WebSocketError
from dimcore.ws.async_queue import ReceiveWait, SocketQueue

Serve = Callable[..., Any]
QUEUE = 64 * 1024


class Slow:
    """A handler that takes messages when it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.taken: list[str | bytes] = []
        self.code = 0

    async def __call__(self, ws: AsyncSocket) -> None:
        await self.go.wait()
        async for message in ws:
            self.taken.append(message)
        self.code = ws.close_code


@pytest.mark.parametrize("size", [0, 10, 1000, 100_000])
def test_a_handler_that_lags_is_not_buried(serve: Serve, size: int) -> None:
    """The socket is not read while the queue is full; what was read before is complete and in order."""
    slow = Slow()
    count = min(60_000, 24_000_000 // (size + 8))
    messages = [f"{n:x}".rjust(size, "-")[:size] for n in range(count)]

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        data = b"".join(frame(1, message) for message in messages) + goodbye(1000)
        sending = asyncio.create_task(peer.send(data))
        (connection,) = rig.connections()
        seen = -1
        while seen != connection.bytes_in:
            seen = connection.bytes_in
            await for_a_while()
        # The queue, what was received with its last message, and the rest of that.
        assert seen <= 4 * QUEUE + 2 * size
        slow.go.set()
        await sending
        assert await peer.closed() == 1000
        await until_async(lambda: slow.code)

    converse(serve, slow, script, debug=False)
    assert slow.taken == messages
    assert slow.code == 1000


def test_what_a_text_weighs(serve: Serve) -> None:
    """Four bytes a character where one of them needs so much."""
    slow = Slow()

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        (connection,) = rig.connections()
        text = "x" * 4000 + "\U0001f600"
        await peer.send(frame(1, text) * 5)
        await for_a_while()
        before = connection.bytes_in
        await peer.send(frame(1, text) * 5)
        await for_a_while()
        assert connection.bytes_in == before
        slow.go.set()
        await until_async(lambda: len(slow.taken) == 10)

    converse(serve, slow, script)


def test_bombs_wait_for_their_turn(serve: Serve) -> None:
    """What is received is not inflated before the handler has taken what came before."""

    class Inflater:
        threshold = 1 << 40
        ends = 0

        def __init__(self) -> None:
            self.inflater = zlib.decompressobj(-15)

        def inflate(self, piece: bytes, room: int, final: bool) -> bytes:
            type(self).ends += final
            try:
                return self.inflater.decompress(piece + b"\0\0\xff\xff" * final, room + 1)
            except zlib.error:
                raise WebSocketError("no", 1007) from None

    slow = Slow()
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        await peer.send(frame(2, bomb, compressed=True) * 40)
        await for_a_while()
        assert Inflater.ends == 1
        slow.go.set()
        await until_async(lambda: len(slow.taken) == 40)

    converse(serve, slow, script, codec=Inflater, debug=False)
    assert set(map(len, slow.taken)) == {1 << 20}


def test_a_peer_that_is_held_back_is_alive(serve: Serve) -> None:
    """Its pongs are not read, so it is not asked."""
    slow = Slow()

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        await peer.send(frame(2, bytes(QUEUE)) + frame(1, "more"))
        await asyncio.sleep(0.5)
        assert len(rig.connections()) == 1
        slow.go.set()
        await until_async(lambda: len(slow.taken) == 2)
        await peer.send(goodbye(1000))
        assert await peer.closed() == 1000

    converse(serve, slow, script, seconds={"ws_ping": 0.1, "ws_timeout": 0.1})


def test_a_peer_that_is_gone_while_it_is_held_back(serve: Serve) -> None:
    """That shows although nothing is read: the handler gets what it had, and the end."""
    slow = Slow()

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        await peer.send(frame(2, bytes(QUEUE)) + frame(1, "more"))
        await for_a_while()
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sock.close()
        if hasattr(select, "epoll"):
            await until_async(lambda: not rig.cells())
        slow.go.set()
        await until_async(lambda: slow.code)

    converse(serve, slow, script)
    assert slow.taken[0] == bytes(QUEUE)
    assert slow.code == 1006


def test_a_handler_that_leaves_what_came_unread(serve: Serve) -> None:
    """The goodbye of the peer lies behind all that, and is found."""

    async def handler(ws: AsyncSocket) -> None:
        await asyncio.sleep(0.05)

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        sending = asyncio.create_task(peer.send(frame(1, "x" * 1000) * 3000 + goodbye(1000)))
        assert await peer.closed() == 1000
        await sending
        assert await peer.ended()
        assert rig.cells() == {}

    assert converse(serve, handler, script, debug=False).reports == []


@pytest.mark.parametrize("bad", ["bad utf-8", "unmasked"])
def test_a_fault_behind_what_waits(serve: Serve, bad: str) -> None:
    slow = Slow()
    wrong = frame(1, b"\xff") if bad == "bad utf-8" else b"\x81\x01a"

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        await peer.send(frame(2, bytes(QUEUE)) + wrong)
        await for_a_while()
        slow.go.set()
        assert await peer.closed() == (1007 if bad == "bad utf-8" else 1002)
        await until_async(lambda: slow.code)

    converse(serve, slow, script)
    assert slow.taken == [bytes(QUEUE)]


# --- out ----------------------------------------------------------------------------------------------


def test_send_waits_for_a_peer_that_lags(serve: Serve) -> None:
    sent: list[int] = []

    async def handler(ws: AsyncSocket) -> None:
        for n in range(100):
            await ws.send(b"x" * 100_000)
            sent.append(n)

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig, receive_buffer=4096).open()
        await until_async(lambda: sent)
        seen = 0
        while seen != len(sent):
            seen = len(sent)
            await for_a_while()
        assert seen < 100
        (connection,) = rig.connections()
        assert connection.socket.buffered <= (1 << 20) + 100_000
        for _ in range(100):
            assert await peer.next() == (2, b"x" * 100_000)
        assert await peer.closed() == 1000

    assert converse(serve, handler, script, debug=False).reports == []


def test_many_that_wait_and_a_peer_that_leaves(serve: Serve) -> None:
    outcomes: list[Any] = []

    async def handler(ws: AsyncSocket) -> None:
        while ws.buffered < 1 << 20:
            ws.send(b"x" * 500_000)
        tasks = [asyncio.create_task(ws.send("more")) for _ in range(3)]  # type: ignore[arg-type]
        tasks[0].cancel()
        outcomes.extend(await asyncio.gather(*tasks, return_exceptions=True))

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig, receive_buffer=4096).open()
        await for_a_while()
        assert outcomes == []
        peer.sock.close()
        await until_async(lambda: outcomes)

    converse(serve, handler, script, debug=False)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, ConnectionClosed, ConnectionClosed]


def test_who_does_not_wait_is_stopped(serve: Serve) -> None:
    """A program that sends without awaiting meets the second mark."""
    errors: list[Any] = []

    async def handler(ws: AsyncSocket) -> None:
        try:
            for _ in range(1000):
                ws.send(b"x" * 100_000)
        except ConnectionClosed as error:
            errors.append((error.code, error.reason))

    async def script(rig: Any) -> None:
        await AsyncPeer(rig, receive_buffer=4096).open()
        await until_async(lambda: errors)

    converse(serve, handler, script, debug=False)
    assert errors == [(1013, "too slow")]


@pytest.mark.parametrize(("slow", "ends"), [("drop", False), ("close-1008", True)])
def test_the_other_policies(serve: Serve, slow: str, ends: bool) -> None:
    outcome: list[Any] = []

    async def handler(ws: AsyncSocket) -> None:
        try:
            for _ in range(200):
                await ws.send(b"x" * 100_000)
        except ConnectionClosed as error:
            outcome.append(error.code)
        else:
            outcome.append("through")

    async def script(rig: Any) -> None:
        await AsyncPeer(rig, receive_buffer=4096).open()
        await until_async(lambda: outcome)

    converse(serve, handler, script, endpoint={"slow": slow}, debug=False)
    assert outcome == [1008 if ends else "through"]


# --- what is awaited ------------------------------------------------------------------------------------


def test_what_is_awaited_is_a_coroutine_for_asyncio() -> None:
    ws = AsyncSocket(Slow())
    assert isinstance(ws, SocketQueue)
    assert isinstance(ws.receive(), ReceiveWait)
    assert asyncio.iscoroutine(ws.receive())
    with pytest.raises(ValueError, match="x"):
        ws.receive().throw(ValueError("x"))  # type: ignore[attr-defined]


def test_a_reception_that_is_given_up(serve: Serve) -> None:
    """Closed by hand while it waits: the next one is free to wait."""

    async def handler(ws: AsyncSocket) -> None:
        reception: Any = ws.receive()
        reception.send(None)
        reception.close()
        await ws.send(await ws.receive())

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open(frame(1, "x"))
        assert await peer.next() == (1, "x")

    assert converse(serve, handler, script).reports == []
