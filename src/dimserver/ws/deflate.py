"""permessage-deflate (RFC 7692): negotiation, and zlib with a bound on what comes out.

Memory of one connection while its context is kept (zlib's own figures):

    inflating    2 ** client_max_window_bits bytes, and 7 KiB
    deflating    2 ** (server_max_window_bits + 2) + 2 ** (memory_level + 9) bytes

With the defaults that is 11 KiB and 32 KiB.  A direction without context
takeover holds nothing between messages.
"""

from __future__ import annotations

import zlib

from dimcore import WebSocketError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dimserver.ws.extensions import Offer

__all__ = ["Deflate", "DeflateOptions", "accept_deflate"]

NAME = "permessage-deflate"
TAIL = b"\x00\x00\xff\xff"  # what a sync flush ends with; left out on the wire (RFC 7692 7.2.1)
INVALID_DATA = 1007
INFLATER_BYTES = 7 * 1024  # beside its window
FINAL_BLOCKS = 16  # streams ended within one message: each costs a new decompressor, and two bytes ask for one


class DeflateOptions:
    """What the server offers.

    Args:
        threshold: messages below so many bytes are sent as they are.
        level: 1 (fast) to 9 (small).
        memory_level: 1 to 9; see the module for what it costs.
        server_max_window_bits, client_max_window_bits: 9 to 15; less memory, less compression.
        server_context_takeover, client_context_takeover: whether a message may refer to the one before.

    Raises:
        ValueError: names what is out of range.
    """

    __slots__ = (
        "client_context_takeover", "client_max_window_bits", "level", "memory_level",
        "server_context_takeover", "server_max_window_bits", "threshold",
    )  # fmt: skip

    def __init__(
        self,
        *,
        threshold: int = 256,
        level: int = 3,
        memory_level: int = 5,
        server_max_window_bits: int = 12,
        client_max_window_bits: int = 12,
        server_context_takeover: bool = True,
        client_context_takeover: bool = True,
    ) -> None:
        ranges = (
            ("threshold", threshold, 0, 1 << 30),
            ("level", level, 1, 9),
            ("memory_level", memory_level, 1, 9),
            ("server_max_window_bits", server_max_window_bits, 9, 15),
            ("client_max_window_bits", client_max_window_bits, 9, 15),
        )
        for name, value, low, high in ranges:
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; {low} to {high} is allowed")
        self.threshold = threshold
        self.level = level
        self.memory_level = memory_level
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.server_context_takeover = server_context_takeover
        self.client_context_takeover = client_context_takeover


def accept_deflate(offers: Iterable[Offer], options: DeflateOptions) -> tuple[str, Deflate] | None:
    """The first offer of permessage-deflate that can be met.

    Args:
        offers: in the client's order of preference.
        options: what the server is willing to do.

    Returns:
        The text for the answer's Sec-WebSocket-Extensions and the codec, or `None`: none was offered in a
        form that RFC 7692 7.1 allows and zlib can do.
    """
    for offer in offers:
        if offer.name == NAME:
            agreed = _agree(offer.parameters, options)
            if agreed is not None:
                return agreed
    return None


def _agree(parameters: list[tuple[str, str | None]], options: DeflateOptions) -> tuple[str, Deflate] | None:
    given: dict[str, str | None] = {}
    for name, value in parameters:
        if name in given:
            return None
        given[name] = value
    server_bits = options.server_max_window_bits
    client_bits = options.client_max_window_bits
    server_keeps = options.server_context_takeover
    client_keeps = options.client_context_takeover
    for name, value in given.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            if name[0] == "s":
                server_keeps = False
            else:
                client_keeps = False
        elif name == "server_max_window_bits":
            bits = _bits(value)
            if bits is None or bits == 8:  # zlib cannot deflate with a window of 256 bytes
                return None
            server_bits = min(options.server_max_window_bits, bits)
        elif name == "client_max_window_bits":
            if value is not None:
                bits = _bits(value)
                if bits is None:
                    return None
                client_bits = min(options.client_max_window_bits, bits)
        else:
            return None
    answer = [NAME]
    if not server_keeps:
        answer.append("server_no_context_takeover")
    if not client_keeps:
        answer.append("client_no_context_takeover")
    if server_bits < 15:
        answer.append(f"server_max_window_bits={server_bits}")
    if "client_max_window_bits" not in given:
        client_bits = 15  # a client that did not say it can do with less must not be asked to
    elif client_bits < 15:
        answer.append(f"client_max_window_bits={client_bits}")
    return "; ".join(answer), Deflate(options, server_bits, client_bits, server_keeps, client_keeps)


def _bits(value: str | None) -> int | None:
    """A window size of the grammar: 8 to 15 without leading zeros; else None."""
    return int(value) if value in {"8", "9", "10", "11", "12", "13", "14", "15"} else None


class Deflate:
    """The codec of one connection.

    Attributes:
        held: bytes of memory for the contexts that are kept, by the figures of the module.
        shared: equal for two codecs where what `deflate_apart` of one makes can be sent by both.

    Thread-safety: one thread at a time.
    """

    __slots__ = (
        "_client_bits", "_client_keeps", "_deflater", "_deflating", "_final_blocks", "_inflater", "_inflating",
        "_level", "_memory_level", "_server_bits", "_server_keeps", "held", "shared", "threshold",
    )  # fmt: skip

    def __init__(
        self, options: DeflateOptions, server_bits: int, client_bits: int, server_keeps: bool, client_keeps: bool
    ) -> None:
        self.threshold = options.threshold
        self._level = options.level
        self._memory_level = options.memory_level
        self._server_bits = server_bits
        self._client_bits = client_bits
        self._server_keeps = server_keeps
        self._client_keeps = client_keeps
        self.shared = (options.threshold, options.level, options.memory_level, server_bits)
        self.held = 0
        self._inflating = (1 << client_bits) + INFLATER_BYTES
        self._deflating = (1 << server_bits + 2) + (1 << options.memory_level + 9)
        self._inflater: zlib._Decompress | None = None
        self._deflater: zlib._Compress | None = None
        self._final_blocks = 0

    def inflate(self, piece: bytes, room: int, final: bool) -> bytes:
        """Inflate a piece of a message.

        Args:
            piece: compressed bytes.
            room: most bytes wanted.
            final: whether the message ends with it.

        Returns:
            What came out: at most ``room + 1`` bytes, the one more where there would be more than `room`.

        Raises:
            WebSocketError: 1007, `piece` cannot be inflated.
        """
        tail = TAIL if final else b""
        data = piece + tail
        parts: list[bytes] = []
        left = room + 1
        try:
            while True:
                inflater = self._inflater
                if inflater is None:
                    if self._final_blocks and data == tail:
                        break  # nothing but what belongs behind a stream that the sender has ended
                    inflater = self._inflater = zlib.decompressobj(-self._client_bits)
                    self.held += self._inflating
                part = inflater.decompress(data, left)
                parts.append(part)
                left -= len(part)
                if left == 0 or not inflater.eof:
                    break
                # The sender ended its stream (RFC 7692 7.2.3.4): what follows is a new one.
                self._drop_inflater()
                data = inflater.unused_data
                self._final_blocks += 1
                if self._final_blocks > FINAL_BLOCKS:
                    raise WebSocketError("the compressed message is in too many streams", INVALID_DATA)
        except zlib.error:
            raise WebSocketError("the compressed message cannot be inflated", INVALID_DATA) from None
        if final:
            self._final_blocks = 0
            if not self._client_keeps:
                self._drop_inflater()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def deflate(self, data: bytes) -> bytes:
        """The payload of a compressed message with `data` in it."""
        deflater = self._deflater
        if deflater is None:
            deflater = zlib.compressobj(self._level, zlib.DEFLATED, -self._server_bits, self._memory_level)
            if self._server_keeps:
                self._deflater = deflater
                self.held += self._deflating
        payload = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return payload[: -len(TAIL)]

    def deflate_apart(self, data: bytes) -> bytes:
        """The same as a message that refers to none before it, for every connection with these parameters.

        Who sends it calls `restart`.
        """
        deflater = zlib.compressobj(self._level, zlib.DEFLATED, -self._server_bits, self._memory_level)
        payload = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return payload[: -len(TAIL)]

    def restart(self) -> None:
        """The peer was sent a compressed message that is not from this compressor.

        It stands in the peer's window; distances to what was before it would be wrong by its length.
        """
        if self._deflater is not None:
            self._deflater = None
            self.held -= self._deflating

    def _drop_inflater(self) -> None:
        if self._inflater is not None:
            self._inflater = None
            self.held -= self._inflating
