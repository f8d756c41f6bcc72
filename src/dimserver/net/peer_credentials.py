"""The process at the other end of a Unix socket, as the kernel knows it."""

from __future__ import annotations

import os
import socket
import struct

__all__ = ["peer_credentials"]

UCRED = struct.Struct("=iII")  # pid, uid, gid (unix(7))


def peer_credentials(descriptor: int) -> tuple[int, int] | None:
    """Process id and user id of the peer of a connected Unix socket.

    At the side that connected they are those of the process that called listen(2).

    Args:
        descriptor: stays the caller's.

    Returns:
        None where the system does not tell.  The process id is 0 for a process of another PID namespace.
    """
    option = getattr(socket, "SO_PEERCRED", None)  # macOS has another one, without the user
    if option is None:
        return None
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            pid, uid, _ = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, option, UCRED.size))
    except (OSError, struct.error):
        return None
    return pid, uid
