"""One worker: settings, app and listeners joined with a core and a loop, from start to drained stop."""

from __future__ import annotations

import gc
import signal
import sys
from functools import partial
from time import monotonic

from dimcore import tick
from dimcore.forked import leave
from dimserver.net import forks
from dimserver.net.threads import ThreadPool
from dimserver.routes import Routes
from dimserver.version import __version__
from dimserver.worker.announce import WAITING, waiting
from dimserver.worker.core_hooks import CoreHooks
from dimserver.worker.drain import LAST_REQUEST, Drain
from dimserver.worker.factory import make_core, make_loop
from dimserver.worker.gateways import Gateways
from dimserver.worker.listeners import Listeners
from dimserver.worker.logs import open_access_log, open_log
from dimserver.worker.operator_api import Operations, Place
from dimserver.worker.signals import Order, StopSignals
from dimserver.worker.topic_links import TopicService

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from dimcore import ConnectionPoolManifold, RequestPoint, RequestSubstrate
    from dimserver.config import Settings
    from dimserver.filters.access_log import AccessLog
    from dimserver.net.sockets import ListenSocket
    from dimserver.worker.alone import Alone
    from dimserver.worker.watchdog import Watchdog

__all__ = ["Worker", "freeze"]

GOING_AWAY, SERVICE_RESTART = 1001, 1012  # codes of RFC 6455 section 7.4 and its registry
WEBSOCKETS = 1  # the pool
BLOCKING_THREADS = 8  # for WSGI apps and routes marked blocking where `threads` gives no number
THREADS_END = 1.0  # seconds
HELD = 0.025  # seconds in one round of the loop after which another worker does not count as free


def freeze() -> None:
    """What start-up and the app's import left alive stays alive: the collector need not walk through it again."""
    gc.collect()
    gc.freeze()


class Worker:
    """A server in one thread.

    Args:
        app: None serves the built-in endpoints and static files.
        settings: see ``dimserver config``.
        doors: the sockets to listen on, which are the worker's from now on; opened as the settings say when None.
        workers: how many there are.
        place: of this one among them; alone when None.
        on_answer: called with each answered request, its status, bytes and nanoseconds, where the access log is off.

    Attributes:
        urls: where it listens, the main listener first.
        loop: what it waits with.
        signals: those that `run` takes over where it is to.
        on_signal: called in their handler with the number; returns whether `run` is to end at once.
        on_begin: called by `run` when it has taken over the signals; or None.
        on_waiting: told what a stop by a signal waits for; None where somebody else says so.
        operations: its part in the server; what operators see and do.
        listeners: where it listens.
        alone: what operators see of it as a server, where it has no supervisor.
        pools, pipeline, settings, started, workers, version: what it serves with.

    Raises:
        StartError, ConfigError: as for `serve`; nothing is left open.

    Thread-safety: `stop` from any thread; all else from the one that calls `run`.
    """

    def __init__(
        self,
        app: Routes | None,
        settings: Settings,
        doors: Sequence[ListenSocket] | None = None,
        workers: int = 1,
        place: Place | None = None,
        on_answer: Callable[[RequestPoint, int, int, int], object] | None = None,
    ) -> None:
        self.app = Routes() if app is None else app
        self.settings = settings
        self.version = __version__
        self.workers = workers
        self.started = monotonic()
        self.pools: ConnectionPoolManifold = self.app.connection_manifold
        self.pipeline: RequestSubstrate = self.app.request_manifold.requests
        place = Place() if place is None else place
        self.log = open_log(
            settings, place.record, place.again
        )  # under the number that the ids of its connections begin with
        self._stopping = False
        self._interrupted = False
        self._stop_signals = StopSignals()
        self.signals: Sequence[int] = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
        self.on_signal: Callable[[int], bool] = self._heard
        self.on_begin: Callable[[], object] | None = None
        self.on_waiting: Callable[[str], object] | None = None
        self.loop = make_loop(self.app, settings, self._trouble, self.log)
        running: dict[int, tuple[RequestPoint, int]] | None = {} if settings.watchdog else None
        self._topics = TopicService(self.app, settings, place.directory, self.loop, self.log)
        threads = settings.threads or BLOCKING_THREADS
        self._threads = ThreadPool(threads, self.loop, running, self._threads_full)
        self._gateways = Gateways(self.app.request_manifold.router, self.loop, self.log)
        self.alone: Alone | None = None
        self._drain = Drain(self.pools, self.pipeline, self.loop, lambda: self._threads.in_flight, self.loop.jobs)
        self.listeners = Listeners(settings, self.log, doors or ())
        self._access_log: AccessLog | None = None
        self._on_answer = on_answer
        self._watchdog: Watchdog | None = None
        self._disowned = False  # in a process that the app forked
        forks.watch(self)
        try:
            self._core = make_core(self.app, settings, self.log, workers)
            self.operations = self._join(place)
            self._attach(place)
            if running is not None:
                from dimserver.worker.watchdog import Watchdog

                self._watchdog = Watchdog(settings.watchdog, self._core, running, self.log)
            self.listeners.open(
                self._core, self.loop, self.app.request_manifold.router, self.operations, builtin_only=app is None
            )
            self._gateways.configure(settings, threads, workers, self.listeners.server)
            self._apply_options(again=place.again)
            self._gateways.start()
        except BaseException:
            self._close()
            raise
        self.urls = self.listeners.urls

    def _apply_options(self, again: bool) -> None:
        router = self.app.request_manifold.router
        router.use_options(None)  # those of another worker that has served the app
        if not self.settings.route:
            return
        from dimserver.worker.route_options import apply_options  # not needed by most

        # Whoever starts the server is told once, by the first worker.
        warn: Callable[[str], object] = self.log.debug if again else self.log.warning
        apply_options(router, self.settings.route, warn)

    def _join(self, place: Place) -> Operations:
        try:
            operations = self._operations(place)
        except OSError as error:
            # It serves all the same: only what asks every worker does without this one.
            self.log.error(f"no private socket for this worker in {place.directory}: {error.strerror}")
            place.directory = None
            operations = self._operations(place)
        # After the first round, and before whatever else waits for that.
        self.loop.call_later(0, partial(operations.entry.enter, "serving"))
        return operations

    def _end_server(self) -> None:
        """What the app's `shutdown` does: on the loop's thread, whoever calls it."""
        self.loop.call_from_thread(self.operations.drain_server)

    def _operations(self, place: Place) -> Operations:
        if place.alone:
            from dimserver.worker.alone import Alone

            self.alone = Alone(place.board, self.version, lambda: self.urls, self.stop, self.reopen_logs)
        return Operations(
            place, self._core, self.loop, self.settings, self.version, self.log, self.stop, self._trouble,
            self._topics, self.alone,
        )  # fmt: skip

    def _attach(self, place: Place) -> None:
        self._access_log = open_access_log(
            self.settings, self.pools, self.log.warning, place.record, self.log.error if place.again else None
        )
        offload = self.operations.offload(self._threads.submit)
        access_log = self._on_answer if self._access_log is None else self._access_log.lines
        self._core.attach(CoreHooks(self.settings, self.loop, self.log).host(offload, access_log))

    # --- serving --------------------------------------------------------------------------------

    def listen_for_operators(self, sock: socket.socket) -> None:
        """Answer operators at the control socket as well, until the end; it stays the caller's."""
        self.listeners.open_control(sock, self._core, self.loop, self.operations)

    def run(self, signals: bool = False) -> None:
        """Serve until `stop`, then drain.

        Args:
            signals: take over SIGINT, SIGTERM and SIGQUIT meanwhile; main thread only.
        """
        restore = self._take_signals() if signals else None
        if self._watchdog is not None:
            self._watchdog.start()
        try:
            if self.on_begin is not None:
                self.on_begin()
            self._topics.open(self._core.memory)
            self.app.served_by(self._end_server)
            settle = self.operations.entry.publish if self._access_log is None else self._settle
            self.loop.run(partial(tick, self._core), settle, self._is_quiet)
        except KeyboardInterrupt:
            if not self._interrupted:
                raise
        finally:
            if self._disowned:
                leave(sys.exc_info()[1])
            self.app.left_by(self._end_server)
            if restore is not None:
                signal.set_wakeup_fd(-1)  # the descriptor it writes to is closed with the loop
            try:
                self._close()
            finally:
                if restore is not None:  # only now: a signal that comes meanwhile must not cut the end short
                    restore()

    def _is_quiet(self) -> bool:
        return self.pools.index.total_connections() == 0 and self._core.turned_away == 0

    def _settle(self) -> None:
        if self._access_log is not None:
            self._access_log.settle()
        self.operations.entry.publish()

    def _threads_full(self, full: bool) -> None:
        """All threads are taken and requests wait for one: who comes now is better off with another worker."""
        entry = self.operations.entry
        entry.full = full
        if full and not self._stopping and entry.board.others_free(entry.record, HELD):
            self.listeners.pause()
        else:
            self.listeners.resume()

    def _trouble(self, error: Exception) -> None:
        self.log.error("internal error (the server continues)", error=error)

    # --- signals --------------------------------------------------------------------------------

    def _take_signals(self) -> Callable[[], None]:
        descriptor = signal.set_wakeup_fd(self.loop.wake_descriptor, warn_on_full_buffer=False)
        before = [(number, signal.signal(number, self._signal)) for number in self.signals]
        before.append((signal.SIGUSR1, signal.signal(signal.SIGUSR1, self._rotated)))

        def restore() -> None:
            for number, handler in before:
                # None: not set from Python, and not to be had back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(descriptor)

        return restore

    def _signal(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature is the system's
        if self._interrupted or not self.on_signal(number):
            return
        # At once.  A handler that holds up this thread would not let the loop see it, so it is interrupted; and should
        # it swallow that too, the next signal of the kind ends the process.
        self._interrupted = True
        self.loop.stop()
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    def _heard(self, number: int) -> bool:
        order = self._stop_signals.heard(number, monotonic())
        if order is Order.STOP:
            self.loop.call_from_thread(partial(self.loop.call_later, WAITING[0], partial(self._say_waiting, number)))
        if order is not Order.NOTHING:
            self.stop()
        return order is Order.END

    def _say_waiting(self, number: int) -> None:
        if self.on_waiting is not None:
            self.on_waiting(waiting(self.operations.board.snapshot(), number, monotonic()))
            self.loop.call_later(WAITING[1], partial(self._say_waiting, number))

    def _rotated(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature is the system's
        self.loop.call_from_thread(self.reopen_logs)

    def reopen_logs(self) -> None:
        """Open the log files again, after another program has renamed them (log rotation)."""
        if self._access_log is not None:
            self._access_log.reopen()
        self.log.reopen()

    def disown(self) -> None:
        """In a process that the app forked: give up all that is the worker's; see `dimserver.net.forks`."""
        self._disowned = self._threads.disowned = True
        if hasattr(self, "_core"):
            self._core.disown()
        self.loop.disown()
        self.listeners.disown()
        # What a signal means is the child's to say: here it would wake a loop that is nobody's.
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if str(getattr(handler, "__module__", "")).startswith("dimserver."):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    # --- the end --------------------------------------------------------------------------------

    def stop(self, linger: float = LAST_REQUEST, last: bool = True) -> None:
        """Accept no more, let requests in flight finish within `drain` seconds, then return from `run`.

        Args:
            linger: seconds for which an idle connection is kept for one more request, which may be on its way.
            last: whether nobody else will accept what waits at the doors.
        """
        if not self._stopping:
            self._stopping = True
            self.loop.call_from_thread(partial(self._begin_drain, linger, last))

    def _begin_drain(self, linger: float, last: bool) -> None:
        self._core.drain(GOING_AWAY if last else SERVICE_RESTART)
        self.operations.entry.enter("draining")
        self.listeners.shut(last)
        self._drain.begin(linger, self.settings.drain)

    def _close(self) -> None:
        for step in self._last_steps():
            try:
                step()
            except KeyboardInterrupt:  # the second signal: what this step waits for is not waited for any more
                if not self._interrupted:
                    raise

    def _last_steps(self) -> Iterator[Callable[[], object]]:
        yield self.listeners.close
        yield self._drain.close_all
        if hasattr(self, "_core"):  # else the start failed before there was one
            yield self._core.drain  # those that were turned away and still read why
        if self._watchdog is not None:
            yield self._watchdog.stop
        # Threads without work end at once; for a handler that did not end while draining there is no time left.
        yield partial(self._threads.close, 0.0 if self._threads.in_flight else THREADS_END)
        yield partial(self._gateways.end, 0.0 if self._interrupted else self._drain.left)
        yield self._topics.close
        if self._access_log is not None:
            yield self._access_log.close
        if hasattr(self, "operations"):
            yield self.operations.close
        yield self.loop.close
        yield self.log.close
        yield partial(forks.forget, self)

    @property
    def app_calls_behind(self) -> int:
        """Calls of WSGI and ASGI apps that go on although their answers are out; any thread."""
        calls = self._threads.in_flight + self._core.app_calls
        sockets = sum(self.pools.index.count_at(WEBSOCKETS, layer) for layer in range(1, 7))
        waiting = self.pipeline.index.total_connections() + sockets
        return max(0, calls - waiting)

    def counts(self) -> dict[str, int]:
        """What was served: requests, errors, connections, and those cut_off in the middle of a request at the end."""
        requests = self.pipeline.get_stats()
        return {
            "requests": int(requests["total_requests"]),
            "errors": int(requests["total_errors"]),
            "connections": self.pools.admitted,
            "cut_off": self._drain.cut_off,
        }
