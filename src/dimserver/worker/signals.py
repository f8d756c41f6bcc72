"""What TERM, INT, HUP and QUIT ask for, by who gets them and what it is doing: two tables.

A signal often reaches every process of the server, or the same process twice:
a terminal, `tini -g`, supervisord and systemd signal the whole group or control
group; `timeout` signals its child and then the group that the child is in; a
wrapper passes on what it got itself.  So

* only the first process decides what a signal means.  A worker takes none of
  them for an order to end at once: its supervisor says so on the board they
  share, and the signal that comes then is no more than a nudge;
* what repeats a stop within `ECHO` is the same wish, not a second one.
"""

from __future__ import annotations

import enum
import signal

__all__ = ["ECHO", "GROUP", "SERVER", "WORKER", "Order", "Phase", "StopSignals"]

# Those that are sent to a whole process group.
GROUP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
ECHO = 0.1  # seconds: `timeout` takes microseconds, a wrapper some milliseconds, and nobody presses Ctrl-C that fast


class Phase(enum.IntEnum):
    """What a process is doing."""

    SERVING = 1  # or on its way there
    STOPPING = 2  # it was told to stop, and finishes what is in flight
    ENDING = 3  # at once
    ORPHANED = 4  # a worker whose supervisor is gone


class Order(enum.IntEnum):
    """What a signal asks a process to do."""

    NOTHING = 0
    RELOAD = 1  # new workers in the place of the old ones
    STOP = 2  # finish what is in flight within `drain`
    END = 3  # at once, whatever is in flight
    REPLACE = 4  # have another worker started, then leave
    FINISH = 5  # as STOP; nobody else sees to it that the limit is kept


# The first process: the supervisor, or a program that serves in its own process, which takes no SIGHUP.
SERVER = {
    (signal.SIGTERM, Phase.SERVING): Order.STOP,
    (signal.SIGTERM, Phase.STOPPING): Order.END,
    (signal.SIGTERM, Phase.ENDING): Order.NOTHING,
    (signal.SIGINT, Phase.SERVING): Order.STOP,
    (signal.SIGINT, Phase.STOPPING): Order.END,
    (signal.SIGINT, Phase.ENDING): Order.NOTHING,
    (signal.SIGHUP, Phase.SERVING): Order.RELOAD,
    (signal.SIGHUP, Phase.STOPPING): Order.NOTHING,
    (signal.SIGHUP, Phase.ENDING): Order.NOTHING,
    (signal.SIGQUIT, Phase.SERVING): Order.END,
    (signal.SIGQUIT, Phase.STOPPING): Order.END,
    (signal.SIGQUIT, Phase.ENDING): Order.NOTHING,
}

# A worker of a supervisor.
WORKER = {
    (signal.SIGTERM, Phase.SERVING): Order.REPLACE,
    (signal.SIGTERM, Phase.STOPPING): Order.NOTHING,
    (signal.SIGTERM, Phase.ENDING): Order.END,
    (signal.SIGTERM, Phase.ORPHANED): Order.FINISH,
    **{
        (number, phase): Order.END if phase is Phase.ENDING else Order.NOTHING
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
        for phase in Phase
    },
}


class StopSignals:
    """Which phase the signals that came so far have brought the first process to.

    What else stops it, an operator's request or a start that failed, is no signal
    and counts as none: the first one after it is the first.

    Thread-safety: signal handlers of one thread.
    """

    def __init__(self) -> None:
        self.phase = Phase.SERVING
        self._stopped = 0.0

    def heard(self, number: int, now: float) -> Order:
        """What the next signal asks for.

        Args:
            number: one of `GROUP`.
            now: when it came, in seconds on the monotonic clock.
        """
        order = SERVER[signal.Signals(number), self.phase]
        if order is Order.STOP:
            self.phase = Phase.STOPPING
            self._stopped = now
        elif order is Order.END:
            if self.phase is Phase.STOPPING and number != signal.SIGQUIT and now - self._stopped < ECHO:
                return Order.NOTHING
            self.phase = Phase.ENDING
        return order
