"""The socket that a WSGI app finds: when it is offered, what its first use does, and what was received before it."""

from __future__ import annotations

import copy
import os
import select
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dimcore import parse_request
from dimserver.gateway.upgrade_socket import TakenSocket, UpgradeSocket, offer


class Closed:
    """A connection that is over, and a hand whose loop is this thread or none."""

    fileno = -1

    def __init__(self, *, ending: bool = False) -> None:
        self.connection = self
        self.ending = ending
        self.calls = 0

    def call_on_loop(self, call: Any) -> None:
        self.calls += 1
        if not self.ending:
            call()

    def is_ending(self) -> bool:
        return self.ending

    def unwatch(self, thread: int) -> None:  # noqa: ARG002 - the signature is a hand's
        raise AssertionError("nothing was taken")


def request_of(*fields: str, method: str = "GET", version: str = "1.1") -> Any:
    lines = "".join(f"{field}\r\n" for field in ("Host: a", *fields))
    found = parse_request(f"{method} / HTTP/{version}\r\n{lines}\r\n".encode())
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        (("Upgrade: websocket",), True),
        (("Upgrade: h2c, WebSocket",), True),
        (("Upgrade: websocket", "Content-Length: 0"), True),
        (("Upgrade: h2c",), False),
        (("Upgrade: websocketx",), False),
        ((), False),
    ],
)
def test_to_whom_it_is_offered(fields: tuple[str, ...], offered: bool) -> None:
    hand: Any = Closed()
    assert (offer(request_of(*fields, "Connection: upgrade"), hand) is not None) is offered
    assert hand.calls == 0
    assert offer(request_of(*fields, method="HEAD"), hand) is None


def test_not_with_a_body() -> None:
    hand: Any = Closed()
    found = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nab")
    assert found is not None
    assert offer(found[0], hand) is None
    chunked = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    found = parse_request(chunked)
    assert found is not None
    assert offer(found[0], hand) is None


def test_who_only_looks_takes_nothing() -> None:
    hand: Any = Closed()
    sock = UpgradeSocket(request_of("Upgrade: websocket"), hand)
    assert repr(sock) == "<UpgradeSocket: not taken>"
    assert {"gunicorn.socket": sock}.copy()["gunicorn.socket"] is sock
    assert copy.copy(sock) is not sock
    assert not hasattr(sock, "__array__")
    assert sock == sock
    assert bool(sock)
    assert (sock.used, sock.taken, hand.calls) == (False, False, 0)


def test_a_client_that_has_left() -> None:
    hand: Any = Closed()
    sock = UpgradeSocket(request_of("Upgrade: websocket"), hand)
    for _ in range(2):  # it is asked once, and says the same ever after
        with pytest.raises(ConnectionResetError, match="the client has left"):
            sock.recv(1)
    assert (sock.used, hand.calls) == (False, 1)


def test_a_server_that_has_stopped() -> None:
    hand: Any = Closed(ending=True)
    sock = UpgradeSocket(request_of("Upgrade: websocket"), hand)
    began = time.monotonic()
    with pytest.raises(ConnectionAbortedError, match="the server has stopped"), sock:
        pass
    assert (hand.calls, time.monotonic() - began < 0.5) == (0, True)  # nothing to wait for


def test_a_server_that_stops_meanwhile() -> None:
    hand: Any = Closed(ending=False)
    hand.call_on_loop = lambda call: setattr(hand, "ending", True)  # and never makes it
    with pytest.raises(ConnectionAbortedError, match="the server has stopped"):
        UpgradeSocket(request_of("Upgrade: websocket"), hand).recv(1)


def test_too_late() -> None:
    hand: Any = Closed()
    sock = UpgradeSocket(request_of("Upgrade: websocket"), hand)
    sock.end()
    with pytest.raises(OSError, match="is over"):
        sock.fileno()
    assert hand.calls == 0


# --- what it becomes --------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[TakenSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    taken = TakenSocket(fileno=ours.detach())
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    yield taken, theirs
    taken.close()
    theirs.close()
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


def test_it_blocks(pair: tuple[TakenSocket, socket.socket]) -> None:
    taken, theirs = pair
    socket.setdefaulttimeout(0.01)
    try:
        taken.begin(b"")
    finally:
        socket.setdefaulttimeout(None)
    assert taken.gettimeout() is None
    assert os.get_blocking(taken.fileno())
    assert not taken.get_inheritable()
    threading.Timer(0.05, theirs.send, (b"late",)).start()
    assert taken.recv(10) == b"late"


def test_what_was_received_comes_first(pair: tuple[TakenSocket, socket.socket]) -> None:
    taken, theirs = pair
    taken.begin(b"0123456789ab")
    theirs.sendall(b"cdef")
    assert taken.recv(2, socket.MSG_PEEK) == b"01"
    assert taken.recv(2) == b"01"
    buffer = bytearray(3)
    assert taken.recv_into(buffer) == 3
    assert taken.recv_into(buffer, 1) == 1
    assert buffer == b"534"
    assert taken.recvfrom(1)[0] == b"6"
    with taken.makefile("rb") as file:
        assert file.read(5) == b"789ab"
        assert file.read(2) == b"cd"
    theirs.sendall(b"gh")
    assert taken.recvfrom(1)[0] != b""
    taken.sendall(b"back")
    assert theirs.recv(10) == b"back"


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="the system has epoll")
def test_who_waits_for_it_is_told(pair: tuple[TakenSocket, socket.socket]) -> None:
    taken, theirs = pair
    taken.begin(b"early")
    selector = selectors.DefaultSelector()
    selector.register(taken, selectors.EVENT_READ)
    assert selector.select(0)
    assert select.select([taken], [], [], 0)[0]
    assert taken.recv(4) == b"earl"
    assert selector.select(0)
    assert taken.recv(4) == b"y"
    assert not selector.select(0)
    assert select.select([taken], [taken], [], 0) == ([], [taken], [])
    theirs.send(b"later")  # and whoever began to wait before hears of that as well
    assert selector.select(1)
    assert taken.recv(10) == b"later"
    assert not selector.select(0)
    selector.close()


def test_one_that_is_left_to_the_server(recwarn: pytest.WarningsRecorder) -> None:
    ours, theirs = socket.socketpair()
    taken = TakenSocket(fileno=ours.detach())
    taken.begin(b"unread")
    del taken
    assert theirs.recv(1) == b""
    theirs.close()
    assert not recwarn.list
