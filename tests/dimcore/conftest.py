"""A worker's core on real sockets, its loop turned by the test itself: one thread, no sleeping, nothing hidden."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.dimcore import asgi_rig
from tests.dimcore.in_loop import run_in_loop
from tests.dimcore.topic_hall import Hall, Peer
from tests.support.processes import descriptors
from tests.support.waiting import PATIENCE

from dimcore import (
    Acceptor,
    AsgiEntry,
    ConnectionPoolManifold,
    Core,
    Host,
    RequestPoint,
    RequestSubstrate,
    Router,
    Site,
    tick,
)

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"

Handler = Callable[[RequestPoint], Any]


class Answer:
    """One answer as it was on the wire."""

    def __init__(self, head: bytes) -> None:
        line, *fields = head.decode("latin-1").split("\r\n")
        self.version, status, self.reason = line.split(" ", 2)
        self.status = int(status)
        self.fields = [(name.lower(), value.strip()) for name, _, value in (field.partition(":") for field in fields)]
        self.head = head
        self.body = b""

    def __getitem__(self, name: str) -> str:
        values = [value for known, value in self.fields if known == name]
        assert len(values) == 1, f"{name}: {values} in {self.head!r}"
        return values[0]

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.fields)


class Client:
    """A raw socket that turns the server's loop while it waits."""

    def __init__(self, rig: Rig, sock: socket.socket) -> None:
        self.rig = rig
        self.sock = sock
        self.left = b""
        self.ended = False
        sock.setblocking(False)

    def send(self, data: bytes) -> Client:
        """Send all of it, serving meanwhile; then let the server see it."""
        until = time.monotonic() + PATIENCE
        while data:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                assert time.monotonic() < until, "the server does not read"
            self.rig.turn()
        self.rig.turn()
        return self

    def put(self, data: bytes) -> Client:
        """Send all of it, and let the server take all that it wants to."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(data)
        quiet = 0
        while quiet < 3:
            quiet = 0 if self.rig.turn(0.003) else quiet + 1
        return self

    def receive(self) -> bool:
        """Take what is there; whether it was anything (the end of the stream too)."""
        try:
            got = self.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        self.left += got
        self.ended = not got
        return True

    def wait(self, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not ready():
            assert not self.ended, f"the stream ended after {self.left!r:.200}"
            assert time.monotonic() < until, f"nothing more after {self.left!r:.200}"
            if not self.receive():
                self.rig.turn(0.01)

    def answer(self, head_only: bool = False) -> Answer:
        """The next answer; its body as Content-Length says, or none."""
        self.wait(lambda: b"\r\n\r\n" in self.left)
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        found = Answer(head)
        size = int(found["content-length"]) if "content-length" in found and not head_only else 0
        self.wait(lambda: len(self.left) >= size)
        found.body, self.left = self.left[:size], self.left[size:]
        return found

    def ask(self, data: bytes = GET, head_only: bool = False) -> Answer:
        return self.send(data).answer(head_only)

    def rest(self) -> bytes:
        """All that comes until the server closes; fails on a reset."""
        self.wait_for_end()
        rest, self.left = self.left, b""
        return rest

    def wait_for_end(self) -> None:
        until = time.monotonic() + PATIENCE
        while not self.ended:
            assert time.monotonic() < until, f"the server keeps the connection open after {self.left!r:.200}"
            if not self.receive():
                self.rig.turn(0.01)

    def is_open(self) -> bool:
        """Whether the server would still answer; anything it sent meanwhile is a failure."""
        self.rig.turn()
        if self.receive():
            assert self.ended, f"unexpected: {self.left!r:.200}"
        return not self.ended

    def reset(self) -> None:
        """Leave without a goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()
        self.rig.turn()


class Rig:
    """Core, routes, a listener and a loop.

    Args:
        routes: handlers by ``"GET /path"``; a path ending in ``*`` is a prefix, one with ``!`` before it blocks.
        limits: for `Core.configure`.
        core_options: for `Core.attach`.
    """

    def __init__(self, routes: dict[str, Handler], limits: dict[str, Any], **core_options: Any) -> None:
        self.core = Core(ConnectionPoolManifold(), RequestSubstrate())
        self.router = Router()
        self.reports: list[tuple[str, Any, Any]] = []
        self.jobs: list[tuple[Any, RequestPoint, Handler]] = []
        self.selector = selectors.DefaultSelector()
        self.exhausted = 0
        self.listeners: list[socket.socket] = []
        self.clients: list[Client] = []
        for place, handler in routes.items():
            method, path = place.split(" ")
            self.router.add(
                method,
                path.lstrip("!").rstrip("*"),
                handler,
                exact=not path.endswith("*"),
                blocking=path.startswith("!"),
            )
        options: dict[str, Any] = {
            "register": self.selector.register,
            "modify": self.selector.modify,
            "unregister": self.selector.unregister,
            "offload": lambda *job: self.jobs.append(job),
            "report": lambda *what: self.reports.append(what),
        }
        self.core.attach(Host(**(options | core_options)))
        self.core.configure(**limits)
        self.listener = self.listen(Site(self.core, self.router))

    def listen(self, site: Site, family: socket.AddressFamily = socket.AF_INET, path: str = "") -> socket.socket:
        listener = socket.socket(family)
        if family == socket.AF_INET:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind(("127.0.0.1", 0))
        else:
            listener.bind(path)
        listener.listen(512)
        listener.setblocking(False)
        self.listeners.append(listener)
        acceptor = Acceptor(site, listener.fileno(), self._exhausted)
        self.selector.register(listener, 1, acceptor.on_ready)
        return listener

    def _exhausted(self) -> None:
        self.exhausted += 1

    def turn(self, timeout: float = 0.0) -> int:
        """One round of the loop; how many events there were."""
        events = self.selector.select(timeout)
        tick(self.core)
        for key, mask in events:
            key.data(mask)
        return len(events)

    def turn_until(self, condition: Callable[[], object]) -> None:
        """Rounds of the loop until something is so."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"cells: {self.cells()}"
            self.turn(0.01)

    def turn_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.turn(min(left, 0.02))

    def connect(
        self, listener: socket.socket | None = None, receive_buffer: int = 0, source: str | None = None
    ) -> Client:
        sock = socket.socket((listener or self.listener).family)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            sock.bind((source, 0))
        sock.connect((listener or self.listener).getsockname())
        client = Client(self, sock)
        self.clients.append(client)
        self.turn()
        return client

    def cells(self, index: Any = None) -> dict[tuple[int, int], int]:
        """What is where: counts of the cells that hold anything, of the connections if not said otherwise."""
        index = self.core.pools.index if index is None else index
        places = ((spiral, layer) for spiral in range(index.spirals) for layer in range(1, 8))
        found = {place: index.count_at(*place) for place in places}
        return {place: count for place, count in found.items() if count}

    @property
    def in_flight(self) -> dict[tuple[int, int], int]:
        return self.cells(self.core.requests.index)

    def connections(self) -> list[Any]:
        index = self.core.pools.index
        return [point for spiral, layer in self.cells() for point in index.get_at(spiral, layer)]

    def run_job(self) -> None:
        """Do what a thread would: run the oldest blocking handler and hand its answer back."""
        connection, request, handler = self.jobs.pop(0)
        try:
            result, error = handler(request), None
        except Exception as raised:
            result, error = None, raised
        connection.complete(request, result, error)

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        for listener in self.listeners:
            self.selector.unregister(listener)
            listener.close()
        self.core.drain()
        for _ in range(2):  # a WebSocket is told first
            for connection in self.connections():
                connection.close()
        self.selector.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Rig]]:
    """Make a `Rig`; when the test is over no descriptor, connection or request may be left."""
    rigs: list[Rig] = []
    before = descriptors()

    def make(routes: dict[str, Handler] | Handler | None = None, *, options: Any = None, **limits: Any) -> Rig:
        if routes is None:
            routes = {"GET /": lambda request: "hello"}
        elif callable(routes):
            routes = {"GET /": routes}
        rigs.append(Rig(routes, limits, **(options or {})))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()
        assert rig.cells() == {}
        assert rig.in_flight == {}
        assert rig.core.turned_away == 0
        assert (rig.core.memory.used, rig.core.memory.holders) == (0, 0)
        assert (rig.core.disk.used, rig.core.disk.holders) == (0, 0)
    assert descriptors() == before


@pytest.fixture
def play(serve: Callable[..., Rig]) -> Callable[..., Rig]:
    """Serve an ASGI app and run a script of its client, in one loop; nothing of either may be left."""

    def run(app: Any, script: Callable[[asgi_rig.Bench], Awaitable[object]]) -> Rig:
        return run_in_loop(
            serve, {"GET /*": AsgiEntry(app)}, asgi_rig.Task, asgi_rig.Bench, lambda bench, runner: script(bench)
        )

    return run


@pytest.fixture
def hall(serve: Callable[..., Rig]) -> Hall:
    return Hall(serve)


@pytest.fixture
def many(hall: Hall) -> Iterator[list[Peer]]:
    """Three hundred subscribers: several slices."""
    peers = [hall.enter() for _ in range(300)]
    for peer in peers:
        hall.topic.subscribe(peer.ws)
    yield peers
    for peer in peers:
        peer.client.sock.close()
