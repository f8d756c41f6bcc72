"""The application: routes, and how they are served.

A handler takes the `dimcore.RequestPoint` and returns ``(status, headers,
body)``, a `Response`, ``bytes``, ``str``, or a ``dict`` or ``list`` (JSON).
"""

from __future__ import annotations

from dimcore import ConnectionPoolManifold, RequestResponseManifold

from dimserver.config import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeVar

    from dimcore import RequestPoint

    Handler = Callable[[RequestPoint], Any]
    H = TypeVar("H", bound=Handler)

__all__ = ["App", "OptimizedDimensionalServer"]


class App:
    """Routes and their handlers.

    Args:
        settings: defaults for `run`, named as in ``dimserver config`` with underscores,
            for example ``App(threads=8)``; what the command line says wins.

    Attributes:
        request_manifold: the `dimcore.RequestResponseManifold` the routes live in.
        connection_manifold: the `dimcore.ConnectionPoolManifold` its connections live in.
        serves_api: whether the built-in endpoints are on the main listener too.

    Raises:
        ConfigError: an unknown setting or a bad value.

    Thread-safety: register routes before serving, or on the loop's thread.
    """

    serves_api = False

    def __init__(self, **settings: object) -> None:
        Settings(**settings)
        self.defaults = settings
        self.request_manifold = RequestResponseManifold()
        self.connection_manifold = ConnectionPoolManifold()

    def route(
        self,
        pattern: str,
        handler: Handler | None = None,
        *,
        methods: Iterable[str] = ("GET",),
        exact: bool = True,
        blocking: bool = False,
    ) -> Any:
        """Register a handler, directly or as a decorator.

        Args:
            pattern: path; ``{name}`` matches one segment.
            handler: None to use the call as a decorator.
            methods: GET also answers HEAD.
            exact: False makes `pattern` a prefix on a segment boundary.
            blocking: run on the thread pool, so that waiting does not hold up the loop.

        Returns:
            The handler.

        Raises:
            dimcore.RoutePatternError: `pattern` cannot be read.
            dimcore.RouteConflict: it is taken already for one of `methods`.
        """
        if handler is None:
            return lambda decorated: self.route(
                pattern, decorated, methods=methods, exact=exact, blocking=blocking
            )
        names = (methods,) if isinstance(methods, str) else tuple(methods)
        for method in names:
            self.request_manifold.register_route(method, pattern, handler, exact, blocking=blocking)
        return handler

    def get(self, pattern: str, *, exact: bool = True, blocking: bool = False) -> Callable[[H], H]:
        """Decorator: answer GET and HEAD; see `route`."""
        return self._method("GET", pattern, exact, blocking)

    def post(self, pattern: str, *, exact: bool = True, blocking: bool = False) -> Callable[[H], H]:
        """Decorator: answer POST; see `route`."""
        return self._method("POST", pattern, exact, blocking)

    def put(self, pattern: str, *, exact: bool = True, blocking: bool = False) -> Callable[[H], H]:
        """Decorator: answer PUT; see `route`."""
        return self._method("PUT", pattern, exact, blocking)

    def delete(self, pattern: str, *, exact: bool = True, blocking: bool = False) -> Callable[[H], H]:
        """Decorator: answer DELETE; see `route`."""
        return self._method("DELETE", pattern, exact, blocking)

    def patch(self, pattern: str, *, exact: bool = True, blocking: bool = False) -> Callable[[H], H]:
        """Decorator: answer PATCH; see `route`."""
        return self._method("PATCH", pattern, exact, blocking)

    def options(self, pattern: str, *, exact: bool = True, blocking: bool = False) -> Callable[[H], H]:
        """Decorator: answer OPTIONS; see `route`."""
        return self._method("OPTIONS", pattern, exact, blocking)

    def head(self, pattern: str, *, exact: bool = True, blocking: bool = False) -> Callable[[H], H]:
        """Decorator: answer HEAD, which otherwise runs the GET handler; see `route`."""
        return self._method("HEAD", pattern, exact, blocking)

    def _method(self, method: str, pattern: str, exact: bool, blocking: bool) -> Callable[[H], H]:
        def register(handler: H) -> H:
            self.request_manifold.register_route(method, pattern, handler, exact, blocking=blocking)
            return handler

        return register

    def routes(self) -> Iterator[tuple[str, str, bool, bool, Handler]]:
        """``(method, pattern, exact, blocking, handler)`` of each route in the order of registration."""
        for route in self.request_manifold.router.routes():
            yield route.method, route.pattern, route.exact, route.blocking, route.handler

    def run(self, **settings: object) -> int:
        """Serve until SIGINT or SIGTERM.

        Args:
            settings: as for the constructor, and stronger.

        Returns:
            The exit code, 0 after a clean stop.

        Raises:
            ConfigError: an unknown setting or a bad value.
            StartError: the system refused, for example because the port is in use.
        """
        from dimserver.run.worker import serve

        return serve(self, Settings(**{**self.defaults, **settings}), type(self).__name__)


class OptimizedDimensionalServer(App):
    """The server in the form of the design it grew from.

    Args:
        settings: as for `App`, for example ``host``, ``port``, ``max_connections``, ``timeout``, ``static``.

    The built-in endpoints are on its main listener, as they were there; a route
    of one's own with the same path takes precedence.
    """

    serves_api = True

    def run_forever(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        self.run()
