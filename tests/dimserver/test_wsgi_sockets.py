"""WSGI apps that speak WebSocket by themselves: the libraries as they are, with other implementations' clients.

Beside them apps that do with their socket whatever they like, and clients that do with theirs.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until

from dimserver import App

Environ = dict[str, Any]
Start = Callable[..., Any]
Serve = Callable[..., Any]

UPGRADE = (
    b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HELLO = b"\x81\x85\0\0\0\0hello"  # a masked frame of text, and what an echo makes of it
ECHOED = b"\x81\x05hello"
PLAIN = [("Content-Type", "text/plain")]


@pytest.fixture
def run(serve: Serve) -> Callable[..., Any]:
    def start(app: Any, threads: int = 4, **settings: Any) -> Any:
        served = App()
        served.mount("/", app, interface="wsgi")
        return serve(served, threads=threads, **settings)

    return start


def flask_sock(ping_interval: float | None = None) -> Any:
    from flask import Flask
    from flask_sock import Sock

    app = Flask("sockets")
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": ping_interval}
    sock = Sock(app)

    @sock.route("/echo")
    def echo(ws: Any) -> None:
        while True:
            ws.send(ws.receive())

    @sock.route("/once")
    def once(ws: Any) -> None:
        ws.send(ws.receive())

    @sock.route("/fails")
    def fails(ws: Any) -> None:
        raise LookupError("of the app's own")

    @app.get("/")
    def index() -> str:
        return "fine"

    return app


def ws_url(server: Any) -> str:
    return str(server.urls[0]).replace("http://", "ws://")


# --- the libraries ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ping_interval", [None, 25.0])
def test_flask_sock(run: Any, ping_interval: float | None) -> None:
    import simple_websocket
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    server = run(flask_sock(ping_interval))
    with connect(ws_url(server) + "/echo") as ws:
        for message in ("", "a", "é" * 70_000, b"\0" * 1000, "a" * 1_000_000):
            ws.send(message)
            assert ws.recv(PATIENCE) == message
        assert ws.ping().wait(PATIENCE)
    client = simple_websocket.Client(ws_url(server) + "/once")
    client.send("hello")
    assert client.receive(PATIENCE) == "hello"
    with pytest.raises(simple_websocket.ConnectionClosed) as closed:
        client.receive(PATIENCE)
    assert closed.value.reason == 1000  # the app's own goodbye
    with connect(ws_url(server) + "/fails") as ws, pytest.raises(ConnectionClosed):
        ws.recv(PATIENCE)
    with pytest.raises(InvalidStatus) as refused, connect(ws_url(server) + "/"):
        pass
    assert refused.value.response.status_code == 400  # by Flask, which matches this route without a WebSocket
    assert server.connect().get().answer()[2] == b"fine"
    until(lambda: server.worker.pools.index.total_connections() <= 1)


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"], ["polling"]])
def test_flask_socketio(run: Any, transports: list[str]) -> None:
    import socketio
    from flask import Flask
    from flask_socketio import SocketIO

    app = Flask("sockets")
    server_side = SocketIO(app, async_mode="threading")

    @server_side.on("message")
    def on_message(data: str) -> str:
        server_side.send(f"got {data}")
        return f"acknowledged {data}"

    server = run(app)
    client = socketio.Client()
    got: list[Any] = []
    client.on("message", got.append)
    client.connect(server.urls[0], transports=transports)
    assert client.transport() == transports[-1]
    for n in range(3):
        assert client.call("message", f"{n}", timeout=PATIENCE) == f"acknowledged {n}"
    until(lambda: got == ["got 0", "got 1", "got 2"])
    client.disconnect()
    until(lambda: server.worker.pipeline.get_stats()["in_flight"] == 0)


def test_simple_websocket_alone(run: Any) -> None:
    import simple_websocket

    def app(environ: Environ, start: Start) -> list[bytes]:
        ws = simple_websocket.Server.accept(environ, subprotocols=["chat"])
        ws.send(f"{ws.mode} {ws.subprotocol} {ws.receive()}")
        ws.close(1001, "enough")
        start("200 OK", PLAIN)
        return [b"this goes nowhere"]

    server = run(app)
    client = simple_websocket.Client(ws_url(server) + "/", subprotocols=["chat"])
    client.send("hello")
    assert client.receive(PATIENCE) == "gunicorn chat hello"
    with pytest.raises(simple_websocket.ConnectionClosed) as closed:
        client.receive(PATIENCE)
    assert (closed.value.reason, closed.value.message) == (1001, "enough")


def test_over_a_unix_socket(run: Any, tmp_path: pathlib.Path) -> None:
    from websockets.sync.client import unix_connect

    path = str(tmp_path / "s")
    server = run(flask_sock(), uds=path)
    with unix_connect(path, "ws://localhost/echo") as ws:
        ws.send("hello")
        assert ws.recv(PATIENCE) == "hello"
    until(lambda: server.worker.pools.index.total_connections() == 0)


# --- as a user starts it ----------------------------------------------------------------------------

PROGRAM = """
from flask import Flask
from flask_sock import Sock

app = Flask("shop")
sock = Sock(app)

@sock.route("/echo")
def echo(ws):
    try:
        while True:
            ws.send(ws.receive())
    finally:
        open("ended", "a").write("x")

@app.get("/")
def index():
    return "fine"
"""


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shop.py").write_text(PROGRAM)
    return tmp_path


def echo_on(server: Any) -> Any:
    wire = server.connect().send(UPGRADE)
    assert wire.answer()[0] == 101
    wire.send(HELLO)
    while len(wire.left) < len(ECHOED):
        wire.more()
    assert wire.left == ECHOED
    wire.left = b""
    return wire


def test_a_stop_with_open_sockets(child: Any, shop: pathlib.Path) -> None:
    server = child(
        "run", "shop", "--port", "0", "--threads", "3", "--drain", "1200ms", "--access-log", "common", cwd=shop,
        python=("-X", "dev"),
    )  # fmt: skip
    wires = [echo_on(server) for _ in range(3)]
    waiting = server.connect().send(UPGRADE)  # for a thread: there are three
    began = time.monotonic()
    server.hint(signal.SIGTERM)
    time.sleep(0.5)
    wires[0].send(HELLO)  # the app goes on meanwhile
    wires[0].more()
    assert wires[0].left == ECHOED
    wires[0].left = b""
    code, out, err = server.end(0)
    assert (code, 0.8 < time.monotonic() - began < 5) == (0, True)
    assert "was killed" not in err
    assert out.count('"GET /echo HTTP/1.1" 101 0') == 3
    assert all(wire.ended() for wire in wires)
    with contextlib.suppress(EOFError, ConnectionResetError):
        assert waiting.answer()[0] == 503
    assert (shop / "ended").read_text() == "xxx"  # each of them came to its end


def test_a_reload_with_open_sockets(child: Any, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--drain", "1s", cwd=shop, python=("-X", "dev"))
    wire = echo_on(server)
    old = server.worker
    server.hint(signal.SIGHUP)
    until(lambda: old not in server.workers)
    assert wire.ended()
    echo_on(server)
    code, _, err = server.end()
    assert (code, "was killed" in err) == (0, False)


# --- what an app does with it -----------------------------------------------------------------------


def switch(sock: Any) -> None:
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")


def test_an_app_that_takes_no_notice(run: Any) -> None:
    seen: list[bool] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        seen.append("gunicorn.socket" in environ)
        repr(environ)
        start("200 OK", PLAIN)
        return [b"plain"]

    server = run(app)
    wire = server.connect()
    for _ in range(3):  # the connection stays an ordinary one
        assert wire.send(UPGRADE).answer()[2] == b"plain"
    assert wire.get().answer()[2] == b"plain"
    for fields in ("Content-Length: 2", "Transfer-Encoding: chunked"):
        body = b"ab" if "Length" in fields else b"2\r\nab\r\n0\r\n\r\n"
        wire.get("/", fields, "Connection: upgrade", "Upgrade: websocket").send(body)
        assert wire.answer()[2] == b"plain"
    wire.get("/", "Connection: upgrade", "Upgrade: h2c").answer()
    wire.get("/", "Upgrade: websocket").answer()
    wire.get("/", "Connection: upgrade", "Upgrade: websocket", method="POST").answer()
    assert seen == [True] * 3 + [False] * 6


def test_on_the_loop_there_is_none(run: Any) -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", PLAIN)
        return [str("gunicorn.socket" in environ).encode()]

    assert run(app, threads=0).connect().send(UPGRADE).answer()[2] == b"False"


@pytest.mark.parametrize(
    "ending", ["returns", "raises", "stops", "connection", "generates", "answers", "exit", "write", "iterates"]
)
def test_what_it_does_afterwards_goes_nowhere(run: Any, tmp_path: pathlib.Path, ending: str) -> None:
    log = tmp_path / "log"
    closed: list[str] = []

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("nobody wants this")

        def close(self) -> None:
            closed.append("closed")

    def generator(environ: Environ, start: Start) -> Iterator[bytes]:
        use(environ)
        start("200 OK", PLAIN)
        try:
            yield b"nowhere"
        finally:
            closed.append("closed")

    def use(environ: Environ) -> None:
        sock = environ["gunicorn.socket"]
        assert sock.fileno() > 2
        switch(sock)
        sock.sendall(b"<" + sock.recv(100) + b">")

    def app(environ: Environ, start: Start) -> Any:
        if ending == "generates":
            return generator(environ, start)
        use(environ)
        if ending == "raises":
            raise LookupError("of the app's own")
        if ending == "stops":
            raise StopIteration
        if ending == "connection":
            raise BrokenPipeError
        if ending == "exit":
            raise SystemExit(3)
        if ending == "write":
            write = start("200 OK", PLAIN)
            with contextlib.suppress(BrokenPipeError):
                write(b"nowhere")
        if ending == "answers":
            start("500 Oh", PLAIN)
            return [b"nowhere"]
        return Pieces() if ending == "iterates" else []

    server = run(app, log_file=str(log))
    for _ in range(2):
        wire = server.connect().send(UPGRADE)
        assert wire.answer()[0] == 101
        wire.send(b"hello")
        while len(wire.left) < 7:
            wire.more()
        assert wire.left == b"<hello>"
        wire.left = b""
        assert wire.ended()
    wire.close()
    until(lambda: server.worker.pipeline.get_stats()["in_flight"] == 0)
    until(lambda: ending not in ("iterates", "generates") or closed == ["closed"] * 2)
    text = log.read_text() if log.exists() else ""
    if ending in ("raises", "exit"):
        assert text.count("a WSGI app failed after it had taken its socket") == 2
        assert text.count("GET /echo") >= 2
    else:
        assert text == ""


def test_an_answer_that_has_begun(run: Any) -> None:
    found: list[BaseException] = []

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", [*PLAIN, ("Content-Length", "4")])
        yield b"ab"
        time.sleep(0.1)
        try:
            environ["gunicorn.socket"].recv(1)
        except ConnectionResetError as error:
            found.append(error)
        yield b"cd"

    wire = run(app).connect()
    for _ in range(2):
        assert wire.send(UPGRADE).answer()[2] == b"abcd"
    assert len(found) == 2


def test_a_socket_that_is_kept(run: Any) -> None:
    """What an app still has when its call is over is closed with the connection, and taken by nobody later."""
    kept: list[Any] = []
    ends: list[bytes] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        sock = environ["gunicorn.socket"]
        kept.append(sock)
        if environ["PATH_INFO"] == "/echo":
            switch(sock)
            threading.Thread(target=lambda: ends.append(sock.recv(1)), daemon=True).start()
            return []
        start("200 OK", PLAIN)
        return [b"plain"]

    server = run(app)
    wire = server.connect().send(UPGRADE)
    assert wire.answer()[0] == 101
    assert wire.ended()
    wire.close()
    until(lambda: ends == [b""])
    wire = server.connect().send(UPGRADE.replace(b"/echo", b"/plain"))
    assert wire.answer()[2] == b"plain"
    with pytest.raises(ConnectionResetError):
        kept[1].sendall(b"too late")
    assert wire.send(UPGRADE.replace(b"/echo", b"/plain")).answer()[2] == b"plain"


def test_a_thread_of_the_app_s_may_take_it(run: Any) -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        thread = threading.Thread(target=switch, args=(environ["gunicorn.socket"],))
        thread.start()
        thread.join()
        return []

    wire = run(app).connect().send(UPGRADE)
    assert wire.answer()[0] == 101
    assert wire.ended()


def test_the_watchdog_is_not_told_of_it(run: Any, tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    server = run(flask_sock(), watchdog="100ms", log_file=str(log))
    wire = echo_on(server)
    time.sleep(0.5)
    assert "still running" not in (log.read_text() if log.exists() else "")
    wire.close()


def test_its_place_among_the_others(run: Any) -> None:
    server = run(flask_sock(), max_websocket=1, ws_ping="100ms", ws_timeout="100ms", timeout="200ms")
    wire = echo_on(server)
    counts = server.worker.pools.get_stats()["spiral_1"]
    assert (counts["total_connections"], counts["idle_connections"]) == (1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        second = server.connect().send(UPGRADE)
        status, headers, body = second.answer()
    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    assert body == b"no room for another WebSocket\n"
    assert second.ended()
    second.close()
    time.sleep(0.5)  # no limit of an idle one ends what the app has
    wire.send(HELLO)
    wire.more()
    assert wire.left == ECHOED
    wire.close()
    until(lambda: server.worker.pools.index.total_connections() == 0)
    echo_on(server).close()


# --- what a client does with it ---------------------------------------------------------------------


# What a client sends in an open WebSocket before it leaves.
BROKEN = {
    "nothing": b"",
    "half a head": b"\x81",
    "half a message": b"\x81\xfe\xff\xff\0\0\0\0part",
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "no frame": b"\xff" * 99,
    "no mask": b"\x81\x05hello",
}


def reset(wire: Any) -> None:
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


@pytest.mark.parametrize("ping_interval", [None, 25.0])
@pytest.mark.parametrize(
    "cut", [len(UPGRADE) - 1, len(UPGRADE), len(UPGRADE) + 1, len(UPGRADE) + 7, len(UPGRADE) + len(HELLO)]
)
def test_a_client_that_does_not_wait_for_101(run: Any, ping_interval: float | None, cut: int) -> None:
    wire = run(flask_sock(ping_interval)).connect()
    stream = UPGRADE + HELLO
    wire.send(stream[:cut])
    time.sleep(0.05)
    began = time.monotonic()
    wire.send(stream[cut:])
    assert wire.answer()[0] == 101
    while len(wire.left) < len(ECHOED):
        wire.more()
    assert wire.left == ECHOED
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("leave", ["close", "reset", "half"])
@pytest.mark.parametrize("what", BROKEN.values(), ids=BROKEN)
def test_a_client_that_breaks_the_protocol_and_leaves(run: Any, what: bytes, leave: str) -> None:
    server = run(flask_sock(), threads=1)
    wire = echo_on(server)
    wire.send(what)
    if leave == "half":
        wire.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while wire.sock.recv(4096):
                pass
        wire.close()
    elif leave == "reset":
        reset(wire)
    else:
        wire.close()
    until(lambda: server.worker.pools.index.total_connections() == 0)
    assert server.connect().get().answer()[2] == b"fine"  # by the only thread
    echo_on(server)


@pytest.mark.parametrize("head", [b"", b"Sec-WebSocket-Key: x\r\n", b"Sec-WebSocket-Version: 99\r\n"])
def test_a_handshake_that_the_library_refuses(run: Any, head: bytes) -> None:
    server = run(flask_sock(), threads=1)
    wire = server.connect()
    wire.send(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" + head + b"\r\n")
    try:
        assert wire.answer()[0] in (101, 400, 426, 500)
    except EOFError:
        pass  # nothing was taken to be answered
    wire.close()
    assert server.connect().get().answer()[2] == b"fine"


def test_more_sockets_than_threads(run: Any) -> None:
    """Those that find no thread wait; whoever leaves makes room for the next, in order."""
    server = run(flask_sock(), threads=4)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    wires = [server.connect().send(UPGRADE) for _ in range(200)]
    served = 0
    for at, wire in enumerate(wires):
        assert wire.answer()[0] == 101
        wire.send(HELLO)
        while len(wire.left) < len(ECHOED):
            wire.more()
        assert wire.left == ECHOED
        served += 1
        if at % 3 == 0:
            reset(wire)
        else:
            wire.close()
    assert served == 200
    until(lambda: server.worker.pools.index.total_connections() == 0)
    assert server.connect().get().answer()[2] == b"fine"
    if before:
        until(lambda: len(os.listdir("/proc/self/fd")) <= before + 10)  # noqa: PTH208


def test_a_stop_with_more_sockets_than_threads(run: Any) -> None:
    server = run(flask_sock(), threads=4, drain="1s")
    wires = [server.connect().send(UPGRADE) for _ in range(200)]
    for wire in wires[:4]:
        assert wire.answer()[0] == 101
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 8
    for wire in wires:
        with contextlib.suppress(ConnectionResetError, EOFError):
            while True:
                wire.more()
    until(lambda: not any(thread.name.startswith("dimserver-") for thread in threading.enumerate()))


@pytest.mark.parametrize("what", ["reads nothing", "sends nothing", "heeds nothing"])
def test_a_stop_that_has_to_cut(run: Any, what: str) -> None:
    """What a thread waits for at its socket ends with the drain limit; what it waits for elsewhere does not."""
    ended = threading.Event()
    began = threading.Event()
    go_on = threading.Event()

    def app(environ: Environ, start: Start) -> list[bytes]:
        sock = environ["gunicorn.socket"]
        switch(sock)
        began.set()
        try:
            if what == "heeds nothing":
                go_on.wait(PATIENCE)
            while what == "reads nothing" or sock.recv(1):
                sock.sendall(bytes(100_000))
        finally:
            ended.set()
        return []

    server = run(app, drain="800ms")
    wire = server.connect().send(UPGRADE)
    assert wire.answer()[0] == 101
    assert began.wait(PATIENCE)
    since = time.monotonic()
    server.stop()
    assert time.monotonic() - since < 5
    go_on.set()
    assert ended.wait(PATIENCE)
    wire.left = b""
    with contextlib.suppress(ConnectionResetError, EOFError):
        while True:
            wire.more()
