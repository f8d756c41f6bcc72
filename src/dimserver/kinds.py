"""Kinds of values a setting can have: text in, typed value out, and back.

Every kind reads the same three sources: text (command line, environment),
typed values (a TOML file, a keyword argument) and its own default.  `read`
raises ValueError for anything else; the message is left to the caller, who
knows the setting's name and asks `allowed` for the rest.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "HOUR",
    "MINUTE",
    "SECOND",
    "Choice",
    "Duration",
    "Endpoint",
    "Flag",
    "GiB",
    "Integer",
    "KiB",
    "Kind",
    "MiB",
    "Name",
    "Path",
    "Size",
    "SocketPath",
    "Token",
]

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

SECOND = 1.0
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, the final NUL included (unix(7), unix(4)).
MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103


class Kind:
    """One kind of value.

    Attributes:
        type: its name in `dimserver config`.
        unit: what a bare number counts, or "".
        metavar: how help text writes the value.
        optional: whether the empty text (and None) unset it.
    """

    type = "text"
    unit = ""
    metavar = "TEXT"
    optional = False

    def read(self, value: object) -> object:
        """The typed value.

        Args:
            value: text, or a value of the right type already.

        Raises:
            ValueError: it is neither; `allowed` says what would be.
        """
        if self.optional and (value is None or value == ""):
            return None
        if isinstance(value, str):
            return self.parse(value)
        return self.check(value)

    def parse(self, text: str) -> object:
        """Typed value of a text, or ValueError."""
        raise NotImplementedError

    def check(self, value: object) -> object:
        """`value` if it is of this kind and within range, or ValueError."""
        raise ValueError(value)

    def allowed(self) -> str:
        """What `read` takes, as it stands in an error message."""
        raise NotImplementedError

    def show(self, value: Any) -> str:
        """`value` as a user would write it."""
        return "none" if value is None else str(value)


def _digits(text: str) -> int:
    # int() also takes "1_000", " 7 " and the digits of other scripts: none of them is meant by anybody.
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValueError
    return int(text)


def _decimal(text: str) -> float:
    whole, point, fraction = text.partition(".")
    if point and not (fraction.isascii() and fraction.isdigit() and len(fraction) <= 9):
        raise ValueError
    return float(_digits(whole)) if not point else float(f"{_digits(whole)}.{fraction}")


class Integer(Kind):
    """A whole number from `low` to `high`."""

    type = "integer"
    metavar = "N"

    def __init__(
        self, low: int, high: int, unit: str = "", *, optional: bool = False, zero: str = "", note: str = ""
    ) -> None:
        self.low = low
        self.high = high
        self.unit = unit
        self.optional = optional
        self.zero = zero  # what 0 means, where it is not a number like the others
        self.note = note  # why the range is what it is, where a user may expect more

    def parse(self, text: str) -> object:
        return self.check(_digits(text))

    def check(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError
        return value

    def allowed(self) -> str:
        numbers = f"{self.low} only" if self.low == self.high else f"a whole number from {self.low} to {self.high}"
        zero = f"0: {self.zero}" if self.zero else ""
        remark = self.note or zero
        return f"{numbers} ({remark})" if remark else numbers

    def show(self, value: Any) -> str:
        return f"{value} ({self.zero})" if value == 0 and self.zero else super().show(value)


class _Suffixed(Kind):
    """A number with an optional unit; without one it counts `unit`."""

    suffixes: tuple[tuple[str, float], ...] = ()  # lower case, longest first

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high

    def number(self, text: str) -> float:
        lowered = text.strip().lower()
        for suffix, factor in self.suffixes:
            if lowered.endswith(suffix):
                return _decimal(lowered[: -len(suffix)].rstrip()) * factor
        return _decimal(lowered)

    def allowed(self) -> str:
        return f"{self.show(self.low)} to {self.show(self.high)}"


class Duration(_Suffixed):
    """Seconds as float; text may say `500ms`, `10s`, `5m` or `1h`."""

    type = "duration"
    unit = "seconds"
    metavar = "SECONDS"
    suffixes = (("ms", SECOND / 1000), ("s", SECOND), ("m", MINUTE), ("h", HOUR))

    def parse(self, text: str) -> object:
        return self.check(self.number(text))

    def check(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise ValueError  # a NaN fails the comparison too
        return float(value)

    def allowed(self) -> str:
        return f"{super().allowed()} (a number of seconds, or with a unit: ms, s, m, h)"

    def show(self, value: Any) -> str:
        return f"{value * 1000:g} ms" if 0 < value < 1 else f"{value:.9g} s"


class Size(_Suffixed):
    """Bytes as int; text may say `16MiB`, `16M`, `512KiB` or `512k` (powers of 1024)."""

    type = "size"
    unit = "bytes"
    metavar = "BYTES"
    suffixes = (
        ("kib", KiB),
        ("mib", MiB),
        ("gib", GiB),
        ("k", KiB),
        ("m", MiB),
        ("g", GiB),
        ("b", 1),
    )

    def parse(self, text: str) -> object:
        number = self.number(text)
        if number != int(number):
            raise ValueError
        return self.check(int(number))

    def check(self, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError
        return value

    def allowed(self) -> str:
        return f"{super().allowed()} (a number of bytes, or with a unit: KiB, MiB, GiB)"

    def show(self, value: Any) -> str:
        for name, factor in (("GiB", GiB), ("MiB", MiB), ("KiB", KiB)):
            if value and value % factor == 0:
                return f"{value // factor} {name}"
        return f"{value} B"


class Choice(Kind):
    """One of a few words."""

    type = "choice"

    def __init__(self, *words: str) -> None:
        self.words = words
        self.metavar = "|".join(words)

    def parse(self, text: str) -> object:
        if text not in self.words:
            raise ValueError
        return text

    def allowed(self) -> str:
        return ", ".join(self.words)


class Flag(Kind):
    """On or off."""

    type = "flag"
    metavar = ""

    def parse(self, text: str) -> object:
        lowered = text.lower()
        if lowered in ("1", "true", "yes", "on"):
            return True
        if lowered in ("0", "false", "no", "off"):
            return False
        raise ValueError

    def check(self, value: object) -> object:
        if not isinstance(value, bool):
            raise ValueError
        return value

    def allowed(self) -> str:
        return "true or false"

    def show(self, value: Any) -> str:
        return "on" if value else "off"


class Name(Kind):
    """A host name or an IP address; brackets around an IPv6 literal are taken off."""

    type = "host"
    metavar = "ADDRESS"

    def parse(self, text: str) -> object:
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        if not bare or len(bare) > 253 or not bare.isprintable() or any(c in " /[]@,?#" for c in bare):
            raise ValueError
        # One colon is HOST:PORT in the wrong place; an IPv6 literal has two or more.
        if bare.count(":") == 1:
            raise ValueError
        return bare

    def allowed(self) -> str:
        return "a host name or an IP address without a port (0.0.0.0 or :: for every interface)"


class Path(Kind):
    """A path, or none."""

    type = "path"
    metavar = "PATH"
    optional = True

    def __init__(self, metavar: str = "PATH") -> None:
        self.metavar = metavar

    def read(self, value: object) -> object:
        # pathlib.Path and the like, without an import of os for its ABC.
        fspath = getattr(type(value), "__fspath__", None)
        return super().read(fspath(value) if fspath is not None else value)

    def parse(self, text: str) -> object:
        if not text or "\0" in text:
            raise ValueError
        return text

    def allowed(self) -> str:
        return "a path"


class SocketPath(Path):
    """The path of a Unix socket, or none."""

    def parse(self, text: str) -> object:
        super().parse(text)
        if len(text.encode("utf-8", "surrogateescape")) > MAX_SOCKET_PATH:
            raise ValueError
        return text

    def allowed(self) -> str:
        return f"a path of at most {MAX_SOCKET_PATH} bytes"


class Endpoint(Kind):
    """`HOST:PORT` as a tuple, or the path of a Unix socket as text, or none."""

    type = "endpoint"
    metavar = "HOST:PORT|PATH"
    optional = True
    host = Name()
    port = Integer(0, 65535)
    path = SocketPath()

    def read(self, value: object) -> object:
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
            return self.host.read(value[0]), self.port.read(value[1])
        return super().read(self.path.read(value) if hasattr(value, "__fspath__") else value)

    def parse(self, text: str) -> object:
        if "/" in text:  # a socket in the current directory is ./name: without the slash a typo would create a file
            return self.path.read(text)
        host, colon, port = text.rpartition(":")
        if not colon or (":" in host and not host.startswith("[")):
            raise ValueError
        return self.host.read(host), self.port.read(port)

    def allowed(self) -> str:
        return "HOST:PORT (127.0.0.1:9000, [::1]:9000) or the path of a Unix socket with a / in it"

    def show(self, value: Any) -> str:
        if isinstance(value, tuple):
            host, port = value
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return super().show(value)


class Token(Kind):
    """A bearer token in the alphabet of RFC 6750 section 2.1 (`b64token`), or none."""

    type = "secret"
    metavar = "TOKEN"
    optional = True

    def parse(self, text: str) -> object:
        bare = text.rstrip("=")
        if not bare or not text.isascii() or len(text) > 4 * KiB:
            raise ValueError
        if not all(c.isalnum() or c in "-._~+/" for c in bare):
            raise ValueError
        return text

    def allowed(self) -> str:
        return "letters, digits and - . _ ~ + /, then = signs"

    def show(self, value: Any) -> str:
        return "none" if value is None else "set"
