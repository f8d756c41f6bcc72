"""From an app of any interface to the handler that stands for it."""

from __future__ import annotations

from dimserver.app import App
from dimserver.errors import HandlerError
from dimserver.gateway.detect import check_interface, detect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["make_gateway"]


def make_gateway(app: Any, interface: str = "auto", prefix: str = "") -> Any:
    """The handler for an app.

    Args:
        app: a WSGI or ASGI app, or a handler of this server's own, which is returned as it is.
        interface: ``"auto"`` looks at it; ``"native"``, ``"wsgi"`` or ``"asgi"``.
        prefix: path it is mounted at, without a slash at the end; ``""`` for all.

    Raises:
        HandlerError: it cannot be mounted; the message says why.
    """
    if interface == "auto":
        interface = detect(app)
    else:
        check_interface(app, interface)
    if isinstance(app, App):
        raise HandlerError("an App of this server's own is not mounted: register its handlers where they are to be")
    if interface == "native":
        return app
    if interface == "wsgi":
        from dimserver.gateway.wsgi import WSGIGateway

        return WSGIGateway(app, prefix)
    from dimserver.gateway.asgi import ASGIGateway

    return ASGIGateway(app, prefix)
