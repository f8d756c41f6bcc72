"""Who a request is really from, when trusted proxies stand in between.

A proxy adds to the right of a list what it saw; whoever was before it could write
anything to the left.  So the list is walked from the right, and the walk ends at
the first address that is not one of ours: that is the client, and nothing further
left is believed.  A header from a peer that is no trusted proxy is not looked at.

Which header counts is a setting and not a guess.  A proxy sets one of the two and
lets the other pass as it came: believing whichever is there would believe the client.

    X-Forwarded-For: <client>, <proxy>          X-Forwarded-Proto, X-Forwarded-Host
    Forwarded: for="[2001:db8::1]:4711";proto=https;host=example.com     RFC 7239
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    Origin = tuple[str | None, str | None, str | None, str | None]

    class Headers(Protocol):
        """The part of a request's headers that is read here."""

        def getall(self, name: str) -> list[str]: ...


__all__ = ["HEADERS", "Forwarding"]

HEADERS = ("x-forwarded", "forwarded")

MAX_HOPS = 32  # proxies in a row; more is a loop, or an attempt to keep us busy
MAX_NODE = 64  # characters of an address with its port; the longest has 47
MAX_HOST = 255
REMEMBERED = 4096  # addresses whose answer is kept: proxies are few and ask often

SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
# Not the whole of RFC 3986's reg-name: what is in use, and nothing that means something in a page or a log.
HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:;@-]{1,128}")
# RFC 7239 section 4; an address with a port must be quoted there, and often is not.
PAIR = re.compile(r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^"\\;,=\s]+))[ \t]*""")


class Forwarding:
    """Resolves requests; what `Core.attach` takes as `forwarded`.

    Args:
        trusted: networks of the proxies (`10.0.0.0/8`, `::1/128`), and `unix` for whoever comes through a
            Unix socket.
        header: one of `HEADERS`: what the proxies set.
        id_header: name of a header with the request's id, or None.
        host: whether what they say of the host counts too.  Many let a client's own X-Forwarded-Host pass, so that
            has to be known.

    Raises:
        ValueError: no such network or header.

    Thread-safety: any thread.
    """

    def __init__(
        self,
        trusted: Iterable[str],
        header: str = "x-forwarded",
        id_header: str | None = None,
        *,
        host: bool = False,
    ) -> None:
        names = tuple(trusted)
        self._walk = (self._by_forwarded, self._by_x)[HEADERS.index(header) == 0]
        self._id_header = id_header
        self._host = host
        self._unix = "unix" in names
        self._networks = tuple(ip_network(name) for name in names if name != "unix")
        self._is_trusted = lru_cache(REMEMBERED)(self._look_up)

    def __call__(self, address: tuple[str, int] | None, headers: Headers) -> Origin:
        """Client address, scheme, host and request id; None for what nobody trustworthy said.

        Args:
            address: the peer's; None for a Unix socket.
        """
        peer = None if address is None else address[0]
        if not self.trusts(address):
            return (peer if _address(peer or "") else None), None, None, None
        client, scheme, host = self._walk(peer, headers)
        return client, scheme, host if self._host else None, self._request_id(headers)

    def trusts(self, address: tuple[str, int] | None) -> bool:
        """Whether a peer is one of the proxies."""
        return self._unix if address is None else self._is_trusted(address[0])

    def _look_up(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)

    def _request_id(self, headers: Headers) -> str | None:
        if self._id_header is None:
            return None
        values = headers.getall(self._id_header)
        return values[0] if len(values) == 1 and REQUEST_ID.fullmatch(values[0]) else None

    # --- X-Forwarded-For, -Proto, -Host -----------------------------------------------------------

    def _by_x(self, peer: str | None, headers: Headers) -> tuple[str | None, str | None, str | None]:
        nodes = _list(headers, "x-forwarded-for")
        client = peer
        hops = 0
        for node in reversed(nodes):
            hops += 1
            client = _node(node) if hops <= MAX_HOPS else None
            if client is None or not self._is_trusted(client):
                break
        scheme = _aligned(_list(headers, "x-forwarded-proto"), len(nodes), hops)
        host = _aligned(_list(headers, "x-forwarded-host"), len(nodes), hops)
        return client, SCHEMES.get(scheme.lower()), _host(host)

    # --- Forwarded ----------------------------------------------------------------------------------

    def _by_forwarded(self, peer: str | None, headers: Headers) -> tuple[str | None, str | None, str | None]:
        client, scheme, host = peer, None, None
        hops = 0
        for element in _from_right(",".join(headers.getall("forwarded")), ","):
            if not element.strip(" \t"):
                continue
            hops += 1
            pairs = _pairs(element) if hops <= MAX_HOPS else None
            if pairs is None:
                return None, scheme, host
            # The one nearest to the client has the last word, where it says anything.
            scheme = SCHEMES.get(pairs.get("proto", "").lower(), scheme)
            host = _host(pairs.get("host", "")) or host
            client = _node(pairs.get("for", ""))
            if client is None or not self._is_trusted(client):
                break
        return client, scheme, host


def _list(headers: Headers, name: str) -> list[str]:
    """Elements of a list header, empty ones left out (RFC 9110 section 5.6.1)."""
    return [text for part in headers.getall(name) for piece in part.split(",") if (text := piece.strip(" \t"))]


def _aligned(values: list[str], nodes: int, hops: int) -> str:
    """The value that belongs to the hop where the walk ended.

    That is known only where every proxy added to both lists; else it is the last one,
    which the nearest proxy wrote.
    """
    if not values:
        return ""
    return values[-hops] if hops and len(values) == nodes else values[-1]


def _from_right(text: str, separator: str) -> Iterator[str]:
    """Parts between separators outside of quotes, the last one first.

    From the right, since that end is written by a proxy: an odd quote of the client's
    must not swallow what was added behind it.
    """
    end = at = len(text)
    quoted = False
    while at:
        at -= 1
        char = text[at]
        if char == '"':
            escapes = at
            while escapes and text[escapes - 1] == "\\":
                escapes -= 1
            if (at - escapes) % 2 == 0:
                quoted = not quoted
        elif char == separator and not quoted:
            yield text[at + 1 : end]
            end = at
    yield text[:end]


def _pairs(element: str) -> dict[str, str] | None:
    """Parameters of one element of `Forwarded` by lower-case name; None where it is malformed."""
    pairs: dict[str, str] = {}
    at = 0
    while True:
        found = PAIR.match(element, at)
        if found is None:
            return None
        name, quoted, bare = found.groups()
        if name.lower() in pairs:
            return None
        pairs[name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare
        at = found.end()
        if at == len(element):
            return pairs
        if element[at] != ";":
            return None
        at += 1


def _node(text: str) -> str | None:
    """The address of a node with or without a port; None for `unknown`, `_hidden` and what is none."""
    if len(text) > MAX_NODE:
        return None
    if text.startswith("["):
        bare, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in bare or (port and not port.startswith(":")):
            return None
        port = port[1:]
        if text.endswith("]:"):
            return None
    elif text.count(":") == 1:
        bare, _, port = text.partition(":")
        if not port:
            return None
    else:
        bare, port = text, ""
    # RFC 7239 section 6.2: digits, or an obfuscated port.
    if port and not (port.isascii() and (port.isdigit() or port.startswith("_")) and len(port) <= 16):
        return None
    address = _address(bare)
    return None if address is None else str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if not text.isascii() or "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _host(text: str) -> str | None:
    return text if len(text) <= MAX_HOST and HOST.fullmatch(text) else None
