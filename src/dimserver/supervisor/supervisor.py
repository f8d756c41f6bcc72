"""The supervisor: a process that serves nothing, and keeps the workers that do.

It holds the listening sockets and never imports the app.  So a worker may end
in any way: its socket, with the connections waiting in it, is there for the
next one.  A new worker is always ready before the one it replaces is told to
leave; and the first of a new generation is ready before the second is started,
so that a faulty app or configuration costs one process, and no service.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from time import monotonic

from dimserver.config import Settings, api_warning, merge
from dimserver.errors import DimserverError, StartError
from dimserver.nowait import put_line
from dimserver.supervisor.autoreload import Watcher
from dimserver.supervisor.health import Health
from dimserver.supervisor.process_end import last_words
from dimserver.supervisor.processes import AT_ONCE, Processes
from dimserver.supervisor.rolling_restart import RollingRestart
from dimserver.supervisor.scaling import Scaling
from dimserver.supervisor.slots import Event, Generation, State
from dimserver.supervisor.state import MOST_WORKERS, SupervisorState, workers_wanted
from dimserver.supervisor.takeover import Takeover
from dimserver.supervisor.title import entitle
from dimserver.worker.announce import WAITING, say, served, summary, waiting
from dimserver.worker.signals import ECHO, Order, StopSignals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from dimcore.stats.board import _Obituary as Obituary
    from dimserver.net.worker_rpc import Peers
    from dimserver.supervisor.control import Control
    from dimserver.supervisor.operator_api import Operations
    from dimserver.supervisor.slots import Process
    from dimserver.worker.channel import Message

__all__ = ["Supervisor", "supervise"]

EXIT_SIGNALLED = 128  # and the number of the signal, as a shell reports it
PATIENCE = 1.0  # seconds for a reader of standard error that is slow to take a traceback

# What each signal asks for.
SIGNALS = {
    signal.SIGTERM: "stop_signal",
    signal.SIGINT: "stop_signal",
    signal.SIGQUIT: "stop_signal",
    signal.SIGHUP: "stop_signal",
    signal.SIGUSR1: "reopen",
    signal.SIGTTIN: "add_worker",
    signal.SIGTTOU: "remove_worker",
    signal.SIGCHLD: "reap",
}


def supervise(read: Callable[[], tuple[str, dict[str, object]]], files: Sequence[str] = ()) -> int:
    """Serve with worker processes until SIGINT or SIGTERM.

    Args:
        read: called at the start and at each reload; returns what is to be served (APP as on the command line; ""
            for the built-in endpoints and static files) and the values of the configuration's sources by attribute
            name, or raises ConfigError.
        files: those the configuration is read from; with `reload` a change of them counts too.

    Returns:
        The exit code.

    Raises:
        ConfigError: a bad value.
        StartError: the system refused, for example because the port is in use.
    """
    return Supervisor(read, files).run()


class Supervisor:
    """See the module.  It hears signals and what workers say, and decides; its parts do.

    Args:
        read, files: as for `supervise`.

    Thread-safety: the main thread of a process without other threads: it forks.
    """

    def __init__(self, read: Callable[[], tuple[str, dict[str, object]]], files: Sequence[str] = ()) -> None:
        self._files = files
        target, values = read()
        self._state = SupervisorState(Settings(**values))
        first = Generation(1, target, values, self._state.segments)
        self._loop = self._state.loop
        self._processes = Processes(self._state, SIGNALS.keys(), self._heard, self._exited)
        self._scale = Scaling(self._state, self._processes)
        self._takeover = Takeover(self._state, self._scale)
        self._processes.leave_behind.append(self._takeover.forget)
        self._rolling_restart = RollingRestart(read, first, self._state, self._processes, self._scale, self._status)
        self._health = Health(self._state, self._processes)
        self._control: Control | None = None
        self._watcher: Watcher | None = None
        self._error: DimserverError | None = None
        self._code = 0
        self._started = monotonic()
        self._counts = {"requests": 0, "errors": 0, "connections": 0, "cut_off": 0}
        self._signals = StopSignals()

    # --- from start to end ----------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop; see `supervise`."""
        # The plain name, without a suffix, is this process's alone: `pkill -x dimserver` stops the server in order.
        entitle("supervisor", "", self._rolling_restart.generation)
        restore = self._take_signals()
        try:
            if not self._rolling_restart.begin():
                raise StartError("cannot start a worker: the system refuses a new process")
            control = self._answer_operators()
            self._loop.run(control.tick, quiet=control.is_quiet)
        finally:
            restore()
            if self._control is not None:
                self._control.close()
            self._processes.close()
            if self._watcher is not None:
                self._watcher.close()
            self._state.close()
        if self._error is not None:
            raise self._error
        if self._state.announced:
            self._say(f"stopped; {summary(self._counts, monotonic() - self._started)}")
        return self._code

    def _say(self, line: str) -> None:
        say(line, self._state.settings, self._state.log)

    def _answer_operators(self) -> Control:
        """Listen at the control socket, and to the workers' questions: while the first of them imports the app."""
        from dimserver.supervisor.control import Control

        control = self._control = Control(self._state, self._operations)
        self._processes.leave_behind.append(control.forget)
        self._processes.on_directory = control.restore
        return control

    def _operations(self, peers: Peers, control: str | None) -> Operations:
        from dimserver.supervisor.operator_api import Operations

        return Operations(
            self._state, self._processes, self._scale, self._rolling_restart,
            stop=self._stop, rescale=self._rescale_to, reopen=self._reopen_logs, replace=self._replace,
            peers=peers, control=control,
        )  # fmt: skip

    def _take_signals(self) -> Callable[[], None]:
        descriptor = signal.set_wakeup_fd(self._loop.wake_descriptor, warn_on_full_buffer=False)
        before = [(number, signal.signal(number, self._signal)) for number in SIGNALS]

        def restore() -> None:
            for number, handler in before:
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(descriptor)

        return restore

    def _signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is the system's
        act = getattr(self, "_" + SIGNALS[signal.Signals(number)])
        act(number)

    def _stop_signal(self, number: int) -> None:
        # Judged here: what matters is when it came, and not when the loop comes to it.
        order = self._signals.heard(number, monotonic())
        if order is Order.RELOAD:
            self._loop.call_from_thread(partial(self._rolling_restart.reload, "SIGHUP"))
        elif order is Order.STOP:
            self._loop.call_from_thread(partial(self._stop, number))
        elif order is Order.END:
            self._loop.call_from_thread(partial(self._end_at_once, number))

    def _reopen(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        self._loop.call_from_thread(self._reopen_logs)

    def _reopen_logs(self) -> None:
        self._state.log.reopen()
        self._processes.reopen_logs()

    def _add_worker(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        self._loop.call_from_thread(partial(self._rescale, 1))

    def _remove_worker(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        self._loop.call_from_thread(partial(self._rescale, -1))

    def _rescale(self, more: int) -> None:
        state = self._state
        wanted = len(self._scale.slots) + more
        if not state.announced or state.stopping:
            return
        if not 1 <= wanted <= MOST_WORKERS:
            state.log.warning(f"the number of workers stays {len(self._scale.slots)}: allowed are 1 to {MOST_WORKERS}")
            return
        self._rescale_to(wanted)

    def _rescale_to(self, wanted: int) -> None:
        state = self._state
        self._scale.resize(wanted)
        self._takeover.review()
        self._rolling_restart.go_on()
        state.log.info(f"the number of workers is {wanted} until the next reload")

    def _reap(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        self._loop.call_from_thread(self._processes.reap)

    # --- what workers say -----------------------------------------------------------------------

    def _heard(self, process: Process, message: Message) -> None:
        word, *rest = message
        getattr(self, f"_worker_{word}")(process, *rest)

    def _worker_loaded(self, process: Process, defaults: dict[str, object]) -> None:
        process.step(Event.LOADED)
        if process.state is not State.OPENING:
            return
        generation = process.generation
        state = self._state
        try:
            if generation.settings is None:
                generation.settings = state.settle(Settings(**merge(defaults, generation.values)))
            if state.sockets is None:
                state.open(generation.settings)
            doors = [] if state.sockets is None else state.sockets.doors(process.slot.number)
        except DimserverError as error:
            process.failure = ("failed", error.exit_code, str(error), "")
            self._processes.kill(process, signal.SIGKILL)
            return
        process.channel.send(
            "serve", workers_wanted(generation.settings), [(door.admin, door.kept) for door in doors],
            descriptors=[door.sock.fileno() for door in doors],
        )  # fmt: skip

    def _worker_failed(self, process: Process, code: int, text: str, traceback: str) -> None:
        process.failure = ("failed", code, text, traceback)

    def _worker_ready(self, process: Process) -> None:
        process.step(Event.READY)
        if process.state is not State.SERVING:
            return
        slot = process.slot
        before, slot.serving, slot.coming = slot.serving, process, None
        if before is not None:
            self._processes.dismiss(before)
        if process is self._rolling_restart.leader:
            self._rolling_restart.follow(process.generation)
        if not self._state.announced and all(slot.serving is not None for slot in self._scale.slots):
            self._announce()
        self._rolling_restart.go_on()
        self._takeover.review()

    def _worker_signalled(self, process: Process, name: str) -> None:
        """A worker got a signal that asks it to leave.  The whole group may have got it, and this process not yet."""
        self._loop.call_later(ECHO, partial(self._worker_leave, process, f"it got a {name}"))

    def _worker_leave(self, process: Process, reason: str) -> None:
        """A worker wants to be replaced."""
        self._replace(process, reason)

    def _replace(self, process: Process, reason: str) -> None:
        if self._state.stopping or process.state is not State.SERVING or process.slot.coming is not None:
            return
        self._state.board.tally("recycled")
        self._state.log.info(f"worker {process.pid} is replaced: {reason}")
        self._rolling_restart.replace(process.slot)

    def _worker_pong(self, process: Process) -> None:
        self._health.answered(process)

    def _worker_stop(self, process: Process) -> None:  # noqa: ARG002
        """An operator asked a worker to drain the server."""
        self._stop()

    def _worker_ended(self, process: Process, counts: dict[str, int]) -> None:  # noqa: ARG002
        self._counts["cut_off"] += counts["cut_off"]  # all else is on the board, also of one that did not end well

    # --- once every worker serves ---------------------------------------------------------------

    def _status(self) -> str:
        sockets = self._state.sockets
        urls = [] if sockets is None else sockets.urls
        number = len(self._scale.slots)
        what = served(self._rolling_restart.generation.target, self._state.settings)
        return f"serving {what} on {', '.join(urls)} with {number} worker{'s' * (number > 1)}"

    def _announce(self) -> None:
        state = self._state
        state.announced = True
        urls = [] if state.sockets is None else state.sockets.urls
        number = len(self._scale.slots)
        many = f", {number} workers" if number > 1 else ""
        what = served(self._rolling_restart.generation.target, state.settings)
        self._say(f"serving {what} on {', '.join(urls)} (pid {os.getpid()}{many})")
        warning = api_warning(bool(self._rolling_restart.generation.target), state.settings)
        if warning is not None:
            state.log.warning(warning)
        state.notifier.ready(self._status())
        self._health.tell_manager()
        if state.settings.reload:
            self._watch()
        self._health.look_after()

    def _watch(self) -> None:
        try:
            watcher = Watcher([os.getcwd()], self._files, self._become_watcher)
        except OSError as error:
            self._state.log.error(f"--reload: cannot watch for changes: {error.strerror}")
            return
        self._watcher = watcher
        self._processes.leave_behind.append(lambda: os.close(watcher.fileno()))
        self._loop.selector.register(watcher.fileno(), 1, self._changed)

    def _become_watcher(self) -> None:
        entitle("watcher", "-watch", self._rolling_restart.generation)
        if self._control is not None:
            self._control.forget()
        self._processes.forget()

    def _changed(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        if self._watcher is None:
            return
        changes = self._watcher.changes()
        if changes is None:
            self._loop.selector.unregister(self._watcher.fileno())
            self._state.log.error("--reload: the process that watches for changes has ended; changes go unnoticed")
        elif changes:
            self._state.log.info(f"changed: {changes[-1]}")
            self._rolling_restart.reload("--reload")

    # --- the end of a worker --------------------------------------------------------------------

    def _exited(self, process: Process, status: int) -> None:
        before = process.step(Event.EXITED)
        state = self._state
        known = state.board.retire(process.record)
        if known is not None:
            self._counts["requests"] += known["requests"]
            self._counts["errors"] += known["errors"]
            self._counts["connections"] += known["connections"]
        if state.stopping:
            self._left(process, status, known)
            if not self._processes.processes:
                self._loop.stop()
            return
        slot = process.slot
        if slot.coming is process:
            slot.coming = None
        if slot.serving is process:
            slot.serving = None
        if before is State.LEAVING:
            self._left(process, status, known)
        elif not state.announced:
            self._start_failed(process, status)
        elif process is self._rolling_restart.leader:
            self._rolling_restart.give_up(*self._show_failure(process, status, "reload"))
            state.log.error("reload: the new worker did not start; nothing changes")
        else:
            self._lost(process, status, before, known)
        self._takeover.review()
        self._rolling_restart.go_on()

    def _left(self, process: Process, status: int, known: Obituary | None) -> None:
        """A worker that was told to leave has ended.  It may have failed on the way, or before it heard of it."""
        state = self._state
        if process.killed:
            state.log.warning(f"worker {process.pid} was killed: {process.killed}")
        elif status and process.served and not state.board.ending:
            state.board.tally("crashes")
            words = "" if known is None else last_words(known["in_flight"])
            why = "the server is stopping" if state.stopping else "it was told to stop"
            state.log.error(f"worker {process.pid} {self._health.explain(status)}{words}; {why}")

    def _lost(self, process: Process, status: int, before: State, known: Obituary | None) -> None:
        served_for = monotonic() - process.since if before is State.SERVING else 0.0
        delay = process.slot.lost(served_for, 0 if known is None else known["answered"])
        when = f" in {delay:.2g} s, after {process.slot.failures} failures in a row" if delay else ""
        if before is State.SERVING:
            self._state.board.tally("crashes")
            words = "" if known is None else last_words(known["in_flight"])
            end = f"{process.killed or self._health.explain(status)}{words}"
            self._state.log.error(f"worker {process.pid} {end}; it is replaced{when}")
        else:
            self._rolling_restart.worker_failed(*self._show_failure(process, status, "a new worker"))
            self._state.log.info(f"another one is started{when}")
        self._rolling_restart.replace_later(process.slot, delay)

    def _show_failure(self, process: Process, status: int, what: str) -> tuple[str, str]:
        """Log why a worker did not come to serve; returns that, and the traceback if there is one."""
        log = self._state.log
        if process.failure is None:
            reason = f"worker {process.pid} {process.killed or f'{self._health.explain(status)} before it served'}"
            log.error(f"{what}: {reason}")
            return reason, ""
        _, _, text, traceback = process.failure
        log.write("error", f"{what}: {text}", detail=str(traceback))
        return str(text), str(traceback)

    def _start_failed(self, process: Process, status: int) -> None:
        """The server cannot start: nothing is tried again."""
        if self._error is not None:
            return
        if process.failure is not None:
            _, code, text, traceback = process.failure
            put_line(sys.stderr, str(traceback), PATIENCE)
            self._error = DimserverError(str(text))
            self._error.exit_code = int(code)  # type: ignore[call-overload]
        else:
            self._error = StartError(f"a worker {self._health.explain(status)} before it served")
        self._state.notifier.failed(f"not started: {self._error}")
        self._stop()

    # --- the end of all -------------------------------------------------------------------------

    def _stop(self, number: int = 0) -> None:
        """Finish what is in flight and end; again is fine."""
        state = self._state
        processes = self._processes
        if not state.stopping:
            state.stopping = True
            state.board.draining = True
            if state.announced:
                state.notifier.stopping()
            elif number:
                self._code = EXIT_SIGNALLED + number
            self._takeover.close()
            self._rolling_restart.stop()
            for process in list(processes.processes.values()):
                processes.dismiss(process, last=True)
            if state.sockets is not None:
                state.sockets.close(state.log)
            if state.announced:
                self._loop.call_later(WAITING[0], partial(self._say_waiting, number))
        if not processes.processes:
            self._loop.stop()

    def _say_waiting(self, number: int) -> None:
        board = self._state.board
        if self._processes.processes and not board.ending:
            self._say(waiting(board.snapshot(), number, monotonic()))
            self._loop.call_later(WAITING[1], partial(self._say_waiting, number))

    def _end_at_once(self, number: int) -> None:
        # The board first: it says what the signal means that comes after.  A handler that holds up a worker's loop
        # is interrupted by it, where a message would wait.
        self._state.board.ending = True
        self._stop(number)
        reason = "SIGQUIT came" if number == signal.SIGQUIT else "a second signal came"
        for process in list(self._processes.processes.values()):
            self._processes.kill(process, signal.SIGTERM)
            self._loop.call_later(AT_ONCE, partial(self._processes.end, process, reason))
