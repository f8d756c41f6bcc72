"""Keep-alive clients that never retry and forgive nothing.

Each sends its next request the moment it has the answer to the last one, over
the same connection for as long as the server keeps it.  A connection may end
between an answer that said ``Connection: close`` and the next request, and
nowhere else: every other end is a request lost.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

STALL_SECONDS = 20.0


@dataclass
class Tally:
    """What the clients met.

    Attributes:
        answers: complete, with status 200.
        lost: what happened to each request that was not answered so.
        closed: connections that ended as announced.
        served_by: answers for each value of the body's first word.
    """

    answers: int = 0
    lost: list[str] = field(default_factory=list)
    closed: int = 0
    served_by: dict[bytes, int] = field(default_factory=dict)


class _Client:
    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, STALL_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.received = b""
        self.waits = False  # for an answer

    def ask(self, request: bytes) -> None:
        self.waits = True
        self.sock.send(request)

    def take(self) -> tuple[bytes, bytes] | None:
        """Head and body of an answer once it is complete."""
        head, end, rest = self.received.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return None
        self.received = rest[length:]
        self.waits = False
        return head, rest[:length]


def press(
    address: tuple[str, int],
    connections: int,
    request: bytes,
    enough: Callable[[Tally], bool],
    between: Callable[[Tally], None] | None = None,
) -> Tally:
    """Load a server until there is enough.

    Args:
        address: host and port.
        connections: clients at the same time.
        request: what each sends; its answer has a Content-Length.
        enough: asked after each round; the requests that are out then are still waited for.
        between: called after each round, to do something to the server.
    """
    tally = Tally()
    poll = select.epoll()
    clients: dict[int, _Client] = {}

    def open_one() -> None:
        try:
            client = _Client(address)
            clients[client.sock.fileno()] = client
            poll.register(client.sock, select.EPOLLIN)
            client.ask(request)
        except OSError as error:
            tally.lost.append(f"connecting: {error!r}")

    def close(client: _Client) -> None:
        poll.unregister(client.sock)
        del clients[client.sock.fileno()]
        client.sock.close()

    def serve(client: _Client, more: bool) -> None:
        try:
            data = client.sock.recv(65536)
        except OSError as error:
            data = b""
            if client.waits:
                tally.lost.append(f"reading: {error!r}")
                client.waits = False
        if not data:
            if client.waits:
                tally.lost.append(f"the connection ended after {client.received[:80]!r}")
            else:
                tally.closed += 1
            close(client)
            if more:
                open_one()
            return
        client.received += data
        answer = client.take()
        if answer is None:
            return
        head, body = answer
        if not head.startswith(b"HTTP/1.1 200"):
            tally.lost.append(head[:40].decode("latin-1"))
        else:
            tally.answers += 1
            who = body.split(b" ", 1)[0]
            tally.served_by[who] = tally.served_by.get(who, 0) + 1
        if b"connection: close" in head.lower():
            return  # its end comes next
        if more:
            try:
                client.ask(request)
            except OSError as error:
                tally.lost.append(f"sending: {error!r}")
                client.waits = False
                close(client)
                open_one()

    for _ in range(connections):
        open_one()
    heard = time.monotonic()
    more = True
    while any(client.waits for client in clients.values()) or more:
        events = poll.poll(1.0)
        if events:
            heard = time.monotonic()
        elif time.monotonic() - heard > STALL_SECONDS:
            tally.lost += ["no answer"] * sum(client.waits for client in clients.values())
            break
        for fd, _ in events:
            serve(clients[fd], more)
        if more:
            if between is not None:
                between(tally)
            more = not enough(tally)
    for client in list(clients.values()):
        close(client)
    poll.close()
    return tally
