"""The opening handshake of a WebSocket (RFC 6455 4.2): what a request must be, and what accepts it.

The parser has seen to the rest already: `Upgrade` counts in HTTP/1.1 alone.
"""

from __future__ import annotations

import binascii
import hashlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from dimcore import RequestPoint

__all__ = [
    "HandshakeRefused",
    "accept_key",
    "check_handshake",
    "choose_subprotocol",
    "is_same_origin",
    "is_websocket",
]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
VERSION = "13"
MOST_SUBPROTOCOLS = 64
PORTS = {"http": "80", "https": "443"}


class HandshakeRefused(Exception):
    """The request asks for a WebSocket, but not as RFC 6455 has it.

    Attributes:
        status: 400 or 426.
        headers: for the answer.
    """

    def __init__(self, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if headers is None else headers


def is_websocket(request: RequestPoint) -> bool:
    """Whether the request asks to become a WebSocket."""
    headers = request.headers
    return (
        request.method == "GET"
        and request.http_version == "1.1"
        and any(_has_token(value, "websocket") for value in headers.getall("upgrade"))
        and any(_has_token(value, "upgrade") for value in headers.getall("connection"))
    )


def check_handshake(request: RequestPoint) -> str:
    """The value of Sec-WebSocket-Accept for a request that `is_websocket`.

    Raises:
        HandshakeRefused: another version, a key that is not 16 bytes in base64, or two of either.
    """
    headers = request.headers
    # Each is given once (RFC 6455 11.3.1 and 11.3.5).
    for name in ("sec-websocket-version", "sec-websocket-key"):
        if len(headers.getall(name)) > 1:
            raise HandshakeRefused(f"{name} is repeated")
    if headers.get("sec-websocket-version") != VERSION:
        raise HandshakeRefused("this server speaks WebSocket version 13", 426, {
            "Sec-WebSocket-Version": VERSION, "Upgrade": "websocket", "Connection": "Upgrade",
        })  # fmt: skip
    key = headers.get("sec-websocket-key", "")
    try:
        raw = binascii.a2b_base64(key.encode("ascii"), strict_mode=True)
    except ValueError:
        raw = b""
    if len(raw) != 16:
        raise HandshakeRefused("Sec-WebSocket-Key is not 16 bytes in base64")
    return accept_key(key)


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 4.2.2)."""
    digest = hashlib.sha1(key.encode("ascii") + GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def choose_subprotocol(offered: str, spoken: Sequence[str]) -> str | None:
    """The first subprotocol of the client's list that is spoken here; `None` where there is none.

    Args:
        offered: value of Sec-WebSocket-Protocol.
        spoken: names, compared exactly.

    Raises:
        HandshakeRefused: more of them than anybody needs.
    """
    names = [name.strip(" \t") for name in offered.split(",", MOST_SUBPROTOCOLS)]
    if len(names) > MOST_SUBPROTOCOLS:
        raise HandshakeRefused(f"more than {MOST_SUBPROTOCOLS} subprotocols are offered")
    return next((name for name in names if name in spoken), None)


def is_same_origin(origin: str, host: str | None, scheme: str = "http") -> bool:
    """Whether an origin (RFC 6454 6.2) names the host and port that a request is for.

    Args:
        origin: value of the Origin field.
        host: the host the request is for, with its port unless that is the scheme's; None: nobody says.
        scheme: ``"https"`` where it is known that the client came so; else the scheme of the origin is taken for it,
            since a proxy need not say.
    """
    own, found, place = origin.lower().partition("://")
    if not found or own not in PORTS or not host:
        return False
    usual = PORTS["https"] if scheme == "https" else PORTS[own]
    return _host_and_port(place, PORTS[own]) == _host_and_port(host.lower(), usual)


def _host_and_port(text: str, usual: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        return text, usual
    return host, port.lstrip("0") or usual


def _has_token(value: str, token: str) -> bool:
    return any(part.strip(" \t").lower() == token for part in value.split(","))
