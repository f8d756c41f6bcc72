"""A million requests of every kind: the server's memory and descriptors stay where they were after warm-up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.processes import descriptors, resident

import dimserver

SOURCES = Path(dimserver.__file__).parents[1]

KiB = 1024
MiB = 1024 * KiB

WARM_UP = 100_000  # requests: allocators, caches and free lists have found their size
REQUESTS = 1_000_000
ROUNDS_A_CONNECTION = 100  # connections come and go too
MOST_GROWTH = 1 * MiB

APP = """
import os
from dimserver import App, Response
from dimcore import FileBody
app = App()
app.route("/", lambda request: "Hello, World!")
app.route("/users/{name}", lambda request: {"name": request.params["name"], "q": request.query_params.get("q")})
app.route("/headers", lambda request: Response(request.headers["user-agent"], headers=dict(request.headers.items())))
app.route("/echo", lambda request: request.body, methods=["POST"])
app.route("/vector", lambda request: str(request.identity_vector)[:5] + request.request_id[:0])
app.route("/file", lambda request: Response(FileBody(os.open(__file__, os.O_RDONLY), 0, 10)))
app.get("/thread", blocking=True)(lambda request: request.raw_target)
app.run(port=0, api=True, log_level="critical")
"""

FIELDS = b"Host: leak.test\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: a=b; c=d\r\n"
GET = b"GET %s HTTP/1.1\r\n" + FIELDS + b"\r\n"
POST = b"POST /echo HTTP/1.1\r\n" + FIELDS + b"%s\r\n\r\n%s"

MIXED = (
    GET % b"/users/somebody?q=1%20%C3%A9",
    GET % b"/headers",
    GET % b"/vector",
    GET % b"/nowhere",
    GET % b"/echo",  # 405
    GET % b"/file",
    GET % b"/api/manifold/evaluate?spiral=0&layer=3&position=2",
    POST % (b"Content-Length: 10", b"0123456789"),
    POST % (b"Transfer-Encoding: chunked", b"5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\nChecksum: t\r\n\r\n"),
    GET % b"/thread",
)
# Answers are of the same length each time, so a round is done when its bytes are there.
ROUND = [(GET % b"/", 54), *((request, 1) for request in MIXED)]
SIZE = sum(count for _, count in ROUND)


@contextmanager
def started(directory: Path, program: str, *words: str) -> Iterator[tuple[int, int]]:
    """Run a program that serves; its port and process id."""
    path = directory / "served.py"
    path.write_text(program)
    environment = {**os.environ}
    if "PYTHONPATH" in environment:
        environment["PYTHONPATH"] = str(SOURCES)
    process = subprocess.Popen(
        [sys.executable, str(path), *words], stdout=subprocess.PIPE, text=True, env=environment, cwd=directory
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        yield int(line.rpartition(" (pid")[0].rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.communicate(timeout=20)


def connect(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 20)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def size_of_a_round(port: int, batch: bytes, answers: int, failed: int) -> int:
    """Ask a round and wait until nothing more comes; `failed` of the answers are not 200."""
    with connect(port) as client:
        client.sendall(batch)
        client.settimeout(1)
        received = b""
        try:
            while data := client.recv(MiB):
                received += data
        except TimeoutError:
            pass
    assert received.count(b"HTTP/1.1 ") == answers
    assert received.count(b"HTTP/1.1 200 OK") == answers - failed
    return len(received)


def ask(port: int, batch: bytes, expected: int, requests: int, size: int = SIZE) -> None:
    buffer = bytearray(MiB)
    for first in range(0, requests, size * ROUNDS_A_CONNECTION):
        with connect(port) as client:
            for _ in range(first, min(requests, first + size * ROUNDS_A_CONNECTION), size):
                client.sendall(batch)
                left = expected
                while left:
                    count = client.recv_into(buffer)
                    assert count, "the server closed the connection"
                    left -= count
                assert left == 0


def grown(port: int, pid: int, batch: bytes, expected: int, warm_up: int, requests: int, size: int) -> int:
    """Bytes the server has more of after so many requests; descriptors it may not have more of."""
    ask(port, batch, expected, warm_up, size)
    time.sleep(0.3)  # for what closes on the server's side
    before, opened = resident(pid), len(descriptors(pid))
    ask(port, batch, expected, requests, size)
    end = time.monotonic() + 10
    while len(descriptors(pid)) > opened and time.monotonic() < end:
        time.sleep(0.05)
    assert len(descriptors(pid)) <= opened
    return resident(pid) - before


def test_a_million_requests_leave_nothing_behind(tmp_path: Path) -> None:
    with started(tmp_path, APP) as (port, pid):
        batch = b"".join(request * count for request, count in ROUND)
        expected = size_of_a_round(port, batch, SIZE, 2)
        assert grown(port, pid, batch, expected, WARM_UP, REQUESTS, SIZE) < MOST_GROWTH


# --- through the WSGI gateway -------------------------------------------------------------------

WSGI_APP = """
import sys
from dimserver import App

kept = []

def body():
    # On a thread pieces are joined as time has it: with two the answers would not be of the same length each time.
    yield b"onetwo"
    yield b""

def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raise":
        raise RuntimeError("on purpose")
    if path == "/kept":
        kept[:] = [environ, start_response]
    length = [("Content-Length", "6")] if path == "/declared" else []
    write = start_response("200 OK", [("Content-Type", "text/plain"), *length])
    if path in ("/made", "/declared"):
        return body()
    if path == "/write":
        write(b"one")
        return []
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    return [environ["wsgi.input"].read(), environ.get("HTTP_COOKIE", "").encode()]

app = App()
app.mount("/", wsgi, interface="wsgi")
app.run(port=0, threads=int(sys.argv[1]), log_level="critical")
"""

WSGI_ROUND = [
    GET % b"/",
    GET % b"/made",
    GET % b"/declared",
    GET % b"/write",
    GET % b"/file",
    GET % b"/kept",
    GET % b"/raise",
    POST % (b"Content-Length: 10", b"0123456789"),
    POST % (b"Transfer-Encoding: chunked", b"5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize(("threads", "requests"), [(0, 300_000), (2, 60_000)], ids=["loop", "threads"])
def test_wsgi_requests_leave_nothing_behind(tmp_path: Path, threads: int, requests: int) -> None:
    with started(tmp_path, WSGI_APP, str(threads)) as (port, pid):
        batch, size = b"".join(WSGI_ROUND), len(WSGI_ROUND)
        expected = size_of_a_round(port, batch, size, 1)
        assert grown(port, pid, batch, expected, requests // 3, requests, size) < MOST_GROWTH


# --- through the ASGI gateway -------------------------------------------------------------------

ASGI_APP = """
import asyncio, sys
from dimserver import App

kept = []

async def asgi(scope, receive, send):
    path = scope["path"]
    if path == "/raise":
        raise RuntimeError("on purpose")
    if path == "/kept":
        kept[:] = [scope, receive, send]
    if path == "/wait":
        await asyncio.sleep(0)
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if path == "/stream":
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": body})
    if path == "/behind":
        await asyncio.sleep(0)
    if path == "/leaves":
        await receive()

app = App()
app.mount("/", asgi, interface="asgi")
app.run(port=0, loop=sys.argv[1], lifespan="off", log_level="critical")
"""

ASGI_ROUND = [
    GET % b"/",
    GET % b"/stream",
    GET % b"/wait",
    GET % b"/behind",
    GET % b"/leaves",
    GET % b"/kept",
    GET % b"/raise",
    POST % (b"Content-Length: 10", b"0123456789"),
    POST % (b"Transfer-Encoding: chunked", b"5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\n\r\n"),
]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_asgi_requests_leave_nothing_behind(tmp_path: Path, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with started(tmp_path, ASGI_APP, loop) as (port, pid):
        batch, size = b"".join(ASGI_ROUND), len(ASGI_ROUND)
        expected = size_of_a_round(port, batch, size, 1)
        assert grown(port, pid, batch, expected, 50_000, 150_000, size) < MOST_GROWTH
