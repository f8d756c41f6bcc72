"""What became of each reload: asked for, begun, and done or failed; what may follow what is one table."""

from __future__ import annotations

import enum
import time
from collections import deque
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Outcome", "Reload", "Reloads"]

MOST_KEPT = 20
MOST_DETAIL = 16 * 1024  # characters of a traceback: its end says most


class Outcome(enum.Enum):
    """How far a reload is."""

    WAITING = "waiting"  # for workers that are coming already
    RUNNING = "running"
    DONE = "done"  # every worker is of it
    FAILED = "failed"


AFTER = {
    Outcome.WAITING: {Outcome.RUNNING, Outcome.FAILED},
    Outcome.RUNNING: {Outcome.DONE, Outcome.FAILED},
    Outcome.DONE: set(),
    Outcome.FAILED: set(),
}


class Reload:
    """One of them.

    Attributes:
        number: from 1.
        who: asked for it.
        outcome: see `AFTER`.
        reason: why it failed, or what went wrong so far.
        detail: the traceback to it, or "".
    """

    __slots__ = ("_asked", "_clock", "_ended", "detail", "number", "outcome", "reason", "who")

    def __init__(self, number: int, who: str) -> None:
        self.number = number
        self.who = who
        self.outcome = Outcome.WAITING
        self.reason = ""
        self.detail = ""
        self._asked = time.time()
        self._clock = monotonic()
        self._ended: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return not AFTER[self.outcome]

    def step(self, outcome: Outcome, reason: str = "", detail: str = "") -> None:
        """Go on.

        Raises:
            RuntimeError: `AFTER` has no such step; nothing was changed.
        """
        if outcome not in AFTER[self.outcome]:
            raise RuntimeError(f"reload {self.number}: {outcome.value} after {self.outcome.value}")
        self.outcome = outcome
        self.reason = reason
        self.detail = detail[-MOST_DETAIL:]
        if self.is_over:
            self._ended = monotonic()

    def row(self) -> dict[str, Any]:
        """As the operator's API shows it."""
        end = monotonic() if self._ended is None else self._ended
        return {
            "id": str(self.number),
            "state": self.outcome.value,
            "by": self.who,
            "asked": round(self._asked, 3),
            "seconds": round(end - self._clock, 3),
            "reason": self.reason,
            "detail": self.detail,
        }


class Reloads:
    """The last ones, the oldest first.

    Thread-safety: the supervisor's thread.
    """

    def __init__(self) -> None:
        self._kept: deque[Reload] = deque(maxlen=MOST_KEPT)
        self._number = 0

    def ask(self, who: str) -> Reload:
        """A new one, which waits."""
        self._number += 1
        made = Reload(self._number, who)
        self._kept.append(made)
        return made

    @property
    def last(self) -> Reload | None:
        """The newest."""
        return self._kept[-1] if self._kept else None

    def rows(self) -> list[dict[str, Any]]:
        """As the operator's API shows them."""
        return [each.row() for each in self._kept]
