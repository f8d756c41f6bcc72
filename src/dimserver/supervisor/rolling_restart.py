"""New workers in the place of old ones: at the start, at a reload, and when one was lost.

The first worker of a generation is started alone.  When it serves, the others
follow, some at a time; when it does not, everything stays as it was.
"""

from __future__ import annotations

from functools import partial

from dimserver.config import Settings
from dimserver.errors import DimserverError
from dimserver.supervisor.slots import Generation
from dimserver.supervisor.state import make_segments, workers_wanted
from dimserver.supervisor.title import entitle
from dimserver.worker.announce import served

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dimserver.supervisor.processes import Crew
    from dimserver.supervisor.scaling import Scale
    from dimserver.supervisor.slots import Process, Slot
    from dimserver.supervisor.state import Holdings

__all__ = ["Renewal"]


class Renewal:
    """See the module.

    Args:
        read: as for `supervise`.
        first: the generation that the server starts with.
        holdings, crew, scale: of the supervisor.
        status: what is served, in a line for the service manager.

    Attributes:
        generation: the newest that serves.
        leader: the first worker of a generation that is tried, or None.

    Thread-safety: the supervisor's thread.
    """

    def __init__(
        self,
        read: Callable[[], tuple[str, dict[str, object]]],
        first: Generation,
        holdings: Holdings,
        crew: Crew,
        scale: Scale,
        status: Callable[[], str],
    ) -> None:
        self._read = read
        self._holdings = holdings
        self._crew = crew
        self._scale = scale
        self._status = status
        self._again = False  # another reload was asked for meanwhile
        self._reloading = False
        self.generation = first
        self.leader: Process | None = None

    # --- generations ----------------------------------------------------------------------------

    def begin(self) -> bool:
        """Start the server's first worker; False if the system refuses."""
        self.leader = self._crew.start(self._scale.slots[0], self.generation)
        return self.leader is not None

    def reload(self) -> None:
        """Read the configuration and try a worker with it and with new code."""
        holdings = self._holdings
        if holdings.stopping:
            return
        if not holdings.announced or self.leader is not None or any(slot.coming for slot in self._scale.slots):
            if not self._again:
                holdings.log.info("reload: asked for again; it follows once the workers that are coming serve")
            self._again = True
            return
        self._reloading = True
        holdings.notifier.reloading()
        try:
            target, values = self._read()
            segments = make_segments(Settings(**values), self.generation.segments)
        except DimserverError as error:
            self._over()
            holdings.log.error(f"reload: {error}; everything stays as it was")
            return
        holdings.log.info("reload: a worker with the new configuration and code is started")
        fresh = Generation(self.generation.number + 1, target, values, segments)
        self.leader = self._crew.start(self._scale.slots[0], fresh)
        if self.leader is None:
            self.go_on()

    def follow(self, generation: Generation) -> None:
        """The first worker of a generation serves: the others come after."""
        self.leader = None
        holdings = self._holdings
        first = generation is self.generation
        self.generation = generation
        holdings.renew(generation.settings or holdings.settings)
        if not first:
            entitle("supervisor", "", generation)  # another app may be served
            holdings.log.info(
                f"reload: the new worker serves {served(generation.target, holdings.settings)}; the others follow"
            )
            holdings.board.tally("reloads")
            if holdings.sockets is not None:
                holdings.sockets.set_backlog(holdings.settings.backlog)
        self._scale.resize(workers_wanted(holdings.settings))
        self.go_on()

    def give_up(self) -> None:
        """The leader has ended before it served."""
        self.leader = None
        self._over()

    def _over(self) -> None:
        self._reloading = False
        self._holdings.notifier.ready(self._status())

    def go_on(self) -> None:
        """Renew slots of an older generation, some at a time."""
        holdings = self._holdings
        if holdings.stopping or self.leader is not None:
            return
        slots = self._scale.slots
        coming = sum(slot.coming is not None for slot in slots)
        most = len(slots) if not holdings.announced else max(1, len(slots) // 4)
        for slot in slots:
            if coming >= most:
                return
            old = slot.serving is None or slot.serving.generation is not self.generation
            if old and slot.coming is None and not slot.waiting:
                self.replace(slot)
                coming += 1
        if holdings.announced and coming == 0 and self._reloading:
            self._over()
        if holdings.announced and coming == 0 and self._again:
            self._again = False
            self.reload()

    # --- single slots ---------------------------------------------------------------------------

    def replace(self, slot: Slot) -> None:
        """Start a worker for a slot that has none, or whose worker is to be renewed."""
        slot.waiting = False
        scale = self._scale
        if (
            self._holdings.stopping
            or slot.coming is not None
            or (slot not in scale.slots and slot not in scale.closing)
        ):
            return
        if self._crew.start(slot, self.generation) is None:
            self.replace_later(slot, slot.lost(0.0))

    def replace_later(self, slot: Slot, delay: float) -> None:
        """`replace`, after so many seconds."""
        if not slot.waiting:
            slot.waiting = True
            self._holdings.loop.call_later(delay, partial(self.replace, slot))
