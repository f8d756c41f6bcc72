"""A Python HTTP server with a compiled core.

from dimserver import App

app = App()

@app.get("/hello/{name}")
def hello(request):
    return f"hello {request.params['name']}"

app.run(port=8080)
"""

from __future__ import annotations

from dimcore import (
    ConnectionPoint,
    ConnectionPoolManifold,
    ConnectionSubstrate,
    DimensionalConnectionIndex,
    RequestPoint,
    RequestResponseManifold,
    RequestSubstrate,
    RouteSubstrate,
)
from dimserver.app import App, OptimizedDimensionalServer
from dimserver.http.events import Event, event_stream
from dimserver.http.response import Response
from dimserver.version import __version__

__all__ = [
    "App",
    "ConnectionPoint",
    "ConnectionPoolManifold",
    "ConnectionSubstrate",
    "DimensionalConnectionIndex",
    "Event",
    "OptimizedDimensionalServer",
    "RequestPoint",
    "RequestResponseManifold",
    "RequestSubstrate",
    "Response",
    "RouteSubstrate",
    "__version__",
    "event_stream",
]
