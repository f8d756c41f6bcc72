"""`[[route]]` from the settings to the wire: native handlers, WSGI, ASGI and mounts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import Router
from dimserver import App
from dimserver.config import Settings
from dimserver.errors import ConfigError
from dimserver.worker.route_options import apply_options

Serve = Callable[..., Any]
LOOP = "server under test"


def tables(*entries: str) -> Any:
    return Settings(route=list(entries)).route


def native() -> App:
    app = App()

    @app.post("/sync")
    def sync(request: Any) -> str:
        return f"{len(request.body)} {threading.current_thread().name}"

    @app.post("/async/{name}")
    async def asynchronous(request: Any) -> str:
        return str(len(request.body))

    @app.post("/limited", limit_body=8)
    def limited(request: Any) -> str:
        return str(len(request.body))

    @app.get("/files/", exact=False)
    def files(request: Any) -> str:
        return str(len(request.body))

    return app


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Threads", str(environ["wsgi.multithread"]))])
    return [f"{len(body)} {threading.current_thread().name}".encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"].endswith("shutdown"):
                return
    size = messages = 0
    refused = ""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            refused = " cut"
            break
        messages += 1
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{size} in {messages}{refused}".encode()})


def status(server: Any, path: str, size: int, chunked: bool = False, method: str = "POST") -> int:
    return int(ask(server, path, size, chunked, method)[0])


def ask(server: Any, path: str, size: int, chunked: bool = False, method: str = "POST") -> Any:
    body = b"x" * size
    if chunked:  # in two pieces, so that a limit falls into the second
        first, second = body[: size // 2], body[size // 2 :]
        parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (first, second) if part)
        framing, body = "Transfer-Encoding: chunked", parts + b"0\r\n\r\n"
    else:
        framing = f"Content-Length: {size}"
    with server.connect() as wire:
        wire.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        wire.send(body)
        return wire.answer()


def limits(server: Any, path: str, most: int, method: str = "POST") -> None:
    """Nothing above `most` passes, however it is framed."""
    for chunked in (False, True):
        found = [status(server, path, size, chunked, method) for size in (0, most, most + 1, most + 100_000)]
        assert (path, chunked, found) == (path, chunked, [200, 200, 413, 413])


# --- limits of bodies


def test_native_routes(serve: Serve) -> None:
    entries = [
        "/sync limit-body=5",
        "/async/* limit-body=64k",
        "/async/{x} method=PUT limit-body=1",
        "/files/a/* limit-body=7",
    ]
    server = serve(native(), limit_body=100, route=entries)
    limits(server, "/sync", 5)
    limits(server, "/async/a", 65536)  # a larger one than the server's
    limits(server, "/async/%61", 65536)
    limits(server, "/limited", 8)  # the decorator's
    limits(server, "/files/a/b", 7, "GET")
    limits(server, "/files/a", 100, "GET")
    limits(server, "/files/ab/c", 100, "GET")
    assert status(server, "/nowhere", 101) == 413
    assert status(server, "/nowhere", 100) == 404


def test_the_settings_override_the_decorator(serve: Serve) -> None:
    server = serve(native(), route=["/limited limit-body=20", "/* limit-body=10"])
    limits(server, "/limited", 20)
    limits(server, "/sync", 10)


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("streams", ["", "stream", "no-stream"])
def test_wsgi(serve: Serve, threads: int, streams: str) -> None:
    if threads == 0 and streams == "stream":
        streams = "stream blocking"
    app = App()
    app.mount("/", wsgi)
    entries = [f"/up/* limit-body=70000 {streams}", "/up/small/* limit-body=3", "/up/get method=GET limit-body=1"]
    server = serve(app, threads=threads, limit_body=10, route=entries)
    limits(server, "/up/x", 70_000)
    limits(server, "/up/small/x", 3)
    limits(server, "/up/small", 70_000)
    limits(server, "/up/get", 70_000)
    limits(server, "/up/get", 1, "GET")
    limits(server, "/up", 10)


@pytest.mark.parametrize("streams", ["", "stream", "no-stream"])
def test_asgi(serve: Serve, streams: str) -> None:
    app = App()
    app.mount("/", asgi)
    server = serve(app, limit_body=10, route=[f"/up/* limit-body=100000 {streams}", "/up/small/* limit-body=3"])
    limits(server, "/up/small/x", 3)
    for size in (0, 100_000):
        for chunked in (False, True):
            answer = ask(server, "/up/x", size, chunked)
            assert answer[0] == 200
            assert answer[2].startswith(f"{size} in ".encode())
            assert answer[2] == f"{size} in 1".encode() or streams != "no-stream"
    assert status(server, "/up/x", 100_001) == 413
    assert status(server, "/up/x", 100_001, chunked=True) == 413
    assert status(server, "/", 11) == 413


def test_mounts_beside_routes(serve: Serve) -> None:
    app = native()
    app.mount("/shop", wsgi)
    app.mount("/live", asgi)
    server = serve(app, route=["/shop/* limit-body=4", "/live/{a}/b limit-body=6", "/shop/{a}/{b} limit-body=2"])
    limits(server, "/shop/x", 4)
    limits(server, "/shop/x/y", 2)
    limits(server, "/shop/x/y/z", 4)
    limits(server, "/live/x/b", 6)
    assert status(server, "/shop", 1000) == status(server, "/live/x/c", 1000) == status(server, "/sync", 1000) == 200


# --- where and when handlers run


def on_thread(server: Any, path: str) -> bool:
    return LOOP not in ask(server, path, 1)[2].decode()


def test_blocking(serve: Serve) -> None:
    app = native()
    app.mount("/w", wsgi)
    server = serve(app, route=["/sync blocking", "/w/quick/* no-blocking"])
    assert on_thread(server, "/sync")
    assert on_thread(server, "/w/other")
    assert not on_thread(server, "/w/quick/x")
    server = serve(app, threads=2, route=["/sync no-blocking"])
    assert not on_thread(server, "/sync")


def test_a_wsgi_app_is_told_of_other_threads(serve: Serve) -> None:
    for entries, expected in (([], "False"), (["/slow/* blocking"], "True"), (["/slow/* limit-body=1"], "False")):
        app = App()
        app.mount("/", wsgi)
        server = serve(app, threads=0, route=entries)
        assert ask(server, "/fast", 0)[1]["x-threads"] == expected
        assert on_thread(server, "/slow/x") == (expected == "True")


def test_a_stream_begins_before_its_body_is_there(serve: Serve) -> None:
    app = App()
    begun = threading.Event()

    @app.post("/up/{name}", blocking=True)
    def up(request: Any) -> str:
        begun.set()
        return str(sum(len(piece) for piece in request.stream()))

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        start_response("200 OK", [])
        return [str(len(environ["wsgi.input"].read())).encode()]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            if not message["more_body"]:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": str(size).encode()})
                return

    app.mount("/wsgi", wsgi)
    app.mount("/asgi", asgi)
    server = serve(app, lifespan="off", route=["/up/now stream", "/wsgi/now stream", "/asgi/later no-stream"])
    for path, early in (
        ("/up/now", True), ("/up/later", False), ("/wsgi/now", True), ("/wsgi/later", False), ("/asgi/now", True),
        ("/asgi/later", False),
    ):  # fmt: skip
        begun.clear()
        wire = server.connect().send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab".encode())
        assert begun.wait(5.0 if early else 0.3) == early
        assert wire.send(b"cd").answer()[2] == b"4"


# --- which of them counts


def limit(router: Router, method: str, path: str) -> int:
    route = router.find_route(method, path)
    assert route is not None
    return route.max_body


def test_the_most_specific_one_that_has_an_option_gives_it() -> None:
    app = native()
    router = app.request_manifold.router
    rules = tables(
        "/* limit-body=1", "/sync stream blocking", "/async/* limit-body=2", "/async/{x} limit-body=3",
        "/async/x method=POST limit-body=4", "/async/y method=PUT limit-body=5", "/files/* method=GET limit-body=6",
        "/files/a/* method=HEAD limit-body=7",
    )  # fmt: skip
    told: list[str] = []
    apply_options(router, rules, told.append)
    assert told == ["[[route]] PUT /async/y fits no route of the app: its options change nothing"]
    found = router.find_route("POST", "/sync")
    assert found is not None
    assert (found.max_body, found.streaming, found.blocking) == (1, 1, True)
    assert [limit(router, "POST", path) for path in ("/async/z", "/async/x", "/async/y")] == [3, 4, 3]
    assert [limit(router, method, "/files/a/b") for method in ("GET", "HEAD")] == [6, 7]
    assert [limit(router, method, "/files/b") for method in ("GET", "HEAD")] == [6, 6]
    apply_options(router, (), pytest.fail)
    assert limit(router, "POST", "/limited") == 8
    assert limit(router, "POST", "/async/x") == -1


def test_a_pattern_that_fits_nothing_is_named(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    server = serve(native(), route=["/sync/* limit-body=1", "/sync method=GET limit-body=1", "/{a} limit-body=1"])
    assert status(server, "/sync", 2) == 413
    err = capfd.readouterr().err
    assert "warning: [[route]] /sync/* fits no route of the app: its options change nothing" in err
    assert "warning: [[route]] GET /sync fits no route of the app" in err
    assert err.count("fits no route") == 2


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "/async/x blocking",
            "[[route]] /async/x: POST /async/{name} is async and runs on the loop; it cannot be blocking",
        ),
        ("/* stream", "[[route]] /*: POST /sync runs on the loop and cannot wait for a stream; allowed: with blocking"),
        (
            "/sync method=POST stream",
            "[[route]] POST /sync: POST /sync runs on the loop and cannot wait for a stream; ",
        ),
        (
            "/w/a no-blocking stream",
            "[[route]] /w/a: the WSGI app runs on the loop and cannot wait for a stream; allowed",
        ),
        ("/s/* blocking", "[[route]] /s/*: an ASGI app runs on the loop; it cannot be blocking"),
    ],
)
def test_what_cannot_be(serve: Serve, entry: str, message: str) -> None:
    app = native()
    app.mount("/w", wsgi)
    app.mount("/s", asgi)
    with pytest.raises(ConfigError) as caught:
        serve(app, route=[entry])
    assert str(caught.value).startswith(message)


def test_a_websocket_has_no_such_options(serve: Serve) -> None:
    app = App()

    @app.websocket("/ws")
    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)

    server = serve(app, route=["/* blocking stream"])
    assert server.connect().get("/ws").answer()[0] == 426
