"""New workers in the place of old ones: at the start, at a reload, and when one was lost.

The first worker of a generation is started alone.  When it serves, the others
follow, some at a time; when it does not, nothing changes.
"""

from __future__ import annotations

from functools import partial

from dimserver.config import Settings
from dimserver.errors import DimserverError
from dimserver.supervisor.reloads import Outcome, Reloads
from dimserver.supervisor.slots import Generation
from dimserver.supervisor.state import make_segments, workers_wanted
from dimserver.supervisor.title import entitle
from dimserver.worker.announce import served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dimserver.supervisor.processes import Processes
    from dimserver.supervisor.reloads import Reload
    from dimserver.supervisor.scaling import Scaling
    from dimserver.supervisor.slots import Process, Slot
    from dimserver.supervisor.state import SupervisorState

__all__ = ["RollingRestart"]

STOPPED = "the server was stopped"
MOST_FAILURES = 3  # of workers that follow, after which a reload counts as failed


class RollingRestart:
    """See the module.

    Args:
        read: as for `supervise`.
        first: the generation that the server starts with.
        state, processes, scale: of the supervisor.
        status: what is served, in a line for the service manager.

    Attributes:
        generation: the newest that serves.
        leader: the first worker of a generation that is tried, or None.
        reloads: the last ones, and what became of them.

    Thread-safety: the supervisor's thread.
    """

    def __init__(
        self,
        read: Callable[[], tuple[str, dict[str, object]]],
        first: Generation,
        state: SupervisorState,
        processes: Processes,
        scale: Scaling,
        status: Callable[[], str],
    ) -> None:
        self._read = read
        self._state = state
        self._processes = processes
        self._scale = scale
        self._status = status
        self.reloads = Reloads()
        self._next: Reload | None = None  # asked for meanwhile
        self._current: Reload | None = None  # until it is known what became of it
        self._reloading = False  # as the service manager is told
        self._failures = 0  # workers that follow and did not start
        self.generation = first
        self.leader: Process | None = None

    # --- generations ----------------------------------------------------------------------------

    def begin(self) -> bool:
        """Start the server's first worker; False if the system refuses."""
        self.leader = self._processes.start(self._scale.slots[0], self.generation)
        return self.leader is not None

    def reload(self, who: str) -> Reload | None:
        """Read the configuration and try a worker with it and with new code.

        Args:
            who: asks for it.

        Returns:
            What becomes of it; None when the server ends.
        """
        state = self._state
        if state.stopping:
            return None
        if not state.announced or self.leader is not None or any(slot.coming for slot in self._scale.slots):
            if self._next is None:
                state.log.info("reload: requested again; it follows when the starting workers serve")
                self._next = self.reloads.ask(who)
            return self._next
        entry, self._next = self._next or self.reloads.ask(who), None
        self._begin_reload(entry)
        return entry

    def _begin_reload(self, entry: Reload) -> None:
        state = self._state
        self._end(Outcome.FAILED, "another reload came before every worker was replaced")
        self._current = entry
        self._failures = 0
        entry.step(Outcome.RUNNING)
        self._reloading = True
        state.notifier.reloading()
        try:
            target, values = self._read()
            segments = make_segments(Settings(**values), self.generation.segments)
        except DimserverError as error:
            self._over()
            self._end(Outcome.FAILED, str(error))
            state.log.error(f"reload: {error}; nothing changes")
            return
        state.log.info("reload: starting a worker with the new configuration and code")
        fresh = Generation(self.generation.number + 1, target, values, segments)
        self.leader = self._processes.start(self._scale.slots[0], fresh)
        if self.leader is None:
            self._end(Outcome.FAILED, "the system gives no process for a new worker")
            self.go_on()

    def _end(self, outcome: Outcome, reason: str = "", detail: str = "") -> None:
        """What became of the reload that runs, if one does."""
        entry, self._current = self._current, None
        if entry is not None:
            entry.step(outcome, reason, detail)

    def stop(self) -> None:
        """The server ends: nothing comes of any reload."""
        self._end(Outcome.FAILED, STOPPED)
        if self._next is not None:
            self._next.step(Outcome.FAILED, STOPPED)
            self._next = None

    def worker_failed(self, reason: str, detail: str) -> None:
        """A worker that follows the leader of a reload has ended before it served; it is tried again."""
        entry = self._current
        if entry is None:
            return
        self._failures += 1
        entry.reason, entry.detail = reason, detail
        if self._failures >= MOST_FAILURES:
            slots = self._scale.slots
            new = sum(self._is_renewed(slot) for slot in slots)
            rest = f"{new} of {len(slots)} workers are new, others are tried again"
            self._end(Outcome.FAILED, f"{reason}; {rest}", detail)

    def _is_renewed(self, slot: Slot) -> bool:
        return slot.serving is not None and slot.serving.generation is self.generation

    def follow(self, generation: Generation) -> None:
        """The first worker of a generation serves: the others come after."""
        self.leader = None
        state = self._state
        first = generation is self.generation
        self.generation = generation
        state.renew(generation.settings or state.settings)
        if not first:
            entitle("supervisor", "", generation)  # another app may be served
            state.log.info(
                f"reload: the new worker serves {served(generation.target, state.settings)}; the others follow"
            )
            state.board.tally("reloads")
            if state.sockets is not None:
                state.sockets.set_backlog(state.settings.backlog)
        self._scale.resize(workers_wanted(state.settings))
        self.go_on()

    def give_up(self, reason: str, detail: str) -> None:
        """The leader has ended before it served."""
        self.leader = None
        self._over()
        self._end(Outcome.FAILED, reason, detail)

    def _over(self) -> None:
        self._reloading = False
        self._state.notifier.ready(self._status())

    def go_on(self) -> None:
        """Renew slots of an older generation, some at a time."""
        state = self._state
        if state.stopping or self.leader is not None:
            return
        slots = self._scale.slots
        coming = sum(slot.coming is not None for slot in slots)
        most = len(slots) if not state.announced else max(1, len(slots) // 4)
        for slot in slots:
            if coming >= most:
                return
            old = slot.serving is None or slot.serving.generation is not self.generation
            if old and slot.coming is None and not slot.waiting:
                self.replace(slot)
                coming += 1
        if state.announced and coming == 0 and self._reloading:
            self._over()
        if coming == 0 and all(map(self._is_renewed, slots)):
            self._end(Outcome.DONE)
        if state.announced and coming == 0 and self._next is not None:
            self.reload(self._next.who)

    # --- single slots ---------------------------------------------------------------------------

    def replace(self, slot: Slot) -> None:
        """Start a worker for a slot that has none, or whose worker is to be renewed."""
        slot.waiting = False
        scale = self._scale
        if self._state.stopping or slot.coming is not None or (slot not in scale.slots and slot not in scale.closing):
            return
        if self._processes.start(slot, self.generation) is None:
            self.replace_later(slot, slot.lost(0.0))

    def replace_later(self, slot: Slot, delay: float) -> None:
        """`replace`, after so many seconds."""
        if not slot.waiting:
            slot.waiting = True
            self._state.loop.call_later(delay, partial(self.replace, slot))
