"""What a worker process does, from the fork to its exit code.

It imports the app itself: so a reload has new code, and whatever the app does
while it is imported, the supervisor is not harmed by it.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Mapping
from functools import partial

from dimcore import tell_at_parents_end
from dimserver.config import Settings, check_admin, check_paths, merge
from dimserver.config.table import Table
from dimserver.errors import AppImportError, AppStartError, DimserverError
from dimserver.net.forks import watch
from dimserver.net.listener import hide_descriptor
from dimserver.net.sockets import ListenSocket
from dimserver.worker.loader import how_to_load, load_app
from dimserver.worker.recycling import Recycling
from dimserver.worker.signals import GROUP, WORKER, Order, Phase
from dimserver.worker.worker import Worker, freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import Any, NoReturn

    from dimserver.routes import Routes
    from dimserver.worker.channel import Channel, Message
    from dimserver.worker.operator_api import Place

__all__ = ["Link", "become_worker", "pass_signal", "work"]

MOST_TRACEBACK = 64 * 1024  # characters; the message of an exception may be a whole document
OVERTIME = 1.0  # seconds after the drain limit before it is killed
INTERNAL = 70  # exit code of a fault that is nobody's mistake (sysexits.h, EX_SOFTWARE)


def become_worker(job: Callable[[], int]) -> NoReturn:
    """Do `job` and end the process, which was forked a moment ago, with its result.

    What the parent had registered to be run at its exit is not run here; what the
    app registers is, and threads that are no daemons are waited for.
    """
    code = INTERNAL
    try:
        atexit._clear()
        code = job()
        # The order of the interpreter's own end.
        threading = sys.modules.get("threading")
        if threading is not None:
            threading._shutdown()
        atexit._run_exitfuncs()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # nobody reads it any more
        os._exit(code)


def work(channel: Channel, target: str, values: dict[str, object], place: Place | None = None) -> int:
    """Import the app, take over the sockets, serve until told to leave.

    Args:
        channel: to the supervisor.
        target: APP as on the command line; "" serves the built-in endpoints and static files.
        values: of the configuration's sources, by attribute name.
        place: of this worker among the others; alone when None.

    Returns:
        The exit code.
    """
    # What the whole group gets is the supervisor's to understand; until it serves, a worker has nothing to finish.
    # A handler rather than SIG_IGN: programs the app starts must not inherit it.
    _pass_signals()
    tell_at_parents_end(signal.SIGKILL)
    try:
        worker = _open(channel, target, values, place)
    except DimserverError as error:
        channel.send("failed", error.exit_code, str(error), _text(error.__cause__ if _is_users(error) else None))
        return error.exit_code
    except BaseException as error:
        channel.send("failed", 1, f"{type(error).__name__} while the worker was started", _text(error))
        return 1
    if worker is None:
        return 0
    _show_stacks()
    # From here on it ends in order.  The app may have set handlers while it was imported; and what comes once it has
    # stopped serving must not cut its last words.
    _pass_signals()
    tell_at_parents_end(signal.SIGTERM)
    watch(channel)
    Link(channel, worker)
    freeze()
    worker.run(signals=True)
    channel.send("ended", worker.counts())
    return 0


def _show_stacks() -> None:
    """Have every thread's stack written to standard error when compiled code fails, or the worker hangs (SIGABRT)."""
    import faulthandler

    try:
        faulthandler.enable()
    except (OSError, ValueError, AttributeError):
        pass  # no standard error to write to


def pass_signal(number: int, frame: FrameType | None) -> None:
    """A signal handler that does nothing."""


def _pass_signals() -> None:
    for number in GROUP:
        signal.signal(number, pass_signal)


def _is_users(error: DimserverError) -> bool:
    return isinstance(error, (AppImportError, AppStartError))


def _text(error: BaseException | None) -> str:
    if error is None:
        return ""
    from traceback import format_exception

    text = "".join(format_exception(error))
    if len(text) > MOST_TRACEBACK:
        text = f"{text[: MOST_TRACEBACK // 2]}\n...\n{text[-MOST_TRACEBACK // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _open(channel: Channel, target: str, values: dict[str, object], place: Place | None) -> Worker | None:
    app = load_app(target, *how_to_load(values)) if target else None
    defaults: Mapping[str, object] = {} if app is None else app.defaults
    settings = Settings(**merge(defaults, values))
    # One for bodies that went away since is told with each body that does not get there.
    check_paths(settings.replace(spool_dir=None) if place is not None and place.again else settings)
    check_admin(settings)
    given = settings.fd
    if place is not None and place.first and given is not None and values.get("fd") is None and hide_descriptor(given):
        os.close(given)  # the app has named it: the supervisor, which takes it now, has it as well
    if not channel.send("loaded", {name: _plain(value) for name, value in defaults.items()}):
        return None
    answer = channel.wait()
    if answer is None or answer[0] != "serve":  # not wanted any more
        return None
    return _worker(channel, app, settings, answer, place)


def _worker(channel: Channel, app: Routes | None, settings: Settings, answer: Message, place: Place | None) -> Worker:
    workers: Any
    kinds: Any
    _, workers, kinds = answer
    doors = [
        ListenSocket(socket.socket(fileno=fd), admin, kept)
        for fd, (admin, kept) in zip(channel.take_descriptors(len(kinds)), kinds, strict=True)
    ]
    return Worker(app, settings, doors, workers, place)


def _plain(value: object) -> object:
    # Every kind of setting reads text; what cannot be sent as it is (a pathlib.Path) is sent so.
    if isinstance(value, Table):
        value = value.given
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return (
            type(value)([_plain(each) for each in value]) if type(value) in (list, tuple) else list(map(_plain, value))
        )
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


class Link:
    """A worker's side of the conversation, in its loop.

    Args:
        channel: to the supervisor.
        worker: not running yet.

    Thread-safety: the loop's thread.
    """

    def __init__(self, channel: Channel, worker: Worker) -> None:
        self._channel = channel
        self._worker = worker
        self._supervisor = os.getppid()
        self._limited = False
        self._acts: dict[object, Callable[..., object]] = {
            "drain": worker.stop,
            "reopen": worker.reopen_logs,
            "ping": partial(channel.send, "pong"),
            "assist": self._assist,
            "unassist": worker.listeners.unassist,
            "accept": worker.listeners.resume,
            "directory": self._move,
        }
        self._recycling = Recycling(worker.settings)
        worker.loop.selector.register(channel.fileno(), 1, self._heard)
        worker.signals = GROUP
        worker.on_signal = self._signalled
        worker.operations.drain_server = partial(channel.send, "stop")
        worker.loop.call_later(0, self._take_kept)
        worker.loop.call_later(0, partial(channel.send, "ready"))
        if self._recycling.interval:
            worker.loop.call_later(self._recycling.interval, self._look)

    def _heard(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        messages, more = self._channel.receive()
        self._act(messages)
        if not more:
            self._worker.loop.selector.unregister(self._channel.fileno())
            self._worker.log.error("the supervisor is gone; this worker finishes its requests and ends")
            self._worker.stop()
            self._limit_end()

    def _take_kept(self) -> None:
        # A server that stops while its worker starts may say so right behind the sockets.
        self._act(self._channel.kept())

    def _act(self, messages: Iterable[Message]) -> None:
        for word, *rest in messages:
            self._acts[word](*rest)

    def _assist(self, slot: int) -> None:
        (descriptor,) = self._channel.take_descriptors(1)
        self._worker.listeners.assist(slot, socket.socket(fileno=descriptor))

    def _move(self, directory: str | None) -> None:
        try:
            self._worker.operations.move(directory)
        except OSError as error:
            self._worker.log.error(f"no private socket for this worker in {directory}: {error.strerror}")

    def _limit_end(self) -> None:
        # Nobody is there to kill it at the limit: it keeps the port from the next server for as long as it lives.
        if self._limited:
            return
        self._limited = True
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, self._worker.settings.drain + OVERTIME)

    def _phase(self) -> Phase:
        board = self._worker.operations.board
        if os.getppid() != self._supervisor:  # known before the loop hears of it, which a handler may keep from it
            return Phase.ORPHANED
        return Phase.ENDING if board.ending else Phase.STOPPING if board.draining else Phase.SERVING

    def _signalled(self, number: int) -> bool:
        """A signal handler; whether the process is to end at once."""
        name = signal.Signals(number)
        order = WORKER[name, self._phase()]
        if order is Order.FINISH:
            self._limit_end()
        elif order is Order.REPLACE:
            # One worker is to go, not the server: the supervisor has another one ready first.
            self._worker.loop.call_from_thread(partial(self._channel.send, "signalled", name.name))
        return order is Order.END

    def _look(self) -> None:
        reason = self._recycling.reason(self._worker.counts()["requests"])
        if reason:
            self._channel.send("leave", reason)
        else:
            self._worker.loop.call_later(self._recycling.interval, self._look)
