"""The application: routes, and what a program does with them."""

from __future__ import annotations

from dimserver.config import Settings, looked_up, merge
from dimserver.routes import Routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar, Unpack

    from dimserver.config.keywords import SettingsKeywords

    A = TypeVar("A")

__all__ = ["App", "OptimizedDimensionalServer"]


class App(Routes):
    """Routes, their handlers, and the server that answers with them.

    Args:
        settings: defaults for `run` and for ``dimserver run``, named as in ``dimserver config``
            with underscores, for example ``App(threads=8)``; the command line overrides them.

    Attributes:
        defaults: the settings given.
        request_manifold: the `dimcore.RequestResponseManifold` the routes live in.
        connection_manifold: the `dimcore.ConnectionPoolManifold` its connections live in.
        topics: the `dimcore.Topics` of this process.

    Raises:
        ConfigError: an unknown setting or a bad value.

    Thread-safety: register routes before serving, or on the loop's thread.
    """

    def __init__(self, **settings: Unpack[SettingsKeywords]) -> None:
        defaults = looked_up(dict(settings))
        Settings(**defaults)
        super().__init__()
        self.defaults = defaults

    def mount(self, prefix: str, app: A, *, interface: str = "auto") -> A:
        """Hand everything below a path to an app of its own, beside the routes there are.

        A route whose pattern is more specific goes first, for its methods; all others are the app's.

        Args:
            prefix: path, ``/`` for all; it covers whole segments.  The app sees it as ``SCRIPT_NAME`` (WSGI) or
                ``root_path`` (ASGI).
            app: a WSGI or ASGI app; or a handler, which then answers every method.
            interface: ``"wsgi"`` or ``"asgi"`` for one whose interface cannot be told by looking at it.

        Returns:
            The app.

        Raises:
            dimcore.RoutePatternError: `prefix` cannot be read.
            dimcore.RouteConflict: something is mounted there already.
            HandlerError: `prefix` has parameters, or `app` cannot be mounted.
        """
        from dimserver.gateway.mount import mount  # not needed by most apps, nor by `import dimserver`

        mount(self, prefix, app, interface)
        return app

    def run(self, **settings: Unpack[SettingsKeywords]) -> int:
        """Serve until SIGINT or SIGTERM, or for ever on a thread that is not the main one: signals are not its.

        Args:
            settings: as for the constructor, and stronger.

        Returns:
            The exit code, 0 after a clean stop.

        Raises:
            ConfigError: an unknown setting or a bad value.
            StartError: the system refused, for example because the port is in use.
        """
        from dimserver.worker.serve import serve

        return serve(self, Settings(**merge(self.defaults, looked_up(dict(settings)))), type(self).__name__)


class OptimizedDimensionalServer(App):
    """The server in the form of the design it grew from.

    Args:
        host, port, max_connections, timeout: the settings of these names; None leaves the default.
        settings: others, as for `App`, for example ``static``.

    The built-in endpoints are on its main listener, as they were there, unless
    ``api=False``; a route of one's own with the same path takes precedence.
    """

    warns_of_api = False  # they are what it is for

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        max_connections: int | None = None,
        timeout: float | str | None = None,
        **settings: Any,
    ) -> None:
        named = {"host": host, "port": port, "max_connections": max_connections, "timeout": timeout}
        given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        super().__init__(**{"api": True, **given, **settings})

    def run_forever(self) -> None:
        """Serve until SIGINT, SIGTERM or `shutdown`."""
        self.run()
