"""Messages for the operator: one line each on standard error, a traceback below where there is one."""

from __future__ import annotations

import os
from time import localtime, strftime

__all__ = ["LEVELS", "Log"]

LEVELS = ("debug", "info", "warning", "error", "critical")


class Log:
    """Writes messages of a level and above.

    Args:
        level: one of `LEVELS`.
        fd: descriptor to write to.

    Thread-safety: each message is one write, so lines of several threads do not mix.
    """

    def __init__(self, level: str = "info", fd: int = 2) -> None:
        self._least = LEVELS.index(level)
        self._fd = fd

    def debug(self, message: str) -> None:
        """For whoever looks into the server itself."""
        self.write("debug", message)

    def info(self, message: str) -> None:
        """What an operator may want to know."""
        self.write("info", message)

    def warning(self, message: str) -> None:
        """Something that works, but not as asked."""
        self.write("warning", message)

    def error(self, message: str, error: BaseException | None = None) -> None:
        """Something failed; the server goes on."""
        self.write("error", message, error)

    def write(self, level: str, message: str, error: BaseException | None = None) -> None:
        """Write one message, with the traceback of `error`."""
        if LEVELS.index(level) < self._least:
            return
        # Text of a client may be part of it: control characters must not reach a terminal or fake a line.
        clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        text = f"{strftime('%Y-%m-%d %H:%M:%S', localtime())} [{os.getpid()}] {level}: {clean}\n"
        if error is not None:
            from traceback import format_exception

            text += "".join(format_exception(error))
        try:
            os.write(self._fd, text.encode("utf-8", "backslashreplace"))
        except OSError:
            pass  # nobody is left to be told
