"""What an ASGI app sends, and what it does behind that."""

from __future__ import annotations

import asyncio
import pathlib
import threading
import time

import pytest
from tests.dimserver.gateway.asgi_peer import KIB, MIB, Receive, Scope, Send, Serve, answer, chunked, echo
from tests.support.waiting import PATIENCE, until

# --- the answer -------------------------------------------------------------------------------------


def test_streams(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"b")]})
        for piece in (b"one", b"", b"two" * 10_000, b"three"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})

    whole = b"one" + b"two" * 10_000 + b"three"
    server = start(app)
    wire = server.connect()
    for _ in range(2):
        status, headers, body, _ = chunked(wire.get())
        assert (status, headers["x-a"], body) == (201, "b", whole)
    wire.get(method="HEAD")
    assert wire.answer(head_only=True)[1]["transfer-encoding"] == "chunked"
    assert chunked(wire.get())[2] == whole
    old = server.connect().send(b"GET / HTTP/1.0\r\n\r\n")
    old.answer()
    while data := old.sock.recv(65536):
        old.left += data
    assert old.left == whole


@pytest.mark.parametrize("waits", [False, True])
def test_declared_lengths(start: Serve, waits: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if waits:
            await asyncio.sleep(0)
        headers = [(b"Content-Length", b"6"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"def", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    wire = start(app).connect()
    for _ in range(3):
        status, headers, body = wire.get().answer()
        assert (status, body) == (200, b"abcdef")
        assert "transfer-encoding" not in headers
    head = wire.get(method="HEAD").answer(head_only=True)
    assert head[1]["content-length"] == "6"
    assert wire.get().answer()[2] == b"abcdef"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("more", [False, True])
def test_answers_without_a_body(start: Serve, status: int, more: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": b"dropped" * more, "more_body": more})
        if more:
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"dropped"})

    wire = start(app).connect()
    for _ in range(2):
        got, headers, _ = wire.get().answer()
        assert got == status
        assert not {"content-length", "transfer-encoding"} & set(headers)


def test_what_the_framing_of_an_app_is_worth(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"abc", 200, (b"transfer-encoding", b"chunked"), (b"x", b"y"))

    status, headers, body = start(app).connect().get().answer()
    assert (status, body, headers["content-length"], headers["x"]) == (200, b"abc", "3", "y")
    assert "transfer-encoding" not in headers


def test_head_of_a_stream_is_sent_at_once(start: Serve) -> None:
    go = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        while not go.is_set():  # noqa: ASYNC110 - set by the test's thread
            await asyncio.sleep(0.005)
        await send({"type": "http.response.body", "body": b"late"})

    wire = start(app).connect().get()
    status, _, _ = wire.answer()
    assert status == 200
    go.set()
    while not wire.left.endswith(b"0\r\n\r\n"):
        wire.more()
    assert b"late" in wire.left


def test_a_slow_reader_holds_the_app_back(start: Serve) -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200})
        for _ in range(512):
            await send({"type": "http.response.body", "body": bytes(64 * KIB), "more_body": True})
            sent += 64 * KIB
        await send({"type": "http.response.body"})

    wire = start(app).connect().get()
    time.sleep(0.3)
    before = sent
    assert before < 24 * MIB
    time.sleep(0.1)
    assert sent == before
    size, end = 0, b""
    while end != b"\r\n0\r\n\r\n":
        data = wire.sock.recv(1 << 20)
        size += len(data)
        end = (end + data)[-7:]
    assert 32 * MIB < size < 33 * MIB


def test_an_endless_stream_leaves_others_their_turn(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/other":
            await answer(send)
            return
        await send({"type": "http.response.start", "status": 200})
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    server = start(app)
    stream = server.connect().get()
    stop = threading.Event()

    def drink() -> None:
        while not stop.is_set() and stream.sock.recv(1 << 20):
            pass

    reader = threading.Thread(target=drink)
    reader.start()
    try:
        other = server.connect()
        for _ in range(20):
            assert other.get("/other").answer()[2] == b"fine"
    finally:
        stop.set()
        reader.join()


def test_files(start: Serve, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4000)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.pathsend", "path": str(path) + scope["path"][1:]})

    off = start(app)
    assert off.connect().get().answer()[0] == 500
    assert "the setting asgi-pathsend does" in off.told()
    server = start(app, asgi_pathsend=True)
    wire = server.connect()
    for _ in range(2):
        assert wire.get().answer()[2] == path.read_bytes()
    assert wire.get(method="HEAD").answer(head_only=True)[1]["content-length"] == "1024000"
    assert wire.get("/missing").answer()[0] == 500
    assert "FileNotFoundError" in server.told()
    assert wire.get().answer()[2] == path.read_bytes()


def test_trailers(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True})
        await asyncio.sleep(0)
        await send({"type": "http.response.trailers", "headers": [(b"x-more", b"2")]})

    wire = start(app).connect()
    assert chunked(wire.get("/", "TE: trailers"))[2:] == (b"body", {"x-sum": "1", "x-more": "2"})
    assert chunked(wire.get())[2:] == (b"body", {})
    wire.get(method="HEAD").answer(head_only=True)
    assert chunked(wire.get("/", "TE: trailers"))[2] == b"body"


def test_trailers_that_a_middleware_keeps(start: Serve) -> None:
    """The body is complete: what is lost is the trailers, not the answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send({"type": "http.response.body", "body": b"bo", "more_body": True})
        await send({"type": "http.response.body", "body": b"dy"})

    server = start(app)
    wire = server.connect()
    for _ in range(2):
        assert chunked(wire.get("/", "TE: trailers"))[2:] == (b"body", {})
        assert chunked(wire.get())[2:] == (b"body", {})
    assert server.told() == ""


def test_early_hints(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        links = [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]
        await send({"type": "http.response.early_hint", "links": links})
        await asyncio.sleep(0)
        await send({"type": "http.response.early_hint", "links": links[:1]})
        await answer(send)

    server = start(app)
    wire = server.connect().get()
    status, headers, _ = wire.answer()
    assert (status, headers) == (103, {"link": "</b.js>; rel=preload"})
    assert wire.answer()[0] == 103
    assert wire.answer()[2] == b"fine"
    assert server.connect().send(b"GET / HTTP/1.0\r\n\r\n").answer()[0] == 200


# --- behind the answer ------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_an_answer_is_out_when_its_last_piece_was_sent(start: Serve, blocks: bool, waits: bool) -> None:
    go = threading.Event()
    ended = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if waits:
            await asyncio.sleep(0)
        await answer(send)
        if scope["path"] == "/":
            return
        if blocks:
            go.wait(PATIENCE)
        while not go.is_set():  # noqa: ASYNC110 - set by the test's thread
            await asyncio.sleep(0.005)
        ended.set()

    wire = start(app).connect()
    assert wire.get("/background").answer()[2] == b"fine"
    assert not ended.is_set()
    if not blocks:
        for _ in range(3):  # the same connection serves on
            assert wire.get().answer()[2] == b"fine"
        assert not ended.is_set()
    go.set()
    assert ended.wait(PATIENCE)
    assert wire.get().answer()[2] == b"fine"


def test_work_behind_an_answer_outlives_its_connection(start: Serve) -> None:
    ended = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        await asyncio.sleep(0.1)
        ended.set()

    wire = start(app).connect()
    wire.get().answer()
    wire.close()
    assert ended.wait(PATIENCE)


def test_pipelined_requests_keep_their_order(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(float(scope["query_string"] or b"0"))
        await answer(send, scope["path"].encode())
        await asyncio.sleep(0.01)

    wire = start(app).connect()
    targets = ["/a?0.05", "/b", "/c?0.02", "/d", "/e"]
    wire.send(b"".join(f"GET {target} HTTP/1.1\r\nHost: t\r\n\r\n".encode() for target in targets))
    assert [wire.answer()[2] for _ in targets] == [b"/a", b"/b", b"/c", b"/d", b"/e"]


def test_many_pipelined_requests(start: Serve) -> None:
    wire = start(echo).connect()
    wire.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\nPOST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab" * 300)
    for _ in range(300):
        assert wire.answer()[2] == b""
        assert wire.answer()[2] == b"ab"


def test_send_of_another_request(start: Serve) -> None:
    """One request's coroutine may use what another one was given, also in its first step."""
    waiting: list[tuple[Send, asyncio.Event]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            event = asyncio.Event()
            waiting.append((send, event))
            await event.wait()
            return
        for other, event in waiting:
            await answer(other, b"from another")
            event.set()
        await answer(send)

    server = start(app)
    first = server.connect().get("/wait")
    until(lambda: waiting)
    assert server.connect().get().answer()[2] == b"fine"
    assert first.answer()[2] == b"from another"
    waiting.clear()
    assert server.connect().get().answer()[2] == b"fine"
