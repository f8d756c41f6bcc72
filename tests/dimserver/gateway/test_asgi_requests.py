"""What an ASGI app receives: bodies of every kind, and the end of its peer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest
from tests.dimserver.gateway.asgi_peer import (
    DISCONNECT,
    KIB,
    MIB,
    PIECE,
    START,
    Message,
    Receive,
    Scope,
    Send,
    Serve,
    answer,
    chunked,
    echo,
    leave,
    read,
)
from tests.support.waiting import PATIENCE, until

# --- the body of the request ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5000, 70_000, 3 * MIB])
def test_bodies(start: Serve, size: int) -> None:
    body = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    body = body[:size]
    wire = start(echo).connect()
    head = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % size
    for _ in range(2):
        assert wire.send(head + body).answer()[2] == body
    wire.send(head)
    time.sleep(0.02)
    assert wire.send(body).answer()[2] == body
    pieces = [body[at : at + 40_000] for at in range(0, size, 40_000)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n" + coded)
    assert wire.answer()[2] == body
    assert wire.get().answer()[2] == b""


def test_a_body_byte_by_byte(start: Serve) -> None:
    wire = start(echo).connect()
    for byte in b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n12345GET / HTTP/1.1\r\nHost: t\r\n\r\n":
        wire.send(bytes([byte]))
        time.sleep(0.0005)
    assert wire.answer()[2] == b"12345"
    assert wire.answer()[2] == b""


def test_messages_of_a_body_and_what_follows(start: Serve) -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        seen.append(await receive())
        await answer(send)
        seen.append(await receive())
        seen.append(await receive())

    wire = start(app).connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\n12")
    until(lambda: len(seen) == 1)
    wire.send(b"34").answer()
    until(lambda: len(seen) == 4)
    assert seen == [
        {"type": "http.request", "body": b"12", "more_body": True},
        {"type": "http.request", "body": b"34", "more_body": False},
        DISCONNECT, DISCONNECT,
    ]  # fmt: skip


def test_100_continue_when_the_app_wants_the_body(start: Serve) -> None:
    begun = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.sleep(0.1)
        await echo(scope, receive, send)

    wire = start(app).connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    begun.wait(PATIENCE)
    wire.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.sock.recv(1)
    wire.sock.settimeout(PATIENCE)
    assert wire.answer()[0] == 100
    assert wire.send(b"1234").answer()[2] == b"1234"
    assert wire.get().answer()[2] == b""


def test_no_100_continue_where_the_app_refuses(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no", 403)

    wire = start(app).connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    status, headers, body = wire.answer()
    assert (status, body, headers["connection"]) == (403, b"no", "close")
    assert wire.ended()


def test_an_upload_waits_for_an_app_that_lags(start: Serve) -> None:
    go = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not go.is_set():  # noqa: ASYNC110 - set by the test's thread
            await asyncio.sleep(0.01)
        await answer(send, str(len(await read(receive))).encode())

    wire = start(app, limit_body=64 * MIB).connect()
    size = 32 * MIB
    wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size)
    wire.sock.setblocking(False)
    sent = 0
    end = time.monotonic() + PATIENCE
    stuck = 0
    while stuck < 50:
        try:
            sent += wire.sock.send(bytes(64 * KIB))
            stuck = 0
        except BlockingIOError:
            stuck += 1
            time.sleep(0.005)
        assert time.monotonic() < end, sent
    assert sent < 16 * MIB  # what the kernel holds, and little beside
    go.set()
    wire.sock.settimeout(PATIENCE)
    wire.send(bytes(size - sent))
    assert wire.answer()[2] == str(size).encode()


def test_both_ways_at_once(start: Serve) -> None:
    """An answer that begins before its request has arrived: what a proxy, or an echo of a stream, does."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    wire = start(app).connect()
    for _ in range(2):
        wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"3\r\nabc\r\n")
        wire.answer()
        while b"abc" not in wire.left:
            wire.more()
        wire.send(b"3\r\ndef\r\n")
        while b"def" not in wire.left:
            wire.more()
        wire.send(b"0\r\n\r\n")
        while not wire.left.endswith(b"0\r\n\r\n"):
            wire.more()
        wire.left = b""
    # More than either side holds, both at the same time.
    body = bytes(range(256)) * 4 * KIB * 8
    wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body))
    sender = threading.Thread(target=wire.send, args=(body,))
    sender.start()
    assert chunked(wire)[2] == body
    sender.join(PATIENCE)


def test_a_broken_body_ends_as_the_peers_fault(start: Serve) -> None:
    calls: list[list[Message]] = []  # of each call what it received: one may be told when the next has begun

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen: list[Message] = []
        calls.append(seen)
        while not seen or seen[-1] != DISCONNECT:
            seen.append(await receive())
        raise ConnectionError("the client is gone")

    server = start(app, limit_body=10)
    for count, (body, status) in enumerate(((b"1\r\na\r\nxx\r\n", 400), (b"1\r\na\r\n10\r\n", 413)), 1):
        wire = server.connect()
        wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(body[:6])
        until(lambda: len(calls) == count and calls[-1])  # noqa: B023 - it is asked at once
        wire.send(body[6:])
        assert wire.answer()[0] == status
        assert wire.ended()
    until(lambda: all(seen[-1] == DISCONNECT for seen in calls))
    assert "ConnectionError" not in server.told()


BROKEN = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\x00\r\nabcde\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("request_", BROKEN, ids=range(len(BROKEN)))
def test_what_is_malformed_never_reaches_the_app(start: Serve, request_: bytes) -> None:
    calls: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope)
        await echo(scope, receive, send)

    server = start(app)
    wire = server.connect()
    wire.send(request_ + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert 400 <= wire.answer()[0] < 500
    assert wire.ended()
    assert calls == []


# --- the peer leaves --------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("how", ["half", "close", "reset"])
def test_disconnect(start: Serve, how: str, streams: bool) -> None:
    seen: list[Message] = []
    ended = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if streams:
            await send(START)
            await send(PIECE)
        seen.append(await receive())
        seen.append(await receive())
        for _ in range(20):  # it is not cancelled, and may go on sending
            await asyncio.sleep(0.005)
            if streams:
                await send(PIECE)
        if streams:
            await send({"type": "http.response.body"})
        else:
            await answer(send)
        seen.append(await receive())
        ended.set()

    server = start(app)
    wire = server.connect().get()
    until(lambda: len(seen) == 1)
    leave(wire, how)
    until(lambda: len(seen) >= 2)
    assert seen[1] == DISCONNECT
    assert ended.wait(PATIENCE)
    assert seen[2] == DISCONNECT
    if how == "half":  # it still reads
        if streams:
            assert chunked(wire)[2] == b"piece" * 21
        else:
            assert wire.answer()[2] == b"fine"
        assert wire.ended()
    assert server.told() == ""


def test_a_stream_to_a_half_closed_client_goes_on_while_it_moves(start: Serve) -> None:
    """The limit is on a stream that sends nothing; one that does outlasts it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(20):
            await asyncio.sleep(0.05)
            await send(PIECE)
        await asyncio.sleep(0 if scope["path"] == "/" else 1000)
        await send({"type": "http.response.body"})

    server = start(app, timeout_half_closed=0.4, drain=0.1)
    wires = [server.connect().get(), server.connect().get("/silent")]
    for wire in wires:
        leave(wire, "half")
    assert chunked(wires[0])[2] == b"piece" * 20
    with contextlib.suppress(ConnectionError):
        while data := wires[1].sock.recv(4096):
            wires[1].left += data
    assert wires[1].left.count(b"piece") == 20
    assert not wires[1].left.endswith(b"0\r\n\r\n")


def test_two_receivers_and_one_that_gives_up(start: Serve) -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.01)
        tasks = [asyncio.ensure_future(receive()) for _ in range(2)]
        await asyncio.sleep(0.01)
        tasks.append(asyncio.ensure_future(receive()))
        tasks[0].cancel()
        await answer(send)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        seen.extend(done[1:])

    server = start(app)
    assert server.connect().get().answer()[2] == b"fine"
    until(lambda: len(seen) == 2)
    assert seen == [DISCONNECT, DISCONNECT]
    assert server.told() == ""


def test_a_client_that_leaves_in_the_middle_of_its_body(start: Serve) -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not seen or seen[-1] != DISCONNECT:
            seen.append(await receive())

    server = start(app)
    wire = server.connect().send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc")
    until(lambda: seen)
    wire.close()
    until(lambda: seen[-1] == DISCONNECT)
    assert seen == [{"type": "http.request", "body": b"abc", "more_body": True}, DISCONNECT]
    assert server.told() == ""


@pytest.mark.parametrize("streams", [False, True])
def test_an_app_that_goes_on_without_its_client_ends_with_the_server(start: Serve, streams: bool) -> None:
    """It is never cancelled because its client left, and waits for something else than `receive`."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if streams:
            await send(START)
            await send(PIECE)
        while (await receive()) != DISCONNECT:
            pass
        seen.append("left")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    server = start(app, drain=0.3)
    wire = server.connect().get()
    if streams:
        wire.sock.recv(1)
    leave(wire, "reset")
    until(lambda: seen)
    time.sleep(0.05)
    assert seen == ["left"]
    server.stop()
    assert seen == ["left", "cancelled"]
    assert server.told() == ""
