"""Writes that never wait: to a file, a pipe, a terminal or a socket that somebody may have stopped reading."""

from __future__ import annotations

import os
import select
import stat
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["NoWaitWriter", "put_line"]

PIPE_CHUNK = 4096  # a pipe that polls writable takes PIPE_BUF bytes without blocking (POSIX.1-2017, write)


class NoWaitWriter:
    """Writes to a descriptor as far as that needs no waiting.

    Args:
        fd: stays its owner's.

    Thread-safety: none.
    """

    __slots__ = ("_is_stream", "_private", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._is_stream = not stat.S_ISREG(os.fstat(fd).st_mode)
        self._private = _reopened(fd) if self._is_stream else -1

    def put(self, data: bytes, patience: float = 0.0) -> int:
        """Write; the number of bytes written.

        Args:
            data: what to write.
            patience: seconds to wait in all for room.

        Raises:
            OSError: the disk is full, the reader has left, ….
        """
        written = self._put(data)
        end = monotonic() + patience
        while written < len(data) and self._is_stream and (left := end - monotonic()) > 0:
            poll = select.poll()
            poll.register(self.fd, select.POLLOUT)
            if poll.poll(left * 1000):
                written += self._put(data[written:])
        return written

    def _put(self, data: bytes) -> int:
        if not self._is_stream:
            return os.write(self.fd, data)  # cannot be polled for: it "never blocks"
        if self._private >= 0:
            try:
                return os.write(self._private, data)  # in one go: so those of several processes do not mix
            except BlockingIOError:
                return 0
        if stat.S_ISSOCK(os.fstat(self.fd).st_mode):
            return _send(self.fd, data)
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        at = 0
        while at < len(data) and poll.poll(0):
            try:
                at += os.write(self.fd, data[at : at + PIPE_CHUNK])
            except BlockingIOError:  # somebody made the descriptor non-blocking
                break
        return at

    def close(self) -> None:
        """Give back what was opened here; again is fine."""
        if self._private >= 0:
            os.close(self._private)
            self._private = -1


def put_line(stream: object, text: str, patience: float = 0.0) -> bool:
    """Write text to standard output or standard error; whether all of it was written.

    Args:
        stream: `sys.stdout`, `sys.stderr`, or what stands in their place.
        text: with its line end.
        patience: seconds to wait in all where nobody reads.
    """
    out: TextIO = stream  # type: ignore[assignment]
    try:
        fd = out.fileno()
        encoding = out.encoding
    except (AttributeError, OSError, ValueError):  # a test's, or closed
        return _print(out, text)
    try:
        writer = NoWaitWriter(fd)
        try:
            data = text.encode(encoding or "utf-8", "backslashreplace")
            return writer.put(data, patience) == len(data)
        finally:
            writer.close()
    except OSError:
        return False


def _print(out: TextIO, text: str) -> bool:
    try:
        out.write(text)
        out.flush()
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _reopened(fd: int) -> int:
    """A descriptor of our own for the same pipe or terminal, non-blocking; -1 where that is not to be had.

    The one we were given is shared with other processes, who may not expect it to
    become non-blocking; and of two that find room in a pipe, one may have to wait.
    """
    if not sys.platform.startswith("linux"):
        return -1
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # a socket, another user's, or no /proc
        return -1


def _send(fd: int, data: bytes) -> int:
    import socket

    stream = socket.socket(fileno=os.dup(fd))
    try:
        return stream.send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0
    finally:
        stream.close()
