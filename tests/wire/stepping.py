"""The compiled server on a real socket, moved on by hand: nothing happens between two calls of `step`.

That makes "one byte at a time" mean it: with a loop of its own a server may read two bytes that were sent apart.
"""

from __future__ import annotations

import selectors
import socket
from types import TracebackType
from typing import Any, Self

from dimcore import Acceptor, ConnectionPoolManifold, Core, Host, RequestResponseManifold, Site


class SteppedServer:
    """A listener, its connections, and a selector that is asked when `step` is called.

    Args:
        manifold: holds the routes.
    """

    def __init__(self, manifold: RequestResponseManifold) -> None:
        self.reports: list[tuple[str, BaseException | None]] = []
        self._selector = selectors.DefaultSelector()
        core = Core(ConnectionPoolManifold(), manifold.requests)
        core.attach(
            Host(
                register=self._selector.register,
                modify=self._selector.modify,
                unregister=self._selector.unregister,
                report=lambda message, request, error: self.reports.append((message, error)),
            )
        )
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setblocking(False)
        acceptor = Acceptor(Site(core, manifold.router), self._listener.fileno(), self._exhausted)
        self._selector.register(self._listener, selectors.EVENT_READ, acceptor.on_ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fileobj is not self._listener:
                key.data.__self__.close()
        self._listener.close()
        self._selector.close()

    def _exhausted(self) -> None:
        raise AssertionError("out of descriptors")

    def step(self) -> None:
        """Do what can be done now."""
        while events := self._selector.select(0):
            for key, mask in events:
                key.data(mask)

    def connect(self) -> SteppedClient:
        """A client, accepted already."""
        client = SteppedClient(self, self._listener.getsockname())
        self.step()
        return client


class SteppedClient:
    """The client's end; `received` and `ended` are what came back so far."""

    def __init__(self, server: SteppedServer, address: Any) -> None:
        self.received = b""
        self.ended = False
        self._server = server
        self._socket = socket.create_connection(address, timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._server.step()

    def send(self, data: bytes) -> None:
        """Send all of it, let the server work, take what it answers."""
        while data:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                pass
            self._server.step()
            self._take()

    def finish(self) -> None:
        """End this side, let the server work, take the rest."""
        self._socket.shutdown(socket.SHUT_WR)
        self._server.step()
        self._take()

    def _take(self) -> None:
        while not self.ended:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            self.received += data
            self.ended = not data
