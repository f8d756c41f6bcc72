"""A program as its author would write it: every public name, imported from `dimserver` alone, under `mypy --strict`.

`test_public_names.py` serves it; the type check of the project reads it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import assert_type

from dimserver import (
    App,
    AsyncSocket,
    BadRequest,
    ClientLeft,
    ConnectionClosed,
    ConnectionPoint,
    ConnectionPoolManifold,
    ConnectionSubstrate,
    DimensionalConnectionIndex,
    Event,
    FileBody,
    OptimizedDimensionalServer,
    Push,
    Request,
    RequestPoint,
    RequestResponseManifold,
    RequestSubstrate,
    Response,
    RouteSubstrate,
    StaticFiles,
    Topic,
    TopicLimit,
    WebSocket,
    __version__,
    event_stream,
)

app = App(threads=2)
news: Topic = app.topic("news")
app.route("/static/", StaticFiles(Path(__file__).parent, prefix="/static/"), exact=False)


@app.get("/")
def index(request: Request) -> Response:
    assert_type(request.path, str)
    assert_type(request.headers.get("host"), str | None)
    assert_type(request.params["name"] if request.params else "", str)
    return Response(f"version {__version__}", content_type="text/plain")


@app.get("/file")
def file(request: Request) -> tuple[int, dict[str, str], FileBody]:
    descriptor = os.open(__file__, os.O_RDONLY)
    return 200, {"Content-Type": "text/plain"}, FileBody(descriptor, 0, os.fstat(descriptor).st_size)


@app.get("/events")
async def events(request: Request) -> Response:
    async def ticks() -> AsyncIterator[Event]:
        yield Event("one", id="1")

    return event_stream(ticks())


@app.get("/pushed")
async def pushed(request: Request) -> tuple[int, dict[str, str], Push]:
    push = Push()

    def write() -> None:
        assert_type(push.write(b"pushed"), bool)
        push.end()

    asyncio.get_running_loop().call_later(0.01, write)  # the answer has begun by then
    return 200, {"Content-Type": "text/plain"}, push


@app.post("/body", blocking=True)
def body(request: Request) -> object:
    try:
        return request.json()
    except BadRequest as error:
        return error.status, {}, b""
    except ClientLeft:
        return None


@app.websocket("/plain")
class Subscriber:
    def on_open(self, ws: WebSocket) -> None:
        try:
            news.subscribe(ws)
        except TopicLimit:
            ws.close(1013)

    def on_message(self, ws: WebSocket, message: str | bytes) -> None:
        ws.send(message)


@app.websocket("/async")
async def echo(ws: AsyncSocket) -> None:
    try:
        await ws.send(await ws.receive())
    except ConnectionClosed as closed:
        assert_type(closed.code, int)


def plain(request: Request) -> str:
    return request.path


class Methods:
    def on_message(self, ws: WebSocket, message: str | bytes) -> None:
        ws.send(message)


def types() -> None:
    """What is registered keeps its type, and what may be given is known."""
    request = Request(method="GET", path="/")
    other = App(
        port=0, timeout="5m", threads=None, trusted_proxies=["10.0.0.0/8"], static=Path(), admin=("::1", 0),
        route=["/a stream", {"pattern": "/b/*", "method": "POST", "limit_body": "1GiB", "blocking": True}],
    )  # fmt: skip
    assert_type(other.get("/a", limit_body="5MiB", blocking=True)(plain)(request), str)
    assert_type(other.post("/a", exact=False, stream=True, blocking=True)(plain)(request), str)
    assert_type(other.route("/b", methods=["PUT"], limit_body=5)(plain)(request), str)
    assert_type(other.route("/c", plain)(request), str)
    assert_type(other.websocket("/d")(Methods), type[Methods])
    assert_type(other.websocket("/e", Methods()), Methods)
    assert_type(index(request), Response)


def mistakes(other: App) -> None:
    """What a type checker has to find."""
    App(prot=1)  # type: ignore[call-arg]
    App(port=1.5)  # type: ignore[arg-type]
    App(route=[{"limit_body": 5}])  # type: ignore[list-item]
    App(route=[{"pattern": "/", "limit": 5}])  # type: ignore[list-item]
    other.get("/", limit=5)(plain)  # type: ignore[call-arg]
    other.get("/", limit_body=1.5)(plain)  # type: ignore[arg-type]
    other.route("/", blocking="yes")(plain)  # type: ignore[call-overload]
    other.run(host=5)  # type: ignore[arg-type]


def seed() -> OptimizedDimensionalServer:
    """The names of the document that the project started from."""
    point = ConnectionPoint("c-1", None, ("192.0.2.1", 1000))
    index = DimensionalConnectionIndex()
    index.add(point)
    index.move("c-1", 0, 2)
    assert_type(index.count_at(0, 2), int)
    pools = ConnectionPoolManifold()
    assert_type(pools.manifest_connection(None, ("192.0.2.1", 1000), "api"), ConnectionPoint)
    assert_type(ConnectionSubstrate(index).cleanup_idle(60.0), int)
    request = RequestPoint(method="GET", path="/api/x")
    routes = RouteSubstrate()
    routes.register("GET", "/api/x", index_of)
    assert routes.route(request) is index_of
    assert_type(RequestSubstrate().manifest("GET", "/"), RequestPoint)
    manifold = RequestResponseManifold()
    manifold.register_route("GET", "/api/x", index_of)
    assert manifold.process_request("GET", "/api/x", {}, b"") == "x"
    return OptimizedDimensionalServer("127.0.0.1", 0)


def index_of(request: RequestPoint) -> str:
    return request.path.rpartition("/")[2]
