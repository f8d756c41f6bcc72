"""When a worker has served enough: by its age, its requests, or its memory."""

from __future__ import annotations

import os
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.config import Settings

__all__ = ["Recycling", "jitter", "resident_bytes"]

SPREAD = 0.25  # of a delay or a limit, up or down: workers must not all do the same at the same moment


class Recycling:
    """The limits of one worker, each a little different from its neighbours'.

    Args:
        settings: see ``dimserver config``; of them recycle-age, recycle-requests and recycle-memory.

    Attributes:
        interval: seconds between two looks, or 0 when there is nothing to look at.

    Thread-safety: one thread.
    """

    def __init__(self, settings: Settings) -> None:
        self._age = jitter(settings.recycle_age)
        self._requests = int(jitter(settings.recycle_requests))
        self._memory = settings.recycle_memory  # exact: who sets it knows where the machine's limit is
        self._begun = monotonic()
        self.interval = 1.0 if self._age or self._requests or self._memory else 0.0

    def reason(self, requests: int) -> str:
        """Why the worker should be replaced, or "" if it need not.

        Args:
            requests: it has served.
        """
        age = monotonic() - self._begun
        if self._age and age >= self._age:
            return f"it is {age:.0f} s old"
        if self._requests and requests >= self._requests:
            return f"it has served {requests} requests"
        if self._memory:
            resident = resident_bytes()
            if resident > self._memory:
                return f"it uses {resident // (1024 * 1024)} MiB"
        return ""


def resident_bytes() -> int:
    """Memory of this process that is in RAM now; where the system does not say, the most it ever was."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def jitter(value: float) -> float:
    """`value`, up to `SPREAD` more or less."""
    # `random` would bring in hashlib and more.
    share = int.from_bytes(os.urandom(4), "little") / 0xFFFFFFFF
    return value * (1.0 - SPREAD + 2.0 * SPREAD * share)
