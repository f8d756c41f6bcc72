"""A client that says what it is told to, byte by byte, and reads whole answers."""

from __future__ import annotations

import contextlib
import socket
from typing import Self

from tests.support.waiting import PATIENCE

RESET = b"\1\0\0\0\0\0\0\0"  # struct linger: on, 0 seconds


class Wire:
    """A raw connection that reads whole answers.

    Attributes:
        left: what came after the last answer.
        owed: answers to what was sent that have not been read, where each request was one `send`.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.left = b""
        self.owed = 0

    def send(self, data: bytes) -> Wire:
        self.owed += 1
        self.sock.sendall(data)
        return self

    def get(self, target: str = "/", *fields: str, method: str = "GET") -> Wire:
        lines = "".join(f"{field}\r\n" for field in fields)
        return self.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())

    def answer(self, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of the next answer; () is the end of the stream."""
        while b"\r\n\r\n" not in self.left:
            self.more()
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = 0 if head_only else int(headers.get("content-length", 0))
        while len(self.left) < size:
            self.more()
        body, self.left = self.left[:size], self.left[size:]
        if "transfer-encoding" not in headers and not first.split()[1].startswith("1"):
            self.owed -= 1
        return int(first.split()[1]), headers, body

    def ended(self) -> bool:
        """Whether the server closed the connection and sent nothing more."""
        try:
            return self.left == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def chunked(self) -> bytes:
        """The body of an answer in chunks, after its head."""
        found = b""
        while True:
            while b"\r\n" not in self.left:
                self.more()
            line, _, self.left = self.left.partition(b"\r\n")
            size = int(line, 16)
            while len(self.left) < size + 2:
                self.more()
            found += self.left[:size]
            self.left = self.left[size + 2 :]
            if size == 0:
                self.owed -= 1
                return found

    def rest(self) -> bytes:
        """All that comes until the server closes; a reset is an error."""
        pieces, self.left = [self.left], b""
        while data := self.sock.recv(65536):
            pieces.append(data)
        return b"".join(pieces)

    def reset(self) -> None:
        """Leave without a goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def more(self) -> None:
        """Take what comes next.

        Raises:
            EOFError: the server closed.
        """
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"the connection ended after {self.left!r:.200}")
        self.left += data

    def leave_if_idle(self) -> None:
        """Say that no more requests come where every answer was read; what the server still sends can be read."""
        if self.owed == 0 and not self.left:
            with contextlib.suppress(OSError):  # it is closed
                self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def connect(url: str) -> Wire:
    """Connect to ``http://host:port`` or ``unix:path``."""
    if url.startswith("unix:"):
        wire = Wire(socket.socket(socket.AF_UNIX))
        wire.sock.connect(url.removeprefix("unix:"))
        return wire
    host, _, port = url.removeprefix("http://").rpartition(":")
    return Wire(socket.create_connection((host.strip("[]"), int(port)), PATIENCE))
