"""A client and a server in one asyncio loop, for ASGI apps over the compiled half alone."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from dimcore import Runner

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


class Task(asyncio.Task[None]):
    made = 0

    def __init__(self, run: Any, **options: Any) -> None:
        super().__init__(run, **options)
        type(self).made += 1

    def add_done_callback(self, *given: Any, **options: Any) -> None:
        self.get_coro().touch()  # type: ignore[union-attr]
        super().add_done_callback(*given, **options)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class Bench:
    """A client and a server in one asyncio loop."""

    def __init__(self, rig: Any, runner: Runner) -> None:
        self.rig = rig
        self.runner = runner
        self.left = b""
        self.sock = socket.create_connection(rig.listener.getsockname())
        self.sock.setblocking(False)

    async def ask(self, data: bytes, end: bytes) -> bytes:
        """Send, and return what came until `end` did."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.sock, data)
        while end not in self.left:
            more = await loop.sock_recv(self.sock, 65536)
            assert more, self.left
            self.left += more
        got, _, self.left = self.left.partition(end)
        return got + end

    async def rest(self, pause: float = 0.0, most: int = 65536) -> bytes:
        """What comes until the server closes, taken with a pause before each piece."""
        got, self.left = self.left, b""
        while True:
            if pause:
                await asyncio.sleep(pause)
            more = await asyncio.get_running_loop().sock_recv(self.sock, most)
            if not more:
                return got
            got += more


def chunks_of(answer: bytes) -> list[bytes]:
    """The chunks of an answer's body, an empty one at the end if it is complete."""
    left = answer.partition(b"\r\n\r\n")[2]
    chunks = []
    while left:
        line, _, left = left.partition(b"\r\n")
        size = int(line, 16)
        chunks.append(left[:size])
        if not size:
            break
        assert left[size : size + 2] == b"\r\n"
        left = left[size + 2 :]
    return chunks
