"""How many workers there are: slots opened, and closed so that nobody who was on the way to one is lost."""

from __future__ import annotations

from functools import partial
from time import monotonic

from dimserver.supervisor.slots import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dimserver.supervisor.processes import Processes
    from dimserver.supervisor.state import SupervisorState

__all__ = ["Scaling"]

HANDSHAKE = 1.0  # seconds: connections that have begun to come to a slot that is closed have come by then


class Scaling:
    """See the module.

    Args:
        state, processes: of the supervisor.

    Attributes:
        slots: those that have a worker or are to have one, in the order of their numbers.
        closing: they have a worker still, and a socket that gets nothing new.
        before_close: called with a slot whose socket is about to be closed.
        is_helped: called with a slot; whether its worker does not accept at the moment.

    Thread-safety: the supervisor's thread.
    """

    def __init__(self, state: SupervisorState, processes: Processes) -> None:
        self._state = state
        self._processes = processes
        self.before_close: Callable[[Slot], object] = _nothing
        self.is_helped: Callable[[Slot], object] = _nothing
        self.slots: list[Slot] = [Slot(0)]
        self.closing: list[Slot] = []
        self._due: dict[int, float] = {}  # by slot, when one that is closing may be closed

    def resize(self, number: int) -> None:
        """Have so many slots; the new ones have no worker yet."""
        state = self._state
        while len(self.slots) < number:
            # One that is being closed is taken back first: its socket is still there.
            slot = self.closing.pop() if self.closing else Slot(len(self.slots))
            self.slots.append(slot)
            if state.sockets is not None:
                state.sockets.feed(slot.number)
        while len(self.slots) > number:
            slot = self.slots.pop()
            self.closing.append(slot)
            starved = state.sockets is not None and state.sockets.starve(slot.number)
            delay = HANDSHAKE if starved else 0.0
            self._due[slot.number] = monotonic() + delay
            state.loop.call_later(delay, partial(self._close_slot, slot))

    def _close_slot(self, slot: Slot) -> None:
        """End a slot that gets no new connections any more; its worker accepts those that wait."""
        state = self._state
        if state.stopping or slot not in self.closing:
            return
        if monotonic() < self._due[slot.number]:  # it was taken back and given up again: a later call is on its way
            return
        # Slots are closed from the end, as `Sockets` wants it; and somebody has to serve those that wait.
        own = state.sockets is not None and state.sockets.has_own(slot.number)
        waits = own and (self.is_helped(slot) if slot.serving is not None else slot.coming is not None)
        if slot is not self.closing[0] or waits:
            state.loop.call_later(HANDSHAKE, partial(self._close_slot, slot))
            return
        self.closing.pop(0)
        for process in (slot.serving, slot.coming):
            if process is not None:
                self._processes.dismiss(process, last=own)
        self.before_close(slot)
        if state.sockets is not None:
            state.sockets.close_slot(slot.number)


def _nothing(slot: Slot) -> object:  # noqa: ARG001 - in the place of what takes one
    return None
