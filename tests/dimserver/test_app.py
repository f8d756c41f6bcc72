"""The application object: its settings, its mounts, and how it is run."""

from __future__ import annotations

from typing import Any

import pytest

from dimcore import ConnectionPoolManifold, RequestResponseManifold, RouteConflict, RoutePatternError
from dimserver import App, OptimizedDimensionalServer
from dimserver.errors import ConfigError, HandlerError


def handler(request: object) -> str:
    return "answer"


def test_settings() -> None:
    assert App().defaults == {}
    assert App(threads=8, port="80").defaults == {"threads": 8, "port": "80"}
    with pytest.raises(ConfigError, match="unknown setting 'thread'; did you mean 'threads'"):
        App(thread=8)
    with pytest.raises(ConfigError, match="port: 99999 is not allowed"):
        App(port=99999)


def test_run_puts_its_own_settings_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from dimserver.worker import serve

    calls: list[Any] = []
    monkeypatch.setattr(serve, "serve", lambda *given: calls.append(given) or 7)
    app = App(threads=8, port=1, uds="/run/x")
    assert app.run(port=2) == 7
    given, settings, name = calls.pop()
    assert (given, name) == (app, "App")
    assert (settings.threads, settings.port, settings.uds) == (8, 2, None)
    with pytest.raises(ConfigError, match="unknown setting"):
        app.run(ports=2)
    OptimizedDimensionalServer(port=3).run_forever()
    _, settings, name = calls.pop()
    assert (settings.port, settings.api, name) == (3, True, "OptimizedDimensionalServer")
    OptimizedDimensionalServer(api=False).run()
    assert not calls.pop()[1].api


def test_the_seeds_parts() -> None:
    server = OptimizedDimensionalServer()
    assert isinstance(server, App)
    assert isinstance(server.request_manifold, RequestResponseManifold)
    assert isinstance(server.connection_manifold, ConnectionPoolManifold)
    server.request_manifold.register_route("GET", "/api/status", handler)
    assert list(server.routes()) == [("GET", "/api/status", True, False, handler)]


def named(name: str) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{name} at {environ['SCRIPT_NAME']}, {environ['PATH_INFO']}".encode()]

    return app


legacy = named("legacy")


def test_a_mount_stands_beside_routes() -> None:
    app = App()
    app.get("/legacy/new")(handler)
    assert app.mount("/legacy/", legacy) is legacy
    app.mount("/", named("all"))
    app.mount("/own", handler, interface="native")
    ask = app.request_manifold.process_request
    assert ask("GET", "/legacy/new") == ask("PATCH", "/own/x") == "answer"
    for method, path, text in (
        ("POST", "/legacy/new", b"legacy at /legacy, /new"),
        ("GET", "/legacy", b"legacy at /legacy, "),
        ("BREW", "/legacy/x/y", b"legacy at /legacy, /x/y"),
        ("GET", "/legacys", b"all at , /legacys"),
        ("TRACE", "/", b"all at , /"),
    ):
        assert ask(method, path)[2] == text
    assert [row[:3] for row in app.routes()] == [
        ("GET", "/legacy/new", True), ("*", "/legacy", False), ("*", "/", False), ("*", "/own", False),
    ]  # fmt: skip


def test_what_cannot_be_mounted() -> None:
    app = App()
    app.mount("/a", legacy)
    with pytest.raises(RouteConflict, match=r"\* /a is registered already"):
        app.mount("/a/", legacy)
    with pytest.raises(HandlerError, match=r"mount /\{x\}: the path of a mount cannot have parameters"):
        app.mount("/{x}", legacy)
    with pytest.raises(HandlerError, match="mount /b: an int is not an app"):
        app.mount("/b", 5)
    with pytest.raises(HandlerError, match="mount /b: a dimserver App cannot be mounted"):
        app.mount("/b", App())
    for prefix in ("", "b", "/b?"):
        with pytest.raises(RoutePatternError):
            app.mount(prefix, legacy)
    assert len(list(app.routes())) == 1
