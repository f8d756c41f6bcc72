"""Mounts beside routes of one's own, over real sockets, and foreign apps as the command line serves them."""

from __future__ import annotations

import pathlib
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from dimserver import App
from dimserver.worker.signals import ECHO

Serve = Callable[..., Any]
Start = Callable[..., Any]


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO")
    return [" ".join(environ[name] or "-" for name in names).encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    body = f"{scope['method']} {scope['root_path'] or '-'} {scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def app() -> App:
    app = App()
    app.mount("/", wsgi)
    app.mount("/new", asgi)
    app.get("/new/native")(lambda request: "native")

    @app.get("/later/{name}")
    async def later(request: Any) -> str:
        return f"later {request.params['name']}"

    @app.websocket("/new/ws")
    class Echo:
        def on_message(self, ws: Any, message: Any) -> None:
            ws.send(message)

    return app


@pytest.mark.parametrize("threads", [None, 0, 2])
def test_all_kinds_in_one_app(serve: Serve, app: App, threads: int | None) -> None:
    server = serve(app, threads=threads)
    wire = server.connect()
    for method, path, answer in (
        ("GET", "/", "GET - /"),
        ("PURGE", "/a%20b//c", "PURGE - /a b//c"),
        ("GET", "/new", "GET /new /new"),
        ("POST", "/new/x", "POST /new /new/x"),
        ("GET", "/n%65w/x", "GET /new /new/x"),
        ("GET", "/newer", "GET - /newer"),
        ("GET", "/new/native", "native"),
        ("DELETE", "/new/native", "DELETE /new /new/native"),
        ("GET", "/later/on", "later on"),
        ("POST", "/later/on", "POST - /later/on"),
    ):
        status, _, body = wire.get(path, method=method).answer()
        assert (status, body.decode()) == (200, answer)
    assert wire.get("/new/ws").answer()[0] == 426
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    fields = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13")
    socket = server.connect()
    assert socket.get("/new/ws", *fields).answer(head_only=True)[0] == 101
    socket.send(b"\x82\x82\0\0\0\0hi")
    while len(socket.left) < 4:
        socket.more()
    assert socket.left == b"\x82\x02hi"


@pytest.mark.parametrize(("method", "target"), [("CONNECT", "example.org:443"), ("OPTIONS", "*")])
def test_what_is_no_request_of_a_path_is_not_the_apps(serve: Serve, app: App, method: str, target: str) -> None:
    status, headers, body = serve(app).connect().get(target, method=method).answer()
    assert status == (501 if method == "CONNECT" else 200)
    assert headers.get("allow", "").startswith("" if method == "CONNECT" else "GET, HEAD")
    assert b"CONNECT" not in body


def test_a_wsgi_app_that_waits_does_not_hold_up_the_loop(serve: Serve) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def waits(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        assert go_on.wait(20)
        return wsgi(environ, start_response)

    app = App()
    app.mount("/", waits)
    app.get("/native")(lambda request: "native")
    server = serve(app)
    wire = server.connect().get("/")
    assert begun.wait(20)
    assert server.connect().get("/native").answer()[2] == b"native"
    go_on.set()
    assert wire.answer()[2] == b"GET - /"


SITE = """
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["SCRIPT_NAME"].encode() + environ["PATH_INFO"].encode()]

class Lives:
    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                if message["type"] == "lifespan.startup":
                    if os.path.exists("broken"):
                        await send({"type": "lifespan.startup.failed", "message": "no database"})
                        return
                    print("started", flush=True)
                    await send({"type": "lifespan.startup.complete"})
                else:
                    print("ended", flush=True)
                    await send({"type": "lifespan.shutdown.complete"})
                    return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"alive"})

lives = Lives()
def make():
    return application
"""


@pytest.fixture
def site(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "site_of_mine.py").write_text(SITE)
    return tmp_path


def test_the_command_line_serves_them(child: Start, site: pathlib.Path) -> None:
    for words in (
        ("site_of_mine:application",),
        ("site_of_mine.py:make", "--factory"),
        ("site_of_mine:application", "--interface", "wsgi", "--workers", "2"),
    ):
        server = child("run", *words, "--port", "0", "--root-path", "/shop/", cwd=site)
        assert server.connect().get("/x").answer()[2] == b"/shop/x"
        assert server.end()[0::2] == (0, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("site_of_mine:app",), "module 'site_of_mine' has no attribute 'app'; apps there: application, lives"),
        (
            ("site_of_mine:make",),
            "'site_of_mine:make': the function site_of_mine.make takes no arguments; if it returns",
        ),
        (
            ("site_of_mine:Lives",),
            "'site_of_mine:Lives': the class site_of_mine.Lives is not an app; name an instance",
        ),
        (
            ("site_of_mine:lives", "--interface", "wsgi"),
            "'site_of_mine:lives': a Lives cannot be called with",
        ),
        (
            ("site_of_mine:lives", "--factory"),
            "'site_of_mine:lives' is a Lives, which is not a factory: it",
        ),
        (("site_of_mine:os",), "'site_of_mine:os': a module is not an app; name an object in it, as module:attribute"),
    ],
)
def test_a_mistake_is_one_line(child: Start, site: pathlib.Path, words: tuple[str, ...], message: str) -> None:
    code, out, err = child("run", *words, "--port", "0", cwd=site, announced=False).end(0)
    assert (code, out) == (2, "")
    assert err.startswith(f"dimserver: {message}")
    assert err.count("\n") == 1


def test_the_route_table_names_the_app(child: Start, site: pathlib.Path) -> None:
    code, out, err = child("routes", "site_of_mine:application", cwd=site, announced=False).end(0)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split(maxsplit=4) == [
        "*", "/", "prefix", "thread", "the function site_of_mine.application, wsgi",
    ]  # fmt: skip


def test_an_app_that_does_not_start_ends_a_start_and_no_reload(child: Start, site: pathlib.Path) -> None:
    server = child("run", "site_of_mine:lives", "--port", "0", cwd=site)
    (site / "broken").write_text("")
    wire = server.connect()
    assert wire.get().answer()[2] == b"alive"
    before = server.workers
    server.hint(signal.SIGHUP)
    said = b""
    while b"no database" not in said:
        said += server.process.stderr.readline()
    assert server.workers == before
    assert server.connect().get().answer()[2] == b"alive"
    (site / "broken").unlink()
    wire.close()
    code, out, _ = server.end()
    assert (code, out.count("started"), out.count("ended")) == (0, 0, 1)  # what it said before was read already
    (site / "broken").write_text("")
    code, out, err = child("run", "site_of_mine:lives", "--port", "0", cwd=site, announced=False).end(0)
    assert (code, out) == (1, "")
    assert "no database" in err.splitlines()[-1]


SLOW_END = """
import asyncio

async def app(scope, receive, send):
    await receive()
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        await receive()
    print("busy", flush=True)
    await asyncio.sleep(20)
"""


@pytest.mark.parametrize("loop", ["asyncio", "auto"])
@pytest.mark.parametrize("busy", ["the lifespan", "a request"])
def test_the_second_signal_ends_an_asgi_app_at_once(child: Start, tmp_path: pathlib.Path, loop: str, busy: str) -> None:
    """Whether it comes in the drain or after it; nothing has failed, so there is no traceback."""
    (tmp_path / "slowend.py").write_text(SLOW_END)
    server = child("run", "slowend:app", "--port", "0", "--loop", loop, cwd=tmp_path)
    if busy == "a request":
        server.connect().get("/")
        assert server.process.stdout.readline() == b"busy\n"
        server.hint(signal.SIGINT)
        time.sleep(0.3)  # there is nothing to see of a drain that has begun
    else:
        server.hint(signal.SIGINT)
        assert server.process.stdout.readline() == b"busy\n"
        time.sleep(2 * ECHO)  # else it is the first one, repeated
    begun = time.monotonic()
    code, out, err = server.end(signal.SIGINT)
    assert time.monotonic() - begun < 5
    assert code == 0
    assert "Traceback" not in err
    assert out.splitlines()[-1].startswith("dimserver: stopped; ")
