"""``wsgi.errors``: text an app writes for the operator, as entries of the error log."""

from __future__ import annotations

import sys
from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ErrorStream"]

LONGEST = 64 * 1024  # characters without a line end: an entry of its own


class ErrorStream:
    """A text stream, write only.  What is written up to a line end becomes one entry.

    Args:
        log: called with the first line and the others; standard error when None.

    Thread-safety: any thread; lines that several threads write in parts may mix.
    """

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, log: Callable[[str, str], object] | None = None) -> None:
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
            self._tell(whole)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Add the texts of an iterable."""
        self.write("".join(lines))

    def flush(self) -> None:
        """End the line that was begun."""
        with self._lock:
            begun, self._begun = self._begun, ""
        if begun:
            self._tell(begun)

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return False."""
        return False

    def _tell(self, text: str) -> None:
        first, _, rest = text.partition("\n")
        if text.strip():
            self._log(first, rest)


def _to_standard_error(first: str, rest: str) -> None:
    print(first, *rest.splitlines(), sep="\n", file=sys.stderr)
