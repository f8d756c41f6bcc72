"""Trouble that comes a thousand times a second, said once in a while.

Out of descriptors, a disk that is full: as long as it lasts, every client would
write a line of the log, and the log would be the next thing to fill up.
"""

from __future__ import annotations

from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QUIET", "Episode"]

QUIET = 10.0  # seconds between two lines of one trouble


class Episode:
    """One kind of trouble.

    Args:
        say: takes the line.

    Thread-safety: one thread.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._told = float("-inf")
        self._unsaid = 0

    def tell(self, message: str) -> None:
        """It happened; said at once, unless it was within the last `QUIET` seconds: then counted for the next line."""
        now = monotonic()
        if now - self._told <= QUIET:
            self._unsaid += 1
            return
        again = f" ({self._unsaid} more since the last such line)" if self._unsaid else ""
        self._told = now
        self._unsaid = 0
        self._say(message + again)
