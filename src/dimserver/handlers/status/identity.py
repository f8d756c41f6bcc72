"""Who asks for a change, as the log names it."""

from __future__ import annotations

from dimserver.net.peer_credentials import peer_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.handlers.status.types import Request

__all__ = ["identify"]


def identify(request: Request) -> str:
    """``127.0.0.1:40000``, ``uid 1000, process 4711`` of a Unix socket, or ``the program itself``."""
    connection = request.connection
    if connection is None:
        return "the program itself"
    address = connection.address
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    found = peer_credentials(getattr(connection, "fileno", -1))
    if found is None:
        return "a client of a Unix socket"
    pid, uid = found
    return f"uid {uid}, process {pid}" if pid else f"uid {uid}"
