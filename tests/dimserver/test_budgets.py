"""Hostile clients of every kind beside honest ones: who is served, who ends, and what is left."""

from __future__ import annotations

import json
import pathlib
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until
from tests.support.wire import Wire, connect

from dimcore import encode_frame

KIB = 1024
MIB = 1024 * KIB
CREDIT = 2.3  # seconds: what has arrived pays for a rate no longer than 2
READ_CREDIT = 5.3  # and what was read no longer than 5

APP = """
import time
from dimserver import App
app = App()

@app.post("/up")
def up(request):
    return str(len(request.body))

@app.get("/small")
def small(request):
    return "hello"

@app.get("/large")
def large(request):
    return bytes(2 << 20)

@app.get("/download")
def download(request):
    return bytes(8 << 20)

@app.get("/slow", blocking=True)
def slow(request):
    time.sleep(3)
    return "done"

@app.websocket("/ws")
class Talk:
    def on_message(self, ws, message):
        ws.send(message)
"""
POST = b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)
SWITCHED = b"HTTP/1.1 101 "

Start = Callable[..., Any]


def half_message() -> bytes:
    return UPGRADE % b"" + encode_frame(2, bytes(16 * MIB), mask=bytes(4))[: 1 * MIB]


def half_deflated(size: int = 2 * MIB) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -12)
    payload = deflater.compress(bytes(size)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    frame = encode_frame(2, payload, final=False, compressed=True, mask=bytes(4))
    return UPGRADE % b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" + frame


# How many of a kind, and what each sends; more of each than the budget has, but for those who wait for a handler.
KINDS: dict[str, tuple[int, bytes]] = {
    "half head": (700, GET[:-2] % b"small" + b"X: " + b"x" * 8000),
    "body": (12, POST % MIB + bytes(MIB - KIB)),
    "spool": (8, POST % (16 * MIB) + bytes(2 * MIB)),
    "message": (10, half_message()),
    "deflate": (6, half_deflated()),
    "unread": (10, GET % b"large" * 8),
    "pipeline": (8, GET % b"slow" + GET % b"small" * 1500),
}


class Hostile:
    """Connections that make the server hold as much as they can, and stand still."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.socks: dict[str, list[socket.socket]] = {}

    def attack(self, kind: str, count: int, data: bytes) -> None:
        for _ in range(count):
            sock = connect(self.url).sock
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(0.05 if kind == "pipeline" else 2.0)
            try:
                sock.sendall(data)
            except OSError:  # it is not read any more, or ended already
                pass
            self.socks.setdefault(kind, []).append(sock)

    def ends(self, kind: str) -> list[str]:
        """How each of a kind stands: open, 503, 1013, reset, closed, or what came last where none of those did."""
        return [end_of(sock) for sock in self.socks[kind]]

    def close(self) -> None:
        for socks in self.socks.values():
            for sock in socks:
                sock.close()


def end_of(sock: socket.socket) -> str:
    sock.setblocking(False)
    data = b""
    ended = "open"
    try:
        while more := sock.recv(1 << 20):
            data = data[: 2 * KIB] + more[: 2 * KIB]  # what ends it comes first, or behind a short handshake
        ended = "closed"
    except BlockingIOError:
        pass
    except OSError:
        return "reset"
    if data.startswith(b"HTTP/1.1 503 "):
        return "503"
    if b"\x88" in data and data.partition(b"\x88")[2][1:3] == (1013).to_bytes(2, "big"):
        return "1013"
    if data and not data.startswith((SWITCHED, b"HTTP/1.1 200 ")):
        return repr(data[:40])
    return ended


class Steady:
    """An upload and a download that are slow, and keep their rates."""

    def __init__(self, url: str) -> None:
        self.up, self.down = connect(url), Wire(socket.socket())
        self.down.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * KIB)
        self.down.sock.connect(self.up.sock.getpeername())
        self.size = 60 * KIB
        self.sent = 40 * KIB
        self.up.send(POST % self.size + bytes(self.sent))
        self.down.send(GET % b"large")
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        time.sleep(0.4)  # room for all of its body is there before the others come: who grows may be refused

    def run(self) -> None:
        while not self.over.wait(0.1):
            self.up.send(bytes(100))
            self.sent += 100
            self.down.left += self.down.sock.recv(10_000)

    def finish(self) -> None:
        self.over.set()
        self.thread.join()
        assert self.up.send(bytes(self.size - self.sent)).answer()[2] == b"%d" % self.size
        self.down.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 * MIB)
        assert self.down.answer()[2] == bytes(2 * MIB)

    def close(self) -> None:
        self.over.set()
        self.thread.join()
        self.up.close()
        self.down.close()


def stats(admin: pathlib.Path) -> dict[str, dict[str, int]]:
    with connect(f"unix:{admin}") as wire:
        found: dict[str, dict[str, int]] = json.loads(wire.get("/api/stats").answer()[2])["budgets"]
        return found


def stand_still(admin: pathlib.Path, credit: float = READ_CREDIT) -> dict[str, int]:
    """Wait until the server has taken what was sent, and what that pays for is over; what it holds of memory."""

    def used() -> int:
        return sum(budget["used"] for budget in stats(admin).values())

    before, now = -MIB, used()
    end = time.monotonic() + PATIENCE
    while abs(now - before) > 256 * KIB:  # who is honest goes on
        assert time.monotonic() < end
        time.sleep(0.15)
        before, now = now, used()
    time.sleep(credit)
    return stats(admin)["memory"]


@contextmanager
def wired(url: str) -> Iterator[Wire]:
    with connect(url) as wire:
        yield wire


def are_served(url: str, count: int) -> None:
    """Uploads of 1 MiB, GETs, and a WebSocket."""
    for _ in range(count):
        with wired(url) as wire:
            assert wire.send(POST % MIB + bytes(MIB)).answer()[::2] == (200, b"%d" % MIB)
            assert wire.get("/small").answer()[::2] == (200, b"hello")
    with wired(url) as wire:
        assert wire.send(UPGRADE % b"").answer(head_only=True)[0] == 101
        wire.send(encode_frame(2, b"are you there?", mask=bytes(4)))
        assert wire.sock.recv(100) == encode_frame(2, b"are you there?")


def begin(child: Start, path: pathlib.Path, *options: str) -> tuple[str, pathlib.Path]:
    (path / "hostile_app.py").write_text(APP)
    admin = path / "admin"
    # A credit that no test waits for: what ends anybody is the budget.
    server = child(
        "run", "hostile_app", "--port", "0", "--admin", str(admin), "--ws-deflate", "--rate-credit", "1m",
        "--ws-message-timeout", "1m", "--timeout-head", "1m", "--log-level", "error", *options, cwd=path,
    )  # fmt: skip
    return server.urls[0], admin


ALLOWED = {"open", "503", "1013", "reset", "closed"}


def test_hostile_clients_of_all_kinds_beside_honest_ones(child: Start, tmp_path: pathlib.Path) -> None:
    url, admin = begin(child, tmp_path, "--budget-memory", "8MiB", "--budget-spool", "8MiB")
    with closing(Hostile(url)) as hostile, closing(Steady(url)) as steady:
        for kind, (count, data) in KINDS.items():
            hostile.attack(kind, count, data)
        stand_still(admin)
        are_served(url, 5)
        budgets = stats(admin)
        assert budgets["memory"]["ended"] > 0
        assert 0 < budgets["memory"]["used"] <= budgets["memory"]["limit"] == 8 * MIB
        assert budgets["spool"]["used"] <= budgets["spool"]["limit"] == 8 * MIB
        ends = {kind: hostile.ends(kind) for kind in KINDS}
        assert {end for found in ends.values() for end in found} <= ALLOWED
        for kind, how in (
            ("body", {"503", "reset"}), ("spool", {"503", "reset"}),
            ("message", {"1013", "reset"}), ("deflate", {"1013", "reset"}), ("unread", {"reset"}),
        ):  # fmt: skip
            assert how & set(ends[kind]), (kind, ends[kind])
        steady.finish()
    until(
        lambda: all(budget["used"] == budget["holders"] == 0 for budget in stats(admin).values()),
        "nothing is held any more",
    )


def test_downloads_where_slow_holders_have_spent_the_budget(child: Start, tmp_path: pathlib.Path) -> None:
    url, admin = begin(
        child, tmp_path, "--budget-memory", "128MiB", "--budget-spool", "4KiB", "--body-memory", "16MiB",
    )  # fmt: skip
    with closing(Hostile(url)) as hostile:
        hostile.attack("body", 13, POST % (16 * MIB) + bytes(8 * MIB))
        before = stand_still(admin, CREDIT)
        assert before["used"] > 80 * MIB

        def download(_: int) -> bool:
            with wired(url) as wire:
                return wire.get("/download").answer()[2] == bytes(8 * MIB)

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(download, range(20)))
        after = stats(admin)["memory"]
        assert after["refused"] == before["refused"]
        assert after["used"] <= after["limit"]


@pytest.mark.slow
def test_a_flood_of_each_kind(child: Start, tmp_path: pathlib.Path) -> None:
    """Two hundred connections of each kind, and a new one with each honest request, for ten seconds a kind."""
    url, admin = begin(
        child, tmp_path, "--budget-memory", "64MiB", "--budget-spool", "64MiB", "--max-connections", "4000",
    )  # fmt: skip
    for kind, (_, data) in KINDS.items():
        if kind == "deflate":
            data = half_deflated(8 * MIB)
        with closing(Hostile(url)) as hostile, closing(Steady(url)) as steady:
            hostile.attack(kind, 16 if kind == "pipeline" else 200, data)  # its handlers run to their end
            stand_still(admin)
            end = time.monotonic() + 10
            rounds = 0
            while time.monotonic() < end:
                # In the time of a credit no more than there is room for: who has just come is not below its rate yet.
                if kind != "pipeline":
                    hostile.attack(kind, 1, data)
                time.sleep(0.2)
                are_served(url, 1)
                rounds += 1
            assert rounds >= 5
            found = stats(admin)
            assert all(budget["used"] <= budget["limit"] for budget in found.values())
            print(f"{kind}: {rounds} rounds, {found['memory']}")
            steady.finish()
        until(lambda: all(budget["used"] == 0 for budget in stats(admin).values()), f"nothing is held after {kind}")
