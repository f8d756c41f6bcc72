"""One worker: settings, app and listeners joined with a core and a loop, from start to drained stop."""

from __future__ import annotations

import gc
import os
import signal
import sys
from functools import partial
from time import monotonic

from dimcore import Connection, Core, RouteConflict, Router, Site, tick
from dimserver.app import App, is_async
from dimserver.errors import ConfigError, StartError
from dimserver.http.deferred import Deferred
from dimserver.net.episode import Episode
from dimserver.net.listener import Listener
from dimserver.net.loop import Loop
from dimserver.net.sockets import Sockets
from dimserver.net.threads import ThreadPool
from dimserver.run.logs import open_access_log, open_log, out
from dimserver.run.operations import Operations, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from dimcore import ConnectionPoolManifold, RequestPoint, RequestSubstrate
    from dimserver.config import Settings
    from dimserver.filters.accesslog import AccessLog
    from dimserver.log import Log
    from dimserver.net.sockets import Door
    from dimserver.run.watchdog import Watchdog

__all__ = ["Worker", "serve"]

ADMIN_POOL = 3
WEBSOCKET_POOL = 1
NEW, HANDSHAKE, ACTIVE, IDLE, CLOSING = 1, 2, 3, 4, 5
GOING_AWAY, SERVICE_RESTART = 1001, 1012  # codes of RFC 6455 section 7.4 and its registry
LAYERS = range(1, 8)
BLOCKING_THREADS = 8  # for routes marked blocking when `threads` is 0
THREADS_END = 1.0  # seconds
NO_ROOM_FOR_BODY = "a request body could not be kept"  # as the core says it
DRAIN_STEP = 0.05  # seconds between two looks at what is left
CUT_BEFORE = 1.0  # seconds before the drain limit: streams are ended, so that their sources have time to clean up
RESPONSE_READY = 5  # the stage of a request whose answer is being sent
LAST_REQUEST = 0.2  # seconds: a stop waits so long for a request that is on its way on an idle connection


def serve(app: App | None, settings: Settings, target: str) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: None serves the built-in endpoints and static files.
        settings: see ``dimserver config``.
        target: what is served, for the line printed at the start.

    Returns:
        The exit code.

    Raises:
        StartError: the system refused, for example because the port is in use.
        ConfigError: the directory of static files cannot be served.
    """
    worker = Worker(app, settings)
    if settings.workers != 1:
        worker.log.warning("workers: this program serves in its own process; `dimserver run` starts several")
    say(f"dimserver: serving {served(target, settings)} on {', '.join(worker.urls)} (pid {os.getpid()})", out(settings))
    freeze()
    worker.run(signals=_on_main_thread())
    say(f"dimserver: stopped; {summary(worker.counts(), monotonic() - worker.started)}", out(settings))
    return 0


def say(line: str, out: Any) -> None:
    """Print a line for whoever started the server."""
    try:
        print(line, file=out, flush=True)
    except (OSError, ValueError):
        pass  # whoever read it has left; that is no reason to stop serving


def served(target: str, settings: Settings) -> str:
    """What is served, in a few words."""
    return target or "the built-in API" + (f" and {settings.static}" if settings.static else "")


def summary(counts: Mapping[str, int], seconds: float) -> str:
    """What was served, in a few words.

    Args:
        counts: as from `Worker.counts`.
        seconds: since the start.
    """
    cut = f", {counts['cut_off']} cut off at the end" if counts["cut_off"] else ""
    return (
        f"{counts['requests']} requests ({counts['errors']} failed) "
        f"on {counts['connections']} connections{cut} in {seconds:.1f} s"
    )


def freeze() -> None:
    """What start-up and the app's import left alive stays alive: the collector need not walk through it again."""
    gc.collect()
    gc.freeze()


def _on_main_thread() -> bool:
    threading = sys.modules.get("threading")  # not imported: there is only the main one
    return threading is None or threading.current_thread() is threading.main_thread()


class Worker:
    """A server in one thread.

    Args:
        app: None serves the built-in endpoints and static files.
        settings: see ``dimserver config``.
        doors: the sockets to listen on, which are the worker's from now on; opened as the settings say when None.
        workers: how many there are.
        place: of this one among them; alone when None.

    Attributes:
        urls: where it listens, the main listener first.
        loop: what it waits with.
        on_signal: what SIGINT and SIGTERM do the first time, by number; the second time they end it at once.
        operations: its part in the server; what operators see and do.
        pools, pipeline, settings, started, workers, version: what it serves with.

    Raises:
        StartError, ConfigError: as for `serve`; nothing is left open.

    Thread-safety: `stop` from any thread; all else from the one that calls `run`.
    """

    def __init__(
        self,
        app: App | None,
        settings: Settings,
        doors: Sequence[Door] | None = None,
        workers: int = 1,
        place: Place | None = None,
    ) -> None:
        from dimserver import __version__

        self.app = App() if app is None else app
        self.settings = settings
        self.version = __version__
        self.workers = workers
        self.started = monotonic()
        self.pools: ConnectionPoolManifold = self.app.connection_manifold
        self.pipeline: RequestSubstrate = self.app.request_manifold.requests
        place = Place() if place is None else place
        self._number = place.record  # as the ids of its connections have it
        self.log = open_log(settings, self._number)
        self._full = Episode(self.log.error)
        self._access_log: AccessLog | None = None
        self._stopping = False
        self._signalled = False
        self._linger_ends = 0.0
        self._drain_ends = 0.0
        self._cut_off = 0  # connections that were in the middle of a request at the end
        self._listeners: list[Listener] = []
        self._watchdog: Watchdog | None = None
        running: dict[int, tuple[RequestPoint, int]] | None = {} if settings.watchdog else None
        self._sockets: Sockets | None = None
        self._doors: Sequence[Door] = doors or ()
        self.on_signal: dict[int, Callable[[], object]] = {signal.SIGINT: self.stop, signal.SIGTERM: self.stop}
        self.loop = self._make_loop()
        self._threads = ThreadPool(settings.threads or BLOCKING_THREADS, self.loop, running)
        try:
            self._core = self._make_core()
            self.operations = self._join(place)
            self._attach()
            if running is not None:
                from dimserver.run.watchdog import Watchdog

                self._watchdog = Watchdog(settings.watchdog, self._core, running, self.log)
            self._listen(app is None)
        except BaseException:
            self._close()
            raise
        self.urls = [listener.url for listener in self._listeners]

    # --- start ----------------------------------------------------------------------------------

    def _make_loop(self) -> Loop:
        routes = self.app.request_manifold.router.routes()
        if self.settings.loop == "auto" and not any(is_async(route.handler) for route in routes):
            return Loop(self._trouble)
        from dimserver.net.asyncloop import AsyncLoop

        return AsyncLoop(self.settings.loop, self._trouble, self.log.error)

    def _make_core(self) -> Core:
        settings = self.settings
        core = Core(self.pools, self.pipeline)
        core.configure(
            max_connections=settings.max_connections,
            admin_reserve=settings.admin_reserve,
            max_per_address=settings.max_per_address,
            max_body=settings.limit_body,
            body_memory=settings.body_memory,
            request_line=settings.limit_request_line,
            head=settings.limit_head,
            field=settings.limit_field,
            fields=settings.limit_fields,
            body_rate=settings.rate_body,
            send_rate=settings.rate_send,
            seconds={
                "connect": settings.timeout_connect,
                "handshake": settings.timeout_handshake,
                "idle": settings.timeout,
                "linger": settings.timeout_linger,
                "head": settings.timeout_head,
                "body_grace": settings.rate_grace if settings.rate_body else 0,
                "send_grace": settings.rate_grace if settings.rate_send else 0,
                "ws_ping": settings.ws_ping,
                "ws_timeout": settings.ws_timeout,
                "ws_close": settings.ws_close,
            },
        )
        self.pools.set_cap("http", settings.max_http or None)
        self.pools.set_cap("websocket", settings.max_websocket or None)
        self.pools.set_cap("api", settings.max_api or None)
        _raise_descriptor_limit(settings.max_connections + settings.admin_reserve, self.log)
        return core

    def _join(self, place: Place) -> Operations:
        core = self._core
        try:
            operations = Operations(place, core, self.loop, self.settings, self.version, self.stop, self._trouble)
        except OSError as error:
            raise StartError(f"no private socket for this worker in {place.directory}: {error.strerror}") from None
        # After the first round, and before whatever else waits for that.
        self.loop.call_later(0, partial(operations.entry.enter, "serving"))
        return operations

    def _attach(self) -> None:
        settings = self.settings
        selector = self.loop.selector
        self._access_log = open_access_log(settings, self.pools, self.log.warning, self._number)
        self._core.attach(
            register=selector.register,
            modify=selector.modify,
            unregister=selector.unregister,
            offload=self.operations.offload(self._threads.submit),
            open_spool=self._open_spool,
            open_stream=self._open_stream,
            report=self._report,
            access_log=None if self._access_log is None else self._access_log.lines,
            forwarded=self._open_forwarding(),
            **self._coroutines(),
        )

    def _open_forwarding(self) -> Any:
        settings = self.settings
        if not settings.trusted_proxies:
            return None
        from dimserver.http.forwarded import Forwarding

        return Forwarding(settings.trusted_proxies, settings.forwarded_headers, settings.request_id_header)

    def _listen(self, builtin_only: bool) -> None:
        settings = self.settings
        api = Router()
        if settings.static is not None:
            from dimserver.handlers.static import StaticFiles

            try:
                files = StaticFiles(settings.static)
            except ValueError as error:
                raise ConfigError(f"--static: {error}") from None
            api.add("GET", "/", files, exact=False)
        if builtin_only or settings.api:
            self._add_api(api)
        for route in self.app.request_manifold.router.routes():
            # Not by its type: who has no WebSocket does not pay for the import.
            configure = getattr(route.handler, "configure_websocket", None)
            if configure is not None:
                configure(settings)
            elif settings.threads:
                route.blocking = not is_async(route.handler)
        main = Site(self._core, self.app.request_manifold.router, api)
        if not self._doors:
            self._sockets = Sockets(settings)
            self._doors = self._sockets.doors()
        admin = None
        if any(door.admin for door in self._doors):
            router = Router()
            self._add_api(router, admin=True)
            admin = Site(self._core, router, None, ADMIN_POOL, False)
        for door in self._doors:
            site = admin if door.admin and admin is not None else main
            self._listeners.append(Listener(door.sock, site, self.loop, self.log, inherited=door.kept))

    def _add_api(self, router: Router, admin: bool = False) -> None:
        for method, path, handler in self.operations.api.routes(admin):
            try:
                router.add(method, path, handler, blocking=isinstance(handler, Deferred))
            except RouteConflict:  # a route of the operator's own takes precedence
                continue

    # --- serving --------------------------------------------------------------------------------

    def run(self, signals: bool = False) -> None:
        """Serve until `stop`, then drain.

        Args:
            signals: take over SIGINT and SIGTERM meanwhile; main thread only.
        """
        restore = self._take_signals() if signals else None
        if self._watchdog is not None:
            self._watchdog.start()
        try:
            settle = self.operations.entry.publish if self._access_log is None else self._settle
            self.loop.run(partial(tick, self._core), settle, self._is_quiet)
        except KeyboardInterrupt:
            if not self._signalled:
                raise
        finally:
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

    def _take_signals(self) -> Callable[[], None]:
        descriptor = signal.set_wakeup_fd(self.loop.wake_descriptor, warn_on_full_buffer=False)
        before = [(number, signal.signal(number, self._signal)) for number in self.on_signal]
        before.append((signal.SIGUSR1, signal.signal(signal.SIGUSR1, self._rotated)))

        def restore() -> None:
            for number, handler in before:
                # None: not set from Python, and not to be had back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            signal.set_wakeup_fd(descriptor)

        return restore

    def _signal(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature is the system's
        if not self._signalled:
            self._signalled = True
            self.on_signal[number]()
            return
        # The second one: at once.  A handler that holds up this thread would not let the loop see it, so it is
        # interrupted; and should it swallow that too, the third signal ends the process.
        self.loop.stop()
        signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    def _rotated(self, number: int, frame: object) -> None:  # noqa: ARG002 - the signature is the system's
        self.loop.call_from_thread(self.reopen_logs)

    def _trouble(self, error: Exception) -> None:
        self.log.error("a fault of the server; it goes on", error=error)

    def stop(self, linger: float = LAST_REQUEST, last: bool = True) -> None:
        """Accept no more, let requests in flight finish within `drain` seconds, then return from `run`.

        Args:
            linger: seconds for which an idle connection is kept for one more request, which may be on its way.
            last: whether nobody else will accept what waits at the doors.
        """
        if not self._stopping:
            self._stopping = True
            self.loop.call_from_thread(partial(self._begin_drain, linger, last))

    def reopen_logs(self) -> None:
        """Open the log files again, after another program has renamed them (log rotation)."""
        if self._access_log is not None:
            self._access_log.reopen()
        self.log.reopen()

    def _begin_drain(self, linger: float, last: bool) -> None:
        self._core.drain(GOING_AWAY if last else SERVICE_RESTART)
        self.operations.entry.enter("draining")
        if self._sockets is not None:
            self._sockets.unlink(self.log)
        for listener in self._listeners:
            if last and not listener.inherited:  # else its queue is somebody else's to serve
                listener.accept_all()
            listener.close()
        now = monotonic()
        self._drain_ends = now + self.settings.drain
        self._linger_ends = min(now + linger, self._drain_ends)
        # After one more round: a request that lies in the kernel already is one in flight.
        self.loop.call_later(0, self._drain)

    def _drain(self) -> None:
        now = monotonic()
        if now >= self._drain_ends - min(CUT_BEFORE, self.settings.drain / 4):
            # Their peers see that something is missing; their generators, on whichever thread, a GeneratorExit.
            self._cut_off += self._end_streams()
        if now >= self._linger_ends:
            # Whoever is not in the middle of a request has nothing to lose; who lingers has an answer to read yet.
            # Not at once: a client may be sending its next request at this very moment, and would lose it.
            self._close_connections(NEW, HANDSHAKE, IDLE)
            self._close_connections(ACTIVE, spirals=(WEBSOCKET_POOL,))  # asked whether they are alive
        if now >= self._drain_ends or not (self._threads.in_flight or self._has_connections()):
            self.loop.stop()
        else:
            self.loop.call_later(DRAIN_STEP, self._drain)

    def _end_streams(self) -> int:
        ended = 0
        index = self.pipeline.index
        for spiral in range(index.spirals):
            for request in index.get_at(spiral, RESPONSE_READY):
                connection = getattr(request, "connection", None)
                if isinstance(connection, Connection):
                    connection.close()
                    ended += 1
        return ended

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        if self._sockets is not None:
            self._sockets.close(self.log)
        for door in self._doors:
            door.sock.close()
        index = self.pools.index
        self._cut_off += sum(index.count_at(spiral, ACTIVE) for spiral in range(index.spirals))
        self._close_connections(*LAYERS)
        self._close_connections(CLOSING)  # WebSockets, which were told but not waited for
        core: Core | None = getattr(self, "_core", None)  # None: the start failed before there was one
        if core is not None:
            core.drain()  # those that were turned away and still read why
        if self._watchdog is not None:
            self._watchdog.stop()
        # Threads without work end at once; for a handler that did not end while draining there is no time left.
        self._threads.close(0.0 if self._threads.in_flight else THREADS_END)
        if self._access_log is not None:
            self._access_log.close()
        operations: Operations | None = getattr(self, "operations", None)
        if operations is not None:
            operations.close()
        self.loop.close()
        self.log.close()

    def _has_connections(self) -> bool:
        index = self.pools.index
        if index.total_connections() == 0:
            return False
        cells = ((spiral, layer) for spiral in range(index.spirals) for layer in LAYERS)
        return any(isinstance(point, Connection) for cell in cells for point in index.get_at(*cell))

    def _close_connections(self, *layers: int, spirals: Sequence[int] = ()) -> None:
        index = self.pools.index
        for spiral in spirals or range(index.spirals):
            for layer in layers:
                if index.count_at(spiral, layer):
                    for connection in index.get_at(spiral, layer):
                        if isinstance(connection, Connection):  # the app may keep points of its own there
                            connection.close()

    def counts(self) -> dict[str, int]:
        """What was served: requests, errors, connections, and those cut_off in the middle of a request at the end."""
        requests = self.pipeline.get_stats()
        return {
            "requests": int(requests["total_requests"]),
            "errors": int(requests["total_errors"]),
            "connections": self.pools.index.added,
            "cut_off": self._cut_off,
        }

    def _open_spool(self) -> int:
        import tempfile

        descriptor, path = tempfile.mkstemp(prefix="dimserver-", dir=self.settings.spool_dir)
        os.unlink(path)
        return descriptor

    def _open_stream(self, connection: Connection) -> Any:
        from dimserver.http.bodystream import BodyStream

        return BodyStream(connection.pause_body, partial(self.loop.call_from_thread, connection.resume_body))

    def _coroutines(self) -> dict[str, Any]:
        loop = self.loop
        if loop.runner is None:
            return {}
        from dimserver.http.asyncbody import AsyncBody
        from dimserver.net.asyncstream import send_stream

        def open_body(connection: Connection) -> AsyncBody:
            return AsyncBody(loop.asyncio, connection.pause_body, connection.resume_body)

        return {"runner": loop.runner, "open_flow": partial(send_stream, loop.asyncio), "open_body": open_body}

    def _report(self, message: str, request: RequestPoint | None, error: BaseException | None) -> None:
        if message == NO_ROOM_FOR_BODY and isinstance(error, OSError):
            where = "" if request is None else f": {request.method} {request.raw_target}"
            self._full.tell(f"{message}{where}: {os.strerror(error.errno or 0)}; answered 503 until there is room")
        else:
            self.log.error(message, error, request)


def _raise_descriptor_limit(connections: int, log: Log) -> None:
    """Raise the soft limit as far as needed and allowed; say so when it does not reach."""
    import resource

    wanted = connections + 64  # listeners, files being sent, logs
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    reach = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (reach, hard))
    except (OSError, ValueError):
        reach = soft
    if reach < wanted:
        log.warning(f"the descriptor limit is {reach}: {connections} connections do not fit (ulimit -n)")
