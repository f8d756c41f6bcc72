"""From an app of any interface to the handler that stands for it, and to its place among the routes."""

from __future__ import annotations

from dimserver.errors import HandlerError
from dimserver.gateway.detect import check_interface, detect
from dimserver.routes import Routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["make_gateway", "mount"]


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
    if isinstance(app, Routes):
        raise HandlerError("a dimserver App cannot be mounted; register its handlers on the app itself")
    if interface == "native":
        return app
    if interface == "wsgi":
        from dimserver.gateway.wsgi import WSGIGateway

        return WSGIGateway(app, prefix)
    from dimserver.gateway.asgi import ASGIGateway

    return ASGIGateway(app, prefix)


def mount(routes: Routes, prefix: str, app: Any, interface: str = "auto") -> None:
    """Hand everything below a path to an app; see `dimserver.App.mount` for the arguments and errors."""
    if "{" in prefix:
        raise HandlerError(f"mount {prefix}: the path of a mount cannot have parameters")
    bare = prefix.rstrip("/")
    try:
        handler = make_gateway(app, interface, bare)
    except HandlerError as error:
        raise HandlerError(f"mount {prefix}: {error}") from None
    routes.register("*", bare or prefix[:1], handler, exact=False)
