"""The application: routes, and how they are served.

A handler takes the `dimcore.RequestPoint` and returns ``(status, headers,
body)``, a `Response`, ``bytes``, ``str``, or a ``dict`` or ``list`` (JSON).
"""

from __future__ import annotations

from dimcore import ConnectionPoolManifold, RequestResponseManifold
from dimserver.config import Settings, merge
from dimserver.errors import HandlerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeVar

    from dimcore import RequestPoint

    Handler = Callable[[RequestPoint], Any]
    H = TypeVar("H", bound=Handler)

__all__ = ["App", "OptimizedDimensionalServer", "refuse_async"]

CO_ASYNC = 0x80 | 0x200  # CO_COROUTINE and CO_ASYNC_GENERATOR of `inspect`, whose import costs more than this module


def refuse_async(handler: object, where: str) -> None:
    """Refuse what would answer every request with a coroutine.

    Args:
        handler: any callable.
        where: its route, for the message.

    Raises:
        HandlerError: it is ``async def``, itself or its ``__call__``.
    """
    function = handler
    while (inner := getattr(function, "func", None)) is not None:  # functools.partial
        function = inner
    method = function if hasattr(function, "__code__") else type(function).__call__
    code = getattr(method, "__code__", None)
    if code is not None and code.co_flags & CO_ASYNC:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise HandlerError(f"{where}: the handler '{name}' is async; this version runs plain functions only")


class App:
    """Routes and their handlers.

    Args:
        settings: defaults for `run` and for ``dimserver run``, named as in ``dimserver config``
            with underscores, for example ``App(threads=8)``; what the command line says wins.

    Attributes:
        defaults: the settings given.
        request_manifold: the `dimcore.RequestResponseManifold` the routes live in.
        connection_manifold: the `dimcore.ConnectionPoolManifold` its connections live in.

    Raises:
        ConfigError: an unknown setting or a bad value.

    Thread-safety: register routes before serving, or on the loop's thread.
    """

    def __init__(self, **settings: object) -> None:
        Settings(**settings)
        self.defaults: dict[str, object] = settings
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
            HandlerError: `handler` is async.
        """
        if handler is None:
            return lambda decorated: self.route(pattern, decorated, methods=methods, exact=exact, blocking=blocking)
        for method in (methods,) if isinstance(methods, str) else tuple(methods):
            self._register(method, pattern, handler, exact, blocking)
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
            self._register(method, pattern, handler, exact, blocking)
            return handler

        return register

    def _register(self, method: str, pattern: str, handler: Handler, exact: bool, blocking: bool) -> None:
        refuse_async(handler, f"{method} {pattern}")
        self.request_manifold.register_route(method, pattern, handler, exact, blocking=blocking)

    def routes(self) -> Iterator[tuple[str, str, bool, bool, Handler]]:
        """``(method, pattern, exact, blocking, handler)`` of each route in the order of registration."""
        for route in self.request_manifold.router.routes():
            yield route.method, route.pattern, route.exact, route.blocking, route.handler

    def run(self, **settings: object) -> int:
        """Serve until SIGINT or SIGTERM, or for ever on a thread that is not the main one: signals are not its.

        Args:
            settings: as for the constructor, and stronger.

        Returns:
            The exit code, 0 after a clean stop.

        Raises:
            ConfigError: an unknown setting or a bad value.
            HandlerError: a route registered past `route` has an async handler.
            StartError: the system refused, for example because the port is in use.
        """
        from dimserver.run.worker import serve

        return serve(self, Settings(**merge(self.defaults, settings)), type(self).__name__)


class OptimizedDimensionalServer(App):
    """The server in the form of the design it grew from.

    Args:
        settings: as for `App`, for example ``host``, ``port``, ``max_connections``, ``timeout``, ``static``.

    The built-in endpoints are on its main listener, as they were there, unless
    ``api=False``; a route of one's own with the same path takes precedence.
    """

    def __init__(self, **settings: object) -> None:
        super().__init__(**{"api": True, **settings})

    def run_forever(self) -> None:
        """Serve until SIGINT or SIGTERM."""
        self.run()
