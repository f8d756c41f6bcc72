"""A server for other people's tests."""

from __future__ import annotations

import asyncio
import logging
import pathlib
import threading
import time
import urllib.error
import urllib.request
import wsgiref.validate
from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.processes import descriptors

from dimserver import App
from dimserver.errors import AppStartError, ConfigError, HandlerError, StartError
from dimserver.testing import Server, serve


def get(server: Server, path: str = "/") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(server.url + path) as answer:  # noqa: S310 - it is http
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/fails":
        raise ValueError("no database")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"wsgi on {environ['SERVER_PORT']}".encode()]


@pytest.fixture
def app() -> App:
    app = App(port=1, threads=1)
    app.get("/")(lambda request: threading.current_thread().name)

    @app.get("/later")
    async def later(request: object) -> str:
        await asyncio.sleep(0)
        return "later"

    return app


def test_it_serves_and_leaves_nothing_behind(app: App) -> None:
    serve(app).start().stop()  # uvloop opens a pipe once, for the life of the process
    before, threads = descriptors(), threading.active_count()
    with serve(app) as server:
        assert server.url == f"http://127.0.0.1:{server.port}" == server.urls[0]
        assert server.port != 1
        assert get(server) == (200, b"dimserver-0")
        assert get(server, "/later") == (200, b"later")
        assert server.errors == []
        assert server.worker.counts()["requests"] == 2
    server.stop()
    assert (descriptors(), threading.active_count()) == (before, threads)


def test_settings_are_stronger_than_those_of_the_app(app: App, tmp_path: pathlib.Path) -> None:
    with serve(app, threads=0) as server:
        assert get(server) == (200, b"dimserver")
    with serve(app, uds=tmp_path / "s") as server:
        assert server.url == f"unix:{tmp_path / 's'}"
    with serve() as server:
        assert get(server, "/api/status")[0] == 200
    for wrong in ({"thread": 1}, {"threads": -1}):
        with pytest.raises(ConfigError):
            serve(app, **wrong)


def test_a_host_alone_leaves_the_port_free(app: App) -> None:
    with serve(app, host="localhost") as first, serve(app, host="localhost") as second:
        assert {first.port, second.port}.isdisjoint({0, 8080})
        assert first.port != second.port


def test_apps_of_other_interfaces() -> None:
    with serve(wsgi) as server:
        assert get(server) == (200, f"wsgi on {server.port}".encode())
    with serve(wsgiref.validate.validator(wsgi), interface="wsgi") as server:
        assert get(server) == (200, f"wsgi on {server.port}".encode())
    with pytest.raises(HandlerError, match="an int is not an app"):
        serve(5)


def test_errors_can_be_looked_at(capfd: pytest.CaptureFixture[str]) -> None:
    with serve(wsgi) as server:
        assert get(server, "/fails")[0] == 500
        assert server.errors == ["a handler failed: ValueError: no database"]
        (entry,) = server.log
        assert (entry["level"], entry["request"]["target"]) == ("error", "/fails")
        assert "in wsgi" in entry["traceback"]
    assert server.errors == ["a handler failed: ValueError: no database"]
    assert capfd.readouterr() == ("", "")


def test_errors_that_nobody_looked_at_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with serve(wsgi) as server:
        get(server, "/fails")
    err = capfd.readouterr().err
    assert err.startswith("dimserver: a handler failed\nTraceback")
    assert err.endswith("ValueError: no database\n")


def test_the_log_may_go_elsewhere(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    with serve(wsgi, log_file=tmp_path / "log") as server:
        get(server, "/fails")
        assert [error.partition(" (")[0] for error in server.errors] == ["answered 500: GET /fails"]
    assert "no database" in (tmp_path / "log").read_text()
    logger = logging.getLogger("dimserver")
    logger.addHandler(caplog.handler)
    try:
        with serve(wsgi) as server:
            get(server, "/fails")
        assert len(server.errors) == 1  # the answer of 500 alone
        assert caplog.messages[0].startswith("a handler failed: GET /fails")
    finally:
        logger.removeHandler(caplog.handler)


def test_a_start_that_fails_is_raised_here() -> None:
    before, threads = descriptors(), threading.active_count()
    with serve(wsgi) as server, pytest.raises(StartError, match="already in use"):
        serve(wsgi, port=server.port).start()

    class Broken:
        interface, asynchronous, blocking, streaming, prefix = "asgi", True, False, 0, ""

        def configure(self, settings: object, facts: object) -> None: ...

        def __call__(self, request: object) -> None: ...

        async def startup(self) -> None:
            raise AppStartError("no database")

    app = App()
    app.request_manifold.register_route("*", "/", Broken(), exact=False)
    with pytest.raises(AppStartError, match="no database"):
        serve(app).start()
    assert (descriptors(), threading.active_count()) == (before, threads)


def test_it_is_started_once(app: App) -> None:
    server = serve(app)
    server.stop()  # nothing to stop
    with server, pytest.raises(RuntimeError, match="a server can be started only once"):
        server.start()


def test_it_stops_at_once_with_connections_that_are_idle(app: App) -> None:
    import http.client

    with serve(app) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port)
        client.request("GET", "/")
        client.getresponse().read()
        start = time.monotonic()
    assert time.monotonic() - start < 0.19  # a stop by an operator waits 0.2 s for one more request
    client.close()


def test_from_a_thread_with_a_loop_that_runs(app: App) -> None:
    async def test() -> tuple[int, bytes]:
        with serve(app) as server:
            return await asyncio.to_thread(get, server, "/later")

    assert asyncio.run(test()) == (200, b"later")


def test_one_that_cannot_be_stopped_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()
    begun, go_on = threading.Event(), threading.Event()

    @app.get("/")
    def handler(request: object) -> str:
        begun.set()
        go_on.wait()
        return ""

    server = serve(app, drain=0)
    monkeypatch.setattr("dimserver.testing.server.SLACK", 0.2)
    server.start()
    asking = threading.Thread(target=get, args=(server,))
    asking.start()
    assert begun.wait(20)
    with pytest.raises(RuntimeError, match="something blocks its loop"):
        server.stop()
    go_on.set()
    server.stop()
    asking.join()


# --- what is wrong is seen ------------------------------------------------------------------------


def fails_late(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    yield b"ok"
    time.sleep(0.2)
    raise ValueError("after the answer")


async def answers_then_raises(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
    await asyncio.sleep(0.2)
    raise ValueError("after the answer")


@pytest.mark.parametrize("app", [fails_late, answers_then_raises])
def test_what_follows_an_answer_is_waited_for(app: Any) -> None:
    with serve(app) as server:
        assert get(server, "/late?x=1") == (200, b"ok")
        (error,) = server.errors
        assert "after the answer" in error
        (request,) = [entry["request"] for entry in server.log if entry["level"] == "error"]
        assert (request["method"], request["target"], request["client"]) == ("GET", "/late?x=1", "127.0.0.1")
        assert request["id"]


def test_an_answer_of_500_is_an_error_however_it_was_made() -> None:
    def quiet(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response(environ["PATH_INFO"][1:] + " X", [("Content-Length", "0")])
        return []

    with serve(quiet) as server:
        for status in (200, 404, 499, 500, 503):
            assert get(server, f"/{status}")[0] == status
        first, second = server.errors
        assert first.startswith("answered 500: GET /500 (request ")
        assert second.startswith("answered 503: GET /503 (request ")
        assert server.errors == [first, second]


def test_one_failure_is_one_error(app: App) -> None:
    app.get("/fails")(lambda request: 1 / 0)
    with serve(app) as server:
        assert get(server, "/fails")[0] == 500
        assert server.errors == ["a handler failed: ZeroDivisionError: division by zero"]


def test_an_app_that_goes_on_for_long_is_not_waited_for() -> None:
    async def goes_on(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
        await asyncio.sleep(30)

    with serve(goes_on, lifespan="off", drain=0.1) as server:
        assert get(server)[0] == 200
        began = time.monotonic()
        assert server.errors == []
        assert 1 < time.monotonic() - began < 10


@pytest.mark.parametrize("turn", range(10))
def test_flask_and_fastapi(turn: int) -> None:
    flask, fastapi = pytest.importorskip("flask"), pytest.importorskip("fastapi")
    one, two = flask.Flask("one"), fastapi.FastAPI()
    fail = lambda: 1 / 0  # noqa: E731 - a route of both
    one.add_url_rule("/", "fail", fail)
    two.get("/")(fail)
    for app in (one, two):
        with serve(app) as server:
            assert get(server)[0] == 500
            assert server.errors != []
