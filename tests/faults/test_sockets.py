"""Ten thousand WebSockets that are asked whether they are alive, and a hundred that talk meanwhile."""

from __future__ import annotations

import contextlib
import pathlib
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import PATIENCE

from dimcore import MessageReader, encode_frame

Start = Callable[..., Any]
TALKING = 100
PINGS = 2  # that each has to be asked, and to answer
KEY = b"\1\2\3\4"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PONG = encode_frame(10, b"", mask=KEY)
APP = """
from dimserver import App
app = App()
@app.websocket("/")
class Echo:
    def on_message(self, ws, message):
        ws.send(message)
"""


class Client:
    """A socket that shakes hands, and then answers pings."""

    def __init__(self, address: tuple[str, int], stack: contextlib.ExitStack) -> None:
        self.sock = stack.enter_context(socket.create_connection(address, PATIENCE))
        self.sock.sendall(HANDSHAKE)
        self.reader: MessageReader | None = None
        self.left = b""
        self.pings = 0
        self.messages: list[str | bytes] = []

    def receive(self) -> None:
        data = self.sock.recv(65536)
        assert data, "the server closed a connection"
        if self.reader is None:
            head, found, data = (self.left + data).partition(b"\r\n\r\n")
            if not found:
                self.left = head
                return
            assert head.startswith(b"HTTP/1.1 101 "), head
            self.reader = MessageReader(from_client=False)
        for opcode, payload in self.reader.feed(data):
            if opcode == 9:
                self.pings += 1
                self.sock.sendall(PONG)
            else:
                self.messages.append(payload)


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"{count} descriptors are needed, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def serve(selector: selectors.BaseSelector, until: Callable[[], bool], seconds: float) -> None:
    """Let the clients read until something is so."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "not in time"
        for key, _ in selector.select(0.1):
            key.data.receive()


@pytest.mark.parametrize(
    ("number", "ping"), [(1000, "600ms"), pytest.param(10_000, "3s", marks=pytest.mark.slow)], ids=["1000", "10000"]
)
def test_pings_for_everybody(child: Start, tmp_path: pathlib.Path, number: int, ping: str) -> None:
    (tmp_path / "crowd.py").write_text(APP)
    with descriptors(number + TALKING + 200), contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        server = child("run", "crowd", "--port", "0", "--max-connections", str(number + TALKING + 10),
                       "--ws-ping", ping, "--ws-timeout", "60s", cwd=tmp_path)  # fmt: skip
        host, _, port = server.urls[0].removeprefix("http://").rpartition(":")
        clients = []
        for _ in range(number + TALKING):
            clients.append(Client((host, int(port)), stack))
            selector.register(clients[-1].sock, selectors.EVENT_READ, clients[-1])
        serve(selector, lambda: all(client.reader for client in clients), 60)
        talking, silent = clients[:TALKING], clients[TALKING:]

        # Whoever talks is not asked, since it is heard of; whoever is silent is asked again and again.
        rounds = 0
        end = time.monotonic() + 120
        while min(client.pings for client in silent) < PINGS:
            assert time.monotonic() < end, "not everybody was asked"
            rounds += 1
            for client in talking:
                client.sock.sendall(encode_frame(1, f"{rounds}", mask=KEY))
            heard = rounds
            serve(selector, lambda heard=heard: all(len(client.messages) == heard for client in talking), 30)
        assert rounds > 10
        for client in talking:
            assert client.messages == [f"{turn}" for turn in range(1, rounds + 1)]
            assert client.pings <= rounds // 10  # only where the machine held it up
        # All of them are still there, and are told when the server stops.
        silent[-1].sock.sendall(encode_frame(1, "still here", mask=KEY))
        serve(selector, lambda: "still here" in silent[-1].messages, 10)
