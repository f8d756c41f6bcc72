"""Out of descriptors, out of disk: what is shed, what is said, and the recovery."""

from __future__ import annotations

import pathlib
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until

Start = Callable[..., Any]
MIB = 1024 * 1024
DESCRIPTORS = 60

APP = """
import resource, signal
from dimserver import App

app = App()

@app.get("/")
def index(request):
    return "index"

@app.get("/open")
def opens(request):
    with open(__file__) as file:
        return file.readline()

@app.post("/body")
def body(request):
    return str(len(request.body))
"""

FEW_DESCRIPTORS = f"{APP}\nresource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))\n"
SMALL_FILES = f"""{APP}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
"""

linux = pytest.mark.skipif(not pathlib.Path("/proc/self/fd").exists(), reason="reads /proc")
POST = b"POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"


def started(child: Start, place: pathlib.Path, app: str, *words: str) -> Any:
    (place / "limited.py").write_text(app)
    return child("run", "limited", "--port", "0", *words, cwd=place)


def crowd(url: str, count: int) -> list[socket.socket]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return [socket.create_connection((host, int(port)), PATIENCE) for _ in range(count)]


def reset_all(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()


def test_out_of_descriptors(child: Start, tmp_path: pathlib.Path) -> None:
    """More clients than descriptors: the idle ones make room, whoever comes waits or is served, one line is written."""
    server = started(child, tmp_path, FEW_DESCRIPTORS)
    idle = server.connect()
    assert idle.get("/").answer()[2] == b"index"
    new = crowd(server.urls[0], 3 * DESCRIPTORS)  # which send nothing: nobody of them is idle
    assert idle.ended()  # it was the longest idle
    time.sleep(0.7)  # several attempts to go on
    reset_all(new)
    for _ in range(2):
        with server.connect() as wire:
            assert wire.get("/").answer()[2] == b"index"
            assert wire.get("/open").answer()[0] == 200
    code, _, err = server.end()
    assert code == 0
    assert err.count("out of descriptors or memory") == 1
    assert "Traceback" not in err


@linux
def test_handlers_and_bodies_that_find_no_descriptor(child: Start, tmp_path: pathlib.Path) -> None:
    server = started(child, tmp_path, FEW_DESCRIPTORS, "--body-memory", "1KiB", "--timeout-connect", "60s")
    wire, upload = server.connect(), server.connect()
    assert wire.get("/open").answer()[0] == 200
    assert upload.get("/").answer()[2] == b"index"
    wire.send(b"GE")  # neither of them is idle, so both stay
    upload.send(POST % 100_000)
    new = crowd(server.urls[0], 3 * DESCRIPTORS)
    until(lambda: len(list(pathlib.Path(f"/proc/{server.worker}/fd").iterdir())) == DESCRIPTORS)
    status, headers, _ = upload.send(bytes(50_000)).answer()
    assert (status, headers["retry-after"]) == (503, "1")
    assert wire.send(b"T /open HTTP/1.1\r\nHost: test\r\n\r\n").answer()[0] == 500
    reset_all(new)
    until(lambda: server.connect().get("/open").answer()[0] == 200)
    assert server.connect().send(POST % 100_000 + bytes(100_000)).answer()[2] == b"100000"
    code, _, err = server.end()
    assert code == 0
    assert err.count("could not be kept") == 1


@linux
def test_a_full_disk_is_said_once_and_survived(child: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "spool").mkdir()
    server = started(child, tmp_path, SMALL_FILES, "--spool-dir", str(tmp_path / "spool"), "--body-memory", "1KiB")
    keeps = server.connect()
    assert keeps.get("/").answer()[2] == b"index"
    opened = len(list(pathlib.Path(f"/proc/{server.worker}/fd").iterdir()))
    for _ in range(20):
        with server.connect() as wire:
            status, headers, _ = wire.send(POST % (2 * MIB) + bytes(MIB + 200_000)).answer()
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
            assert keeps.get("/").answer()[2] == b"index"
    with server.connect() as wire:
        assert wire.send(POST % (MIB // 2) + bytes(MIB // 2)).answer()[2] == b"%d" % (MIB // 2)
    until(lambda: len(list(pathlib.Path(f"/proc/{server.worker}/fd").iterdir())) <= opened)
    assert list((tmp_path / "spool").iterdir()) == []
    code, _, err = server.end()
    assert code == 0
    assert err.count("a request body could not be kept: POST /body: File too large; answered 503") == 1
    assert "Traceback" not in err
