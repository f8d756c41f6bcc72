"""The built-in endpoints: what the server is, and who is connected to it.

    GET /api/status              that it runs; for anybody
    GET /api/stats               sums for each pool and for requests; for operators
    GET /api/connections         counts of every cell, or the points of some; for operators
    GET /api/manifold/evaluate   where a coordinate lies in space; for anybody

Every figure is a counter that the index keeps anyway: no endpoint walks the
connections, except to list the points that were asked for.
"""

from __future__ import annotations

import time
from itertools import islice
from math import cos, isfinite, pi, sin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Protocol

    class Headers(Protocol):
        """The part of a request's headers that is read here."""

        def getall(self, name: str) -> list[str]: ...
        def __contains__(self, name: object) -> bool: ...

    class QueryParams(Protocol):
        """The decoded query."""

        @property
        def pairs(self) -> list[tuple[str, str]]: ...

    class Stage(Protocol):
        """A request in flight."""

        stage_name: str

    class Connection(Protocol):
        """A live connection in the index."""

        @property
        def id(self) -> object: ...
        @property
        def spiral(self) -> int: ...
        @property
        def layer(self) -> int: ...
        @property
        def address(self) -> tuple[str, int] | str | None: ...  # a path or None: a Unix socket
        @property
        def age_seconds(self) -> float: ...
        @property
        def idle_seconds(self) -> float: ...
        @property
        def requests(self) -> int: ...
        @property
        def bytes_in(self) -> int: ...
        @property
        def bytes_out(self) -> int: ...
        @property
        def request(self) -> Stage | None: ...

    class Request(Protocol):
        """The part of a RequestPoint that is read here."""

        @property
        def query_params(self) -> QueryParams: ...
        @property
        def headers(self) -> Headers: ...
        @property
        def connection(self) -> Connection | None: ...

    class Index(Protocol):
        """The connection index."""

        @property
        def spirals(self) -> int: ...
        def count_at(self, spiral: int, layer: int) -> int: ...
        def get_at(self, spiral: int, layer: int) -> Iterable[Connection]: ...

    class Pools(Protocol):
        """The pools of connections."""

        @property
        def index(self) -> Index: ...
        def get_stats(self) -> Mapping[str, Any]: ...

    class Pipeline(Protocol):
        """The request pipeline."""

        def get_stats(self) -> Mapping[str, Any]: ...

    class Options(Protocol):
        """The settings that are read here."""

        @property
        def api_token(self) -> str | None: ...

    class Context(Protocol):
        """What the endpoints report about."""

        @property
        def pools(self) -> Pools: ...
        @property
        def pipeline(self) -> Pipeline: ...
        @property
        def settings(self) -> Options: ...
        @property
        def started(self) -> float: ...  # time.monotonic() when the server came up
        @property
        def workers(self) -> int: ...
        @property
        def version(self) -> str: ...

    Answer = tuple[int, dict[str, str], bytes]
    Handler = Callable[[Request], Answer]

__all__ = ["StatusAPI"]

LAYERS = ("new", "handshake", "active", "idle", "closing", "closed", "archived")  # layer 1 first
POOLS = ("http", "websocket", "api", "admin")  # spiral 0 first
ADMIN_POOL = 3

DEFAULT_LISTED = 100
MAX_LISTED = 10_000  # rows; about 20 ms of the loop's time

HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",  # figures of a moment, and who may see them is decided for each request
    "X-Content-Type-Options": "nosniff",
}

# A client that came through a proxy on this machine is not a local one, although its connection is.
# RFC 9110 section 7.6.3 (Via), RFC 7239 (Forwarded), and the two names proxies use in practice.
FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")


class StatusAPI:
    """Handlers of the built-in endpoints.

    Args:
        context: the server they report about; read at each request.

    Thread-safety: the handlers run on the loop's thread, where the index lives.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler of each endpoint."""
        yield "GET", "/api/status", self.status
        yield "GET", "/api/stats", self.stats
        yield "GET", "/api/connections", self.connections
        yield "GET", "/api/manifold/evaluate", self.evaluate

    def status(self, request: Request) -> Answer:  # noqa: ARG002 - every handler takes the request
        """That the server runs, since when, and how it works."""
        context = self._context
        return _answer(
            200,
            {
                "status": "online",
                "version": context.version,
                "uptime": round(time.monotonic() - context.started, 3),
                "workers": context.workers,
                "pools": list(POOLS),
                "optimizations": {
                    "connection_lookup": "O(1)",
                    "request_routing": "O(1)",
                    "request_parsing": "lazy",
                    "state_transitions": "automatic",
                },
            },
        )

    def stats(self, request: Request) -> Answer:
        """Sums of connections for each pool, and of requests."""
        if not self._may_read(request):
            return _forbidden()
        context = self._context
        return _answer(200, {"connections": context.pools.get_stats(), "requests": context.pipeline.get_stats()})

    def connections(self, request: Request) -> Answer:
        """Counts of every cell; with `spiral`, `layer` or `limit` also the points in them.

        Points come pool by pool, layer by layer, and within a cell the one that
        entered first comes first.
        """
        if not self._may_read(request):
            return _forbidden()
        index = self._context.pools.index
        try:
            query = _Query(request.query_params.pairs, ("spiral", "layer", "limit"))
            spiral = query.integer("spiral", 0, index.spirals - 1)
            layer = query.integer("layer", 1, len(LAYERS))
            limit = query.integer("limit", 0, MAX_LISTED)
        except _BadParameter as error:
            return _answer(400, error.report)

        pools = [_pool_counts(index, number) for number in range(index.spirals)]
        found: dict[str, object] = {"total_connections": sum(pool["total"] for pool in pools), "pools": pools}
        if query.empty:
            return _answer(200, found)

        spirals = range(index.spirals) if spiral is None else (spiral,)
        layers = range(1, len(LAYERS) + 1) if layer is None else (layer,)
        wanted = DEFAULT_LISTED if limit is None else limit
        points = [_describe(point) for point in islice(_walk(index, spirals, layers), wanted)]
        matching = sum(pools[s]["layers"][LAYERS[each - 1]] for s in spirals for each in layers)
        found.update(limit=wanted, matching=matching, points=points)
        return _answer(200, found)

    def evaluate(self, request: Request) -> Answer:
        """The point of a coordinate: each pool is a circle, each layer an angle, the position a height."""
        index = self._context.pools.index
        try:
            query = _Query(request.query_params.pairs, ("spiral", "layer", "position"))
            spiral = query.integer("spiral", 0, index.spirals - 1, 0)
            layer = query.integer("layer", 1, len(LAYERS), 3)
            position = query.number("position", 0.0)
        except _BadParameter as error:
            return _answer(400, error.report)
        radius = spiral + 1
        angle = 2 * pi * (layer - 1) / len(LAYERS)
        return _answer(
            200,
            {
                "coordinate": {"spiral": spiral, "layer": layer, "position": position},
                "layer_name": LAYERS[layer - 1],
                "point": {"x": radius * cos(angle), "y": position / 2, "z": radius * sin(angle)},
                "connections": index.count_at(spiral, layer),
            },
        )

    def _may_read(self, request: Request) -> bool:
        connection = request.connection
        if connection is None:  # called by this very program, which can read everything anyway
            return True
        if connection.spiral == ADMIN_POOL:
            return True
        if _is_local(connection.address) and not any(name in request.headers for name in FORWARDED):
            return True
        token = self._context.settings.api_token
        if token is None:
            return False
        given = request.headers.getall("authorization")
        if len(given) != 1:
            return False
        scheme, _, credentials = given[0].partition(" ")
        if scheme.lower() != "bearer":  # RFC 9110 section 11.1: schemes are case-insensitive
            return False

        from hmac import compare_digest

        # As bytes: compare_digest refuses text outside ASCII, and a client may send any.
        return compare_digest(credentials.strip(" ").encode("utf-8", "replace"), token.encode())


def _is_local(address: tuple[str, int] | str | None) -> bool:
    if not isinstance(address, tuple):  # a Unix socket: who may open its path is this machine's affair
        return True
    host = address[0]
    if host == "::1":
        return True
    parts = host.removeprefix("::ffff:").split(".")  # an IPv4 client on a socket for both: RFC 4291 section 2.5.5.2
    return len(parts) == 4 and parts[0] == "127" and all(p.isascii() and p.isdigit() and int(p) < 256 for p in parts)


def _walk(index: Index, spirals: Iterable[int], layers: Iterable[int]) -> Iterator[Connection]:
    # A generator over snapshots: cells behind the limit are never opened.
    layers = tuple(layers)
    for spiral in spirals:
        for layer in layers:
            if index.count_at(spiral, layer):
                yield from index.get_at(spiral, layer)


def _pool_name(spiral: int) -> str:
    return POOLS[spiral] if spiral < len(POOLS) else f"spiral_{spiral}"


def _pool_counts(index: Index, spiral: int) -> dict[str, Any]:
    layers = {name: index.count_at(spiral, number) for number, name in enumerate(LAYERS, 1)}
    return {"spiral": spiral, "name": _pool_name(spiral), "total": sum(layers.values()), "layers": layers}


def _describe(point: Connection) -> dict[str, object]:
    # A program may add points of its own to the pools; those have an age, but no traffic.
    request = getattr(point, "request", None)
    return {
        "id": point.id,
        "client": _client(point.address),
        "spiral": point.spiral,
        "pool": _pool_name(point.spiral),
        "layer": point.layer,
        "layer_name": LAYERS[point.layer - 1] if 1 <= point.layer <= len(LAYERS) else "",
        "age": round(point.age_seconds, 3),
        "idle": round(point.idle_seconds, 3),
        "requests": getattr(point, "requests", 0),
        "bytes_in": getattr(point, "bytes_in", 0),
        "bytes_out": getattr(point, "bytes_out", 0),
        "stage": None if request is None else request.stage_name,
    }


def _client(address: tuple[str, int] | str | None) -> str:
    if not isinstance(address, tuple):
        return f"unix:{address}" if address else "unix"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _BadParameter(Exception):
    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(name)
        self.report = {
            "error": "bad parameter",
            "parameter": name[:100],
            "value": value[:100],
            "allowed": allowed,
        }


class _Query:
    """The parameters of a query string; anything doubtful is refused, not guessed."""

    def __init__(self, pairs: Iterable[tuple[str, str]], known: tuple[str, ...]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            if name not in known:
                raise _BadParameter(name, value, "no such parameter; these are: " + ", ".join(known))
            if name in self._values:
                raise _BadParameter(name, value, "once")
            self._values[name] = value
        self.empty = not self._values

    def integer(self, name: str, low: int, high: int, default: Any = None) -> Any:
        value = self._values.get(name)
        if value is None:
            return default
        # Not int(): it also takes "1_0", " 1" and the digits of every script.
        if not (value.isascii() and value.isdigit() and len(value) <= 9 and low <= int(value) <= high):
            raise _BadParameter(name, value, f"a whole number from {low} to {high}")
        return int(value)

    def number(self, name: str, default: float) -> float:
        value = self._values.get(name)
        if value is None:
            return default
        if value and len(value) <= 40 and not value.strip("0123456789.eE+-"):
            try:
                number = float(value)
            except ValueError:
                pass
            else:
                if isfinite(number):  # "1e999" is infinity
                    return number
        raise _BadParameter(name, value, "a finite decimal number")


def _answer(status: int, content: Mapping[str, object]) -> Answer:
    import json

    return status, dict(HEADERS), json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _forbidden() -> Answer:
    return _answer(
        403,
        {
            "error": "forbidden",
            "detail": "for clients on this machine, on the admin listener, or with the operator's bearer token",
        },
    )
