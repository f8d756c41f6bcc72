"""An ASGI app as the handler of a route."""

from __future__ import annotations

from dimcore import AsgiEntry
from dimserver.ws.handshake import is_websocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from dimcore import RequestPoint
    from dimserver.gateway.lifespan import Lifespan

    class Limits(Protocol):
        """The settings a gateway looks at."""

        root_path: str
        lifespan: str


__all__ = ["ASGIGateway"]

TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class ASGIGateway(AsgiEntry):
    """Answers requests with an ASGI 3 app; `dimcore.AsgiEntry` is what they go through.

    Args:
        app: called with ``(scope, receive, send)``.
        prefix: path it is mounted at; empty for the root.

    Attributes:
        interface, blocking, streaming, asynchronous: what the worker has to know of it.

    Thread-safety: the loop's thread only.
    """

    interface = "asgi"
    blocking = False
    streaming = True
    asynchronous = True

    def __init__(self, app: Callable[..., Any], prefix: str = "") -> None:
        super().__init__(app, "", prefix.rstrip("/"))
        self._prefix = prefix.rstrip("/")
        self._lifespan_mode = "auto"
        self._lifespan: Lifespan | None = None

    def configure(self, settings: Limits, facts: object = None) -> None:  # noqa: ARG002 - a gateway's signature
        """Take the settings over; called once, before anything is served."""
        self.place(settings.root_path.rstrip("/"), self._prefix)
        self._lifespan_mode = settings.lifespan

    async def startup(self, report: Callable[[str, BaseException | None], object]) -> None:
        """Run the startup of the app's lifespan.

        Args:
            report: told, with a message and an exception or None, what goes wrong later.

        Raises:
            StartError: the app cannot start.
        """
        if self._lifespan_mode == "off":
            return
        from dimserver.gateway.lifespan import Lifespan

        self._lifespan = Lifespan(self.app, self._lifespan_mode == "on", self.state, report)
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
        return 501, TEXT, "WebSockets of ASGI apps are not served yet\n"
