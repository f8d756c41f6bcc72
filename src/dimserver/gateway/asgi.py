"""An ASGI app as the handler of a route."""

from __future__ import annotations

from dimcore import AsgiEntry
from dimserver.ws.handshake import HandshakeRefused, is_websocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dimcore import RequestPoint
    from dimserver.config import Settings
    from dimserver.gateway.contract import Facts
    from dimserver.gateway.lifespan import Lifespan
    from dimserver.log import Log
    from dimserver.ws.route import WebSocketRoute

__all__ = ["ASGIGateway"]

TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class ASGIGateway(AsgiEntry):
    """Answers requests with an ASGI 3 app; `dimcore.AsgiEntry` is what they go through.

    Args:
        app: called with ``(scope, receive, send)``.
        prefix: path it is mounted at, without a slash at the end; empty for all.

    See `dimserver.gateway.contract` for its attributes.

    Thread-safety: the loop's thread only.
    """

    interface = "asgi"
    blocking = False
    streaming = 1
    asynchronous = True

    def __init__(self, app: Callable[..., Any], prefix: str = "") -> None:
        super().__init__(app, "", prefix)
        self.prefix = prefix
        self._log: Log | None = None
        self._lifespan_mode = "auto"
        self._lifespan: Lifespan | None = None
        self._settings: Settings | None = None
        self._sockets: WebSocketRoute | None = None

    def configure(self, settings: Settings, facts: Facts) -> None:
        """Take over what the worker has and the settings say."""
        self.place(settings.root_path, self.prefix, pathsend=settings.asgi_pathsend)
        self._log = facts.log
        self._settings = settings
        self._sockets = None
        self._lifespan_mode = settings.lifespan

    async def startup(self) -> None:
        """Run the startup of the app's lifespan.

        Raises:
            AppStartError: the app cannot start.
        """
        if self._lifespan_mode == "off" or self._log is None:
            return
        from dimserver.gateway.lifespan import Lifespan

        self._lifespan = Lifespan(self.app, self._lifespan_mode == "on", self.state, self._log.error)
        await self._lifespan.startup()

    async def shutdown(self) -> None:
        """Run the shutdown of the app's lifespan."""
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            await lifespan.shutdown()

    def upgrade(self, request: RequestPoint) -> Any:
        """Answer a WebSocket's handshake."""
        if not is_websocket(request):
            return None
        from dimcore.asgi.websocket import make_upgrade

        sockets = self._sockets or self._open_sockets()
        try:
            fields, codec = sockets.agree(request)
        except HandshakeRefused as refused:
            return refused.status, {**TEXT, **refused.headers}, f"{refused}\n"
        return make_upgrade(self, request, sockets.endpoint, list(fields.items()), codec)

    def _open_sockets(self) -> WebSocketRoute:
        # With the first of them: an app without does not pay for the import.
        from dimcore.asgi.websocket import AsgiSocket
        from dimserver.ws.route import WebSocketRoute

        self._sockets = WebSocketRoute(AsgiSocket)
        if self._settings is not None:
            self._sockets.configure_websocket(self._settings)
        return self._sockets
