"""Networks: who is meant by address."""

from __future__ import annotations

from dimserver.kinds.base import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Networks"]

MOST = 1024
UNIX = "unix"


class Networks(Kind):
    """Addresses and networks, and `unix` for who comes through a Unix socket; a tuple of text, mostly empty."""

    type = "networks"
    metavar = "CIDR,…"
    typed = (str, list)

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

    def show(self, value: Any) -> str:
        return ",".join(value) or "none"


def _network(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError
    if text == UNIX:
        return text
    from ipaddress import ip_network  # 5 ms, and most servers need none of it

    if "%" in text:  # a zone means something on one machine only
        raise ValueError
    return str(ip_network(text))
