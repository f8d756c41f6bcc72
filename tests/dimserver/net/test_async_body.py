"""A body that a coroutine makes: its pace, its errors, and its end."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.support.waiting import until

from dimserver import App, Response, event_stream
from dimserver.net import async_body as module

KIB = 1024
MIB = 1024 * KIB

Serve = Callable[..., Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def start(request: pytest.FixtureRequest, serve: Serve) -> Serve:
    """Start an app on either loop."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return lambda app, **settings: serve(app, loop=request.param, **settings)


def rest(wire: Any) -> bytes:
    """All until the server closes; a reset ends it too."""
    received: bytes = wire.left
    try:
        while data := wire.sock.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def leave(wire: Any) -> None:
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def serving(source: Callable[[], Any]) -> App:
    app = App()

    @app.get("/")
    async def handler(request: object) -> Any:
        return source()

    app.get("/other")(lambda request: "other")
    return app


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def plain() -> AsyncIterator[bytes | str]:
    yield b"one"
    yield ""
    await asyncio.sleep(0.001)
    yield "twö"
    yield bytearray(b"three")  # type: ignore[misc]


PLAIN = chunks(b"one", "twö".encode(), b"three")


@pytest.mark.parametrize("wrap", [plain, lambda: Response.stream(plain()), lambda: (200, {}, plain())])
def test_the_pieces_in_order_and_the_connection_goes_on(start: Serve, wrap: Callable[[], Any]) -> None:
    wire = start(serving(wrap)).connect()
    for _ in range(3):
        status, headers, _ = wire.get().answer()
        assert status == 200
        assert headers["transfer-encoding"] == "chunked"
        while not wire.left.endswith(b"0\r\n\r\n"):
            wire.left += wire.sock.recv(1000)
        assert wire.left == PLAIN
        wire.left = b""
    assert wire.get("/other").answer()[2] == b"other"


def test_a_handler_may_be_a_generator(start: Serve) -> None:
    app = App()

    @app.get("/")
    async def handler(request: Any) -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(0)
        yield request.query_string

    wire = start(app).connect().get("/?b")
    wire.answer()
    while not wire.left.endswith(b"0\r\n\r\n"):
        wire.left += wire.sock.recv(1000)
    assert wire.left == chunks(b"a", b"b")


@pytest.mark.parametrize("blocking", [False, True])
def test_a_plain_handler_may_give_one(start: Serve, blocking: bool) -> None:
    app = App()
    app.get("/", blocking=blocking)(lambda request: Response.stream(plain(), content_type="text/plain"))
    wire = start(app).connect().get()
    assert wire.answer()[1]["content-type"] == "text/plain"
    while not wire.left.endswith(b"0\r\n\r\n"):
        wire.left += wire.sock.recv(1000)
    assert wire.left == PLAIN


def test_events(start: Serve) -> None:
    async def events() -> AsyncIterator[str]:
        yield "one"
        await asyncio.sleep(0.001)
        yield "two"

    wire = start(serving(lambda: event_stream(events()))).connect().get()
    assert wire.answer()[1]["content-type"].startswith("text/event-stream")
    while not wire.left.endswith(b"0\r\n\r\n"):
        wire.left += wire.sock.recv(1000)
    assert wire.left == chunks(b"data: one\n\n", b"data: two\n\n")


async def nothing() -> AsyncIterator[bytes]:
    for piece in (b"", b""):
        await asyncio.sleep(0)
        yield piece


def test_an_empty_body(start: Serve) -> None:
    wire = start(serving(nothing)).connect()
    assert wire.get().answer()[1]["content-length"] == "0"
    assert wire.get("/other").answer()[2] == b"other"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_no_body_is_wanted(start: Serve, method: str, status: int) -> None:
    closed: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append(1)

    wire = start(serving(lambda: (status, None, source()))).connect()
    assert wire.get(method=method).answer(head_only=True)[0] == status
    assert wire.get("/other").answer()[2] == b"other"
    if method == "GET":
        until(lambda: closed)


def test_http_1_0_ends_with_the_connection(start: Serve) -> None:
    wire = start(serving(plain)).connect().send(b"GET / HTTP/1.0\r\n\r\n")
    assert rest(wire).partition(b"\r\n\r\n")[2] == "onetwöthree".encode()


def test_a_declared_length(start: Serve) -> None:
    wire = start(serving(lambda: (200, {"Content-Length": "12"}, plain()))).connect()
    assert wire.get().answer()[2] == "onetwöthree".encode()
    assert wire.get("/other").answer()[2] == b"other"


@pytest.mark.parametrize("declared", ["11", "13"])
def test_a_wrong_length_cuts_the_answer(start: Serve, capfd: Any, declared: str) -> None:
    server = start(serving(lambda: (200, {"Content-Length": declared}, plain())))
    assert len(rest(server.connect().get()).partition(b"\r\n\r\n")[2]) < int(declared)
    server.stop()
    assert "a streamed body failed: GET /" in capfd.readouterr().err


@pytest.mark.parametrize("wait", [False, True])
def test_an_error_before_the_first_piece_is_a_500(start: Serve, capfd: Any, wait: bool) -> None:
    async def source() -> AsyncIterator[bytes]:
        if wait:
            await asyncio.sleep(0.001)
        raise LookupError("early")
        yield b""

    server = start(serving(source))
    wire = server.connect()
    for _ in range(2):
        assert wire.get().answer()[0] == 500
    assert wire.get("/other").answer()[2] == b"other"
    server.stop()
    assert "LookupError: early" in capfd.readouterr().err


@pytest.mark.parametrize("fault", [LookupError("late"), 5])
def test_an_error_later_cuts_the_answer(start: Serve, capfd: Any, fault: Any) -> None:
    async def source() -> AsyncIterator[Any]:
        yield b"begun"
        if fault != 5:
            raise fault
        yield fault

    server = start(serving(source))
    received = rest(server.connect().get())
    server.stop()
    assert b"5\r\nbegun\r\n" in received
    assert not received.endswith(b"0\r\n\r\n")
    assert "a streamed body failed: GET /" in capfd.readouterr().err


def test_a_bad_header_is_a_500_and_the_source_is_closed(start: Serve) -> None:
    closed: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"a"
        finally:
            closed.append(1)

    wire = start(serving(lambda: (200, {"A": "b\r\nC: d"}, source()))).connect()
    assert wire.get().answer()[0] == 500
    until(lambda: closed)
    assert wire.get("/other").answer()[2] == b"other"


# --- pace ---------------------------------------------------------------------------------------


def test_the_source_waits_for_a_slow_reader(start: Serve) -> None:
    made: list[int] = [0]

    async def source() -> AsyncIterator[bytes]:
        while made[0] < 64 * MIB:
            made[0] += 64 * KIB
            yield bytes(64 * KIB)

    wire = start(serving(source)).connect().get()
    wire.answer()
    held = -1
    while held != made[0]:  # until it makes no more
        held = made[0]
        time.sleep(0.3)
    assert held < 32 * MIB  # what the kernel's buffers take
    size, tail = len(wire.left), wire.left
    while not tail.endswith(b"\r\n0\r\n\r\n"):  # which may come in two pieces
        data = wire.sock.recv(MIB)
        assert data
        size += len(data)
        tail = (tail + data)[-10:]
    assert made[0] == 64 * MIB
    assert size == 1024 * (64 * KIB + len(b"10000\r\n\r\n")) + len(b"0\r\n\r\n")


def test_others_get_their_turn(start: Serve) -> None:
    stop: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        while not stop:
            yield b"x"

    server = start(serving(source))
    flood = server.connect().get()
    flood.answer()
    flood.sock.settimeout(0.001)
    assert server.connect().get("/other").answer()[2] == b"other"
    stop.append(1)


def test_a_turn_is_bounded() -> None:
    assert module.TURN_BYTES // module.PIECE_COST == 512


# --- the peer leaves ----------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
def test_a_source_that_waits_is_cancelled(start: Serve, reset: bool, capfd: Any) -> None:
    seen: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0.001)
            seen.append("closed")

    server = start(serving(source), timeout_half_closed=0.1)
    wire = server.connect().get()
    wire.answer()
    leave(wire) if reset else wire.close()
    until(lambda: seen == ["cancelled", "closed"])
    server.stop()
    assert capfd.readouterr().err == ""


def test_a_source_that_lags_behind_its_reader_is_closed(start: Serve, capfd: Any) -> None:
    seen: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(64 * KIB)
        finally:
            seen.append("closed")

    server = start(serving(source))
    wire = server.connect().get()
    wire.answer()
    time.sleep(0.05)
    leave(wire)
    until(lambda: seen)
    server.stop()
    assert capfd.readouterr().err == ""


def test_stopping_ends_a_body_that_has_no_end(start: Serve, capfd: Any) -> None:
    seen: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.01)
        finally:
            seen.append("closed")

    server = start(serving(source), drain=0.2)
    wire = server.connect().get()
    wire.answer()
    server.stop()
    assert seen == ["closed"]
    assert not rest(wire).endswith(b"0\r\n\r\n")
    assert capfd.readouterr().err == ""


def test_a_source_sees_the_context_of_its_handler(start: Serve) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    app = App()

    async def source() -> AsyncIterator[str]:
        yield name.get()
        await asyncio.sleep(0.001)
        yield name.get()

    @app.get("/{name}/{wait}")
    async def handler(request: Any) -> Response:
        assert name.get() == "nobody"
        name.set(request.params["name"])
        if request.params["wait"] == "wait":
            await asyncio.sleep(0)
        return Response.stream(source())

    app.get("/plain")(lambda request: Response.stream(source()))
    wire = start(app).connect()
    for path, expected in (("/a/now", b"a"), ("/b/wait", b"b"), ("/c/now", b"c"), ("/plain", b"nobody")):
        wire.get(path).answer()
        while not wire.left.endswith(b"0\r\n\r\n"):
            wire.left += wire.sock.recv(1000)
        assert wire.left == chunks(expected, expected)
        wire.left = b""
