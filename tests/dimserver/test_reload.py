"""Reloads, kills and stops under load: what clients may and may not lose, by clients that never retry."""

from __future__ import annotations

import os
import pathlib
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.processes import is_gone
from tests.support.waiting import PATIENCE, until

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from bench.load.steady import Tally, press  # the clients the figures are taken with

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="the clients wait with epoll")

Start = Callable[..., Any]
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"

APP = """
import os, threading, time
from dimserver import App
app = App()

@app.get("/")
def index(request):
    return f"{os.getpid()} served"

@app.get("/thread", blocking=True)
def thread(request):
    return f"{os.getpid()} served"

@app.post("/up", blocking=True)
def upload(request):
    return f"{os.getpid()} {sum(map(len, request.stream()))}"

@app.get("/endless", blocking=True)
def endless(request):
    def pieces():
        try:
            while True:
                yield b"x" * 100
                time.sleep(0.02)
        finally:
            with open("told", "w") as file:
                file.write("ended")
    return pieces()

@app.get("/polite", blocking=True)
def polite(request):
    connection = request.connection
    def pieces():
        while not connection.closing:
            yield b"x"
            time.sleep(0.02)
        yield b"bye"
    return pieces()

@app.get("/slow", blocking=True)
def slow(request):
    time.sleep(1)
    return "slow"
"""


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def address(server: Any) -> tuple[str, int]:
    host, _, port = server.urls[0].removeprefix("http://").rpartition(":")
    return host, int(port)


class Reloads:
    """Sends SIGHUP again and again, each when the workers of the one before serve."""

    def __init__(self, server: Any, number: int) -> None:
        self.left = number
        self._server = server
        self._workers = set(server.workers)
        self._next = 0.0

    def __call__(self, tally: Tally) -> None:
        if self.left and time.monotonic() > self._next:
            now = {int(pid) for pid in tally.served_by}
            if len(now) > 1 or tally.answers > 100:
                tally.served_by.clear()
                self.left -= 1
                self._next = time.monotonic() + 0.3
                self._server.hint(signal.SIGHUP)


def test_ten_reloads_under_load_with_an_upload_and_a_stream(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    before = server.workers
    uploading, streaming = server.connect(), server.connect()
    uploading.send(b"POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 4000000\r\n\r\n" + b"u" * 2_000_000)
    streaming.get("/polite")
    streaming.sock.recv(1000)
    idle = server.connect()
    assert idle.get().answer()[0] == 200
    reloads = Reloads(server, 10)
    tally = press(address(server), 16, REQUEST, lambda tally: reloads.left == 0 and tally.answers > 500, reloads)
    assert tally.lost == []
    # The upload began before the first reload, and ends after the last.
    uploading.send(b"u" * 2_000_000)
    status, _, body = uploading.answer()
    assert (status, body.split()[1]) == (200, b"4000000")
    assert int(body.split()[0]) in before
    text = b""
    while not text.endswith(b"0\r\n\r\n"):
        data = streaming.sock.recv(65536)
        assert data, "the stream was cut though it ended in time"
        text += data
    assert text.endswith(b"3\r\nbye\r\n0\r\n\r\n")
    code, out, _ = server.end()
    assert code == 0
    assert "(0 failed)" in out


def test_a_killed_worker_under_load_loses_its_own_requests_only(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    victim = server.workers[0]
    killed = [0.0]

    def kill(tally: Tally) -> None:
        if not killed[0] and tally.answers > 500:
            os.kill(victim, signal.SIGKILL)
            killed[0] = time.monotonic()

    tally = press(
        address(server), 16, REQUEST, lambda tally: killed[0] > 0 and time.monotonic() > killed[0] + 1.5, kill
    )
    assert 0 < len(tally.lost) <= 16  # one for each connection that worker had, at the most
    assert all("ended" in loss or "reset" in loss.lower() for loss in tally.lost)
    until(lambda: len(server.workers) == 2 and victim not in server.workers)
    assert server.end()[0] == 0


# --- the end


def test_a_stream_that_listens_ends_well_at_a_stop(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    wire = server.connect().get("/polite")
    wire.sock.recv(1000)
    server.hint()
    text = b""
    while data := wire.sock.recv(65536):
        text += data
    assert text.endswith(b"3\r\nbye\r\n0\r\n\r\n")
    assert server.end(0)[0] == 0


def test_an_endless_stream_is_told_and_then_cut(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--drain", "2", cwd=shop)
    wire = server.connect().get("/endless")
    wire.sock.recv(1000)
    begun = time.monotonic()
    server.hint()
    text = b""
    try:
        while data := wire.sock.recv(65536):
            text += data
    except ConnectionResetError:
        pass
    assert not text.endswith(b"0\r\n\r\n")  # the client can tell that it is not complete
    code, out, _ = server.end(0)
    assert code == 0
    assert 1.0 < time.monotonic() - begun < 15
    assert ", 1 cut off at the end in" in out
    assert (shop / "told").read_text() == "ended"  # its generator had the time to clean up


def test_idle_busy_and_streaming_at_once(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    idle, busy, streaming, fresh = (server.connect() for _ in range(4))
    assert idle.get().answer()[0] == 200
    busy.get("/slow")
    streaming.get("/polite")
    streaming.sock.recv(1000)
    time.sleep(0.2)
    server.hint()
    fresh.get()  # connected, and just asking
    assert fresh.answer()[0] == 200
    status, headers, body = busy.answer()
    assert (status, headers["connection"], body) == (200, "close", b"slow")
    assert idle.ended()
    assert server.end(0)[0] == 0


# --- service managers


def test_socket_activation_and_notification(child: Start, shop: pathlib.Path) -> None:
    """What systemd does, done the same way: sockets from descriptor 3 on, variables, datagrams."""
    with (
        socket.socket() as main,
        socket.socket() as admin,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        for sock in (main, admin):
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        manager.bind(str(shop / "notify"))
        manager.settimeout(PATIENCE)
        script = (
            "import os, sys\n"
            f"os.dup2({main.fileno()}, 3); os.dup2({admin.fileno()}, 4)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='web:admin',\n"
            f"    NOTIFY_SOCKET={str(shop / 'notify')!r}, WATCHDOG_USEC='400000')\n"
            "os.execv(sys.executable, [sys.executable, '-m', 'dimserver', 'run', 'shop', '--port', '1'])\n"
        )
        # Numbers above 4, so that the copies do not replace what is copied next.
        with socket.create_connection(main.getsockname()) as waiting:  # came before there was a server
            waiting.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            server = child(module=("-c", script), cwd=shop, pass_fds=[main.fileno(), admin.fileno()])
            assert waiting.recv(1000).startswith(b"HTTP/1.1 200")
        names = [sock.getsockname()[1] for sock in (main, admin)]
        assert server.urls == [f"http://127.0.0.1:{port}" for port in names]
        with server.connect(1) as operator:
            assert operator.get("/api/status").answer()[0] == 200
        assert "READY=1" in manager.recv(1000).decode().split("\n")
        assert manager.recv(1000) == b"WATCHDOG=1"
        server.hint(signal.SIGHUP)
        told = b""
        while b"RELOADING=1" not in told:
            told = manager.recv(1000)
        assert b"\nMONOTONIC_USEC=" in told
        while b"READY=1" not in told:
            told = manager.recv(1000)
        server.hint()
        while b"STOPPING=1" not in told:
            told = manager.recv(1000)
        assert server.end(0)[0] == 0
        with socket.create_connection(main.getsockname()):  # the socket is the manager's, and goes on
            pass


# --- development


def test_reload_on_a_changed_file(child: Start, shop: pathlib.Path) -> None:
    pytest.importorskip("watchfiles")
    server = child("run", "shop", "--port", "0", "--reload", cwd=shop)
    stamp = (shop / "shop.py").stat().st_mtime_ns
    done = threading.Event()

    def write(text: str) -> None:
        nonlocal stamp
        while not done.is_set():  # a change made before it watches goes unnoticed
            stamp += 2_000_000_000
            (shop / "shop.py").write_text(text)
            os.utime(shop / "shop.py", ns=(stamp, stamp))
            done.wait(1.0)

    def body() -> bytes:
        with server.connect() as wire:
            return bytes(wire.get().answer()[2])

    writer = threading.Thread(target=write, args=(APP.replace("served", "renewed"),))
    writer.start()
    until(lambda: body().endswith(b"renewed"))
    done.set()
    writer.join()
    (shop / "shop.py").write_text("this is no Python")
    line = b""
    while b"SyntaxError while it was loaded" not in line:
        line = server.process.stderr.readline()
        assert line
    assert body().endswith(b"renewed")  # the last one that worked
    watchers = list(server.workers)
    assert server.end()[0] == 0
    assert all(is_gone(pid) for pid in watchers)
