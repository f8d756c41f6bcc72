"""Trouble that comes a thousand times a second, said once in a while.

Out of descriptors, a disk that is full: as long as it lasts, every client would
write a line of the log, and the log would be the next thing to fill up.
"""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QUIET", "ThrottledLog"]

QUIET = 10.0  # seconds between two lines of one trouble


class ThrottledLog:
    """One kind of trouble.

    Args:
        say: takes the line.
        later: calls something after so many seconds, as `Loop.call_later`: what was only counted when the trouble
            ends is said then.  Without it, with the next line.
        quiet: seconds between two lines.

    Thread-safety: one thread.
    """

    def __init__(
        self, say: Callable[[str], object], later: Callable[..., object] | None = None, quiet: float = QUIET
    ) -> None:
        self._say = say
        self._later = later
        self._quiet = quiet
        self._last = ""  # what was counted last
        self._told = float("-inf")
        self._unsaid = 0

    def tell(self, message: str) -> None:
        """It happened; said at once, unless it was a moment ago: then counted for the next line."""
        now = monotonic()
        if now - self._told <= self._quiet:
            self._unsaid += 1
            self._last = message
            if self._unsaid == 1 and self._later is not None:
                self._later(self._quiet - (now - self._told), self._settle)
            return
        self._tell(message, now)

    def _settle(self) -> None:
        if self._unsaid:
            self._unsaid -= 1  # the last one has a line of its own
            self._tell(self._last, monotonic())

    def _tell(self, message: str, now: float) -> None:
        again = f" ({self._unsaid} more since the last such line)" if self._unsaid else ""
        self._told = now
        self._unsaid = 0
        self._say(message + again)
