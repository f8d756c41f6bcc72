"""The names of the document that the project started from, for the classes that carry its design.

| name | stands for |
|---|---|
| `DimensionalConnectionIndex` | `Index`: points by coordinate, found, moved and counted in constant time |
| `ConnectionPoolManifold` | the pools of a server: spirals with a name, a cap and totals |
| `ConnectionSubstrate` | one of these pools |
| `RouteSubstrate` | handlers by method and path |
| `RequestSubstrate` | the requests in progress, with their stages and totals |
| `RequestResponseManifold` | routes and requests together: the whole way of a request |

`from dimcore import NAME` and `from dimserver import NAME` give the same objects.
"""

from __future__ import annotations

from dimcore.http.request_table import RequestResponseManifold, RequestSubstrate
from dimcore.http.router import RouteSubstrate
from dimcore.index.index import Index
from dimcore.index.pools import ConnectionPoolManifold, ConnectionSubstrate

__all__ = [
    "ConnectionPoolManifold",
    "ConnectionSubstrate",
    "DimensionalConnectionIndex",
    "RequestResponseManifold",
    "RequestSubstrate",
    "RouteSubstrate",
]

DimensionalConnectionIndex = Index
