"""The supervisor's part in the operator's API: what it alone knows of the server, and can do to it."""

from __future__ import annotations

import os
from time import monotonic

from dimserver.net.descriptors import allowed_to
from dimserver.net.worker_rpc import SUPERVISOR
from dimserver.supervisor.slots import State
from dimserver.version import __version__
from dimserver.worker.announce import served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dimcore import ConnectionPoolManifold, SegmentSet
    from dimserver.config import Settings
    from dimserver.handlers.status import StatusAPI
    from dimserver.handlers.status.access import Access
    from dimserver.log import Log
    from dimserver.net.worker_rpc import Peers
    from dimserver.supervisor.processes import Processes
    from dimserver.supervisor.rolling_restart import RollingRestart
    from dimserver.supervisor.scaling import Scaling
    from dimserver.supervisor.slots import Process
    from dimserver.supervisor.state import SupervisorState

    Row = dict[str, Any]

__all__ = ["Operations"]

# As the board calls them.
STATES = {
    State.IMPORTING: "starting",
    State.OPENING: "starting",
    State.SERVING: "serving",
    State.LEAVING: "draining",
    State.ENDED: "ended",
}


class Operations:
    """See the module; the context of the supervisor's `StatusAPI`, and the server that this shows and acts on.

    Args:
        state, processes, scale, rolling_restart: of the supervisor.
        stop: begins the end.
        rescale: has another number of workers.
        reopen: opens the log files again.
        replace: replaces a worker, for a reason.
        peers: the supervisor's place among the workers.
        control: path of the control socket, or None.

    Thread-safety: the supervisor's thread.
    """

    is_worker = False
    number = SUPERVISOR
    topics = None
    version = __version__

    def __init__(
        self,
        state: SupervisorState,
        processes: Processes,
        scale: Scaling,
        rolling_restart: RollingRestart,
        *,
        stop: Callable[[], object],
        rescale: Callable[[int], object],
        reopen: Callable[[], object],
        replace: Callable[[Process, str], object],
        peers: Peers,
        control: str | None,
    ) -> None:
        self._state = state
        self._processes = processes
        self._scale = scale
        self._rolling_restart = rolling_restart
        self._stop = stop
        self._rescale = rescale
        self._reopen = reopen
        self._replace = replace
        self.control = control
        self.server = self
        self.loop = state.loop
        self.board = state.board
        self._pools: ConnectionPoolManifold | None = None
        self._access: Access | None = None
        self._api: StatusAPI | None = None
        self.peers = peers

    # --- the context ------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """Of the newest generation that serves."""
        return self._state.settings

    @property
    def segments(self) -> SegmentSet:
        """Shared memory of the newest generation that serves."""
        return self._rolling_restart.generation.segments

    @property
    def log(self) -> Log:
        """The supervisor's, which a reload may replace."""
        return self._state.log

    @property
    def pools(self) -> ConnectionPoolManifold:
        """No connections: those of operators who ask the supervisor are in no figure."""
        if self._pools is None:
            from dimcore import ConnectionPoolManifold

            self._pools = ConnectionPoolManifold()
        return self._pools

    @property
    def access(self) -> Access:
        """For the control socket, whose mode decides."""
        if self._access is None:
            from dimserver.handlers.status.access import Access

            self._access = Access(local=False)
        return self._access

    @property
    def api(self) -> StatusAPI:
        """The built-in endpoints; made, and imported, when somebody asks."""
        if self._api is None:
            from dimserver.handlers.status import StatusAPI

            context: Any = self  # typed otherwise there: an index may hold any point
            self._api = StatusAPI(context)
        return self._api

    def publish(self) -> None:
        """The supervisor has no figures on the board."""

    def descriptors_allow(self) -> int | None:
        """How many connections the limit of descriptors allows each worker; None: any number."""
        return allowed_to(self.settings.max_connections + self.settings.admin_reserve)

    # --- the server -------------------------------------------------------------------------------

    def servers(self) -> list[Row]:
        """This one."""
        state = self._state
        sockets = state.sockets
        last = self._rolling_restart.reloads.last
        standing = "draining" if state.stopping else "serving" if state.announced else "starting"
        return [
            {
                "id": str(os.getpid()),
                "pid": os.getpid(),
                "state": standing,
                "version": self.version,
                "serves": served(self._rolling_restart.generation.target, state.settings),
                "urls": [] if sockets is None else sockets.urls,
                "control": self.control,
                "uptime": round(monotonic() - self.board.snapshot().started, 3),
                "workers": len(self._scale.slots),
                "generation": self._rolling_restart.generation.number,
                "reload": None if last is None else last.row(),
            }
        ]

    def workers(self) -> list[Row]:
        """All processes, those that start and those that drain included."""
        from dimserver.handlers.status.figures import worker_row

        now = monotonic()
        shown = {worker["worker"]: worker for worker in self.board.snapshot().workers}
        rows = []
        for process in sorted(self._processes.processes.values(), key=lambda process: process.record):
            known = shown.get(process.record)
            rows.append(
                {
                    "id": str(process.record),
                    **({"worker": process.record} if known is None else worker_row(known, now)),
                    "pid": process.pid,
                    "state": STATES[process.state],
                    "since": round(now - process.since, 3),
                    "slot": process.slot.number,
                    "generation": process.generation.number,
                }
            )
        return rows

    def reloads(self) -> list[Row]:
        """The last ones, the oldest first."""
        return self._rolling_restart.reloads.rows()

    def reload(self, who: str) -> None:
        """Take up new code and configuration."""
        if self._rolling_restart.reload(who) is None:
            self._refuse("the server is ending")

    def drain(self) -> None:
        """Finish what is in flight and end."""
        self._stop()

    def scale(self, workers: int) -> None:
        """Have another number of workers, until the next reload."""
        if self._state.stopping or not self._state.announced:
            self._refuse("the server is ending" if self._state.stopping else "the server is starting")
        self._rescale(workers)

    def reopen_logs(self) -> None:
        """Open the log files again, of workers as well."""
        self._reopen()

    def restart(self, worker: int, who: str) -> None:
        """Replace a worker by a new one, which serves first."""
        process = next((each for each in self._processes.processes.values() if each.record == worker), None)
        if self._state.stopping:
            self._refuse("the server is ending")
        if process is None or process.state is not State.SERVING:
            self._refuse(f"worker {worker} does not serve")
        elif process.slot.coming is not None:
            self._refuse(f"worker {worker} is being replaced already")
        else:
            self._replace(process, f"asked for by {who}")

    def _refuse(self, reason: str) -> None:
        from dimserver.handlers.status.resource import conflict

        raise conflict(reason)
