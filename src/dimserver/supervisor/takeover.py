"""Queues of workers that do not accept, given to others until they do.

With a listening socket for each slot the kernel deals new connections evenly, and
to a slot whose worker is held up by a handler, stopped, starting, or gone, as well.
So this process watches all queues, and looks again where something came:

    a connection came ──► WAIT ──┬─ accepted ──────────────────────────► watch
                                 └─ it waits, and the worker made no
                                    round of its loop since, or has
                                    no thread left, or there is none ──► others accept, too

The others get the socket itself, and have it in their own loops until its worker
makes rounds again: who comes meanwhile waits for nobody.  A server without new
connections is never woken by this, and one with many some forty times a second.
"""

from __future__ import annotations

import select

from dimserver.net.listener import GROUPS
from dimserver.supervisor.slots import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.supervisor.scaling import Scaling
    from dimserver.supervisor.slots import Process, Slot
    from dimserver.supervisor.state import SupervisorState

__all__ = ["Takeover"]

WAIT = 0.025  # seconds a connection may wait for its worker's loop
CHECK = 0.1  # seconds between two looks at whether a worker that is helped accepts again
MOST_HELPERS = 8  # workers that share a queue: each is woken by whoever comes


class _Help:
    """One queue that others accept from.

    Attributes:
        slot: whose queue it is.
        pid, rounds: of its worker and of its loop when it was last looked at; 0 where there was no worker.
        helpers: who accepts.
    """

    __slots__ = ("helpers", "pid", "rounds", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.pid = 0
        self.rounds = 0
        self.helpers: list[Process] = []


class Takeover:
    """See the module.

    Args:
        state, scale: of the supervisor.

    Thread-safety: the supervisor's thread.
    """

    def __init__(self, state: SupervisorState, scale: Scaling) -> None:
        self._state = state
        self._scale = scale
        self._epoll = select.epoll() if GROUPS else None
        self._queues: dict[int, Slot | None] = {}  # by descriptor; None for a socket that all workers accept at
        self._helped: dict[int, _Help] = {}  # by descriptor
        self._rounds: dict[int, int] = {}  # of each worker's loop, by process id, when the connection came
        self._armed = False
        self._looking = False
        self._checking = False
        scale.before_close = self.release
        scale.is_helped = self.is_helped

    # --- what is watched ------------------------------------------------------------------------

    def review(self) -> None:
        """Workers have come or gone: watch the queues there are now, and help those that have no worker."""
        epoll = self._epoll
        if epoll is None or self._state.sockets is None or self._state.stopping:
            return
        several = len(self._scale.slots) > 1
        queues = self._state.sockets.queues() if several else {}
        slots = {slot.number: slot for slot in (*self._scale.slots, *self._scale.closing)}
        wanted = {fd: None if number is None else slots.get(number) for fd, number in queues.items()}
        for fd in [fd for fd in self._queues if fd not in wanted]:
            self._forget(fd)
        for fd in wanted:
            if fd not in self._queues:
                epoll.register(fd, select.EPOLLIN)
        self._queues = wanted
        for help_ in list(self._helped.values()):
            help_.helpers = [process for process in help_.helpers if process.state is State.SERVING]
        for fd, slot in wanted.items():
            if slot is not None and slot.serving is None:
                self._help(fd, slot)
        self._arm(several)

    def _arm(self, wanted: bool) -> None:
        if self._epoll is None or wanted == self._armed:
            return
        selector = self._state.loop.selector
        if wanted:
            if self._looking:  # it is armed again after that
                return
            selector.register(self._epoll.fileno(), 1, self._arrived)
        else:
            selector.unregister(self._epoll.fileno())
        self._armed = wanted

    def _forget(self, fd: int) -> None:
        self._end_help(fd)
        if self._epoll is not None:
            self._epoll.unregister(fd)
        self._queues.pop(fd, None)

    # --- somebody came --------------------------------------------------------------------------

    def _arrived(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        self._arm(False)
        self._looking = True
        board = self._state.board
        self._rounds = {
            slot.serving.pid: board.rounds(slot.serving.record)
            for slot in self._queues.values()
            if slot is not None and slot.serving is not None
        }
        self._state.loop.call_later(WAIT, self._look)

    def _look(self) -> None:
        self._looking = False
        if self._epoll is None or self._state.stopping:
            return
        for fd, _ in self._epoll.poll(0):
            slot = self._queues.get(fd)
            if slot is None:
                self._look_at_all()
            elif self._is_busy(slot):
                self._help(fd, slot)
        self._arm(len(self._scale.slots) > 1)

    def _is_busy(self, slot: Slot) -> bool:
        process = slot.serving
        if process is None:
            return True
        board = self._state.board
        return board.full(process.record) or board.rounds(process.record) == self._rounds.get(process.pid)

    def _look_at_all(self) -> None:
        """Somebody waits at a socket of all workers: if all of them have stopped accepting, they go on."""
        if not self._free():
            board = self._state.board
            for slot in self._scale.slots:
                if slot.serving is not None and board.full(slot.serving.record):
                    slot.serving.channel.send("accept")

    def _free(self, besides: Slot | None = None) -> list[Process]:
        """Workers that can accept, those of the next slots first."""
        board = self._state.board
        slots = self._scale.slots
        first = 0 if besides is None else besides.number + 1
        helped = {help_.slot.number for help_ in self._helped.values()}
        found = []
        for at in range(len(slots)):
            slot = slots[(first + at) % len(slots)]
            process = slot.serving
            if process is None or slot is besides or slot.number in helped or process.state is not State.SERVING:
                continue
            if not board.full(process.record) and board.stuck(process.record) < WAIT:
                found.append(process)
        return found

    # --- help -----------------------------------------------------------------------------------

    def _help(self, fd: int, slot: Slot) -> None:
        """Have others accept from a queue; where nobody is free, its worker is to do what it can."""
        help_ = self._helped.get(fd)
        helpers = self._free(slot)[:MOST_HELPERS]
        if not helpers and help_ is None:
            process = slot.serving
            if process is not None and self._state.board.full(process.record):
                process.channel.send("accept")
            return
        if help_ is None:
            help_ = self._helped[fd] = _Help(slot)
            if self._epoll is not None:
                self._epoll.modify(fd, 0)  # what waits there is known
            self._note(help_)
        for process in helpers:
            if process not in help_.helpers and process.channel.send("assist", slot.number, descriptors=[fd]):
                help_.helpers.append(process)
        if not self._checking:
            self._checking = True
            self._state.loop.call_later(CHECK, self._check)

    def _note(self, help_: _Help) -> bool:
        """Note how far the worker of a queue is; whether it has got further since the last time."""
        process = help_.slot.serving
        before = help_.pid, help_.rounds
        if process is None:
            help_.pid = help_.rounds = 0
            return False
        board = self._state.board
        help_.pid, help_.rounds = process.pid, board.rounds(process.record)
        return before != (help_.pid, help_.rounds) and not board.full(process.record)

    def _check(self) -> None:
        self._checking = False
        if self._state.stopping:
            return
        for fd, help_ in list(self._helped.items()):
            if self._note(help_):
                self._end_help(fd)
            else:
                self._help(fd, help_.slot)  # who helped may be busy itself by now, and others free
        if self._helped and not self._checking:
            self._checking = True
            self._state.loop.call_later(CHECK, self._check)

    def _end_help(self, fd: int) -> None:
        help_ = self._helped.pop(fd, None)
        if help_ is None:
            return
        for process in help_.helpers:
            if process.state is State.SERVING:
                process.channel.send("unassist", help_.slot.number)
        if self._epoll is not None:
            self._epoll.modify(fd, select.EPOLLIN)

    def is_helped(self, slot: Slot) -> bool:
        """Whether others accept for a slot at the moment."""
        return any(help_.slot is slot for help_ in self._helped.values())

    def release(self, slot: Slot) -> None:
        """A slot's socket is about to be closed."""
        for fd, owner in list(self._queues.items()):
            if owner is slot:
                self._forget(fd)

    # --- the end --------------------------------------------------------------------------------

    def forget(self) -> None:
        """In a process forked from this one: the watching is not its own."""
        if self._epoll is not None:
            self._epoll.close()

    def close(self) -> None:
        """Watch nothing more, before the sockets are closed; again is fine."""
        self._arm(False)
        self._queues.clear()
        self._helped.clear()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
