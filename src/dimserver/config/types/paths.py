"""Places: hosts, paths, and where a socket listens."""

from __future__ import annotations

import os
import sys

from dimserver.config.types.base import Kind
from dimserver.config.types.numbers import Integer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MAX_SOCKET_PATH", "STANDARD_OUTPUT", "Endpoint", "LogTarget", "Name", "Path", "SocketPath", "UrlPath"]

# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, the final NUL included (unix(7), unix(4)).
MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103

STANDARD_OUTPUT = "-"  # in the place of a log's path


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
    python = "str | PathLike[str]"

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

    def resolve(self, value: Any, directory: str) -> object:
        if value is None:
            return None
        joined = os.path.join(directory, value)
        # Tidied, unless that could change its meaning: behind a link, `..` is not what the text says.
        return joined if ".." in joined.split("/") else os.path.normpath(joined)

    def allowed(self) -> str:
        return "a path"


class LogTarget(Path):
    """The path of a log file, `-` for standard output, or none."""

    def __init__(self) -> None:
        super().__init__("FILE|-")

    def resolve(self, value: Any, directory: str) -> object:
        return value if value == STANDARD_OUTPUT else super().resolve(value, directory)

    def allowed(self) -> str:
        return f"a path, or {STANDARD_OUTPUT} for standard output"


class UrlPath(Kind):
    """The first segments of a URL's path, decoded, without a slash at the end: "" for `/`."""

    type = "url path"
    metavar = "PATH"

    def parse(self, text: str) -> object:
        if text in ("", "/"):
            return ""
        bare = text.removesuffix("/")
        if not bare.startswith("/") or "" in bare.split("/")[1:] or len(bare) > 1024:
            raise ValueError
        if any(c in "?#%\\" for c in bare) or not bare.isprintable() or not {".", ".."}.isdisjoint(bare.split("/")):
            raise ValueError
        return bare

    def allowed(self) -> str:
        return "the beginning of a path as people read it, /shop or /a/b: no %XX, no query"

    def show(self, value: Any) -> str:
        return value or "/"


class SocketPath(Path):
    """The path of a Unix socket, or none."""

    def parse(self, text: str) -> object:
        super().parse(text)
        if len(text.encode("utf-8", "surrogateescape")) > MAX_SOCKET_PATH:
            raise ValueError
        return text

    def resolve(self, value: Any, directory: str) -> object:
        resolved = super().resolve(value, directory)
        # A path is often written relative because the whole one has no room in a socket's address.
        return value if resolved is not None and len(os.fsencode(str(resolved))) > MAX_SOCKET_PATH else resolved

    def allowed(self) -> str:
        return f"a path of at most {MAX_SOCKET_PATH} bytes"


class Endpoint(Kind):
    """`HOST:PORT` as a tuple, or the path of a Unix socket as text, or none."""

    type = "endpoint"
    metavar = "HOST:PORT|PATH"
    optional = True
    python = "tuple[str, int] | str | PathLike[str]"
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

    def resolve(self, value: Any, directory: str) -> object:
        return self.path.resolve(value, directory) if isinstance(value, str) else value

    def allowed(self) -> str:
        return "HOST:PORT (127.0.0.1:9000, [::1]:9000) or the path of a Unix socket with a / in it"

    def show(self, value: Any) -> str:
        if isinstance(value, tuple):
            host, port = value
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return super().show(value)
