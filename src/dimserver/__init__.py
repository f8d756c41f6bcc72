"""A Python HTTP server with a compiled core.

from dimserver import App, Request

app = App()

@app.get("/hello/{name}")
def hello(request: Request) -> str:
    return f"hello {request.params['name']}"

app.run(port=8080)
"""

from __future__ import annotations

from dimcore import (
    AsyncSocket,
    BadRequest,
    ClientLeft,
    ConnectionClosed,
    ConnectionPoint,
    FileBody,
    Push,
    RequestPoint,
    Topic,
    TopicLimit,
    WebSocket,
)
from dimcore.seed import (
    ConnectionPoolManifold,
    ConnectionSubstrate,
    DimensionalConnectionIndex,
    RequestResponseManifold,
    RequestSubstrate,
    RouteSubstrate,
)
from dimserver.app import App, OptimizedDimensionalServer
from dimserver.http.response import Response
from dimserver.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.handlers.static import StaticFiles
    from dimserver.http.events import Event, event_stream

# What a program names.
__all__ = [
    "App",
    "AsyncSocket",
    "BadRequest",
    "ClientLeft",
    "ConnectionClosed",
    "Event",
    "FileBody",
    "Push",
    "Request",
    "Response",
    "StaticFiles",
    "Topic",
    "TopicLimit",
    "WebSocket",
    "__version__",
    "event_stream",
]
# The names of the document that the project started from.
__all__ += [
    "ConnectionPoint",
    "ConnectionPoolManifold",
    "ConnectionSubstrate",
    "DimensionalConnectionIndex",
    "OptimizedDimensionalServer",
    "RequestPoint",
    "RequestResponseManifold",
    "RequestSubstrate",
    "RouteSubstrate",
]

Request = RequestPoint  # the usual name of what a handler is called with

# Imported when they are first asked for: most programs need none of them, and a server starts without them.
_LATER = {
    "Event": "dimserver.http.events",
    "StaticFiles": "dimserver.handlers.static",
    "event_stream": "dimserver.http.events",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'dimserver' has no attribute {name!r}", name=name)
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
