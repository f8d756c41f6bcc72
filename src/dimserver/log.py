"""Messages for the operator: one line each on standard error, a traceback below where there is one."""

from __future__ import annotations

import os
import select
import stat
from _thread import allocate_lock
from time import localtime, strftime

__all__ = ["LEVELS", "Log"]

LEVELS = ("debug", "info", "warning", "error", "critical")

PIPE_CHUNK = 4096  # a pipe that polls writable takes PIPE_BUF bytes without blocking (POSIX.1-2017, write)
MAX_TRACEBACK = 64 * 1024  # characters; the message of an exception may be a whole document


class Log:
    """Writes messages of a level and above.

    Args:
        level: one of `LEVELS`.
        fd: descriptor to write to.

    A reader of `fd` that does not read costs messages, never the loop: they are
    dropped, and the next one that gets through says how many.

    Thread-safety: any thread; messages do not mix.
    """

    def __init__(self, level: str = "info", fd: int = 2) -> None:
        self._least = LEVELS.index(level)
        self._fd = fd
        self._lost = 0
        self._lock = allocate_lock()

    def debug(self, message: str) -> None:
        """For whoever looks into the server itself."""
        self.write("debug", message)

    def info(self, message: str) -> None:
        """What an operator may want to know."""
        self.write("info", message)

    def warning(self, message: str, detail: str = "") -> None:
        """Something that works, but not as asked; the lines of `detail` follow, indented."""
        self.write("warning", message, detail=detail)

    def error(self, message: str, error: BaseException | None = None) -> None:
        """Something failed; the server goes on."""
        self.write("error", message, error)

    def write(self, level: str, message: str, error: BaseException | None = None, detail: str = "") -> None:
        """Write one message, with the lines of `detail` and the traceback of `error`."""
        if LEVELS.index(level) < self._least:
            return
        stamp = f"{strftime('%Y-%m-%d %H:%M:%S', localtime())} [{os.getpid()}]"
        text = f"{stamp} {level}: {_clean(message)}\n"
        if detail:
            text += _indented(detail)
        if error is not None:
            text += _traceback(error)
        if not self._lock.acquire(timeout=1):  # its holder is this very thread, interrupted by a signal
            return
        try:
            if self._lost:
                text = f"{stamp} warning: {self._lost} messages were lost here\n{text}"
            if self._put(text.encode("utf-8", "backslashreplace")):
                self._lost = 0
            else:
                self._lost += 1
        except OSError:
            pass  # nobody is left to be told
        finally:
            self._lock.release()

    def _put(self, data: bytes) -> bool:
        """Write as far as that needs no waiting; whether anything was written."""
        if stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.write(self._fd, data)  # cannot be polled for: it "never blocks"
            return True
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        at = 0
        while at < len(data) and poll.poll(0):
            try:
                at += os.write(self._fd, data[at : at + PIPE_CHUNK])
            except BlockingIOError:  # somebody made the descriptor non-blocking
                break
        return at > 0


def _clean(text: str) -> str:
    # Text of a client may be part of it: control characters must not reach a terminal or fake a line.
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _traceback(error: BaseException) -> str:
    from traceback import format_exception

    return _indented("".join(format_exception(error)))


def _indented(text: str) -> str:
    """Indented lines: an exception's own text may have many, and none may pass for a message."""
    if len(text) > MAX_TRACEBACK:
        half = MAX_TRACEBACK // 2
        text = f"{text[:half]}\n...\n{text[-half:]}"
    return "".join(f"  {_clean(line)}\n" for line in text.rstrip("\n").split("\n"))
