"""Whether workers live, and why those that do not have ended."""

from __future__ import annotations

import signal
from functools import partial
from time import monotonic

from dimserver.supervisor.process_end import explain
from dimserver.supervisor.processes import AT_ONCE
from dimserver.supervisor.slots import State
from dimserver.worker.cgroup import oom_kills

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.supervisor.processes import Processes
    from dimserver.supervisor.slots import Process
    from dimserver.supervisor.state import SupervisorState

__all__ = ["Health"]

SELDOM = 60.0  # seconds between two looks at whether a setting has changed


class Health:
    """See the module.

    Args:
        state, processes: of the supervisor.

    Thread-safety: the supervisor's thread.
    """

    def __init__(self, state: SupervisorState, processes: Processes) -> None:
        self._state = state
        self._processes = processes
        self._oom_kills = oom_kills()

    def look_after(self) -> None:
        """Ask each worker whether its loop turns, end those that did not answer in time, and look again later.

        The directory of private sockets is looked after as well.
        """
        self._processes.restore_directory()
        limit = self._state.settings.worker_timeout
        loop = self._state.loop
        now = monotonic()
        for process in self._processes.processes.values():
            if not limit or process.state is State.LEAVING:
                continue
            if process.state is not State.SERVING:
                # Else an app that waits for ever while it is imported would hold up every later reload.
                if now - process.since >= limit:
                    self._processes.end(process, f"was killed: it did not serve within {limit:g} s (worker-timeout)")
            elif not process.pinged:
                process.pinged = now
                process.channel.send("ping")
            elif now - process.pinged >= limit:
                process.killed = f"was killed: its loop was blocked for more than {limit:g} s (worker-timeout)"
                self._processes.kill(process, signal.SIGABRT)  # which has it write every thread's stack
                loop.call_later(AT_ONCE, partial(self._processes.end, process, process.killed))
        # An idle worker is woken once in a quarter of the limit, which is also how exactly it is kept.
        loop.call_later(max(1.0, limit / 4) if limit else SELDOM, self.look_after)

    def tell_manager(self) -> None:
        """Tell the service manager that the supervisor lives, if it wants to hear it, again and again."""
        notifier = self._state.notifier
        if notifier.interval:
            notifier.alive()
            self._state.loop.call_later(notifier.interval, self.tell_manager)

    def explain(self, status: int) -> str:
        """How a worker has ended.

        Args:
            status: as from `os.waitpid`.
        """
        kills = oom_kills()
        more = kills > self._oom_kills >= 0
        self._oom_kills = kills
        return explain(status, more)

    def answered(self, process: Process) -> None:
        """A worker's loop turns."""
        process.pinged = 0.0
