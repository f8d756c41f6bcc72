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

from dimcore import Board, BoardFull
from dimserver.config import Settings, merge
from dimserver.errors import DimserverError, StartError
from dimserver.net.loop import Loop
from dimserver.net.peers import make_directory, remove_directory
from dimserver.net.sockets import Sockets
from dimserver.run.autoreload import Watcher, check_library
from dimserver.run.cgroup import oom_kills, usable_cpus
from dimserver.run.channel import Channel
from dimserver.run.child import become_worker, work
from dimserver.run.exits import explain, last_words
from dimserver.run.logs import open_log, out
from dimserver.run.notify import Notifier, passed_sockets
from dimserver.run.operations import Place
from dimserver.run.pidfile import PidFile
from dimserver.run.slots import Event, Generation, Process, Slot, State
from dimserver.run.worker import LAST_REQUEST, say, served, summary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any

__all__ = ["Supervisor", "supervise"]

LINGER = 2.0  # seconds: a worker that is replaced keeps its idle connections so long for one more request
OVERTIME = 1.0  # seconds after the drain limit before a worker that did not end by itself is killed
HANDSHAKE = 1.0  # seconds: connections that have begun to come to a slot that is closed have come by then
AT_ONCE = 0.5  # seconds after a second signal
MOST_WORKERS = 512  # at a time, those that drain included; each takes 12 KiB of the board, once it is there
SELDOM = 60.0  # seconds between two looks at whether a setting has changed
# Settings whose work is done at the start.
FIXED = ("host", "port", "uds", "uds_mode", "fd", "admin", "admin_mode", "pidfile", "reload")
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM

# What each signal asks for.
SIGNALS = {
    signal.SIGTERM: "stop",
    signal.SIGINT: "stop",
    signal.SIGHUP: "reload",
    signal.SIGUSR1: "reopen",
    signal.SIGTTIN: "add_worker",
    signal.SIGTTOU: "remove_worker",
    signal.SIGCHLD: "reap",
}


def supervise(target: str, read: Callable[[], dict[str, object]], files: Sequence[str] = ()) -> int:
    """Serve with worker processes until SIGINT or SIGTERM.

    Args:
        target: APP as on the command line; "" serves the built-in endpoints and static files.
        read: called at the start and at each reload; returns the values of the configuration's
            sources by attribute name, or raises ConfigError.
        files: those the configuration is read from; with `reload` a change of them counts too.

    Returns:
        The exit code.

    Raises:
        ConfigError: a bad value.
        StartError: the system refused, for example because the port is in use.
    """
    return Supervisor(target, read, files).run()


class Supervisor:
    """See the module.

    Args:
        target, read, files: as for `supervise`.

    Thread-safety: the main thread of a process without other threads: it forks.
    """

    def __init__(self, target: str, read: Callable[[], dict[str, object]], files: Sequence[str] = ()) -> None:
        self._target = target
        self._read = read
        self._files = files
        self._generation = Generation(1, read())
        self._settings = Settings(**self._generation.values)
        self._log = open_log(self._settings)
        self._pidfile: PidFile | None = None
        self._watcher: Watcher | None = None
        self._loop = Loop(self._trouble)
        self._notifier = Notifier()
        self._passed = passed_sockets()
        self._oom_kills = oom_kills()
        self._sockets: Sockets | None = None
        self._board = Board(MOST_WORKERS)
        self._directory = make_directory()
        self._slots: list[Slot] = []
        self._closing: list[Slot] = []  # they have a worker still, and a socket that gets nothing new
        self._processes: dict[int, Process] = {}
        self._leader: Process | None = None  # the first worker of a generation that is tried
        self._again = False  # another reload was asked for meanwhile
        self._reloading = False
        self._announced = False
        self._stopping = False
        self._error: DimserverError | None = None
        self._code = 0
        self._started = monotonic()
        self._counts = {"requests": 0, "errors": 0, "connections": 0, "cut_off": 0}
        self._signalled = 0

    # --- from start to end ----------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop; see `supervise`."""
        restore = self._take_signals()
        try:
            self._slots.append(Slot(0))
            self._leader = self._start(self._slots[0], self._generation)
            if self._leader is None:
                raise StartError("cannot start a worker: the system gives no process")
            self._loop.run(_nothing, quiet=_always)
        finally:
            restore()
            for process in self._processes.values():
                _kill(process, signal.SIGKILL)
                process.channel.close()
            if self._sockets is not None:
                self._sockets.close(self._log)
            if self._directory is not None:
                remove_directory(self._directory)
            if self._watcher is not None:
                self._watcher.close()
            if self._pidfile is not None:
                self._pidfile.remove()
            self._notifier.close()
            self._loop.close()
        if self._error is not None:
            raise self._error
        if self._announced:
            say(f"dimserver: stopped; {summary(self._counts, monotonic() - self._started)}", self._out())
        return self._code

    def _out(self) -> Any:
        return out(self._settings)

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
        self._loop.call_from_thread(partial(act, number))

    def _trouble(self, error: Exception) -> None:
        self._log.error("a fault of the supervisor; it goes on", error=error)

    # --- starting workers -----------------------------------------------------------------------

    def _start(self, slot: Slot, generation: Generation) -> Process | None:
        """Fork a worker for a slot; None if the system refuses."""
        try:
            record = self._board.allot(slot.number)
        except BoardFull as error:  # hundreds of reloads, none of whose workers has ended yet
            self._log.error(f"cannot start a worker: {error}")
            return None
        ours, theirs = Channel.pair()
        # A signal that hits the child before it has handlers of its own would be taken for the parent's.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                become_worker(partial(self._in_child, ours, theirs, generation, record))
        except OSError as error:
            self._log.error(f"cannot start a worker: {error.strerror}")
            self._board.retire(record)
            ours.close()
            theirs.close()
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()
        process = Process(pid, slot, generation, ours, record)
        self._processes[pid] = process
        slot.coming = process
        self._loop.selector.register(ours.fileno(), 1, partial(self._heard, process))
        return process

    def _in_child(self, ours: Channel, theirs: Channel, generation: Generation, record: int) -> int:
        ours.close()
        self._leave_behind()
        if self._watcher is not None:
            os.close(self._watcher.fileno())
        return work(theirs, self._target, generation.values, Place(self._board, record, self._directory))

    def _leave_behind(self) -> None:
        """In a child: give up what is the supervisor's."""
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for process in self._processes.values():
            process.channel.close()
        if self._sockets is not None:
            self._sockets.forget()
        self._loop.close()
        self._notifier.close()
        self._log.close()

    def _replace(self, slot: Slot) -> None:
        """Start a worker for a slot that has none, or whose worker is to be renewed."""
        slot.waiting = False
        if self._stopping or slot.coming is not None or (slot not in self._slots and slot not in self._closing):
            return
        if self._start(slot, self._generation) is None:
            self._replace_later(slot, slot.lost(0.0))

    def _replace_later(self, slot: Slot, delay: float) -> None:
        if not slot.waiting:
            slot.waiting = True
            self._loop.call_later(delay, partial(self._replace, slot))

    # --- what workers say -----------------------------------------------------------------------

    def _heard(self, process: Process, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        messages, more = process.channel.receive()
        for word, *rest in messages:
            getattr(self, f"_worker_{word}")(process, *rest)
        if not more:
            self._loop.selector.unregister(process.channel.fileno())
            process.channel.close()  # it is ending: `reap` has the rest

    def _worker_loaded(self, process: Process, defaults: dict[str, object]) -> None:
        process.step(Event.LOADED)
        if process.state is not State.OPENING:
            return
        generation = process.generation
        try:
            if generation.settings is None:
                generation.settings = self._settle(Settings(**merge(defaults, generation.values)))
            if self._sockets is None:
                self._open(generation.settings)
            doors = [] if self._sockets is None else self._sockets.doors(process.slot.number)
        except DimserverError as error:
            process.failure = ("failed", error.exit_code, str(error), "")
            _kill(process, signal.SIGKILL)
            return
        process.channel.send(
            "serve", self._wanted(generation), [(door.admin, door.kept) for door in doors],
            descriptors=[door.sock.fileno() for door in doors],
        )  # fmt: skip

    def _open(self, settings: Settings) -> None:
        """What is opened once, when the first worker has said what its app wants."""
        if settings.reload:
            check_library()
        if settings.pidfile is not None:
            self._pidfile = PidFile(settings.pidfile)
            self._pidfile.write()
        self._sockets = Sockets(settings, grouped=True, passed=self._passed)

    def _settle(self, settings: Settings) -> Settings:
        """The settings of a new generation, with what cannot change while the server runs."""
        if self._sockets is None:
            return settings
        keep = {name: getattr(self._settings, name) for name in FIXED}
        for name, value in keep.items():
            if getattr(settings, name) != value:
                self._log.warning(f"reload: --{name} stays as it is until the server is started anew")
        return settings.replace(**keep)

    def _worker_failed(self, process: Process, code: int, text: str, traceback: str) -> None:
        process.failure = ("failed", code, text, traceback)

    def _worker_ready(self, process: Process) -> None:
        process.step(Event.READY)
        if process.state is not State.SERVING:
            return
        slot = process.slot
        before, slot.serving, slot.coming = slot.serving, process, None
        if before is not None:
            self._dismiss(before)
        if process is self._leader:
            self._follow(process.generation)
        if not self._announced and all(slot.serving is not None for slot in self._slots):
            self._announce()
        self._go_on()

    def _worker_leave(self, process: Process, reason: str) -> None:
        """A worker wants to be replaced."""
        if self._stopping or process.state is not State.SERVING:
            return
        self._board.tally("recycled")
        self._log.info(f"worker {process.pid} is replaced: {reason}")
        self._replace(process.slot)

    def _worker_pong(self, process: Process) -> None:
        process.pinged = 0.0

    def _worker_stop(self, process: Process) -> None:  # noqa: ARG002
        """An operator asked a worker to drain the server."""
        self._stop(0)

    def _worker_ended(self, process: Process, counts: dict[str, int]) -> None:  # noqa: ARG002
        self._counts["cut_off"] += counts["cut_off"]  # all else is on the board, also of one that did not end well

    # --- generations ----------------------------------------------------------------------------

    def _follow(self, generation: Generation) -> None:
        """The first worker of a generation serves: the others come after."""
        self._leader = None
        first = generation is self._generation
        self._generation = generation
        self._settings = generation.settings or self._settings
        self._renew_log()
        if not first:
            self._log.info("reload: the new worker serves; the others follow")
            self._board.tally("reloads")
            if self._sockets is not None:
                self._sockets.set_backlog(self._settings.backlog)
        self._resize(self._wanted(generation))
        self._go_on()

    def _renew_log(self) -> None:
        try:
            fresh = open_log(self._settings)
        except StartError as error:
            self._log.error(f"{error}; the old one stays in use")
            return
        self._log.close()
        self._log = fresh

    def _wanted(self, generation: Generation) -> int:
        return (generation.settings or self._settings).workers or usable_cpus()

    def _go_on(self) -> None:
        """Renew slots of an older generation, some at a time."""
        if self._stopping or self._leader is not None:
            return
        coming = sum(slot.coming is not None for slot in self._slots)
        most = len(self._slots) if not self._announced else max(1, len(self._slots) // 4)
        for slot in self._slots:
            if coming >= most:
                return
            old = slot.serving is None or slot.serving.generation is not self._generation
            if old and slot.coming is None and not slot.waiting:
                self._replace(slot)
                coming += 1
        if self._announced and coming == 0 and self._reloading:
            self._reloading = False
            self._notifier.ready(self._status())
        if self._announced and coming == 0 and self._again:
            self._again = False
            self._reload(signal.SIGHUP)

    def _reload(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        if self._stopping:
            return
        if not self._announced or self._leader is not None or any(slot.coming for slot in self._slots):
            self._again = True
            return
        self._reloading = True
        self._notifier.reloading()
        try:
            values = self._read()
            Settings(**values)
        except DimserverError as error:
            self._reloading = False
            self._notifier.ready(self._status())
            self._log.error(f"reload: {error}; everything stays as it was")
            return
        self._log.info("reload: a worker with the new configuration and code is started")
        self._leader = self._start(self._slots[0], Generation(self._generation.number + 1, values))
        if self._leader is None:
            self._go_on()

    def _reopen(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        self._log.reopen()
        for process in self._processes.values():
            if process.state is not State.IMPORTING:  # it has not opened any yet
                process.channel.send("reopen")

    def _status(self) -> str:
        number = len(self._slots)
        urls = ", ".join(self._sockets.urls) if self._sockets is not None else ""
        return f"serving {served(self._target, self._settings)} on {urls} with {number} worker{'s' * (number > 1)}"

    def _announce(self) -> None:
        self._announced = True
        urls = [] if self._sockets is None else self._sockets.urls
        number = len(self._slots)
        say(
            f"dimserver: serving {served(self._target, self._settings)} on {', '.join(urls)} "
            f"(pid {os.getpid()}{f', {number} workers' if number > 1 else ''})",
            self._out(),
        )
        self._notifier.ready(self._status())
        if self._notifier.interval:
            self._keep_alive()
        if self._settings.reload:
            self._watch()
        self._look_after()

    def _look_after(self) -> None:
        """Ask each worker whether its loop turns, and end those that did not answer in time."""
        limit = self._settings.worker_timeout
        now = monotonic()
        for process in self._processes.values():
            if process.state is not State.SERVING or not limit:
                continue
            if not process.pinged:
                process.pinged = now
                process.channel.send("ping")
            elif now - process.pinged >= limit:
                process.killed = f"was killed: its loop was held up for more than {limit:g} s (worker-timeout)"
                _kill(process, signal.SIGABRT)  # which has it write every thread's stack
                self._loop.call_later(AT_ONCE, partial(self._end, process, process.killed))
        # An idle worker is woken once in a quarter of the limit, which is also how exactly it is kept.
        self._loop.call_later(max(1.0, limit / 4) if limit else SELDOM, self._look_after)

    def _keep_alive(self) -> None:
        self._notifier.alive()
        self._loop.call_later(self._notifier.interval, self._keep_alive)

    def _watch(self) -> None:
        try:
            self._watcher = Watcher([os.getcwd()], self._files, self._leave_behind)
        except OSError as error:
            self._log.error(f"--reload: cannot watch for changes: {error.strerror}")
            return
        self._loop.selector.register(self._watcher.fileno(), 1, self._changed)

    def _changed(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        if self._watcher is None:
            return
        changes = self._watcher.changes()
        if changes is None:
            self._loop.selector.unregister(self._watcher.fileno())
            self._log.error("--reload: the process that watches for changes has ended; changes go unnoticed")
        elif changes:
            self._log.info(f"changed: {changes[-1]}")
            self._reload(signal.SIGHUP)

    # --- number of workers ----------------------------------------------------------------------

    def _add_worker(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        if self._announced and not self._stopping:
            self._resize(len(self._slots) + 1)
            self._go_on()

    def _remove_worker(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        if self._announced and not self._stopping:
            self._resize(max(1, len(self._slots) - 1))

    def _resize(self, number: int) -> None:
        while len(self._slots) < number:
            # One that is being closed is taken back first: its socket is still there.
            slot = self._closing.pop() if self._closing else Slot(len(self._slots))
            self._slots.append(slot)
            if self._sockets is not None:
                self._sockets.feed(slot.number)
        while len(self._slots) > number:
            slot = self._slots.pop()
            self._closing.append(slot)
            starved = self._sockets is not None and self._sockets.starve(slot.number)
            self._loop.call_later(HANDSHAKE if starved else 0.0, partial(self._close_slot, slot))

    def _close_slot(self, slot: Slot) -> None:
        """End a slot that gets no new connections any more; its worker accepts those that wait."""
        if self._stopping or slot not in self._closing:
            return
        # Slots are closed from the end, as `Sockets` wants it; and somebody has to serve those that wait.
        if slot is not self._closing[0] or (slot.serving is None and slot.coming is not None):
            self._loop.call_later(HANDSHAKE, partial(self._close_slot, slot))
            return
        self._closing.pop(0)
        for process in (slot.serving, slot.coming):
            if process is not None:
                self._dismiss(process, last=self._sockets is not None and self._sockets.has_own(slot.number))
        if self._sockets is not None:
            self._sockets.close_slot(slot.number)

    # --- the end of a worker --------------------------------------------------------------------

    def _dismiss(self, process: Process, *, last: bool = False) -> None:
        """Tell a worker to leave.

        Args:
            last: whether nobody accepts at its socket after it.
        """
        if process.step(Event.DISMISSED) is State.IMPORTING:
            _kill(process, signal.SIGTERM)  # it has nothing to finish, and does not listen yet
            return
        process.channel.send("drain", LAST_REQUEST if self._stopping else LINGER, last)
        self._loop.call_later(self._settings.drain + OVERTIME, partial(self._end, process, "the drain limit is over"))

    def _end(self, process: Process, reason: str) -> None:
        if process.pid in self._processes:
            process.killed = reason
            _kill(process, signal.SIGKILL)

    def _reap(self, number: int) -> None:  # noqa: ARG002 - every signal's method takes it
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)  # any: the first process of a container inherits orphans
            except ChildProcessError:
                return
            if pid == 0:
                return
            process = self._processes.pop(pid, None)
            if process is not None:
                if process.channel.fileno() >= 0:
                    self._heard(process, 1)
                self._exited(process, status)

    def _exited(self, process: Process, status: int) -> None:
        before = process.step(Event.EXITED)
        known = self._board.retire(process.record)
        if known is not None:
            self._counts["requests"] += known["requests"]
            self._counts["errors"] += known["errors"]
            self._counts["connections"] += known["connections"]
        if self._stopping:
            if process.killed:
                self._log.warning(f"worker {process.pid} was killed: {process.killed}")
            if not self._processes:
                self._loop.stop()
            return
        slot = process.slot
        if slot.coming is process:
            slot.coming = None
        if slot.serving is process:
            slot.serving = None
        if before is State.LEAVING:
            if process.killed:
                self._log.warning(f"worker {process.pid} was killed: {process.killed}")
        elif not self._announced:
            self._start_failed(process, status)
        elif process is self._leader:
            self._leader = None
            self._reloading = False
            self._notifier.ready(self._status())
            self._show_failure(process, status, "reload")
            self._log.error("reload: the new worker did not start; everything stays as it was")
        else:
            self._lost(process, status, before, [] if known is None else known["in_flight"])
        self._go_on()

    def _lost(self, process: Process, status: int, before: State, in_flight: list[tuple[str, float]]) -> None:
        served_for = monotonic() - process.since if before is State.SERVING else 0.0
        if before is State.SERVING:
            self._board.tally("crashes")
            end = f"{process.killed or self._explain(status)}{last_words(in_flight)}"
            self._log.error(f"worker {process.pid} {end}; it is replaced")
        else:
            self._show_failure(process, status, "a new worker")
        self._replace_later(process.slot, process.slot.lost(served_for))

    def _explain(self, status: int) -> str:
        kills = oom_kills()
        more = kills > self._oom_kills >= 0
        self._oom_kills = kills
        return explain(status, more)

    def _show_failure(self, process: Process, status: int, what: str) -> None:
        if process.failure is None:
            self._log.error(f"{what}: worker {process.pid} {self._explain(status)} before it served")
            return
        _, _, text, traceback = process.failure
        if traceback:
            sys.stderr.write(str(traceback))
        self._log.error(f"{what}: {text}")

    def _start_failed(self, process: Process, status: int) -> None:
        """The server cannot start: nothing is tried again."""
        if self._error is not None:
            return
        if process.failure is not None:
            _, code, text, traceback = process.failure
            sys.stderr.write(str(traceback))
            self._error = DimserverError(str(text))
            self._error.exit_code = int(code)  # type: ignore[call-overload]
        else:
            self._error = StartError(f"a worker {self._explain(status)} before it served")
        self._notifier.failed(f"not started: {self._error}")
        self._stop(0)

    # --- the end of all -------------------------------------------------------------------------

    def _stop(self, number: int) -> None:
        if number:
            self._signalled += 1
        if not self._stopping:
            self._stopping = True
            self._board.draining = True
            if self._announced:
                self._notifier.stopping()
            if not self._announced and number:
                self._code = EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED
            for process in list(self._processes.values()):
                self._dismiss(process, last=True)
                # Read by a worker whose loop is held up by a handler, too: the second one interrupts that.
                _kill(process, signal.SIGTERM)
            if self._sockets is not None:
                self._sockets.close(self._log)
        elif self._signalled == 2:
            for process in list(self._processes.values()):
                _kill(process, signal.SIGTERM)
                self._loop.call_later(AT_ONCE, partial(self._end, process, "a second signal came"))
        if not self._processes:
            self._loop.stop()


def _kill(process: Process, number: int) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        pass


def _nothing() -> None:
    pass


def _always() -> bool:
    return True
