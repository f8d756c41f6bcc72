"""``wsgi.errors``: text an app writes for the operator, passed on as it is."""

from __future__ import annotations

import sys
from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ErrorStream"]

LONGEST = 64 * 1024  # characters without a line end: passed on without one


class ErrorStream:
    """A text stream, write only.  Whole lines are passed on together, so that those of several threads do not mix.

    Args:
        log: called with one line or more, each with its end; standard error when None.

    Thread-safety: any thread; lines that several threads write in parts may mix.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, log: Callable[[str], object] | None = None) -> None:
        self._log = _to_standard_error if log is None else log
        self._begun = ""
        self._lock = Lock()

    def write(self, text: str) -> int:
        """Add text.

        Raises:
            TypeError: it is not `str`.
        """
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        with self._lock:
            whole, end, self._begun = (self._begun + text).rpartition("\n")
            if len(self._begun) > LONGEST:
                whole, end, self._begun = whole + end + self._begun, "\n", ""
        if end:
            self._log(whole + end)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Add the texts of an iterable."""
        self.write("".join(lines))

    def flush(self) -> None:
        """End the line that was begun."""
        with self._lock:
            begun, self._begun = self._begun, ""
        if begun:
            self._log(begun + "\n")

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return False."""
        return False


def _to_standard_error(text: str) -> None:
    sys.stderr.write(text)
