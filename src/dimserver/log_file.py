"""A log's file: appended to, and found again when log rotation has moved it.

Rotation works in both of its usual forms: another program renames the file and
sends a signal (`LogFile.reopen`), or it renames or removes it and says nothing
(`LogFile.follow`, which looks at the name once a second).
"""

from __future__ import annotations

import os
import stat
from time import monotonic

__all__ = ["LogFile"]

LOOK = 1.0  # seconds between two looks at the name
MODE = 0o640  # addresses of clients are not for every local user


class LogFile:
    """A file by its name, or a descriptor of somebody else's.

    Args:
        target: a path, made where there is none, or an open descriptor, which stays its owner's.

    Attributes:
        path: the path, or None.
        fd: where to write.
        is_stream: whether it is read by somebody (a pipe, a terminal, a socket) who may stop reading.

    Raises:
        OSError: it cannot be opened; a FIFO that nobody reads is one of the reasons.

    Thread-safety: none; whoever writes also calls `reopen`, `follow` and `close`.
    """

    __slots__ = ("_look_at", "fd", "is_stream", "path")

    def __init__(self, target: str | int) -> None:
        self.path = target if isinstance(target, str) else None
        self.fd = _open(target) if isinstance(target, str) else target
        self.is_stream = not stat.S_ISREG(os.fstat(self.fd).st_mode)
        self._look_at = 0.0

    def reopen(self) -> None:
        """Open the path again; without one nothing happens.

        Raises:
            OSError: it cannot be opened; what was open stays in use.
        """
        if self.path is None:
            return
        fresh = _open(self.path)
        os.close(self.fd)
        self.fd = fresh
        self.is_stream = not stat.S_ISREG(os.fstat(fresh).st_mode)

    def follow(self) -> bool:
        """`reopen` where the name stands for another file by now, or for none; looks once a second at most.

        Returns:
            Whether it was opened again.

        Raises:
            OSError: as for `reopen`.
        """
        if self.path is None or monotonic() < self._look_at:
            return False
        self._look_at = monotonic() + LOOK
        ours = os.fstat(self.fd)
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
            self.reopen()
            return True
        return False

    def close(self) -> None:
        """Close what was opened here; again is fine."""
        if self.path is not None and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _open(path: str) -> int:
    # Non-blocking while it is opened: for a FIFO without a reader an error is better than to wait for one.
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, MODE)
    os.set_blocking(fd, True)
    return fd
