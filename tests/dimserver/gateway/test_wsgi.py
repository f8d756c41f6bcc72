"""The gateway as a worker runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dimcore import RequestPoint
from dimserver import App
from dimserver.config import Settings
from dimserver.gateway.contract import Facts
from dimserver.gateway.wsgi import WSGIGateway
from dimserver.log import Log

Environ = dict[str, Any]


def keeping(kept: list[Environ]) -> Callable[..., list[bytes]]:
    def app(environ: Environ, start: Any) -> list[bytes]:
        kept.append(environ)
        start("200 OK", [])
        return [b"hello"]

    return app


def facts(**more: Any) -> Any:
    return Facts(**{"server": ("h", 8), "multithread": True, "log": Log("critical"), **more})


def environ_of(prefix: str = "", path: str = "/", told: Any = None, **settings: Any) -> Environ:
    kept: list[Environ] = []
    gateway = WSGIGateway(keeping(kept), prefix)
    gateway.configure(Settings(**settings), facts() if told is None else told)
    status, _, body = gateway(RequestPoint(path=path))
    assert (status, body) == (200, b"hello")
    return kept[0]


def test_before_it_is_configured() -> None:
    kept: list[Environ] = []
    gateway = WSGIGateway(keeping(kept))
    assert (gateway.interface, gateway.prefix, gateway.blocking, gateway.streaming) == ("wsgi", "", False, 0)
    assert gateway(RequestPoint())[2] == b"hello"
    assert (kept[0]["SERVER_NAME"], kept[0]["wsgi.version"]) == ("localhost", (1, 0))


@pytest.mark.parametrize("prefix", ["/m", "/m/"])
def test_a_prefix(prefix: str) -> None:
    environ = environ_of(prefix, "/m/x")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/m", "/x")


def test_where_it_listens() -> None:
    environ = environ_of()
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("h", "8")
    environ = environ_of(told=facts(server=("/run/socket", None)))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")


@pytest.mark.parametrize(
    ("threads", "streams", "expected"),
    [(0, False, (False, 0, False)), (4, False, (True, 0, True)), (4, True, (True, 2, True))],
)
def test_threads(threads: int, streams: bool, expected: tuple[bool, int, bool]) -> None:
    kept: list[Environ] = []
    gateway = WSGIGateway(keeping(kept))
    gateway.configure(Settings(threads=threads, stream_bodies=streams), facts())
    gateway(RequestPoint())
    assert (gateway.blocking, gateway.streaming, kept[0]["wsgi.multithread"]) == expected
    assert not gateway.asynchronous


def test_processes() -> None:
    assert environ_of(told=facts(multiprocess=True))["wsgi.multiprocess"] is True
    assert environ_of()["wsgi.multiprocess"] is False
    assert environ_of()["wsgi.run_once"] is False
    assert environ_of()["wsgi.input_terminated"] is True


def test_errors_go_to_the_log(tmp_path: Any) -> None:
    path = tmp_path / "log"
    log = Log("error", str(path))
    environ = environ_of(told=facts(log=log))
    environ["wsgi.errors"].write("first\nsecond\n")
    log.close()
    assert path.read_text() == "first\nsecond\n"


def test_excess_goes_to_the_log(tmp_path: Any) -> None:
    path = tmp_path / "log"
    log = Log("error", str(path))

    def app(environ: Environ, start: Any) -> list[bytes]:
        start("200 OK", [("Content-Length", "1")])
        return [b"abc"]

    gateway = WSGIGateway(app)
    gateway.configure(Settings(), facts(log=log))
    assert gateway(RequestPoint(path="/much"))[2] == b"a"
    log.close()
    assert "a WSGI app gave more bytes than its Content-Length says: the rest is dropped: GET /much" in path.read_text()


def test_over_a_socket(serve: Any) -> None:
    kept: list[Environ] = []
    app = App()
    app.route("/", WSGIGateway(keeping(kept)), exact=False)
    wire = serve(app).connect()
    assert wire.get("/x?y").answer()[2] == b"hello"
    assert (kept[0]["PATH_INFO"], kept[0]["QUERY_STRING"], kept[0]["HTTP_HOST"]) == ("/x", "y", "localhost")
    assert kept[0]["REMOTE_PORT"] == str(wire.sock.getsockname()[1])
