"""Foreign apps in a worker: what they are told, when they start and end, and how they are run."""

from __future__ import annotations

import asyncio
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dimserver import App
from dimserver.config import Settings
from dimserver.errors import AppStartError, ConfigError
from dimserver.worker.worker import Worker

Serve = Callable[..., Any]


class Gateway:
    """Stands for a foreign app; says what happens to it."""

    prefix = ""
    app = "the app"
    blocking = False
    streaming = 0

    def __init__(self, interface: str = "wsgi", told: list[Any] | None = None) -> None:
        self.interface = interface
        self.asynchronous = interface == "asgi"
        self.told = [] if told is None else told

    def configure(self, settings: Settings, facts: Any) -> None:
        self.settings, self.facts = settings, facts
        self.blocking = self.interface == "wsgi" and settings.threads != 0

    def __call__(self, request: Any) -> Any:
        return f"{request.method} on {threading.current_thread().name}"


class Living(Gateway):
    """One that is started and ended."""

    def __init__(self, name: str = "it", told: list[Any] | None = None, **how: Any) -> None:
        super().__init__("asgi", told)
        self.prefix = f"/{name}"
        self.name = name
        self.how = how

    async def startup(self) -> None:
        await asyncio.sleep(0)
        self.told.append(f"{self.name} starts")
        if "start" in self.how:
            raise self.how["start"]

    async def shutdown(self) -> None:
        try:
            await asyncio.sleep(self.how.get("lasts", 0))
        except asyncio.CancelledError:
            self.told.append(f"{self.name} is cut")
            raise
        self.told.append(f"{self.name} ends")
        if "end" in self.how:
            raise self.how["end"]


def app_of(*gateways: Gateway) -> App:
    app = App()
    for gateway in gateways:
        app.request_manifold.register_route("*", gateway.prefix or "/", gateway, exact=False)
    return app


def test_they_are_told_of_the_worker(serve: Serve, tmp_path: pathlib.Path) -> None:
    gateway = Gateway()
    server = serve(app_of(gateway), root_path="/below", threads=3)
    port = int(server.url.rpartition(":")[2])
    facts = gateway.facts
    assert (facts.server, facts.multithread, facts.multiprocess) == (("127.0.0.1", port), True, False)
    assert (facts.log, facts.loop) == (server.worker.log, None)
    assert gateway.settings.root_path == "/below"
    server.stop()
    Worker(app_of(gateway), Settings(uds=tmp_path / "s", admin="127.0.0.1:0", threads=1), workers=2)._close()
    assert (gateway.facts.server, gateway.facts.multithread) == ((str(tmp_path / "s"), None), False)
    assert gateway.facts.multiprocess
    other = Gateway("asgi")
    server = serve(app_of(other))
    assert other.facts.loop is server.worker.loop.asyncio


@pytest.mark.parametrize(
    ("settings", "thread"),
    [({}, "dimserver-0"), ({"threads": 2}, "dimserver-0"), ({"threads": 0}, "server under test")],
)
def test_they_say_where_they_run(serve: Serve, settings: dict[str, Any], thread: str) -> None:
    wire = serve(app_of(Gateway()), **settings).connect()
    for method in ("GET", "POST", "TRACE", "BREW"):
        assert wire.get("/x", method=method).answer()[2] == f"{method} on {thread}".encode()
    assert serve(app_of(Gateway("asgi")), **settings).connect().get().answer()[2] == b"GET on server under test"


def test_the_built_in_endpoints_stand_before_a_mount(serve: Serve, tmp_path: pathlib.Path) -> None:
    app = app_of(Gateway())
    app.get("/api/status")(lambda request: "mine")
    wire = serve(app, api=True).connect()
    assert wire.get("/api/status").answer()[2] == b"mine"
    assert b"spiral_0" in wire.get("/api/stats").answer()[2]
    assert wire.get("/api/stats", method="POST").answer()[2] == b"POST on dimserver-0"
    wire = serve(app).connect()
    assert wire.get("/api/stats").answer()[2] == b"GET on dimserver-0"
    with pytest.raises(ConfigError, match=r"--static: no file would be served, because the app at / answers"):
        Worker(app, Settings(port=0, static=tmp_path))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_they_start_before_anything_is_accepted_and_end_after(serve: Serve, loop: str) -> None:
    told: list[Any] = []
    server = serve(app_of(Living("a", told), Gateway("wsgi"), Living("b", told)), loop=loop)
    assert told == ["a starts", "b starts"]
    assert server.connect().get("/a").answer()[0] == 200
    server.stop()
    assert told == ["a starts", "b starts", "b ends", "a ends"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_one_that_does_not_start(capfd: pytest.CaptureFixture[str], loop: str) -> None:
    told: list[Any] = []
    app = app_of(Living("a", told), Living("b", told, start=ValueError("no database")), Living("c", told))
    with pytest.raises(AppStartError, match="the app at /b did not start: ValueError: no database") as caught:
        Worker(app, Settings(port=0, loop=loop))
    assert isinstance(caught.value.__cause__, ValueError)
    assert told == ["a starts", "b starts", "a ends"]
    app = app_of(Living("a", told, start=AppStartError("it said so")))
    with pytest.raises(AppStartError, match=r"^it said so$"):
        Worker(app, Settings(port=0, loop=loop))
    assert capfd.readouterr() == ("", "")


def test_one_that_fails_at_its_end_does_not_keep_the_others(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Any] = []
    serve(app_of(Living("a", told), Living("b", told, end=ValueError("gone")))).stop()
    assert told[2:] == ["b ends", "a ends"]
    err = capfd.readouterr().err
    assert "error: the app at /b failed while it was ending" in err
    assert "ValueError: gone" in err


def test_their_end_has_a_limit(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Any] = []
    serve(app_of(Living("a", told), Living("b", told, lasts=60)), drain=1).stop()
    assert told[2:] == ["b is cut", "a ends"]
    assert "error: the app at /b did not end in time; the server no longer waits for it" in capfd.readouterr().err


def test_one_that_needs_a_loop_and_does_not_say_so() -> None:
    gateway = Living()
    gateway.asynchronous = False
    with pytest.raises(AppStartError, match="an app needs an asyncio loop, and there is none"):
        Worker(app_of(gateway), Settings(port=0))
