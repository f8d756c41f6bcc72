"""Why a process ended, in words."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["explain", "last_words"]

MEANINGS = {
    signal.SIGKILL: "kill -9, or the kernel ran out of memory",
    signal.SIGSEGV: "a crash in compiled code",
    signal.SIGBUS: "a crash in compiled code, or a mapped file was truncated",
    signal.SIGABRT: "compiled code aborted",
    signal.SIGXCPU: "its CPU time limit",
}


def explain(status: int, out_of_memory: bool = False) -> str:
    """What a wait status says, to be put behind the name of a process.

    Args:
        status: as from `os.waitpid`.
        out_of_memory: whether the kernel has killed a process of this control group meanwhile.

    Returns:
        For example ``ended with exit code 3`` or ``was killed by SIGSEGV (a crash in compiled code)``.
    """
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        number = signal.Signals(-code)
    except ValueError:
        return f"was killed by signal {-code}"
    meaning = MEANINGS.get(number)
    if number is signal.SIGKILL and out_of_memory:
        meaning = "its control group ran out of memory"
    return f"was killed by {number.name}" + (f" ({meaning})" if meaning else "")


def last_words(in_flight: Iterable[tuple[str, float]]) -> str:
    """What a process was doing when it ended, to be put behind how; "" where nothing is known.

    Args:
        in_flight: method and target of each request, as from `Board.retire`, and since how many seconds.

    Returns:
        For example ``, while it served GET /report (for 2.5 s)``.
    """
    requests = ", ".join(f"{line} (for {seconds:.1f} s)" for line, seconds in in_flight)
    return f", while it served {requests}" if requests else ""
