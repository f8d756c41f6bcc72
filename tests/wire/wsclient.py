"""A WebSocket client of the core's own codec over a plain socket: it says what it is told to, right or wrong."""

from __future__ import annotations

import base64
import os
import socket
import zlib
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.waiting import PATIENCE

from dimcore import MessageReader, encode_frame
from dimserver.ws.handshake import accept_key

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
DEFLATE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


class Inflater:
    """Of messages that do not refer to those before."""

    def inflate(self, piece: bytes, room: int, final: bool) -> bytes:
        if not hasattr(self, "_stream"):
            self._stream = zlib.decompressobj(-15)
        found = self._stream.decompress(piece + (b"\0\0\xff\xff" if final else b""), room + 1)
        if final:
            del self._stream
        return found


class WebSocketClient:
    """A connection that shook hands.

    Args:
        url: ``ws://host:port/path``.
        headers: further fields of the handshake.
        deflate: offer compression; use it for what is sent where it was agreed on.
        sock: connected already.

    Attributes:
        status: of the answer to the handshake; where it is not 101, `body` is there and nothing else works.
        headers: of that answer, names in lower case.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        deflate: bool = False,
        sock: socket.socket | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.sock = sock or socket.create_connection((parts.hostname or "", parts.port or 80), PATIENCE)
        self.sock.settimeout(PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        fields = {
            "Host": parts.netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            **({"Sec-WebSocket-Extensions": DEFLATE} if deflate else {}),
            **(headers or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        target = parts.path or "/"
        self.sock.sendall(f"GET {target}{parts.query and '?'}{parts.query} HTTP/1.1\r\n{lines}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, self._left = data.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        pairs = (line.partition(":") for line in rest)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.deflates = self.headers.get("sec-websocket-extensions", "").startswith("permessage-deflate")
        if self.status == 101:
            assert self.headers["sec-websocket-accept"] == accept_key(key)
            self._reader = MessageReader(
                from_client=False, max_message=1 << 28, inflater=Inflater() if self.deflates else None
            )
        self._events: list[tuple[int, Any]] = []

    @property
    def close_code(self) -> int:
        return self._reader.close_code

    def send(self, message: str | bytes, pieces: int = 1) -> Self:
        """Send a message in so many frames, compressed if that was agreed on."""
        opcode = TEXT if isinstance(message, str) else BINARY
        payload = message.encode() if isinstance(message, str) else message
        if self.deflates:
            deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
            payload = (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        size = max(1, -(-len(payload) // pieces))
        parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
        for number, part in enumerate(parts):
            self.frame(
                opcode if number == 0 else 0,
                part,
                final=number == len(parts) - 1,
                compressed=self.deflates and number == 0,
            )
        return self

    def frame(self, opcode: int, payload: bytes = b"", **more: Any) -> Self:
        """Send one frame, masked."""
        return self.raw(encode_frame(opcode, payload, mask=os.urandom(4), **more))

    def raw(self, data: bytes) -> Self:
        self.sock.sendall(data)
        return self

    def event(self) -> tuple[int, Any]:
        """The next message or control frame.

        Raises:
            EOFError: the connection has ended.
        """
        while not self._events:
            data, self._left = self._left or self._some(), b""
            self._events += self._reader.feed(data)
        return self._events.pop(0)

    def receive(self) -> str | bytes:
        """The next message; pings are answered."""
        while True:
            opcode, payload = self.event()
            if opcode == PING:
                self.frame(PONG, payload)
            elif opcode in (TEXT, BINARY):
                message: str | bytes = payload
                return message
            else:
                assert opcode == PONG, f"{opcode}: {self.close_code}, {payload}"

    def say_goodbye(self, code: int = 1000, reason: str = "") -> Self:
        return self.frame(CLOSE, code.to_bytes(2, "big") + reason.encode())

    def closed(self) -> tuple[int, str]:
        """Code and reason of the peer's goodbye; messages before it are passed over."""
        while (event := self.event())[0] != CLOSE:
            pass
        return self.close_code, event[1]

    def ended(self) -> bool:
        """Whether the peer closes the connection without another byte."""
        try:
            return self._left == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def _some(self) -> bytes:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError("the connection ended")
        return data

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
