"""Connections that do nothing: open many, ask once on each, and see what keeping them costs."""

from __future__ import annotations

import resource
import socket
import time
from dataclasses import dataclass

from bench.load.process import Running, ask

SETTLE_SECONDS = 1.5
GIVE_UP_AFTER = 5  # failures in a row: the server has reached its limit
OPEN_SECONDS = 60.0  # for all of them; a server that closes some to accept others would take for ever


@dataclass(frozen=True)
class Idle:
    """What the open connections cost.

    Attributes:
        opened: connections that got their answer.
        alive: of these, how many the server still held at the end.
        before_bytes, after_bytes: resident memory of the server's process tree.
    """

    opened: int
    alive: int
    before_bytes: int
    after_bytes: int

    @property
    def per_connection_bytes(self) -> float:
        """Resident bytes of the server a connection; kernel memory is not in it."""
        return (self.after_bytes - self.before_bytes) / max(1, self.opened)


def raise_descriptor_limit() -> int:
    """Lift the soft limit of open files to the hard one, for this process and its children, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def hold(server: Running, count: int) -> Idle:
    """Open connections one after the other, ask on each, let all rest, and measure.

    The server has answered a request before, so what it allocates once is not
    counted against the connections.
    """
    time.sleep(0.5)
    before = server.resident_bytes()
    connections: list[socket.socket] = []
    failed_in_a_row = 0
    deadline = time.monotonic() + OPEN_SECONDS
    try:
        while len(connections) < count and failed_in_a_row < GIVE_UP_AFTER and time.monotonic() < deadline:
            connection = _open(server.port)
            if connection is None:
                failed_in_a_row += 1
            else:
                failed_in_a_row = 0
                connections.append(connection)
        time.sleep(SETTLE_SECONDS)
        after = server.resident_bytes()
        return Idle(len(connections), sum(map(_is_alive, connections)), before, after)
    finally:
        for connection in connections:
            connection.close()


def _open(port: int) -> socket.socket | None:
    connection = socket.socket()
    connection.settimeout(2)
    try:
        connection.connect(("127.0.0.1", port))
        if ask(connection):
            return connection
    except OSError:
        pass
    connection.close()
    return None


def _is_alive(connection: socket.socket) -> bool:
    """Nothing to read means alive; the end of the stream, or a reset, means the server let go."""
    connection.setblocking(False)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False
