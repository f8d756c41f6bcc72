"""Where a worker listens, and what is reached there: its doors, the sites behind them, and their routes."""

from __future__ import annotations

import os
from functools import partial
from socket import AF_UNIX

from dimcore import RouteConflict, Router, Site
from dimserver.config import check_admin
from dimserver.config.types import MINUTE
from dimserver.errors import ConfigError
from dimserver.gateway.contract import is_gateway
from dimserver.http.deferred import Deferred
from dimserver.net.forks import cut_off
from dimserver.net.listener import Listener, describe, listens_on_loopback
from dimserver.net.sockets import Sockets
from dimserver.net.throttled_log import ThrottledLog
from dimserver.routes import is_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    from dimcore import Core
    from dimserver.config import Settings
    from dimserver.log import Log
    from dimserver.net.loop import Loop
    from dimserver.net.sockets import ListenSocket
    from dimserver.worker.operator_api import Operations

__all__ = ["Listeners"]

ADMIN_POOL = 3
ANY = "*"  # the method of a mount


class Listeners:
    """See the module.

    Args:
        settings, log: of the worker.
        doors: the sockets to listen on, its own from now on; none: `open` opens those that the settings name.

    Thread-safety: the loop's thread.
    """

    def __init__(self, settings: Settings, log: Log, doors: Sequence[ListenSocket]) -> None:
        self._settings = settings
        self._log = log
        self._doors = doors
        self._sockets: Sockets | None = None
        self._listeners: list[Listener] = []
        self._assisted: dict[int, Listener] = {}
        self._control: Listener | None = None
        self._shut = False
        self._open_assisted: Callable[[socket.socket], Listener] | None = None
        self._paused = False

    @property
    def urls(self) -> list[str]:
        """Where it listens, the main listener first."""
        return [listener.url for listener in self._listeners]

    @property
    def server(self) -> tuple[str, int | None]:
        """Host and port of the main listener, or path and None; once it is open."""
        name = next(door.sock.getsockname() for door in self._doors if not door.admin)
        if isinstance(name, tuple):
            return name[0], name[1]
        return os.fsdecode(name), None

    def open(self, core: Core, loop: Loop, app_router: Router, operations: Operations, builtin_only: bool) -> None:
        """Listen.

        Args:
            core, loop, operations: of the worker.
            app_router: the app's routes, which are told of the settings.
            builtin_only: there is no app.

        Raises:
            StartError: the system refused.
            ConfigError: the directory of static files cannot be served, or settings contradict each other.
        """
        check_admin(self._settings)
        below = self._below_the_app(app_router, operations, builtin_only)
        self._configure(app_router)
        main = Site(core, app_router, below, trusts=self._proxies())
        if self._settings.api and any(route.method == ANY for route in app_router.routes()):
            below = _before_mounts(app_router, below)
            main = Site(core, below, app_router, trusts=self._proxies())
        self._add_headers(main, (app_router, below))
        if not self._doors:
            self._sockets = Sockets(self._settings)
            self._doors = self._sockets.doors()
        self._judge(operations)
        admin = None
        if any(door.admin for door in self._doors):
            admin = _admin_site(core, operations)
        for door in self._doors:
            site = admin if door.admin and admin is not None else main
            self._listeners.append(Listener(door.sock, site, loop, self._log, inherited=door.kept, admin=door.admin))
        self._open_assisted = partial(Listener, site=main, loop=loop, log=self._log)

    def open_control(self, sock: socket.socket, core: Core, loop: Loop, operations: Operations) -> None:
        """Answer operators at the control socket, also while what is in flight is finished.

        Args:
            sock: listening; stays the caller's.
            core, loop, operations: of the worker.
        """
        self._control = Listener(sock, _admin_site(core, operations), loop, self._log, admin=True)

    def _judge(self, operations: Operations) -> None:
        """Who can reach the listeners, by the addresses they have; a parent's may have any.

        Raises:
            ConfigError: the admin listener has another address than loopback, and there is no token.
        """
        operations.loopback_only = all(
            listens_on_loopback(door.sock) and not door.kept for door in self._doors if not door.admin
        )
        for door in self._doors:
            if not (door.admin and door.kept) or operations.has_token or door.sock.family == AF_UNIX:
                continue
            if not listens_on_loopback(door.sock):
                raise ConfigError(
                    f"the admin socket that was passed in, {describe(door.sock)}, is open to everyone: "
                    "set api-token, or pass a socket on a loopback address or a Unix socket"
                )

    def _below_the_app(self, app_router: Router, operations: Operations, builtin_only: bool) -> Router:
        """What is there where the app has no route."""
        settings = self._settings
        api = Router()
        if settings.static is not None:
            if any(route.method == ANY and route.pattern == "/" for route in app_router.routes()):
                raise ConfigError("--static: no file would be served, because the app at / answers every path")
            from dimserver.handlers.static import StaticFiles

            try:
                files = StaticFiles(settings.static, charset=settings.static_charset)
            except ValueError as error:
                raise ConfigError(f"--static: {error}") from None
            files.configure_root_path(settings.root_path)
            api.add("GET", "/", files, exact=False)
        if builtin_only or settings.api:
            _add_api(api, operations, admin=False)
            if settings.static is None and app_router.find_route("GET", "/") is None:
                _add_page(api)
        return api

    def _add_headers(self, site: Site, routers: Iterable[Router]) -> None:
        if self._settings.header:
            from dimserver.worker.added_headers import HeaderRules  # not needed by most

            rules = HeaderRules(self._settings.header)
            for router in routers:
                rules.add_to(router)
            site.filters = rules.filters(None)

    def _proxies(self) -> Callable[[tuple[str, int] | None], bool] | None:
        """Who has to introduce every client (PROXY protocol); None where nobody does."""
        settings = self._settings
        if not settings.proxy_protocol:
            return None
        if not settings.trusted_proxies:
            raise ConfigError("--proxy-protocol needs --trusted-proxies: only they may name the client of a connection")
        from dimserver.http.forwarded import Forwarding

        return Forwarding(settings.trusted_proxies).trusts

    def _configure(self, router: Router) -> None:
        refused = ThrottledLog(self._log.warning, quiet=MINUTE)
        for route in router.routes():
            route.filters = None  # those of another worker that has served the app
            # Not by their types: who has no WebSocket or files does not pay for the import.
            place = getattr(route.handler, "configure_root_path", None)
            if place is not None:
                place(self._settings.root_path)
            configure = getattr(route.handler, "configure_websocket", None)
            if configure is not None:
                configure(self._settings, refused.tell)
            elif is_gateway(route.handler):
                continue  # how it is run is its own affair
            elif self._settings.threads:
                route.blocking = not is_async(route.handler)

    # --- beside other workers -------------------------------------------------------------------

    def assist(self, slot: int, sock: socket.socket) -> None:
        """Accept at the socket of another slot as well, which is this worker's own copy."""
        self.unassist(slot)
        if self._open_assisted is None or self._shut:
            sock.close()
            return
        listener = self._assisted[slot] = self._open_assisted(sock)
        if self._paused:
            listener.pause()

    def unassist(self, slot: int) -> None:
        """Leave the socket of another slot to its worker."""
        listener = self._assisted.pop(slot, None)
        if listener is not None:
            listener.close()

    def pause(self) -> None:
        """Accept no clients, but operators, until `resume`; again is fine."""
        self._paused = True
        for listener in (*self._listeners, *self._assisted.values()):
            if not listener.admin:
                listener.pause()

    def resume(self) -> None:
        """Accept again; again is fine."""
        if self._paused:
            self._paused = False
            for listener in (*self._listeners, *self._assisted.values()):
                listener.resume()

    def shut(self, last: bool) -> None:
        """Accept no more.

        Args:
            last: whether nobody else will accept what waits at the doors: it is accepted now.
        """
        self._shut = True
        self.resume()
        if self._sockets is not None:
            self._sockets.unlink(self._log)
        for listener in (*self._listeners, *self._assisted.values()):
            if last and not listener.inherited:  # else its queue is somebody else's to serve
                listener.accept_all()
            listener.close()

    def disown(self) -> None:
        """In a forked child: none of the sockets is its own; see `dimserver.net.forks`."""
        cut_off(door.sock.fileno() for door in self._doors)

    def close(self) -> None:
        """Close all that is open; again is fine."""
        self._shut = True
        for listener in (*self._listeners, *self._assisted.values()):
            listener.close()
        if self._control is not None:
            self._control.close()
        if self._sockets is not None:
            self._sockets.close(self._log)
        for door in self._doors:
            door.sock.close()


def _before_mounts(app_router: Router, below: Router) -> Router:
    """The built-in endpoints that a mount would hide; what the app has a route of its own for stays the app's."""
    before = Router()
    for route in below.routes():
        hides = app_router.find_route(route.method, route.pattern)
        if hides is not None and hides.method == ANY:
            before.add(route.method, route.pattern, route.handler, route.exact, route.blocking)
    return before


def _add_page(router: Router) -> None:
    from dimserver.handlers.status.page import page

    router.add("GET", "/", page)


def _admin_site(core: Core, operations: Operations) -> Site:
    router = Router()
    _add_api(router, operations, admin=True)
    return Site(core, router, None, ADMIN_POOL, False)


def _add_api(router: Router, operations: Operations, admin: bool) -> None:
    for method, path, handler in operations.api.routes(admin):
        try:
            router.add(method, path, handler, blocking=isinstance(handler, Deferred))
        except RouteConflict:  # a route of the operator's own takes precedence
            continue
