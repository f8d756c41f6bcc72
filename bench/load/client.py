"""Clients of raw sockets, for what wrk cannot do: bodies of gigabytes, at full speed or at a chosen one."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

RECEIVE_BYTES = 1 << 20
TIMEOUT_SECONDS = 60.0
PLAIN = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: of the status line; 0 where there was none.
        head: the head, status line included, without the empty line.
        body: its bytes as they came (chunks with their framing); cut to what the caller wanted to keep.
        received: bytes of the body as they came.
        seconds: from the first byte sent to the end of the stream.
    """

    status: int
    head: bytes
    body: bytes
    received: int
    seconds: float

    def fields(self) -> dict[str, str]:
        """Return the header fields, names in lower case."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def head_of(method: str, target: str, *fields: str) -> bytes:
    """Return a request head that asks for the connection to be closed after the answer."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def ask_quietly(port: int, connections: int, seconds: float, pause: float) -> list[float]:
    """Ask for ``/`` over kept connections by turns, each time after a pause: a client that makes no load itself.

    Args:
        port: of the loopback interface.
        connections: open all the time.
        seconds: how long.
        pause: seconds between an answer and the next request.

    Returns:
        Seconds from each request to its answer, in ascending order.

    Raises:
        OSError: a connection failed, or nothing came for a minute.
    """
    waits: list[float] = []
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS))
            for _ in range(connections)
        ]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            connection = opened[len(waits) % connections]
            began = time.perf_counter()
            connection.sendall(PLAIN)
            if not connection.recv(RECEIVE_BYTES):
                raise ConnectionError("the server closed a kept connection")
            waits.append(time.perf_counter() - began)
            time.sleep(pause)
    return sorted(waits)


def exchange(
    port: int,
    head: bytes,
    body: Iterable[bytes] = (),
    *,
    keep: int = 0,
    rate: float = 0.0,
) -> Answer:
    """Send one request and read its answer to the end of the stream.

    Args:
        port: of the loopback interface.
        head: with ``Connection: close`` in it.
        body: pieces, framing included.
        keep: bytes of the body to return; the rest is only counted.
        rate: bytes a second to read at; 0 reads at full speed.

    Raises:
        OSError: the connection failed, or nothing came for a minute.
    """
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(head)
        for piece in body:
            connection.sendall(piece)
        return _read(connection, began, keep, rate)


def _read(connection: socket.socket, began: float, keep: int, rate: float) -> Answer:
    room = bytearray(RECEIVE_BYTES)
    view = memoryview(room)
    start = b""
    while b"\r\n\r\n" not in start:
        size = connection.recv_into(room)
        if size == 0:
            break
        start += view[:size]
    head, _, kept = start.partition(b"\r\n\r\n")
    received = len(kept)
    while size := connection.recv_into(room):
        received += size
        if len(kept) < keep:
            kept += view[:size]
        if rate:
            ahead = received / rate - (time.perf_counter() - began)
            if ahead > 0:
                time.sleep(ahead)
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return Answer(status, head, kept[:keep], received, time.perf_counter() - began)
