"""Bodies of any size through a running server: memory, pace, peers that leave, and disks that are full."""

from __future__ import annotations

import asyncio
import os
import pathlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.processes import descriptors, resident
from tests.support.waiting import PATIENCE, until

from dimcore import BadRequest, FileBody, RequestPoint
from dimcore.http1.body import decode_chunked
from dimserver import App

KIB = 1024
MIB = 1024 * KIB

Serve = Callable[..., Any]
Start = Callable[..., Any]

APP = """
import time
from dimserver import App
app = App()

@app.post("/slow", blocking=True, stream=True)
def slow(request):
    size = 0
    for piece in request.stream():
        if size < 2 << 20:
            time.sleep(0.01)
        size += len(piece)
    return str(size)

@app.post("/inline")
def inline(request):
    return str(sum(map(len, request.stream())))

@app.get("/down")
def down(request):
    for _ in range(1024):
        yield b"x" * 65536

@app.get("/down/thread", blocking=True)
def down_thread(request):
    return down(request)

@app.get("/some")
def some(request):
    return (b"x" * 65536 for _ in range(40))

@app.get("/some/thread", blocking=True)
def some_thread(request):
    return some(request)

@app.get("/some/async")
async def some_async(request):
    async def pieces():
        for piece in some(request):
            yield piece
    return pieces()

@app.get("/some/whole")
def whole(request):
    return b"x" * 65536 * 40
"""


def post(path: str, size: int, *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n{lines}\r\n".encode()


linux = pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="reads /proc")


@pytest.fixture
def program(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "streams.py").write_text(APP)
    return tmp_path


# --- the end ------------------------------------------------------------------------------------


def test_the_last_answer_is_whole_whatever_the_client_sends_behind_its_request(
    child: Start, program: pathlib.Path
) -> None:
    """A server that closes with something unread resets the connection, and what the client had not read is gone."""
    server = child("run", "streams:app", "--port", "0", cwd=program)
    address = server.connect().sock.getpeername()
    for path in ("/some", "/some/thread", "/some/async", "/some/whole"):
        with socket.create_connection(address, PATIENCE) as client:
            client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode() + b"y" * 300_000)
            time.sleep(0.05)  # so that the server is done with what it can send
            received = b"".join(iter(lambda: client.recv(1 << 20), b""))
        assert received.count(b"x") == 40 * 65536, path


# --- memory -------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("path", ["/slow", "/inline"])
def test_a_large_upload_is_not_held_in_memory(child: Start, program: pathlib.Path, path: str) -> None:
    server = child("run", "streams:app", "--port", "0", "--limit-body", "1GiB", cwd=program)
    wire = server.connect()
    wire.send(post(path, 2 * MIB) + b"x" * 2 * MIB)
    assert wire.answer()[2] == b"2097152"
    before, opened = resident(server.worker), len(descriptors(server.worker))
    most = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], resident(server.worker))

    watcher = threading.Thread(target=watch)
    watcher.start()
    wire.send(post(path, 64 * MIB))
    for _ in range(64):
        wire.send(b"x" * MIB)
    assert wire.answer()[2] == b"%d" % (64 * MIB)
    done.set()
    watcher.join()
    assert most[0] - before < 16 * MIB
    until(lambda: len(descriptors(server.worker)) <= opened)


@linux
@pytest.mark.parametrize("path", ["/down", "/down/thread"])
def test_a_slow_reader_of_a_large_answer_costs_no_memory(child: Start, program: pathlib.Path, path: str) -> None:
    server = child("run", "streams:app", "--port", "0", cwd=program)
    wire = server.connect()
    wire.get("/none").answer()
    before = resident(server.worker)
    wire.get(path)
    most = 0
    received = 0
    while not wire.left.endswith(b"\r\n0\r\n\r\n"):
        wire.left = wire.left[-20:] + wire.sock.recv(512 * KIB)
        received += len(wire.left) - 20
        if received < 2 * MIB:
            time.sleep(0.01)
        most = max(most, resident(server.worker))
    assert received > 64 * MIB
    assert most - before < 16 * MIB


# --- uploads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("size", [5, 100_000, 3 * MIB])
def test_the_whole_body_by_either_way(serve: Serve, blocking: bool, size: int) -> None:
    app = App()
    app.post("/stream", blocking=blocking)(lambda request: b"".join(request.stream()))
    app.post("/body", blocking=blocking)(lambda request: request.body + request.body[:1])
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    wire = serve(app).connect()
    assert wire.send(post("/stream", size) + body).answer()[2] == body
    assert wire.send(post("/body", size) + body).answer()[2] == body + body[:1]
    assert wire.send(post("/stream", 0)).answer()[2] == b""


def test_the_socket_is_not_read_while_the_handler_lags(serve: Serve) -> None:
    gate = threading.Event()
    app = App()

    @app.post("/", blocking=True, stream=True)
    def handler(request: Any) -> str:
        stream = request.stream()
        size = len(next(stream))
        gate.wait(PATIENCE)
        return str(size + sum(map(len, stream)))

    server = serve(app, limit_body=1 << 30, rate_credit=0.2)
    wire = server.connect()
    wire.send(post("/", 64 * MIB))
    wire.sock.setblocking(False)
    sent = 0
    quiet = time.monotonic()
    while time.monotonic() - quiet < 0.5:
        try:
            sent += wire.sock.send(b"x" * min(MIB, 64 * MIB - sent))
            quiet = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    (connection,) = server.worker.pools.index.get_at(connection_spiral(server), 3)
    assert connection.bytes_in < 4 * MIB
    assert sent < 32 * MIB  # what the kernel's buffers on both sides take
    gate.set()
    wire.sock.settimeout(PATIENCE)
    while sent < 64 * MIB:
        sent += wire.sock.send(b"x" * min(MIB, 64 * MIB - sent))
    assert wire.answer()[2] == b"%d" % (64 * MIB)


def connection_spiral(server: Any) -> int:
    index = server.worker.pools.index
    return next(spiral for spiral in range(index.spirals) if index.count_at(spiral, 3))


@pytest.mark.parametrize("how", ["reset", "close", "half"])
def test_a_client_that_leaves_in_mid_upload(serve: Serve, how: str) -> None:
    seen: list[Any] = []
    begun = threading.Event()
    app = App()

    @app.post("/", blocking=True, stream=True)
    def handler(request: Any) -> str:
        begun.set()
        size = 0
        try:
            for piece in request.stream():
                size += len(piece)
        except BadRequest as error:
            seen.append(error)
            raise
        seen.append(size)
        return "whole"

    server = serve(app)
    wire = server.connect()
    wire.send(post("/", 8 * MIB) + b"x" * 3 * MIB)
    assert begun.wait(PATIENCE)
    if how == "half":
        wire.sock.shutdown(socket.SHUT_WR)
        assert wire.answer()[0] == 400
    else:
        if how == "reset":
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wire.close()
    until(lambda: seen)
    assert isinstance(seen[0], BadRequest)


@pytest.mark.parametrize("blocking", [False, True])
def test_chunks_broken_in_the_middle(serve: Serve, blocking: bool) -> None:
    seen: list[Any] = []
    app = App()
    app.post("/", blocking=blocking)(lambda request: seen.append(request.body))
    wire = serve(app).connect()
    head = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.send(head + b"200000\r\n" + b"x" * 0x200000 + b"\r\n-5\r\n")
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert seen == []
    assert wire.ended()


def test_an_answer_before_the_body_is_read(serve: Serve) -> None:
    app = App()
    app.post("/", blocking=True, stream=True)(lambda request: (413, None, "too much"))
    wire = serve(app, limit_body=1 << 30).connect()
    wire.send(post("/", 512 * MIB) + b"x" * 2 * MIB)
    status, headers, body = wire.answer()
    assert (status, headers["connection"], body) == (413, "close", b"too much")
    assert wire.sock.recv(1) == b""  # the end, not a reset
    for _ in range(4):
        wire.sock.send(b"x" * 1000)


def test_a_stream_on_a_thread_that_answers_while_its_body_still_comes(serve: Serve) -> None:
    ended = threading.Event()
    app = App()

    @app.post("/", blocking=True, stream=True)
    def handler(request: Any) -> Iterator[bytes]:
        try:
            for piece in request.stream():
                yield piece.upper()
        finally:
            ended.set()

    wire = serve(app, body_memory=1000).connect()
    wire.send(post("/", 4000) + b"x" * 2000)
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    while wire.left.count(b"X") < 2000:
        wire.more()
    wire.send(b"y" * 2000)
    while wire.left.count(b"Y") < 2000:
        wire.more()
    assert ended.wait(PATIENCE)
    assert wire.left.endswith(b"0\r\n\r\n") or wire.sock.recv(100).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("blocking", [False, True])
def test_continue_before_a_large_body(serve: Serve, blocking: bool) -> None:
    app = App()
    app.post("/", blocking=blocking)(lambda request: str(len(request.body)))
    wire = serve(app).connect()
    wire.send(post("/", 3 * MIB, "Expect: 100-continue"))
    assert wire.answer()[0] == 100
    assert wire.send(b"x" * 3 * MIB).answer()[2] == b"%d" % (3 * MIB)


def expecting(app: App, path: str, blocking: bool, refuse: bool) -> None:
    """A route that is given its body as it arrives, and looks at it late, or never."""

    def on_a_thread(request: Any) -> Any:
        time.sleep(0.05)
        return (401, {}, b"who?") if refuse else str(sum(map(len, request.stream())))

    async def on_the_loop(request: Any) -> Any:
        await asyncio.sleep(0.05)
        return (401, {}, b"who?") if refuse else str(sum([len(piece) async for piece in request.stream()]))

    app.post(path, blocking=blocking, stream=True)(on_a_thread if blocking else on_the_loop)


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("size", [5, 2 * MIB])
def test_continue_is_said_when_the_handler_asks(serve: Serve, blocking: bool, size: int) -> None:
    app = App()
    expecting(app, "/", blocking, refuse=False)
    app.get("/")(lambda request: "before")
    wire = serve(app).connect()
    wire.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n" + post("/", size, "Expect: 100-continue"))
    assert wire.answer()[2] == b"before"
    assert wire.answer()[0] == 100
    assert wire.send(b"x" * size).answer()[2] == b"%d" % size
    # One that does not wait to be told is told nothing, and neither is the next one without the expectation.
    assert wire.send(post("/", 5, "Expect: 100-continue") + b"x").send(b"yyyy").answer()[2] == b"5"
    assert wire.send(post("/", 5)).send(b"xxxxx").answer()[2] == b"5"


@pytest.mark.parametrize("blocking", [False, True])
def test_continue_is_not_said_for_a_body_nobody_wants(serve: Serve, blocking: bool) -> None:
    app = App()
    expecting(app, "/", blocking, refuse=True)
    wire = serve(app).connect()
    status, fields, body = wire.send(post("/", 3 * MIB, "Expect: 100-continue")).answer()
    assert (status, body) == (401, b"who?")
    assert fields["connection"] == "close"  # the peer may send the body all the same: where it ends is not known
    assert wire.sock.recv(1) == b""


@pytest.mark.parametrize("blocking", [False, True])
def test_a_handler_that_asks_late_does_not_make_its_client_late(serve: Serve, blocking: bool) -> None:
    app = App()

    def on_a_thread(request: Any) -> str:
        time.sleep(0.6)
        return str(sum(map(len, request.stream())))

    async def on_the_loop(request: Any) -> str:
        await asyncio.sleep(0.6)
        return str(sum([len(piece) async for piece in request.stream()]))

    app.post("/", blocking=blocking, stream=True)(on_a_thread if blocking else on_the_loop)
    wire = serve(app, rate_credit=0.2).connect()
    assert wire.send(post("/", 5, "Expect: 100-continue")).answer()[0] == 100
    assert wire.send(b"xxxxx").answer()[2] == b"5"


@pytest.mark.parametrize("blocking", [False, True])
def test_a_body_by_drops_is_closed(serve: Serve, blocking: bool) -> None:
    seen: list[Any] = []
    app = App()

    @app.post("/", blocking=blocking, stream=blocking)
    def handler(request: Any) -> str:
        try:
            return str(len(request.body))
        except BadRequest as error:
            seen.append(error)
            raise

    wire = serve(app, rate_credit=0.2, timeout_linger=0.1).connect()
    wire.send(post("/", 3 * MIB) + b"x" * 2 * MIB)
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < 5:
            wire.sock.send(b"x")
            time.sleep(0.02)
    except OSError:
        pass
    assert time.monotonic() - begun < 3
    if blocking:
        until(lambda: seen)


# --- the temporary file -------------------------------------------------------------------------


def test_spools_leave_nothing_in_their_directory(serve: Serve, tmp_path: pathlib.Path) -> None:
    listed: list[Any] = []
    app = App()

    @app.post("/")
    def handler(request: Any) -> str:
        listed.extend(tmp_path.iterdir())
        links = [str(link.readlink()) for link in pathlib.Path("/proc/self/fd").iterdir() if link.is_symlink()]
        listed.append(any(str(tmp_path) in link for link in links))
        return str(len(request.body))

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    server = serve(app, spool_dir=str(tmp_path))
    wire = server.connect()
    assert wire.send(post("/", 2 * MIB) + b"x" * 2 * MIB).answer()[2] == b"%d" % (2 * MIB)
    assert listed == [True]
    wire.close()
    server.stop()
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


def test_a_full_disk_is_shed_and_survived(child: Start, program: pathlib.Path) -> None:
    (program / "limited.py").write_text(
        "import resource, signal\n"
        "from streams import app\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, resource.RLIM_INFINITY))\n"
    )
    server = child("run", "limited:app", "--port", "0", cwd=program)
    opened = len(descriptors(server.worker))
    for _ in range(3):
        with server.connect() as wire:
            wire.send(post("/inline", 8 * MIB) + b"x" * (3 * MIB + 500 * KIB))
            status, headers, _ = wire.answer()
            assert (status, headers["retry-after"]) == (503, "1")
    with server.connect() as wire:
        assert wire.send(post("/inline", 2 * MIB) + b"x" * 2 * MIB).answer()[2] == b"2097152"
    until(lambda: len(descriptors(server.worker)) <= opened)
    code, _, err = server.end()
    assert code == 0
    assert "could not be kept" in err


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_directory_that_cannot_be_used_is_told_at_the_start(child: Start, program: pathlib.Path, kind: str) -> None:
    place = program / kind
    if kind == "file":
        place.touch()
    server = child("run", "streams:app", "--port", "0", "--spool-dir", str(place), cwd=program, announced=False)
    code, out, err = server.end(0)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert f"--spool-dir: {'no such directory' if kind == 'missing' else 'not a directory'}" in err


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="an option of Linux")
def test_segments_are_held_back_while_a_large_file_is_sent_and_no_longer(serve: Serve, tmp_path: pathlib.Path) -> None:
    app = App()
    sockets: list[socket.socket] = []
    size = 16 * MIB + 1

    @app.get("/")
    def file(request: RequestPoint) -> tuple[int, None, FileBody]:
        sockets.append(socket.fromfd(request.connection.fileno, socket.AF_INET, socket.SOCK_STREAM))
        return 200, None, FileBody(os.open(tmp_path / "file", os.O_RDONLY), 0, size)

    def held_back() -> int:
        return sockets[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK)

    with (tmp_path / "file").open("wb") as out:
        out.truncate(size)
    wire = serve(app).connect()
    try:
        for _ in range(2):
            wire.get()
            until(lambda: sockets and held_back() == 1)  # it cannot all be sent before it is read
            assert len(wire.answer()[2]) == size
            until(lambda: held_back() == 0)
    finally:
        for sock in sockets:
            sock.close()


def test_who_reads_nothing_is_told_although_bytes_wait_in_between(serve: Serve) -> None:
    """A plain close would leave megabytes in the kernel, and a peer that never learns of it."""
    app = App()
    app.route("/", lambda request: bytes(64 * MIB))
    address = serve(app, rate_credit=0.2, rate_send=1_000_000_000).connect().sock.getpeername()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(address)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        poll = select.poll()
        poll.register(sock, 0)  # hang-up and error alone
        assert poll.poll(PATIENCE * 1000)


@pytest.mark.parametrize("path", ["/down", "/down/thread"])
def test_chunks_stay_whole_however_they_are_read(serve: Serve, path: str) -> None:
    """A chunk goes out in one call; what is not taken of it may end at any of its bytes."""
    app = App()
    sizes = [16 * KIB, 1, 100 * KIB + 1, 64 * KIB, 16 * KIB - 1] * 20
    pieces = [bytes([65 + at % 26]) * size for at, size in enumerate(sizes)]
    app.get("/down")(lambda request: iter(pieces))
    app.get("/down/thread", blocking=True)(lambda request: iter(pieces))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(serve(app).connect().sock.getpeername())
        sock.settimeout(PATIENCE)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        data = b"".join(iter(lambda: sock.recv(4097), b""))
    body, used = decode_chunked(data.partition(b"\r\n\r\n")[2], limit=64 * MIB)
    assert body == b"".join(pieces)
    assert data.endswith(b"\r\n0\r\n\r\n")
    assert used == len(data.partition(b"\r\n\r\n")[2])
