"""Ten thousand connections that do nothing, and a hundred that do: the idle cost the busy nothing."""

from __future__ import annotations

import contextlib
import pathlib
import resource
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import PATIENCE

Start = Callable[..., Any]
IDLE = 10_000
BUSY = 100
REQUESTS = 200  # on each of them
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
APP = "from dimserver import App\napp = App()\napp.get('/')(lambda request: 'index')\n"


def connected(url: str, count: int) -> list[socket.socket]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return [socket.create_connection((host, int(port)), PATIENCE) for _ in range(count)]


def rounds(busy: list[socket.socket]) -> list[float]:
    """Ask on all connections at once, again and again; seconds each request took, sorted."""
    took: list[float] = []
    sent: dict[socket.socket, float] = {}
    left = dict.fromkeys(busy, REQUESTS)
    with selectors.DefaultSelector() as selector:
        for sock in busy:
            selector.register(sock, selectors.EVENT_READ)
            sent[sock] = time.monotonic()
            sock.sendall(GET)
        while left:
            ready = selector.select(PATIENCE)
            assert ready, f"{len(left)} connections get no answer"
            for key, _ in ready:
                sock: Any = key.fileobj
                data = sock.recv(4096)
                assert data.startswith(b"HTTP/1.1 200 OK"), data
                assert data.endswith(b"index")
                now = time.monotonic()
                took.append(now - sent[sock])
                left[sock] -= 1
                if left[sock]:
                    sent[sock] = now
                    sock.sendall(GET)
                else:
                    del left[sock]
                    selector.unregister(sock)
    return sorted(took)


def test_idle_and_busy(child: Start, tmp_path: pathlib.Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = IDLE + BUSY + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} descriptors are needed, {hard} are allowed")
    (tmp_path / "crowd.py").write_text(APP)
    server = child("run", "crowd", "--port", "0", "--max-connections", str(IDLE + BUSY + 10), "--timeout", "10m",
                   "--timeout-connect", "10m", cwd=tmp_path)  # fmt: skip
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        busy = [stack.enter_context(sock) for sock in connected(server.urls[0], BUSY)]
        alone = rounds(busy)
        idle = [stack.enter_context(sock) for sock in connected(server.urls[0], IDLE)]
        for sock in idle[::2]:  # one half is idle, the other new
            sock.sendall(GET)
        for sock in idle[::2]:
            assert sock.recv(4096).endswith(b"index")
        among = rounds(busy)
        # The idle ones are still there, and served when they ask.
        for sock in idle[::200]:
            sock.sendall(GET)
            assert sock.recv(4096).endswith(b"index")
    # No figure (see bench/load): a scan of all connections each round would be far above this.
    p99 = len(among) * 99 // 100
    assert among[p99] < 10 * alone[p99] + 0.1
    code, _, err = server.end()
    assert code == 0
    assert "error" not in err
