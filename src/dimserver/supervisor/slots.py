"""Worker processes and the slots they stand in; what may follow what is one table.

A slot is a place for one worker that serves.  It outlives its workers: its
listening socket waits for the next one.  While it is renewed it has two: one
that serves and one that is coming; and any number that are leaving.
"""

from __future__ import annotations

import enum
from time import monotonic

from dimserver.worker.recycling import jitter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimcore import SegmentSet
    from dimserver.config import Settings
    from dimserver.worker.channel import Channel, Message

__all__ = ["Event", "Generation", "Process", "Slot", "State", "back_off"]

AT_ONCE = 3  # workers in a row that are replaced without a delay: a request that kills them must not close the site
FIRST_DELAY = 0.1  # seconds before the next one is, doubled each time
MOST_DELAY = 30.0
HEALTHY = 10.0  # seconds of serving after which an end is not counted together with those before


class State(enum.IntEnum):
    """Where a worker process stands."""

    IMPORTING = 1  # the app's code runs for the first time
    OPENING = 2  # it has its settings and sockets
    SERVING = 3
    LEAVING = 4  # it accepts no more and finishes what is in flight
    ENDED = 5


class Event(enum.IntEnum):
    """What can happen to it."""

    LOADED = 1  # it says: the app is imported
    READY = 2  # it says: the first round of the loop is done
    DISMISSED = 3  # it is told to leave
    EXITED = 4


TRANSITIONS = {
    (State.IMPORTING, Event.LOADED): State.OPENING,
    (State.IMPORTING, Event.DISMISSED): State.LEAVING,
    (State.IMPORTING, Event.EXITED): State.ENDED,
    (State.OPENING, Event.READY): State.SERVING,
    (State.OPENING, Event.DISMISSED): State.LEAVING,
    (State.OPENING, Event.EXITED): State.ENDED,
    (State.SERVING, Event.DISMISSED): State.LEAVING,
    (State.SERVING, Event.EXITED): State.ENDED,
    (State.LEAVING, Event.LOADED): State.LEAVING,  # said before it heard that it should leave
    (State.LEAVING, Event.READY): State.LEAVING,
    (State.LEAVING, Event.DISMISSED): State.LEAVING,
    (State.LEAVING, Event.EXITED): State.ENDED,
}


class Generation:
    """One state of configuration and code: what the workers of one start or one reload have in common.

    Attributes:
        number: 1 for the start, one more for each reload.
        target: what is served: APP as on the command line; "" for the built-in endpoints and static files.
        values: of the configuration's sources, by attribute name.
        segments: of shared memory that its workers have.
        settings: with those of the app below them; None until its first worker has imported the app.
    """

    __slots__ = ("number", "segments", "settings", "target", "values")

    def __init__(self, number: int, target: str, values: dict[str, object], segments: SegmentSet) -> None:
        self.number = number
        self.target = target
        self.values = values
        self.segments = segments
        self.settings: Settings | None = None


class Process:
    """A worker process, as its supervisor sees it.

    Attributes:
        pid, slot, generation, channel, record: as given; the last is its record of the board.
        state: see `TRANSITIONS`.
        since: when it entered that state, on the monotonic clock.
        failure: its ``failed`` message, if it sent one.
        served: whether it has been serving.
        killed: why the supervisor killed it, or "".
        pinged: when it was asked whether it is alive and did not answer yet; 0 when it did.
    """

    __slots__ = (
        "channel", "failure", "generation", "killed", "pid", "pinged", "record", "served", "since", "slot", "state",
    )  # fmt: skip

    def __init__(self, pid: int, slot: Slot, generation: Generation, channel: Channel, record: int = 0) -> None:
        self.pid = pid
        self.slot = slot
        self.generation = generation
        self.channel = channel
        self.record = record
        self.state = State.IMPORTING
        self.since = monotonic()
        self.failure: Message | None = None
        self.served = False
        self.killed = ""
        self.pinged = 0.0

    def step(self, event: Event) -> State:
        """Enter the next state and return the one before.

        Raises:
            RuntimeError: `TRANSITIONS` has none; nothing was changed.
        """
        before = self.state
        try:
            after = TRANSITIONS[before, event]
        except KeyError:
            raise RuntimeError(f"worker {self.pid}: {event.name} while {before.name}") from None
        if after is not before:
            self.state = after
            self.served = self.served or after is State.SERVING
            self.since = monotonic()
        return before


class Slot:
    """A place for one worker that serves.

    Attributes:
        number: from 0.
        serving: the worker that serves, or None.
        coming: the one that will, or None.
        failures: how many workers of this slot in a row ended without having answered anything or been `HEALTHY`.
        waiting: whether a replacement is due after a delay.
    """

    __slots__ = ("coming", "failures", "number", "serving", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.serving: Process | None = None
        self.coming: Process | None = None
        self.failures = 0
        self.waiting = False

    def lost(self, served: float, answered: int = 0) -> float:
        """Count an unexpected end of its worker.

        Args:
            served: seconds it had been serving.
            answered: requests it had answered.

        Returns:
            Seconds to wait before the next one is started.
        """
        if served >= HEALTHY or answered:
            self.failures = 0
        self.failures += 1
        return back_off(self.failures)


def back_off(failures: int) -> float:
    """Seconds to wait after that many failures in a row; none after the first `AT_ONCE`, then doubled with jitter."""
    if failures <= AT_ONCE:
        return 0.0
    return jitter(float(min(MOST_DELAY, FIRST_DELAY * 2.0 ** min(failures - AT_ONCE - 1, 16))))
