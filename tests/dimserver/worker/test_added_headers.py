"""`[[header]]` from the settings to the wire: whoever makes the answer."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import Router
from dimserver import App
from dimserver.config import Settings
from dimserver.worker.added_headers import HeaderRules

Serve = Callable[..., Any]

DENY = "X-Frame-Options: DENY"


def native() -> App:
    app = App()

    @app.get("/text")
    def text(request: Any) -> str:
        return "text"

    @app.get("/own")
    def own(request: Any) -> Any:
        return 200, {"x-frame-options": "SAMEORIGIN"}, b"own"

    @app.get("/fails")
    def fails(request: Any) -> str:
        raise RuntimeError("on purpose")

    @app.get("/thread", blocking=True)
    def thread(request: Any) -> str:
        return "thread"

    @app.get("/async/{name}")
    async def asynchronous(request: Any) -> str:
        return "async"

    @app.get("/pieces")
    def pieces(request: Any) -> Any:
        return iter([b"a", b"b"])

    @app.get("/same")
    def same(request: Any) -> Any:
        return 304, {"ETag": '"a"'}, b""

    @app.post("/up")
    def up(request: Any) -> str:
        return str(len(request.body))

    @app.websocket("/ws")
    async def ws(socket: Any) -> None:
        await socket.receive()

    return app


def wsgi(environ: Any, start_response: Any) -> Any:
    kind = environ["PATH_INFO"]
    if kind == "/fails":
        raise RuntimeError("on purpose")
    fields = [("X-Frame-Options", "SAMEORIGIN")] if kind == "/own" else []
    start_response("304 Not Modified" if kind == "/same" else "200 OK", fields)
    return iter([b"ws", b"gi"]) if kind == "/pieces" else [b"" if kind == "/same" else b"wsgi"]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    kind = scope["path"].removeprefix(scope["root_path"])
    if kind == "/fails":
        raise RuntimeError("on purpose")
    fields = [(b"x-frame-options", b"SAMEORIGIN")] if kind == "/own" else []
    await send({"type": "http.response.start", "status": 304 if kind == "/same" else 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if kind == "/same" else b"as", "more_body": True})
    await send({"type": "http.response.body", "body": b"" if kind == "/same" else b"gi"})


def ask(server: Any, path: str, method: str = "GET", *fields: str, which: int = 0) -> tuple[int, str | None]:
    """Status, and what the answer has of the field."""
    with server.connect(which) as wire:
        status, headers, _ = wire.get(path, *fields, method=method).answer(head_only=method == "HEAD")
        return status, headers.get("x-frame-options")


def everywhere() -> App:
    app = native()
    app.mount("/w", wsgi)
    app.mount("/s", asgi)
    return app


@pytest.mark.parametrize("prefix", ["", "/w", "/s"])
def test_whoever_answers(serve: Serve, prefix: str) -> None:
    server = serve(everywhere(), header=[DENY], lifespan="off")
    assert ask(server, f"{prefix}/text") == (200, "DENY")
    assert ask(server, f"{prefix}/text", "HEAD") == (200, "DENY")
    assert ask(server, f"{prefix}/own") == (200, "SAMEORIGIN")
    assert ask(server, f"{prefix}/own", "HEAD") == (200, "SAMEORIGIN")
    assert ask(server, f"{prefix}/fails") == (500, "DENY")
    assert ask(server, f"{prefix}/pieces") == (200, "DENY")
    assert ask(server, f"{prefix}/same") == (304, "DENY")


def test_of_native_handlers_and_the_server(serve: Serve) -> None:
    server = serve(native(), header=[DENY], limit_body=10)
    assert ask(server, "/thread") == ask(server, "/async/a") == (200, "DENY")
    assert ask(server, "/none") == ask(server, "/none", "HEAD") == (404, "DENY")
    assert ask(server, "/text", "DELETE") == (405, "DENY")
    assert ask(server, "/text", "OPTIONS") == (204, "DENY")
    assert ask(server, "*", "OPTIONS") == (200, "DENY")
    assert ask(server, "/text", "TRACE") == (405, "DENY")
    assert ask(server, "/none", "TRACE") == (501, "DENY")
    assert ask(server, "/ws") == (426, "DENY")
    assert ask(server, "/up", "POST", "Content-Length: 11") == (413, "DENY")
    with server.connect() as wire:  # in the middle of a body
        wire.send(b"POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n")
        status, headers, _ = wire.send(b"x" * 11).answer()
        assert (status, headers["x-frame-options"]) == (413, "DENY")
    with server.connect() as wire:
        status, headers, _ = wire.send(b"GET / HTTP/1.1\r\n\r\n").answer()  # no request: it has no path either
        assert status == 400
        assert "x-frame-options" not in headers


def test_static_files_and_built_in_endpoints(serve: Serve, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").write_text("a" * 100_000)
    server = serve(native(), header=[DENY], static=str(tmp_path), api=True, admin="127.0.0.1:0")
    assert ask(server, "/a.txt") == ask(server, "/a.txt", "HEAD") == (200, "DENY")
    assert ask(server, "/a.txt", "GET", "Range: bytes=1-2") == (206, "DENY")
    assert ask(server, "/a.txt", "GET", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT") == (304, "DENY")
    assert ask(server, "/b.txt") == (404, "DENY")
    assert ask(server, "/api/status") == (200, "DENY")
    assert ask(server, "/api/status", which=1) == (200, None)  # the operator's own
    assert ask(server, "/none", which=1) == (404, None)


def test_built_in_endpoints_before_a_mount(serve: Serve) -> None:
    app = App()
    app.mount("/", wsgi)
    server = serve(app, header=[DENY], api=True)
    assert ask(server, "/api/status") == ask(server, "/text") == (200, "DENY")


def test_no_app(serve: Serve) -> None:
    server = serve(None, header=[DENY])
    assert ask(server, "/") == ask(server, "/api/status") == (200, "DENY")
    assert ask(server, "/none") == (404, "DENY")


def test_an_app_gives_it(serve: Serve) -> None:
    app = App(header=[DENY, {"name": "X-B", "value": "b", "pattern": "/b"}])
    app.get("/b")(lambda request: "b")
    server = serve(app)
    with server.connect() as wire:
        headers = wire.get("/b").answer()[1]
    assert (headers["x-frame-options"], headers["x-b"]) == ("DENY", "b")


def test_without_the_setting_routes_have_no_filter(serve: Serve) -> None:
    app = everywhere()
    routes = app.request_manifold.router.routes()
    first = serve(app, header=[DENY], lifespan="off")
    assert all(route.filters for route in routes)
    first.stop()
    assert ask(serve(app, lifespan="off"), "/text") == (200, None)
    assert {route.filters for route in routes} == {None}


def test_options_of_routes_beside_it(serve: Serve) -> None:
    server = serve(native(), header=[DENY], route=["/up limit-body=3", "/* limit-body=5"])
    assert ask(server, "/up", "POST", "Content-Length: 4") == (413, "DENY")
    assert ask(server, "/text") == (200, "DENY")


# --- patterns


def table(pattern: str | None, *entries: str) -> list[dict[str, str | None]]:
    pairs = (entry.split(": ") for entry in entries)
    return [{"name": name, "value": value, "pattern": pattern} for name, value in pairs]


def fields(server: Any, path: str) -> dict[str, str]:
    with server.connect() as wire:
        headers = wire.get(path).answer()[1]
    return {name: value for name, value in headers.items() if name in ("cache-control", "x-a", "x-b")}


TABLES = [
    *table("/s/assets/*", "Cache-Control: max-age=9", "X-A: assets"),
    *table(None, "Cache-Control: no-cache", "X-B: all"),
    *table("/s/*", "X-A: s"),
    *table("/{any}/assets/{name}", "X-B: crossing"),
]


def test_the_most_specific_pattern_has_the_name(serve: Serve) -> None:
    server = serve(everywhere(), header=TABLES, lifespan="off")
    everything = {"cache-control": "no-cache", "x-b": "all"}
    assert fields(server, "/text") == everything
    assert fields(server, "/none") == fields(server, "/s") == everything
    assert fields(server, "/s/text") == {**everything, "x-a": "s"}
    assert fields(server, "/s/assets/a/b") == {"cache-control": "max-age=9", "x-a": "assets", "x-b": "all"}
    both = {"cache-control": "max-age=9", "x-a": "assets", "x-b": "crossing"}  # of patterns that cross each other
    assert fields(server, "/s/assets/a") == fields(server, "/%73/assets/a") == both
    assert fields(server, "/none/assets/a") == {**everything, "x-b": "crossing"}  # where there is no route


def test_only_where_a_pattern_is_narrower_than_a_route_the_path_is_looked_at() -> None:
    router = Router()
    patterns = [("/s/", False), ("/s/assets/", False), ("/x/y", True), ("/s/assets/app.js", True), ("/", True)]
    routes = [router.add("GET", pattern, lambda: None, exact=exact) for pattern, exact in patterns]
    rules = HeaderRules(Settings(header=[each for each in TABLES if each["pattern"]]).header)
    rules.add_to(router)
    kinds = [None if route.filters is None else [type(each).__name__ for each in route.filters] for route in routes]
    assert kinds == [["AddedHeadersByPath"], ["AddedHeadersByPath"], None, ["AddedHeaders"], None]
    general = HeaderRules(Settings(header=[DENY]).header)
    assert general.filters(None) is general.filters(routes[0])  # one for all that are alike
    general.add_to(router)
    assert [len(route.filters or ()) for route in routes] == [2, 2, 1, 2, 1]
    assert HeaderRules(()).filters(None) is None
