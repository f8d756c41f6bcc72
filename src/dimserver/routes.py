"""Routes and their handlers: all that a worker or a gateway knows of an app.

A handler takes the `dimcore.RequestPoint` and returns ``(status, headers,
body)``, a `Response`, ``bytes``, ``str``, or a ``dict`` or ``list`` (JSON).
It may be an ``async def`` function, beside others that are not.

`dimserver.app.App` adds what a program does with them: settings, mounts, and `run`.
"""

from __future__ import annotations

from functools import partial

from dimcore import ConnectionPoolManifold, RequestResponseManifold, Topics
from dimserver.config.routing import ROUTE_ROWS
from dimserver.errors import HandlerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeVar, Unpack, overload

    from dimcore import RequestPoint, Topic
    from dimserver.config.keywords import RouteOptions

    Handler = Callable[[RequestPoint], Any]
    H = TypeVar("H", bound=Handler)
    S = TypeVar("S")  # a handler of WebSockets: a function, a class, or any object with its methods
else:

    def overload(function: object) -> object:
        """Of `typing`, whose import costs more than this module: what it decorates is for type checkers alone."""
        return function


__all__ = ["Routes", "is_async"]

CO_ASYNC = 0x80 | 0x200  # CO_COROUTINE and CO_ASYNC_GENERATOR of `inspect`, whose import costs more than this module
CO_VARARGS = 0x04


def is_async(handler: object) -> bool:
    """Whether a handler is `async def`, itself or its ``__call__``, or marked as such.

    Args:
        handler: any callable.
    """
    function = handler
    while issubclass(type(function), partial):  # by its type: a mock has an attribute `func`, which has one, …
        function = function.func  # type: ignore[attr-defined]
    method = function if hasattr(function, "__code__") else type(function).__call__
    code = getattr(method, "__code__", None)
    if code is not None and code.co_flags & CO_ASYNC:
        return True
    # `inspect.markcoroutinefunction`, and what compiled coroutine functions have instead of flags.
    marks = ("_is_coroutine_marker", "_is_coroutine")
    return any(type(getattr(function, mark, None)) in (object, bool) for mark in marks)


FUNCTION = type(is_async)  # `types` is not loaded for its sake


LIMIT_BODY = next(row for row in ROUTE_ROWS if row.attribute == "limit_body")
OPTIONS = ("exact", "blocking", "stream", "limit_body")  # of `RouteOptions`


def _check_pattern(pattern: object, decorator: str) -> None:
    if not isinstance(pattern, str):
        shown = getattr(pattern, "__qualname__", repr(pattern))
        raise HandlerError(f'{shown:.80} is not a path; write @app.{decorator}("/path")')


def _check_options(options: Iterable[str], decorator: str) -> None:
    """A misspelled option, when the decorator is called and not only when there is a handler."""
    for name in options:
        if name not in OPTIONS:
            allowed = ", ".join(OPTIONS)
            raise TypeError(f"{decorator}() got an unexpected keyword argument '{name}'; allowed: {allowed}")


def _check_arguments(handler: object, what: str, gets: str) -> None:
    """A handler that can be given nothing would fail with every request; any other mistake is too rare to look for."""
    if isinstance(handler, FUNCTION) and not (handler.__code__.co_argcount or handler.__code__.co_flags & CO_VARARGS):
        raise HandlerError(f"{what}: {handler.__qualname__} takes no argument; a handler gets the {gets}")


class Routes:
    """Routes, the handlers they lead to, and what these share.

    Attributes:
        defaults: settings that the app asks for, below those of every other source.
        request_manifold: the `dimcore.RequestResponseManifold` the routes live in.
        connection_manifold: the `dimcore.ConnectionPoolManifold` its connections live in.
        topics: the `dimcore.Topics` of this process.

    Thread-safety: register routes before serving, or on the loop's thread.
    """

    warns_of_api = True  # where the built-in endpoints stand beside it and there is no token

    def __init__(self) -> None:
        self.defaults: dict[str, object] = {}
        self.request_manifold = RequestResponseManifold()
        self.connection_manifold = ConnectionPoolManifold()
        self.topics = Topics()
        self._ends: list[Callable[[], object]] = []
        self._ended_early = False

    @overload
    def route(
        self, pattern: str, handler: H, *, methods: Iterable[str] = ("GET",), **options: Unpack[RouteOptions]
    ) -> H: ...
    @overload
    def route(  # noqa: F811 - of `overload`
        self,
        pattern: str,
        handler: None = None,
        *,
        methods: Iterable[str] = ("GET",),
        **options: Unpack[RouteOptions],
    ) -> Callable[[H], H]: ...
    def route(  # noqa: F811 - of `overload`
        self,
        pattern: str,
        handler: Handler | None = None,
        *,
        methods: Iterable[str] = ("GET",),
        **options: Unpack[RouteOptions],
    ) -> Any:
        """Register a handler, directly or as a decorator.

        Args:
            pattern: path; ``{name}`` matches one segment.
            handler: a function or an async one; None to use the call as a decorator.
            methods: GET also answers HEAD.
            exact: False makes `pattern` a prefix on a segment boundary.
            blocking: run on the thread pool, so that waiting does not hold up the loop.
            stream: run as soon as the head of the request is there, and hand its body on as it arrives,
                to ``request.stream()``; for handlers that can wait, async or blocking ones.
            limit_body: bytes of the largest request body, as a number or a text like ``"5MiB"``, larger or smaller
                than the setting of that name; a larger one is answered 413.

        Returns:
            The handler.

        Raises:
            dimcore.RoutePatternError: `pattern` cannot be read.
            dimcore.RouteConflict: it is taken already for one of `methods`.
            HandlerError: `handler` is async and `blocking`, or neither and `stream`; or it takes no argument.
            ConfigError: `limit_body` is no size.
            TypeError: an option of another name.
        """
        _check_pattern(pattern, "route")
        _check_options(options, "route")
        if handler is None:
            return lambda decorated: self.route(pattern, decorated, methods=methods, **options)
        for method in (methods,) if isinstance(methods, str) else tuple(methods):
            self.register(method, pattern, handler, **options)
        return handler

    def get(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorator: answer GET and HEAD; see `route`."""
        return self._method("GET", pattern, options)

    def post(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorator: answer POST; see `route`."""
        return self._method("POST", pattern, options)

    def put(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorator: answer PUT; see `route`."""
        return self._method("PUT", pattern, options)

    def delete(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorator: answer DELETE; see `route`."""
        return self._method("DELETE", pattern, options)

    def patch(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorator: answer PATCH; see `route`."""
        return self._method("PATCH", pattern, options)

    def options(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorator: answer OPTIONS; see `route`."""
        return self._method("OPTIONS", pattern, options)

    def head(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorator: answer HEAD, which otherwise runs the GET handler; see `route`."""
        return self._method("HEAD", pattern, options)

    @overload
    def websocket(
        self,
        pattern: str,
        handler: None = None,
        *,
        origins: Iterable[str] | None = None,
        subprotocols: Iterable[str] = (),
        on_request: Handler | None = None,
        exact: bool = True,
    ) -> Callable[[S], S]: ...
    @overload
    def websocket(  # noqa: F811 - of `overload`
        self,
        pattern: str,
        handler: S,
        *,
        origins: Iterable[str] | None = None,
        subprotocols: Iterable[str] = (),
        on_request: Handler | None = None,
        exact: bool = True,
    ) -> S: ...
    def websocket(  # noqa: F811 - of `overload`
        self,
        pattern: str,
        handler: Any = None,
        *,
        origins: Iterable[str] | None = None,
        subprotocols: Iterable[str] = (),
        on_request: Handler | None = None,
        exact: bool = True,
    ) -> Any:
        """Register the handler of a WebSocket, directly or as a decorator.

        Args:
            pattern: path; ``{name}`` matches one segment.
            handler: an async function, called with a `dimcore.AsyncSocket`.  Or a class, of which each socket gets
                an instance, or an object for all; with any of ``on_open(ws)``, ``on_message(ws, message)``,
                ``on_close(ws, code, reason)``, ``on_drain(ws)``, all called on the loop with a `dimcore.WebSocket`,
                and ``on_request(request)``, as below.
            origins: values of the Origin field that are let in, for example ``https://example.org``; ``*`` for all.
                None: the pages of the host that the request is for.
            subprotocols: names of those spoken.
            on_request: called with the request before the handshake is answered: None accepts, anything else is
                the answer, as any handler would return it.
            exact: False makes `pattern` a prefix on a segment boundary.

        Returns:
            The handler.

        Raises:
            dimcore.RoutePatternError: `pattern` cannot be read.
            dimcore.RouteConflict: it is taken already for GET.
            dimcore.UsageError: the handler has none of the methods.
            HandlerError: one of them, or `on_request`, is async; or the handler is a plain function.
        """
        _check_pattern(pattern, "websocket")
        if handler is None:
            return lambda decorated: self.websocket(
                pattern, decorated, origins=origins, subprotocols=subprotocols, on_request=on_request, exact=exact
            )
        from dimserver.ws.route import WebSocketRoute

        if on_request is not None and is_async(on_request):
            raise HandlerError(f"WebSocket {pattern}: on_request is async; it must respond at once")
        asynchronous = not isinstance(handler, type) and is_async(handler)
        _check_arguments(handler, f"WebSocket {pattern}", "socket")
        if not asynchronous and isinstance(handler, FUNCTION):
            raise HandlerError(
                f"WebSocket {pattern}: {handler.__qualname__} is a plain function; use an async function, or "
                "a class with on_message and similar methods"
            )
        for name in ("on_request", "on_open", "on_message", "on_close", "on_drain"):
            method = getattr(handler, name, None)
            if method is not None and is_async(method):
                raise HandlerError(
                    f"WebSocket {pattern}: {name} is async; the methods of a WebSocket handler must not be"
                )
        route = WebSocketRoute(handler, origins, subprotocols, asynchronous=asynchronous, on_request=on_request)
        self.register("GET", pattern, route, exact=exact)
        return handler

    def topic(self, name: str) -> Topic:
        """What WebSockets are subscribed to, to get what is published there; see `dimcore.Topic`.

        Args:
            name: 1 to 255 bytes of UTF-8 without control characters.

        Raises:
            dimcore.UsageError: another name.

        Thread-safety: from any thread.
        """
        return self.topics.topic(name)

    def _method(self, method: str, pattern: str, options: RouteOptions) -> Callable[[H], H]:
        _check_pattern(pattern, method.lower())
        _check_options(options, method.lower())

        def register(handler: H) -> H:
            self.register(method, pattern, handler, **options)
            return handler

        return register

    def register(
        self,
        method: str,
        pattern: str,
        handler: Handler,
        exact: bool = True,
        blocking: bool = False,
        stream: bool = False,
        limit_body: int | str | None = None,
    ) -> None:
        """Register a handler for one method, ``*`` for all; see `route` for the other arguments and errors."""
        _check_arguments(handler, f"{method} {pattern}", "request")
        waits = is_async(handler)
        if waits and blocking:
            raise HandlerError(f"{method} {pattern}: an async handler runs on the loop; it cannot be blocking as well")
        if stream and not waits and not blocking:
            raise HandlerError(f"{method} {pattern}: stream needs a handler that can wait, async or blocking")
        most: Any = None if limit_body is None else LIMIT_BODY.read(limit_body, f"{method} {pattern}: limit_body")
        route = self.request_manifold.register_route(method, pattern, handler, exact, blocking=blocking)
        route.streaming = stream
        if most is not None:
            route.max_body = most

    def routes(self) -> Iterator[tuple[str, str, bool, bool, Handler]]:
        """``(method, pattern, exact, blocking, handler)`` of each route in the order of registration."""
        for route in self.request_manifold.router.routes():
            yield route.method, route.pattern, route.exact, route.blocking, route.handler

    def shutdown(self) -> None:
        """Have the server stop as SIGTERM does: accept no more, finish what is in flight, return from `run`.

        It does not wait for that.  Where the app is served by several workers, all of them stop.  Before the app
        is served it ends the next `run` as soon as that has begun.

        Thread-safety: from any thread, from a handler, and from a signal handler.
        """
        self._ended_early = True  # first: a worker may begin at this very moment
        for end in list(self._ends):
            self._ended_early = False
            end()

    def served_by(self, end: Callable[[], object]) -> None:
        """A worker begins to serve the app: `shutdown` calls `end`, which may be called from any thread."""
        self._ends.append(end)
        if self._ended_early:
            self._ended_early = False
            end()

    def left_by(self, end: Callable[[], object]) -> None:
        """The worker that gave `end` to `served_by` serves no more."""
        if end in self._ends:
            self._ends.remove(end)
