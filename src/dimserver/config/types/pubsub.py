"""How far a message to a topic reaches: this worker, this server, or other machines."""

from __future__ import annotations

from dimserver.config.types.base import Kind
from dimserver.config.types.numbers import KiB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ChannelPrefix", "PubSub", "shown_url"]

WORDS = ("off", "workers")
NETWORK = ("valkey", "valkeys", "redis", "rediss")  # those with an s are TLS


def shown_url(url: str) -> str:
    """A URL without what must not be in a log: user, password and options.

    Args:
        url: one that `PubSub` takes.
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


class PubSub(Kind):
    """`off`, `workers`, or the URL of a Valkey or Redis server."""

    type = "pubsub"
    metavar = "off|workers|URL"

    def parse(self, text: str) -> object:
        if text in WORDS:
            return text
        scheme, found, rest = text.partition("://")
        if not found or len(text) > 2 * KiB or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError
        place = rest.partition("?")[0].rpartition("@")[2]
        if scheme == "unix":
            if not place.startswith("/"):
                raise ValueError
            return text
        if scheme not in NETWORK:
            raise ValueError
        host_and_port, _, number = place.partition("/")
        host, _, port = host_and_port.rpartition(":") if host_and_port[-1:] != "]" else (host_and_port, "", "")
        if not host:
            host, port = host_and_port, ""
        if not host or (":" in host_and_port and port == "" and host_and_port[-1:] != "]"):
            raise ValueError
        if port and not (port.isdecimal() and 1 <= int(port) <= 65535):
            raise ValueError
        if number and not number.isdecimal():
            raise ValueError
        return text

    def allowed(self) -> str:
        return "off, workers, or valkey://[[user]:password@]host[:port][/number] (valkeys, redis, rediss, unix as well)"

    def secret(self, value: object) -> bool:
        return isinstance(value, str) and ("://" in value or "@" in value)

    def show(self, value: Any) -> str:
        return shown_url(value) if "://" in value else str(value)


class ChannelPrefix(Kind):
    """What the names of channels begin with."""

    type = "prefix"
    metavar = "TEXT"

    def parse(self, text: str) -> object:
        # No characters that mean something in a pattern.
        if not 1 <= len(text) <= 64 or not text.isascii() or not all(c.isalnum() or c in "-._:/" for c in text):
            raise ValueError
        return text

    def allowed(self) -> str:
        return "1 to 64 letters, digits and - . _ : /"
