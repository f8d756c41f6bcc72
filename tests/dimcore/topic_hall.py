"""Topics on a core of their own, and their subscribers, turned by the test itself."""
# ruff: noqa: ARG002 - handlers take what they do not need

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from dimcore import Endpoint, MessageReader, Topics, WebSocket, encode_frame

Serve = Callable[..., Any]
KEY = b"\x11\x22\x33\x44"
UPGRADE = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
TAIL = b"\x00\x00\xff\xff"
NAMES = "ab" * 127 + "c"  # 255 bytes


class Codec:
    """permessage-deflate as a server has it, with its context kept."""

    threshold = 8

    def __init__(self, kind: str = "one") -> None:
        self.shared = kind
        self.apart = 0
        self.restarts = 0
        self._deflater: Any = None

    def inflate(self, piece: bytes, room: int, final: bool) -> bytes:
        raise AssertionError("nobody sends compressed messages here")

    def deflate(self, data: bytes) -> bytes:
        if self._deflater is None:
            self._deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        return (self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def deflate_apart(self, data: bytes) -> bytes:
        self.apart += 1
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def restart(self) -> None:
        self.restarts += 1
        self._deflater = None


class Inflater:
    """The client's side of it: one window for all messages."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(-15)

    def inflate(self, piece: bytes, room: int, final: bool) -> bytes:
        return self._inflater.decompress(piece + TAIL if final else piece)


class Hall:
    """A rig whose sockets are kept in `sockets`, and topics whose loop it is."""

    def __init__(self, serve: Serve, codecs: Callable[[], Any] | None = None, **limits: Any) -> None:
        self.sockets: list[WebSocket] = []
        self.calls: list[Callable[[], object]] = []
        self.handed: list[Callable[[], object]] = []
        self.reports: list[tuple[str, Exception]] = []
        self.closed: list[tuple[int, int]] = []
        self.topics = Topics(slice_us=1)
        self.topics.attach(
            soon=self.calls.append, from_thread=self.handed.append, report=lambda *what: self.reports.append(what)
        )
        self.topic = self.topics.topic("room")
        hall = self

        class Handler:
            def on_open(self, ws: WebSocket) -> None:
                hall.sockets.append(ws)

            def on_close(self, ws: WebSocket, code: int, reason: str) -> None:
                hall.closed.append((code, len(hall.topic)))

            def on_drain(self, ws: WebSocket) -> None:
                hall.closed.append((0, len(hall.topic)))

        endpoint = Endpoint(Handler, **limits)

        def handle(request: Any) -> None:
            codec = None if codecs is None else codecs()
            request.connection.upgrade(
                request, endpoint, endpoint.make(), headers={"Upgrade": "websocket"}, codec=codec
            )

        self.rig = serve(handle)

    def enter(self, inflater: Any = None, **options: Any) -> Peer:
        return Peer(self, inflater, **options)

    def turn(self) -> int:
        """The end of a round; the calls it made."""
        handed = self.handed[:]
        del self.handed[:]
        for call in handed:
            call()
        calls = self.calls[:]
        del self.calls[:]
        for call in calls:
            call()
        return len(calls)

    def settle(self) -> int:
        """Rounds until all is handed out."""
        rounds = 0
        while self.turn():
            rounds += 1
            self.rig.turn()
        return rounds


class Peer:
    """A client."""

    def __init__(self, hall: Hall, inflater: Any = None, **options: Any) -> None:
        self.hall = hall
        self.client = hall.rig.connect(**options)
        assert self.client.ask(UPGRADE).status == 101
        self.ws = hall.sockets[-1]
        self.reader = MessageReader(from_client=False, inflater=inflater)
        self.got: list[Any] = []

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.client.send(encode_frame(opcode, payload, mask=KEY))

    def next(self) -> Any:
        """The next message."""
        while not self.got:
            self.client.wait(lambda: bool(self.client.left))
            data, self.client.left = self.client.left, b""
            self.got += self.reader.feed(data)
        opcode, payload = self.got.pop(0)
        return payload if opcode < 8 else (opcode, payload, self.reader.close_code)

    def all(self) -> list[Any]:
        """What is there."""
        while self.client.receive():
            pass
        data, self.client.left = self.client.left, b""
        self.got += self.reader.feed(data)
        got, self.got = [payload for _, payload in self.got], []
        return got
