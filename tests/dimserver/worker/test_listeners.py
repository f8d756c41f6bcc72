"""ListenSockets, sites and routes of a worker."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from dimserver import App, OptimizedDimensionalServer
from dimserver.config import Settings
from dimserver.errors import ConfigError
from dimserver.log import Log
from dimserver.worker.listeners import Listeners
from dimserver.worker.worker import Worker

Serve = Callable[..., Any]


@pytest.fixture
def app() -> App:
    return App()


def test_the_seeds_server_has_the_built_in_endpoints(serve: Serve) -> None:
    server = OptimizedDimensionalServer()
    assert serve(server, **server.defaults).connect().get("/api/status").answer()[0] == 200
    server = OptimizedDimensionalServer(api=False)
    assert serve(server, **server.defaults).connect().get("/api/status").answer()[0] == 404


def test_the_page_with_links_is_where_the_endpoints_are_and_nothing_else_is(
    serve: Serve, app: App, tmp_path: pathlib.Path
) -> None:
    def page(app: App | None = None, **settings: object) -> bool:
        return b"dimserver is running" in serve(app, **settings).connect().get("/").answer()[2]

    assert page()
    assert page(app, api=True)
    assert page(OptimizedDimensionalServer(), api=True)
    assert not page(app)
    assert not page(app, admin="127.0.0.1:0")
    assert not page(static=str(tmp_path))
    routed, prefixed, wsgi, mounted = App(), App(), App(), App()
    routed.route("/", lambda request: "mine")
    prefixed.route("/", lambda request: "mine", exact=False)
    wsgi.mount("/", lambda environ, start_response: start_response("200 OK", []) and [b"mine"], interface="wsgi")
    mounted.mount("/", lambda request: "mine", interface="native")
    for own in (routed, prefixed, wsgi, mounted):
        assert not page(own, api=True)


def test_a_route_of_the_apps_own_comes_before_the_built_in_one(serve: Serve, app: App) -> None:
    app.route("/api/status", lambda request: "mine")
    assert serve(app, api=True).connect().get("/api/status").answer()[2] == b"mine"


def test_static_files_stand_below_the_app(serve: Serve, app: App, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").write_text("file")
    (tmp_path / "b.txt").write_text("file")
    app.route("/a.txt", lambda request: "app")
    wire = serve(app, static=str(tmp_path)).connect()
    assert [wire.get(path).answer()[2] for path in ("/a.txt", "/b.txt")] == [b"app", b"file"]
    with pytest.raises(ConfigError, match=r"--static: .*No such"):
        Worker(app, Settings(port=0, static=str(tmp_path / "none")))


def test_settings_decide_where_handlers_run(serve: Serve, app: App) -> None:
    import threading

    app.route("/", lambda request: threading.current_thread().name)
    assert serve(app).connect().get("/").answer()[2] == b"server under test"
    assert serve(app, threads=1).connect().get("/").answer()[2] == b"dimserver-0"


def test_one_that_never_opened_can_be_closed() -> None:
    log = Log("info", 2)
    listeners = Listeners(Settings(), log, ())
    assert listeners.urls == []
    listeners.close()
    listeners.close()
    log.close()
