"""The worker processes: forked, told to leave, killed, and heard of when they have ended."""

from __future__ import annotations

import os
import signal
from functools import partial

from dimcore import BoardFull
from dimserver.supervisor.slots import Event, Process, State
from dimserver.supervisor.title import entitle
from dimserver.worker.channel import Channel
from dimserver.worker.drain import LAST_REQUEST
from dimserver.worker.main import become_worker, pass_signal, work
from dimserver.worker.operator_api import Place
from dimserver.worker.signals import GROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

    from dimserver.supervisor.slots import Generation, Slot
    from dimserver.supervisor.state import SupervisorState
    from dimserver.worker.channel import Message

__all__ = ["AT_ONCE", "Processes"]

LINGER = 2.0  # seconds: a worker that is replaced keeps its idle connections so long for one more request
AT_ONCE = 0.5  # seconds a worker has after a second signal, or to write what it was at
OVERTIME = 1.0  # seconds after the drain limit before a worker that did not end by itself is killed


class Processes:
    """See the module.

    Args:
        state: of the supervisor.
        signals: those it has handlers for.
        heard: called with a process and each message of its.
        exited: called with a process that has ended and its status as from `os.waitpid`.

    Attributes:
        processes: those that have not ended, by number.
        leave_behind: what else a process forked from this one gives up.
        on_directory: called when it was looked whether the private directory is still there.

    Thread-safety: the main thread of a process without other threads: it forks.
    """

    def __init__(
        self,
        state: SupervisorState,
        signals: Collection[signal.Signals],
        heard: Callable[[Process, Message], object],
        exited: Callable[[Process, int], object],
    ) -> None:
        self._state = state
        self._signals = signals
        self._on_message = heard
        self._on_exit = exited
        self.processes: dict[int, Process] = {}
        self.leave_behind: list[Callable[[], object]] = []
        self.on_directory: Callable[[], object] = _nothing

    # --- the beginning --------------------------------------------------------------------------

    def start(self, slot: Slot, generation: Generation) -> Process | None:
        """Fork a worker for a slot; None if the system refuses, which the log says."""
        state = self._state
        try:
            record = state.board.allot(slot.number)
        except BoardFull as error:  # hundreds of reloads, none of whose workers has ended yet
            state.log.error(f"cannot start a worker: {error}")
            return None
        self.restore_directory()
        ours, theirs = Channel.pair()
        # A signal that hits the child before it has handlers of its own would be taken for the parent's.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        try:
            pid = os.fork()
            if pid == 0:
                become_worker(partial(self._in_child, ours, theirs, generation, record))
        except OSError as error:
            state.log.error(f"cannot start a worker: {error.strerror}")
            state.board.retire(record)
            ours.close()
            theirs.close()
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
        theirs.close()
        process = Process(pid, slot, generation, ours, record)
        self.processes[pid] = process
        slot.coming = process
        state.loop.selector.register(ours.fileno(), 1, partial(self._heard, process))
        return process

    def restore_directory(self) -> None:
        """Have a place for the private sockets again, with those of living processes in it, if it was cleaned up."""
        directory = self._state.directory
        before = directory.path
        gone = directory.restore()
        if gone and directory.path is None:
            self._state.log.error(f"{before} is gone and cannot be replaced: workers have no private sockets")
        elif gone:
            self._state.log.warning(f"the directory of private sockets was removed: {directory.path} is new")
        for process in self.processes.values():
            missing = gone or (before is not None and not os.path.exists(f"{before}/{process.record}"))
            if missing and process.state is State.SERVING:
                process.channel.send("directory", directory.path)
        self.on_directory()

    def _in_child(self, ours: Channel, theirs: Channel, generation: Generation, record: int) -> int:
        # The number is that of the log, of the API and of its connections' ids.
        entitle(f"worker {record}", f"-w{record}", generation)
        ours.close()
        for leave in self.leave_behind:
            leave()
        first = self._state.sockets is None
        self.forget(pass_signal)
        again = generation.settings is not None
        place = Place(self._state.board, record, self._state.directory.path, again, first, generation.segments)
        return work(theirs, generation.target, generation.values, place)

    def forget(self, handler: Callable[[int, FrameType | None], object] | None = None) -> None:
        """In a process forked from this one: give up what is the supervisor's.

        Args:
            handler: of what the whole group gets; the system's default when None.
        """
        signal.set_wakeup_fd(-1)
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL if handler is None or number not in GROUP else handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
        for process in self.processes.values():
            process.channel.close()
        self._state.forget()

    # --- meanwhile ------------------------------------------------------------------------------

    def _heard(self, process: Process, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        messages, more = process.channel.receive()
        for message in messages:
            self._on_message(process, message)
        if not more:
            self._state.loop.selector.unregister(process.channel.fileno())
            process.channel.close()  # it is ending: `reap` has the rest

    def reopen_logs(self) -> None:
        """Have every worker open its log files again."""
        for process in self.processes.values():
            if process.state is not State.IMPORTING:  # it has not opened any yet
                process.channel.send("reopen")

    # --- the end --------------------------------------------------------------------------------

    def dismiss(self, process: Process, *, last: bool = False) -> None:
        """Tell a worker to leave.

        Args:
            last: whether nobody accepts at its socket after it.
        """
        if process.step(Event.DISMISSED) is State.IMPORTING:
            self.kill(process, signal.SIGKILL)  # it has nothing to finish, and does not listen yet
            return
        state = self._state
        process.channel.send("drain", LAST_REQUEST if state.stopping else LINGER, last)
        limit = (process.generation.settings or state.settings).drain + OVERTIME
        state.loop.call_later(limit, partial(self.end, process, "the drain limit has passed"))

    def end(self, process: Process, reason: str) -> None:
        """Kill a worker, unless it has ended."""
        if process.pid in self.processes:
            process.killed = reason
            self.kill(process, signal.SIGKILL)

    def kill(self, process: Process, number: int) -> None:
        """Send a worker a signal."""
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass

    def reap(self) -> None:
        """Take note of every worker that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)  # any: the first process of a container inherits orphans
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self.processes.pop(pid, None)
            if process is not None:
                if process.channel.fileno() >= 0:
                    self._heard(process, 1)
                self._on_exit(process, status)

    def close(self) -> None:
        """Kill whoever is left."""
        for process in self.processes.values():
            self.kill(process, signal.SIGKILL)
            process.channel.close()


def _nothing() -> None:
    pass
