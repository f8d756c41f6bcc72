"""ASGI apps behind a socket, on each asyncio loop: scopes, messages both ways, every way an app can end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import pathlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dimserver import App
from dimserver.errors import AppStartError

Serve = Callable[..., Any]
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

KIB = 1024
MIB = 1024 * KIB
PATIENCE = 20.0
DISCONNECT = {"type": "http.disconnect"}


def mounted(app: Asgi, prefix: str = "/") -> App:
    server = App()
    server.mount(prefix, app, interface="asgi")
    return server


@pytest.fixture(params=["asyncio", "uvloop"])
def start(request: pytest.FixtureRequest, serve: Serve, tmp_path: pathlib.Path) -> Callable[..., Any]:
    """Serve an ASGI app at the root; ``.told()`` is what the server reported."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")

    def start(app: Asgi, prefix: str = "/", **settings: Any) -> Any:
        log = tmp_path / "errors"
        server = serve(
            mounted(app, prefix), **{"loop": request.param, "log_file": str(log), "lifespan": "off", **settings}
        )
        server.told = lambda: log.read_text() if log.exists() else ""
        return server

    return start


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


async def answer(send: Send, body: bytes = b"fine", status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [*headers]})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


def chunked(wire: Any) -> tuple[int, dict[str, str], bytes, dict[str, str]]:
    """The next answer in chunks, with its trailers."""
    status, headers, _ = wire.answer()
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers

    def line() -> bytes:
        while b"\r\n" not in wire.left:
            wire._more()
        first, _, wire.left = wire.left.partition(b"\r\n")
        return bytes(first)

    body = b""
    while size := int(line(), 16):
        while len(wire.left) < size + 2:
            wire._more()
        body += wire.left[:size]
        assert wire.left[size : size + 2] == b"\r\n"
        wire.left = wire.left[size + 2 :]
    trailers = {}
    while field := line():
        name, _, value = field.decode().partition(": ")
        trailers[name] = value
    return status, headers, body, trailers


# --- the scope ----------------------------------------------------------------------------------


async def show(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the scope."""

    def plain(value: object) -> Any:
        if isinstance(value, bytes):
            return value.decode("latin-1")
        raise TypeError(value)

    await read(receive)
    await answer(send, json.dumps(scope, default=plain).encode())


def scope_of(wire: Any) -> Scope:
    return dict(json.loads(wire.answer()[2]))


def test_scope(start: Serve) -> None:
    server = start(show)
    wire = server.connect()
    wire.send(
        b"PUT /a%20b/%C3%A9%2f?x=1&y=%20 HTTP/1.1\r\nHoSt: Here:1\r\nX-One: 1\r\nx-two:\t2 \r\nX-ONE: \xe9\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    scope = scope_of(wire)
    address = list(wire.sock.getsockname())
    port = int(server.url.rpartition(":")[2])
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/a b/\xe9/",
        "raw_path": "/a%20b/%C3%A9%2f",
        "query_string": "x=1&y=%20",
        "root_path": "",
        "headers": [["host", "Here:1"], ["x-one", "1"], ["x-two", "2"], ["x-one", "\xe9"], ["content-length", "0"]],
        "client": address,
        "server": ["127.0.0.1", port],
        "state": {},
        "extensions": {"http.response.pathsend": {}, "http.response.early_hint": {}},
    }
    wire.send(b"GET / HTTP/1.0\r\n\r\n")
    scope = scope_of(wire)
    assert (scope["http_version"], scope["headers"], scope["query_string"]) == ("1.0", [], "")
    assert scope["extensions"] == {"http.response.pathsend": {}}


def test_types_in_a_scope(start: Serve) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        scope["state"]["mine"] = scope["extensions"]["mine"] = 1
        await answer(send)

    wire = start(app).connect()
    wire.get("/x?y").answer()
    wire.get("/x?y", "A: b", "TE: gzip, Trailers").answer()
    first, second = seen
    assert type(first["headers"]) is list
    assert type(first["headers"][0]) is tuple
    for kind, names in ((str, ("method", "path", "root_path")), (bytes, ("raw_path", "query_string"))):
        assert [type(first[name]) for name in names] == [kind] * len(names)
    assert first["headers"] is not second["headers"]
    assert second["state"] == {"mine": 1}  # its own, not the first one's
    assert first["state"] is not second["state"]
    assert set(second["extensions"]) == {
        "http.response.pathsend", "http.response.early_hint", "http.response.trailers", "mine",
    }  # fmt: skip
    assert isinstance(first["client"], tuple)
    assert first["client"] == second["client"]


def test_absolute_target_says_the_host(start: Serve) -> None:
    wire = start(show).connect()
    wire.send(b"GET http://real:8/p?q HTTP/1.1\r\nHost: other\r\nA: b\r\n\r\n")
    scope = scope_of(wire)
    assert scope["headers"] == [["host", "real:8"], ["a", "b"]]
    assert (scope["path"], scope["query_string"]) == ("/p", "q")


def test_where_an_app_stands(start: Serve) -> None:
    scope = scope_of(start(show, "/api", root_path="/outer").connect().get("/api/x%20y"))
    assert scope["root_path"] == "/outer/api"
    assert scope["path"] == "/outer/api/x y"
    assert scope["raw_path"] == "/outer/api/x%20y"


def test_a_proxy_that_leaves_the_root_path_in_the_path(start: Serve) -> None:
    server = start(show, root_path="/outer")
    for target, path in (
        ("/outer/x%20y", "/outer/x y"),
        ("/outer", "/outer"),
        ("/outermost", "/outer/outermost"),  # another path, which only begins with the same letters
        ("/x", "/outer/x"),
        ("/outer?a", "/outer"),
    ):
        scope = scope_of(server.connect().get(target))
        assert (scope["path"], scope["root_path"]) == (path, "/outer")
        assert scope["raw_path"] == path.replace(" ", "%20")


def test_scope_on_a_unix_socket(start: Serve, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "socket")
    scope = scope_of(start(show, uds=path).connect().get())
    assert scope["server"] == [path, None]
    assert scope["client"] is None


def test_scope_behind_a_trusted_proxy(start: Serve) -> None:
    wire = start(show, trusted_proxies=("127.0.0.1",)).connect()
    fields = ("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example")
    scope = scope_of(wire.get("/", *fields))
    assert (scope["client"], scope["scheme"]) == (["192.0.2.7", 0], "https")
    assert scope["headers"][0] == ["host", "shop.example"]
    scope = scope_of(wire.get())
    assert (scope["client"], scope["scheme"]) == (list(wire.sock.getsockname()), "http")


def test_an_untrusted_proxy_says_nothing(start: Serve) -> None:
    wire = start(show).connect()
    scope = scope_of(wire.get("/", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"))
    assert (scope["client"], scope["scheme"]) == (list(wire.sock.getsockname()), "http")


def test_many_connections_keep_their_own_addresses(start: Serve) -> None:
    server = start(show)
    wires = [server.connect() for _ in range(20)]
    for _ in range(2):
        for wire in wires:
            assert scope_of(wire.get())["client"] == list(wire.sock.getsockname())
    for wire in wires:
        wire.close()
    again = [server.connect() for _ in range(20)]  # on the descriptors of those before
    for wire in again:
        assert scope_of(wire.get())["client"] == list(wire.sock.getsockname())


# --- the body of the request ----------------------------------------------------------------------


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, await read(receive))


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
            wire._more()
        wire.send(b"3\r\ndef\r\n")
        while b"def" not in wire.left:
            wire._more()
        wire.send(b"0\r\n\r\n")
        while not wire.left.endswith(b"0\r\n\r\n"):
            wire._more()
        wire.left = b""
    # More than either side holds, both at the same time.
    body = bytes(range(256)) * 4 * KIB * 8
    wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body))
    sender = threading.Thread(target=wire.send, args=(body,))
    sender.start()
    assert chunked(wire)[2] == body
    sender.join(PATIENCE)


def test_a_broken_body_ends_as_the_peers_fault(start: Serve) -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not seen or seen[-1]["type"] != "http.disconnect":
            seen.append(await receive())
        raise ConnectionError("the client is gone")

    server = start(app, limit_body=10)
    for body, status in ((b"1\r\na\r\nxx\r\n", 400), (b"1\r\na\r\n10\r\n", 413)):
        seen.clear()
        wire = server.connect()
        wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(body[:6])
        until(lambda: seen)
        wire.send(body[6:])
        assert wire.answer()[0] == status
        assert wire.ended()
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


# --- the answer -----------------------------------------------------------------------------------


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
        wire._more()
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

    server = start(app)
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


# --- the lifespan ---------------------------------------------------------------------------------


def test_lifespan(start: Serve) -> None:
    said: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            said.append((await receive())["type"])
            scope["state"]["shared"] = []
            await send({"type": "lifespan.startup.complete"})
            said.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
        else:
            scope["state"]["shared"].append(1)
            scope["state"]["own"] = scope["state"].get("own", 0) + 1
            await answer(send, f"{len(scope['state']['shared'])} {scope['state']['own']}".encode())

    server = start(app, lifespan="on")
    wire = server.connect()
    assert wire.get().answer()[2] == b"1 1"
    assert wire.get().answer()[2] == b"2 1"  # a shallow copy for each
    assert said == ["lifespan.startup"]
    server.stop()
    assert said == ["lifespan.startup", "lifespan.shutdown"]
    assert server.told() == ""


def test_an_app_that_does_not_start(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(AppStartError, match="the ASGI app failed to start: no database"):
        start(app, lifespan="auto")


def test_an_app_without_lifespan(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await answer(send)

    server = start(app, lifespan="auto")
    assert server.connect().get().answer()[2] == b"fine"
    assert server.told() == ""
    with pytest.raises(AppStartError, match="the ASGI app failed to start: AssertionError"):
        start(app, lifespan="on")


# --- ways to fail -----------------------------------------------------------------------------------


START = {"type": "http.response.start", "status": 200}
PIECE = {"type": "http.response.body", "body": b"piece", "more_body": True}
LENGTH = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]}
# What the app sends, the status of the answer (0: it was cut after its head), and what the log says.
FAULTS: dict[str, tuple[list[Message | type[Exception]], int, str]] = {
    "raises first": ([LookupError], 500, "LookupError"),
    "raises behind the head": ([START, LookupError], 500, "LookupError"),
    "raises behind a piece": ([START, PIECE, LookupError], 0, "LookupError"),
    "nothing": ([], 500, "returned without starting response"),
    "head alone": ([START], 500, "returned without starting response"),
    "no end": ([START, PIECE], 0, "returned without completing response"),
    "body first": ([PIECE], 500, "Expected ASGI message 'http.response.start', but got 'http.response.body'"),
    "head twice": ([START, START], 500, "Expected ASGI message 'http.response.body', but got 'http.response.start'"),
    "head twice, late": ([START, PIECE, START], 0, "but got 'http.response.start'"),
    "unknown": ([{"type": "what"}], 500, "but got 'what'"),
    "no message": ([{}], 500, "KeyError"),
    "status": ([{"type": "http.response.start", "status": 99}], 500, "200 to 599, not 99"),
    "bad name": ([{**START, "headers": [(b"a b", b"c")]}, {"type": "http.response.body"}], 500, "not a token"),
    "bad value": ([{**START, "headers": [(b"a", b"c\r\n")]}, {"type": "http.response.body"}], 500, "control character"),
    "text": ([START, {"type": "http.response.body", "body": "text"}], 500, "is bytes, not str"),
    "too few at once": ([LENGTH, {"type": "http.response.body", "body": b"6bytes"}], 500, "Content-Length is 7"),
    "too many at once": ([LENGTH, {"type": "http.response.body", "body": b"8 bytes."}], 500, "Content-Length is 7"),
    "too few": ([LENGTH, PIECE, {"type": "http.response.body", "body": b"1"}], 0, "shorter than Content-Length"),
    "too many": ([LENGTH, PIECE, PIECE], 0, "longer than Content-Length"),
    "too many in the first": ([LENGTH, {**PIECE, "body": b"8 bytes."}], 0, "longer than Content-Length"),
}  # fmt: skip


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults(start: Serve, fault: str, waits: bool) -> None:
    messages, expected, logged = FAULTS[fault]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/good":
            await answer(send)
            return
        for message in messages:
            if waits:
                await asyncio.sleep(0.001)
            if isinstance(message, dict):
                await send(message)
            else:
                raise message("on purpose")

    server = start(app)
    wire = server.connect().get()
    if expected:
        status, _, body = wire.answer()
        assert (status, body) == (500, b"Internal Server Error\n")
        assert wire.get("/good").answer()[2] == b"fine"
    else:
        while b"\r\n\r\n" not in wire.left:
            wire._more()
        data = wire.left
        while more := wire.sock.recv(65536):
            data += more
        assert data.startswith(b"HTTP/1.1 200 ")
        assert not data.endswith(b"0\r\n\r\n")
        if "content-length" in data.decode().lower():
            assert len(data.partition(b"\r\n\r\n")[2]) < 7
    until(lambda: logged in server.told())
    assert server.connect().get("/good").answer()[2] == b"fine"


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
def test_faults_behind_an_answer(start: Serve, waits: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        if waits:
            await asyncio.sleep(0.001)
        if scope["path"] == "/again":
            await send({"type": "http.response.body"})
        raise LookupError("behind")

    server = start(app)
    wire = server.connect()
    assert wire.get().answer()[2] == b"fine"
    assert wire.get("/again").answer()[2] == b"fine"
    until(lambda: "already completed" in server.told())
    assert "LookupError: behind" in server.told()
    assert wire.get().answer()[2] == b"fine"


def test_an_app_that_is_no_coroutine_function(start: Serve) -> None:
    class Mine:
        def __call__(self, *given: Any) -> Awaitable[None]:
            send = given[2]
            return answer(send, b"object")

    def plain(scope: Scope, receive: Receive, send: Send) -> None:
        return None

    assert start(Mine()).connect().get().answer()[2] == b"object"
    assert start(plain).connect().get().answer()[0] == 500


def test_an_app_that_returns_something(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        await answer(send)
        return 5

    server = start(app)
    assert server.connect().get().answer()[2] == b"fine"
    until(lambda: "should return None, but returned 5" in server.told())


def test_an_app_can_recover_from_its_own_faults(start: Serve) -> None:
    """As frameworks do that answer 500 with a page of their own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        try:
            await send({"type": "http.response.body", "body": b"abc"})
        except RuntimeError:
            await send({"type": "http.response.body", "body": b"recovered"})

    assert start(app).connect().get().answer()[2] == b"recovered"


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


# --- the peer leaves --------------------------------------------------------------------------------


def leave(wire: Any, how: str) -> None:
    if how == "half":
        wire.sock.shutdown(socket.SHUT_WR)
    else:
        if how == "reset":
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.close()


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
        for _ in range(40):
            await asyncio.sleep(0.05)
            await send(PIECE)
        await asyncio.sleep(0 if scope["path"] == "/" else 1000)
        await send({"type": "http.response.body"})

    server = start(app, timeout_half_closed=0.6)
    wires = [server.connect().get(), server.connect().get("/silent")]
    for wire in wires:
        leave(wire, "half")
    assert chunked(wires[0])[2] == b"piece" * 40
    with contextlib.suppress(ConnectionError):
        while data := wires[1].sock.recv(4096):
            wires[1].left += data
    assert wires[1].left.count(b"piece") == 40
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


# --- contexts and tasks -----------------------------------------------------------------------------

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def test_contexts_are_apart(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = variable.get()
        variable.set(scope["path"])
        await asyncio.sleep(0.001)
        task = asyncio.create_task(asyncio.sleep(0, variable.get()))
        assert asyncio.current_task() is not None
        await answer(send, f"{before} {variable.get()} {await task}".encode())

    class Plain:
        def __call__(self, *given: Any) -> Awaitable[None]:
            send = given[2]
            before = variable.get()
            variable.set("changed")
            return answer(send, before.encode())

    wire = start(app).connect()
    for path in ("/a", "/b"):
        assert wire.get(path).answer()[2] == f"none {path} {path}".encode()
    wire = start(Plain()).connect()
    for _ in range(3):
        assert wire.get().answer()[2] == b"none"


def test_timeouts_and_cancellation(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/timeout":
            try:
                async with asyncio.timeout(0.01):
                    await receive()
                    await receive()
            except TimeoutError:
                await answer(send, b"timed out")
        elif scope["path"] == "/group":
            async with asyncio.TaskGroup() as group:
                group.create_task(send(START))  # type: ignore[arg-type]
            await send({"type": "http.response.body", "body": b"group"})
        else:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

    server = start(app)
    wire = server.connect()
    assert wire.get("/timeout").answer()[2] == b"timed out"
    assert wire.get("/group").answer()[2] == b"group"
    assert wire.get("/cancel").answer()[0] == 500
    assert wire.get("/timeout").answer()[2] == b"timed out"


def test_a_stop_waits_for_work_behind_an_answer(start: Serve) -> None:
    ended: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        await asyncio.sleep(0.5)
        ended.append(True)

    server = start(app)
    wire = server.connect()
    assert wire.get().answer()[2] == b"fine"
    wire.close()
    server.stop()
    assert ended == [True]


def test_a_stop_lets_answers_finish_and_cancels_the_rest(start: Serve) -> None:
    ends: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] == "/slow":
                await asyncio.sleep(0.2)
                await answer(send)
            else:
                await answer(send)
                await asyncio.sleep(100)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    server = start(app)
    server.connect().get("/behind").answer()
    slow = server.connect().get("/slow")
    time.sleep(0.05)
    server.stop()
    assert slow.answer()[2] == b"fine"
    assert ends == ["cancelled"]
    assert server.told() == ""


def test_an_upgrade_to_something_else_is_a_plain_request(start: Serve) -> None:
    wire = start(echo).connect()
    assert wire.get("/", "Upgrade: h2c", "Connection: upgrade").answer()[0] == 200
