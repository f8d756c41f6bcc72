"""How many workers there are: slots opened, and closed so that nobody who was on the way to one is lost."""

from __future__ import annotations

from functools import partial
from time import monotonic

from dimserver.run.slots import Slot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.run.crew import Crew
    from dimserver.run.holdings import Holdings

__all__ = ["Scale"]

HANDSHAKE = 1.0  # seconds: connections that have begun to come to a slot that is closed have come by then


class Scale:
    """See the module.

    Args:
        holdings, crew: of the supervisor.

    Attributes:
        slots: those that have a worker or are to have one, in the order of their numbers.
        closing: they have a worker still, and a socket that gets nothing new.

    Thread-safety: the supervisor's thread.
    """

    def __init__(self, holdings: Holdings, crew: Crew) -> None:
        self._holdings = holdings
        self._crew = crew
        self.slots: list[Slot] = [Slot(0)]
        self.closing: list[Slot] = []
        self._due: dict[int, float] = {}  # by slot, when one that is closing may be closed

    def resize(self, number: int) -> None:
        """Have so many slots; the new ones have no worker yet."""
        holdings = self._holdings
        while len(self.slots) < number:
            # One that is being closed is taken back first: its socket is still there.
            slot = self.closing.pop() if self.closing else Slot(len(self.slots))
            self.slots.append(slot)
            if holdings.sockets is not None:
                holdings.sockets.feed(slot.number)
        while len(self.slots) > number:
            slot = self.slots.pop()
            self.closing.append(slot)
            starved = holdings.sockets is not None and holdings.sockets.starve(slot.number)
            delay = HANDSHAKE if starved else 0.0
            self._due[slot.number] = monotonic() + delay
            holdings.loop.call_later(delay, partial(self._close_slot, slot))

    def _close_slot(self, slot: Slot) -> None:
        """End a slot that gets no new connections any more; its worker accepts those that wait."""
        holdings = self._holdings
        if holdings.stopping or slot not in self.closing:
            return
        if monotonic() < self._due[slot.number]:  # it was taken back and given up again: a later call is on its way
            return
        # Slots are closed from the end, as `Sockets` wants it; and somebody has to serve those that wait.
        own = holdings.sockets is not None and holdings.sockets.has_own(slot.number)
        if slot is not self.closing[0] or (own and slot.serving is None and slot.coming is not None):
            holdings.loop.call_later(HANDSHAKE, partial(self._close_slot, slot))
            return
        self.closing.pop(0)
        for process in (slot.serving, slot.coming):
            if process is not None:
                self._crew.dismiss(process, last=own)
        if holdings.sockets is not None:
            holdings.sockets.close_slot(slot.number)
