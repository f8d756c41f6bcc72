"""The coroutine form of WebSockets: what a handler sees, and how it ends."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
import struct
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from tests.dimcore.socket_peer import UPGRADE, AsyncPeer, converse, for_a_while, frame, goodbye
from tests.support.waiting import until_async

from dimcore import AsyncSocket, ConnectionClosed, Endpoint, ResponseError, UsageError

Serve = Callable[..., Any]
OPEN = (1, 4)

variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable", default="none")


async def echo(ws: AsyncSocket) -> None:
    async for message in ws:
        await ws.send(message)


def test_an_echo_that_the_peer_ends(serve: Serve) -> None:
    ends: list[Any] = []

    async def handler(ws: AsyncSocket) -> None:
        assert (ws.open, ws.subprotocol, ws.buffered, ws.close_code) == (True, "proto", 0, 0)
        await echo(ws)
        ends.append((ws.close_code, ws.close_reason, ws.open))

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        assert rig.cells() == {OPEN: 1}
        await peer.send(frame(1, "hello") + frame(2, b"\0\xff") + frame(9, b"ping"))
        assert [await peer.next(), await peer.next(), await peer.next()] == [
            (1, "hello"),
            (2, b"\0\xff"),
            (10, b"ping"),
        ]
        await peer.send(frame(1, ""))
        assert await peer.next() == (1, "")
        await peer.send(goodbye(4000, "enough"))
        assert await peer.closed() == 4000
        assert await peer.ended()
        await until_async(lambda: ends)

    rig = converse(serve, handler, script)
    assert ends == [(4000, "enough", False)]
    assert rig.reports == []


def test_every_split(serve: Serve) -> None:
    data = frame(1, "hé") + frame(1, "a", final=False) + frame(9, b"") + frame(0, "b") + goodbye(1000)

    async def script(rig: Any) -> None:
        for at in range(len(data) + 1):
            peer = await AsyncPeer(rig).open(data[:at])
            await for_a_while(2)
            await peer.send(data[at:])
            assert [await peer.next(), await peer.next(), await peer.next()] == [(1, "hé"), (10, b""), (1, "ab")]
            assert await peer.closed() == 1000
            assert await peer.ended()

    assert converse(serve, echo, script).reports == []


def test_messages_that_come_with_the_handshake(serve: Serve) -> None:
    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open(frame(1, "one") + frame(1, "two"))
        assert [await peer.next(), await peer.next()] == [(1, "one"), (1, "two")]

    converse(serve, echo, script)


def test_a_handler_that_returns(serve: Serve) -> None:
    """At once, and after it has waited: 1000."""

    async def at_once(ws: AsyncSocket) -> None:
        await ws.send("bye")

    async def later(ws: AsyncSocket) -> None:
        await ws.send(await ws.receive())

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open(frame(1, "bye"))
        assert await peer.next() == (1, "bye")
        assert await peer.closed() == 1000
        await peer.send(frame(1, "nobody hears that") + goodbye(1000))
        assert await peer.ended()

    for handler in (at_once, later):
        assert converse(serve, handler, script).reports == []


@pytest.mark.parametrize("waits", [0, 1, 2])
def test_a_handler_that_fails(serve: Serve, waits: int) -> None:
    """In its first step, in one that a message brought, and in one of its Task: 1011, and the log has it."""

    async def handler(ws: AsyncSocket) -> None:
        if waits:
            await ws.receive()
        if waits == 2:
            await asyncio.sleep(0)
        raise ValueError("no")

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open(frame(1))
        assert await peer.closed() == 1011
        await peer.send(goodbye(1011))
        assert await peer.ended()

    ((message, request, error),) = converse(serve, handler, script).reports
    assert (message, request.path, type(error)) == ("a WebSocket's handler failed", "/where", ValueError)


def test_a_function_that_fails_before_there_is_a_coroutine(serve: Serve) -> None:
    def handler(ws: AsyncSocket) -> Any:
        raise ValueError("no")

    async def script(rig: Any) -> None:
        assert await (await AsyncPeer(rig).open()).closed() == 1011

    assert len(converse(serve, handler, script).reports) == 1


def test_no_asyncio_loop(serve: Serve) -> None:
    async def script(rig: Any) -> None:
        assert await (await AsyncPeer(rig).open()).closed() == 1011

    ((_, _, error),) = converse(serve, echo, script, loop=False).reports
    assert "no asyncio loop" in str(error)


def test_the_end_as_an_exception(serve: Serve) -> None:
    """Of `receive`, after what came before it; of `send`; a handler that lets it pass has not failed."""
    seen: list[Any] = []
    go = asyncio.Event()

    async def handler(ws: AsyncSocket) -> None:
        await go.wait()
        seen.append(await ws.receive())
        with pytest.raises(ConnectionClosed, match="the WebSocket is closed: 4001, why") as closed:
            await ws.receive()
        seen.append((closed.value.code, closed.value.reason))
        async for _ in ws:
            pytest.fail("there is nothing to receive")
        await ws.close()
        await ws.send("too late")

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open(frame(1, "last") + goodbye(4001, "why"))
        assert await peer.closed() == 4001
        assert await peer.ended()
        go.set()
        await until_async(lambda: len(seen) == 2)

    rig = converse(serve, handler, script)
    assert seen == ["last", (4001, "why")]
    assert rig.reports == []


@pytest.mark.parametrize("reset", [True, False])
def test_a_peer_that_is_gone(serve: Serve, reset: bool) -> None:
    ends: list[int] = []

    async def handler(ws: AsyncSocket) -> None:
        await echo(ws)
        ends.append(ws.close_code)

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        if reset:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sock.close()
        await until_async(lambda: ends)
        assert rig.cells() == {}

    assert converse(serve, handler, script).reports == []
    assert ends == [1006]


def test_close_waits_for_the_peer(serve: Serve) -> None:
    seen: list[Any] = []

    async def handler(ws: AsyncSocket) -> None:
        await ws.ping(b"now")
        with pytest.raises(UsageError, match="1006 is no code"):
            ws.close(1006)
        seen.append("closing")
        await ws.close(4444, "done")
        seen.append((ws.close_code, ws.close_reason))

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        assert await peer.next() == (9, b"now")
        assert await peer.next() == (8, "done")
        await for_a_while()
        assert seen == ["closing"]
        await peer.send(goodbye(4444, "seen"))
        await until_async(lambda: len(seen) == 2)
        assert await peer.ended()

    converse(serve, handler, script)
    assert seen == ["closing", (4444, "seen")]


def test_close_does_not_wait_for_ever(serve: Serve) -> None:
    seen: list[int] = []

    async def handler(ws: AsyncSocket) -> None:
        await ws.close()
        seen.append(ws.close_code)

    async def script(rig: Any) -> None:
        await AsyncPeer(rig).open()
        await until_async(lambda: seen)

    converse(serve, handler, script, seconds={"ws_close": 0.1})
    assert seen == [1006]


def test_the_server_says_goodbye(serve: Serve) -> None:
    seen: list[Any] = []

    async def handler(ws: AsyncSocket) -> None:
        async for message in ws:
            seen.append(message)  # noqa: PERF401 - each is seen when it comes
        with pytest.raises(ConnectionClosed) as closed:
            await ws.send("x")
        seen.append(closed.value.code)

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open(frame(1, "before"))
        await until_async(lambda: seen)
        rig.core.drain(1012)
        for connection in rig.connections():
            connection.close()
        assert await peer.closed() == 1012
        await peer.send(frame(1, "after") + goodbye(1012))
        await until_async(lambda: len(seen) == 2)

    converse(serve, handler, script)
    assert seen == ["before", 1012]


def test_the_request_stays(serve: Serve) -> None:
    async def handler(ws: AsyncSocket) -> None:
        connection = ws.connection
        async for _ in ws:
            assert ws.request is not None
            assert connection is ws.connection
            await ws.send(ws.request.path + ws.request.headers["host"])

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        for _ in range(2):
            await peer.send(frame(1))
            assert await peer.next() == (1, "/wheretest")

    converse(serve, handler, script)


# --- an upgrade by a coroutine ------------------------------------------------------------------------


def upgrading(waits: bool, handler: Any, seen: list[Any]) -> Callable[[Any], Any]:
    """An async handler that makes a WebSocket of its request, at once or after it has waited, and goes on."""
    kind = Endpoint(AsyncSocket)

    async def handle(request: Any) -> Any:
        connection = request.connection
        if waits:
            await asyncio.sleep(0.01)
        make = connection.upgrade_late if waits else connection.upgrade
        assert make(request, kind, AsyncSocket(handler), headers={"Upgrade": "websocket"})
        await asyncio.sleep(0.05)
        with pytest.raises(UsageError):
            connection.upgrade_late(request, kind, AsyncSocket(handler))
        seen.append("went on")
        return "this is not looked at"

    return handle


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("together", [True, False])
def test_a_coroutine_that_upgrades(serve: Serve, waits: bool, together: bool) -> None:
    seen: list[Any] = []

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open(frame(1, "early") if together else b"")
        if together:
            assert await peer.next() == (1, "early")
        assert rig.cells() == {OPEN: 1}
        assert rig.in_flight == {}
        await peer.send(frame(1, "hello"))
        assert await peer.next() == (1, "hello")
        await until_async(lambda: seen)
        await peer.send(frame(1, "still here") + goodbye(1000))
        assert await peer.next() == (1, "still here")
        assert await peer.closed() == 1000
        assert await peer.ended()

    assert converse(serve, echo, script, routes={"GET /where": upgrading(waits, echo, seen)}).reports == []
    assert seen == ["went on"]


def test_an_upgrade_that_comes_too_late(serve: Serve) -> None:
    """The peer has left, or the server is about to stop: the request is still the coroutine's to answer."""
    seen: list[Any] = []

    async def handle(request: Any) -> Any:
        connection = request.connection
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="only the handler"):
            connection.upgrade(request, Endpoint(AsyncSocket), AsyncSocket(echo))
        with pytest.raises(ResponseError):
            connection.upgrade_late(request, Endpoint(AsyncSocket), AsyncSocket(echo), headers={"a b": "c"})
        seen.append("waits")
        while seen == ["waits"]:  # noqa: ASYNC110 - the script says when
            await asyncio.sleep(0.001)
        assert not connection.upgrade_late(request, Endpoint(AsyncSocket), AsyncSocket(echo))
        return "no"

    async def script(rig: Any) -> None:
        peer = AsyncPeer(rig)
        await peer.send(UPGRADE)
        await until_async(lambda: seen)
        rig.core.drain()
        seen.append("go")
        assert b"no" in await asyncio.get_running_loop().sock_recv(peer.sock, 65536)

    assert converse(serve, echo, script, routes={"GET /where": handle}).reports == []


# --- Tasks ------------------------------------------------------------------------------------------


def test_one_task_and_one_context_throughout(serve: Serve) -> None:
    tasks: set[Any] = set()

    async def handler(ws: AsyncSocket) -> None:
        variable.set("set")
        async for message in ws:
            tasks.add(asyncio.current_task())
            assert variable.get() == "set"
            variable.set("set")
            if message == "sleep":
                await asyncio.sleep(0.001)
                tasks.add(asyncio.current_task())
            await ws.send(message)

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        for text in ("a", "sleep", "b", "sleep", "sleep", "c"):
            await peer.send(frame(1, text))
            assert await peer.next() == (1, text)
        assert variable.get() == "none"
        assert asyncio.current_task() not in tasks
        assert len(tasks) == 1

    converse(serve, handler, script)


@pytest.mark.parametrize("way", ["timeout", "wait_for", "gather", "task", "group"])
def test_what_asyncio_does_with_what_is_awaited(serve: Serve, way: str) -> None:
    """Each lets a message through, and each is ended by a limit of time."""

    async def receive(ws: AsyncSocket) -> Any:
        if way == "timeout":
            async with asyncio.timeout(0.05):
                return await ws.receive()
        if way == "wait_for":
            return await asyncio.wait_for(ws.receive(), 0.05)
        if way == "gather":
            async with asyncio.timeout(0.05):
                return (await asyncio.gather(ws.receive(), asyncio.sleep(0)))[0]
        if way == "task":
            async with asyncio.timeout(0.05):
                return await asyncio.create_task(ws.receive())  # type: ignore[arg-type]
        async with asyncio.timeout(0.05), asyncio.TaskGroup() as group:
            task = group.create_task(ws.receive())  # type: ignore[arg-type]
        return task.result()

    async def handler(ws: AsyncSocket) -> None:
        while True:
            try:
                await ws.send(await receive(ws))
            except TimeoutError:
                await ws.send("nothing came")

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open(frame(1, "first"))
        assert await peer.next() == (1, "first")
        for text in ("a", "b"):
            assert await peer.next() == (1, "nothing came")
            await peer.send(frame(1, text))
            while (got := await peer.next()) == (1, "nothing came"):
                pass
            assert got == (1, text)
        await peer.send(goodbye(1000))
        while (got := await peer.next()) == (1, "nothing came"):
            pass
        assert got[0] == 8

    assert converse(serve, handler, script).reports == []


def test_a_message_and_a_cancellation_at_once(serve: Serve) -> None:
    """Whichever comes first, the message is not lost and the cancellation is not either."""
    for order in ("cancel", "message"):
        seen: list[Any] = []
        tasks: list[Any] = []

        async def handler(ws: AsyncSocket, seen: list[Any] = seen, tasks: list[Any] = tasks) -> None:
            tasks.append(asyncio.current_task())
            try:
                while True:
                    seen.append(await ws.receive())
            except asyncio.CancelledError:
                tasks[0].uncancel()
                seen.append("cancelled")
            seen.append(await ws.receive())

        async def script(rig: Any, order: str = order, seen: list[Any] = seen, tasks: list[Any] = tasks) -> None:
            peer = await AsyncPeer(rig).open()
            await for_a_while(3)
            peer.sock.send(frame(1, "message"))
            if order == "cancel":
                tasks[0].cancel()
                rig.turn()
            else:
                rig.turn()
                tasks[0].cancel()
            await until_async(lambda: "cancelled" in seen)
            await peer.send(frame(1, "more"))
            assert await peer.closed() == 1000
            assert seen == (["cancelled", "message"] if order == "cancel" else ["message", "cancelled", "more"])

        assert converse(serve, handler, script).reports == []


def test_a_cancelled_handler_is_closed(serve: Serve) -> None:
    tasks: list[Any] = []

    async def handler(ws: AsyncSocket) -> None:
        tasks.append(asyncio.current_task())
        await echo(ws)

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        tasks[0].cancel()
        assert await peer.closed() == 1011

    ((_, _, error),) = converse(serve, handler, script).reports
    assert isinstance(error, asyncio.CancelledError)


def test_one_coroutine_receives_at_a_time(serve: Serve) -> None:
    async def handler(ws: AsyncSocket) -> None:
        first = asyncio.create_task(ws.receive())  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        with pytest.raises(UsageError, match="another coroutine receives"):
            await ws.receive()
        await ws.send(await first)
        await ws.send(await ws.receive())

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        await for_a_while()
        await peer.send(frame(1, "one"))
        assert await peer.next() == (1, "one")
        await peer.send(frame(1, "two"))
        assert await peer.next() == (1, "two")

    assert converse(serve, handler, script).reports == []


def test_others_send_meanwhile(serve: Serve) -> None:
    """From another socket's handler, and from a Task of one's own."""
    sockets: list[AsyncSocket] = []

    async def handler(ws: AsyncSocket) -> None:
        sockets.append(ws)
        async for message in ws:
            for other in sockets:
                await other.send(message)

    async def script(rig: Any) -> None:
        peers = [await AsyncPeer(rig).open() for _ in range(3)]
        await peers[0].send(frame(1, "all"))
        for peer in peers:
            assert await peer.next() == (1, "all")
        await sockets[1].send("from outside")
        assert await peers[1].next() == (1, "from outside")

    converse(serve, handler, script)


def test_ending_another_from_within(serve: Serve) -> None:
    """One handler closes the connection of another: that one runs on later, not within the first."""
    order: list[str] = []
    sockets: list[Any] = []

    async def handler(ws: Any) -> None:
        sockets.append(ws)
        mine = len(sockets)
        async for _ in ws:
            order.append(f"{mine} begins")
            for _ in range(2):  # the second time it is cut
                sockets[0].connection.close()
            order.append(f"{mine} goes on")
        order.append(f"{mine} ends")

    async def script(rig: Any) -> None:
        await AsyncPeer(rig).open()
        second = await AsyncPeer(rig).open()
        await second.send(frame(1))
        await until_async(lambda: "1 ends" in order)

    converse(serve, handler, script)
    assert order[:3] == ["2 begins", "2 goes on", "1 ends"]


def test_nothing_is_left(serve: Serve) -> None:
    left: list[Any] = []

    class Mark:
        pass

    async def handler(ws: AsyncSocket) -> None:
        mark = Mark()
        left.append(weakref.ref(mark))
        await echo(ws)

    async def script(rig: Any) -> None:
        for _ in range(3):
            peer = await AsyncPeer(rig).open(frame(1, "x"))
            await peer.next()
            await peer.send(goodbye(1000))
            assert await peer.closed() == 1000
            await until_async(lambda: not rig.cells())
        await for_a_while(3)
        gc.collect()
        assert [ref() for ref in left] == [None] * 3

    converse(serve, handler, script, debug=False)


def test_a_bad_message(serve: Serve) -> None:
    async def handler(ws: AsyncSocket) -> None:
        with pytest.raises(UsageError, match="not int"):
            await ws.send(5)  # type: ignore[arg-type]
        await ws.send(memoryview(b"good"))

    async def script(rig: Any) -> None:
        assert await (await AsyncPeer(rig).open()).next() == (2, b"good")

    assert converse(serve, handler, script).reports == []


def test_before_there_is_a_socket() -> None:
    ws = AsyncSocket(echo)
    assert (ws.connection, ws.request, ws.subprotocol, ws.open, ws.buffered) == (None, None, None, False, 0)
    for early in (ws.send, ws.ping):
        with pytest.raises(UsageError, match="not open yet"):
            early(b"x")
    with pytest.raises(UsageError, match="not open yet"):
        ws.close()
