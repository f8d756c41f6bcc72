"""Networks and hosts: who is meant, by address or by name."""

from __future__ import annotations

import socket

from dimserver.config.types.base import Kind
from dimserver.config.types.paths import Name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Hosts", "Networks", "is_loopback"]

MOST = 1024
UNIX = "unix"
LOOPBACK6 = bytes(15) + b"\1"
MAPPED = bytes(10) + b"\xff\xff"


class Networks(Kind):
    """Addresses and networks, and `unix` for who comes through a Unix socket; a tuple of text, mostly empty."""

    type = "networks"
    metavar = "CIDR,…"
    typed = (str, list)
    python = "str | list[str] | tuple[str, ...]"

    def read(self, value: object) -> object:
        return () if value is None or value == "none" else super().read(value)

    def parse(self, text: str) -> object:
        return self.check([part for piece in text.split(",") if (part := piece.strip())])

    def check(self, value: object) -> object:
        if not isinstance(value, (list, tuple)) or len(value) > MOST:
            raise ValueError
        return tuple(_network(each) for each in value)

    def allowed(self) -> str:
        return (
            "addresses and networks in CIDR notation without host bits (192.0.2.1, 10.0.0.0/8, fd00::/8), and unix, "
            "separated by commas"
        )

    def hint(self, value: object) -> str:
        given = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        for each in given if isinstance(given, (list, tuple)) else ():
            if each == "*":
                return (
                    "; instead of '*' name the proxies; where only proxies can connect, every address is "
                    "0.0.0.0/0,::/0,unix, which believes whatever any client says"
                )
            if isinstance(each, str) and (network := _without_host_bits(each)):
                return f"; did you mean {network}?"
        return ""

    def show(self, value: Any) -> str:
        return ",".join(value) or "none"


class Hosts(Kind):
    """Names or addresses of hosts, without ports; a tuple of text in lower case, mostly empty."""

    type = "hosts"
    metavar = "NAME,…"
    typed = (str, list)
    python = "str | list[str] | tuple[str, ...]"
    host = Name()

    def read(self, value: object) -> object:
        return () if value is None or value == "none" else super().read(value)

    def parse(self, text: str) -> object:
        return self.check([part for piece in text.split(",") if (part := piece.strip())])

    def check(self, value: object) -> object:
        if not isinstance(value, (list, tuple)) or len(value) > MOST:
            raise ValueError
        return tuple(self._host(each) for each in value)

    def _host(self, text: object) -> str:
        name = str(self.host.read(text)).lower()
        if "*" in name:  # any host is what the check is against
            raise ValueError
        return name

    def allowed(self) -> str:
        return "host names and addresses without ports and without *, separated by commas"

    def show(self, value: Any) -> str:
        return ",".join(value) or "none"


def is_loopback(host: str) -> bool:
    """Whether an IP address, written as text and without brackets, is one of this machine's own loopback addresses.

    127.0.0.0/8 and ::1 (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3), and the former as a socket for both
    families shows it (RFC 4291 section 2.5.5.2).
    """
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except (OSError, ValueError):
        return False
    if len(packed) == 4:
        return packed[0] == 127
    return packed == LOOPBACK6 or (packed.startswith(MAPPED) and packed[12] == 127)


def _network(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError
    if text == UNIX:
        return text
    from ipaddress import ip_network  # 5 ms, and most servers need none of it

    if "%" in text:  # a zone means something on one machine only
        raise ValueError
    return str(ip_network(text))


def _without_host_bits(text: str) -> str:
    from ipaddress import ip_network

    try:
        network = str(ip_network(text, strict=False))
    except ValueError:
        return ""
    return network if network != text and "/" in text else ""
