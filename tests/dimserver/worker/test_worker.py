"""The worker: that every setting has its effect, and that starting and stopping leave nothing behind."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.ports import free_port
from tests.support.processes import descriptors
from tests.support.waiting import PATIENCE, until

import dimserver
from dimcore import ConnectionPoint, TopicLimit, encode_frame
from dimcore.index.pools import PoolFull
from dimserver import App, Response
from dimserver.config import BY_ATTRIBUTE, Settings
from dimserver.errors import ConfigError, StartError
from dimserver.worker.worker import Worker

Serve = Callable[..., Any]
SOURCES = pathlib.Path(dimserver.__file__).parents[1]
SOON = 5.0  # seconds; far above any limit set here, far below every default


@pytest.fixture
def app() -> App:
    app = App()
    app.route("/", lambda request: "index")
    app.route("/echo", lambda request: request.body, methods=["POST"])
    app.route("/thread", lambda request: threading.current_thread().name)
    app.route("/big", lambda request: bytes(64 << 20))
    app.route("/fail", lambda request: 1 / 0)
    app.get("/slow", blocking=True)(lambda request: time.sleep(1.5))
    app.get("/nap", blocking=True)(lambda request: time.sleep(0.4))
    return app


def child_environment() -> dict[str, str]:
    """The variables for a process that runs in another directory."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")])}


def closed_within(wire: Any, seconds: float) -> bool:
    wire.sock.settimeout(seconds)
    try:
        return wire.ended()
    except TimeoutError:
        return False


# --- every setting ------------------------------------------------------------------------------
# One function for each row of the table, named for it: a row that no function observes is a promise not kept.


def set_host(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert serve(app, host="0.0.0.0").url.startswith("http://0.0.0.0:")


def set_port(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    port = free_port()
    assert serve(app, port=port).url == f"http://127.0.0.1:{port}"


def set_uds(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, uds=tmp_path / "s")
    assert server.connect().get().answer()[0] == 200


def set_uds_mode(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    serve(app, uds=tmp_path / "s", uds_mode="0620")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o620
    serve(App(), uds=tmp_path / "t")
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o666


def set_fd(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = serve(app, fd=sock.detach())
    assert server.connect().get().answer()[0] == 200


def set_backlog(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    path = str(tmp_path / "s")
    clients = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    worker = Worker(app, Settings(uds=path, backlog=3))  # not running: nobody accepts
    connected = 0
    for client in clients:
        client.setblocking(False)
        try:
            client.connect(path)
        except BlockingIOError:
            break
        connected += 1
    assert 3 <= connected <= 5  # systems count one or two more
    worker.stop()
    worker.run()
    for client in clients:
        client.close()


def set_admin(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, admin="127.0.0.1:0")
    assert server.connect(1).get("/api/stats", "X-Forwarded-For: 1.2.3.4").answer()[0] == 200
    assert server.connect(0).get("/api/stats").answer()[0] == 404


def set_admin_mode(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    serve(app, admin=tmp_path / "s", admin_mode="0620")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o620
    serve(App(), admin=tmp_path / "t")
    assert (tmp_path / "t").stat().st_mode & 0o777 == 0o600


def set_interface(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    # An App is native whoever says so; `dimserver run` reads this for what else there may be.
    assert serve(app, interface="native").connect().get().answer()[0] == 200


class Mounted:
    """Stands for a foreign app, and says what it was told."""

    interface, asynchronous, blocking, streaming, prefix, app = "wsgi", False, False, 0, "", None

    def configure(self, settings: Settings, facts: object) -> None:  # noqa: ARG002
        self.settings = settings

    def __call__(self, request: object) -> dict[str, str]:  # noqa: ARG002
        return {"root_path": self.settings.root_path, "lifespan": self.settings.lifespan}


def mounted(serve: Serve, **settings: str) -> Any:
    app = App()
    app.request_manifold.register_route("*", "/", Mounted(), exact=False)
    return json.loads(serve(app, **settings).connect().get().answer()[2])


def set_stream_bodies(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    for setting in (False, True):
        called: list[bool] = []

        def wsgi(environ: Any, start_response: Any, called: list[bool] = called) -> list[bytes]:
            called.append(True)
            body = environ["wsgi.input"].read()
            start_response("200 OK", [])
            return [b"%d" % len(body)]

        app = App()
        app.mount("/", wsgi, interface="wsgi")
        wire = serve(app, stream_bodies=setting).connect()
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        end = time.monotonic() + (SOON if setting else 0.1)
        while not called and time.monotonic() < end:
            time.sleep(0.005)
        assert bool(called) is setting
        assert wire.send(b"0\r\n\r\n").answer()[2] == b"3"


def set_factory(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    # As for `interface`: what is served here was made already.
    assert serve(app, factory=True).connect().get().answer()[0] == 200


def set_root_path(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert mounted(serve, root_path="/below/")["root_path"] == "/below"


def set_lifespan(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert mounted(serve, lifespan="on")["lifespan"] == "on"


def set_asgi_pathsend(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    async def extensions(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": ",".join(scope["extensions"]).encode()})

    app.mount("/", extensions, interface="asgi")
    wire = serve(app, asgi_pathsend=True, lifespan="off").connect()
    assert b"http.response.pathsend" in wire.get("/asgi").answer()[2]


def set_static(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert serve(app, static=str(tmp_path)).connect().get("/a.txt").answer()[2] == b"a"


def set_static_charset(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    (tmp_path / "a.txt").write_text("a")
    wire = serve(app, static=str(tmp_path), static_charset="koi8-r").connect()
    assert wire.get("/a.txt").answer()[1]["content-type"] == "text/plain; charset=koi8-r"


def set_api(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert serve(app, api=True).connect().get("/api/status").answer()[0] == 200
    assert serve(App(), api=False).connect().get("/api/status").answer()[0] == 404


def set_api_token(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = serve(app, api=True, api_token="abc").connect()
    stranger = "X-Forwarded-For: 1.2.3.4"
    assert wire.get("/api/stats", stranger).answer()[0] == 403
    assert wire.get("/api/stats", stranger, "Authorization: Bearer abc").answer()[0] == 200


def set_api_token_file(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    (tmp_path / "token").write_text("abc\n")
    wire = serve(app, api=True, api_token_file=tmp_path / "token").connect()
    assert wire.get("/api/stats").answer()[0] == 403
    assert wire.get("/api/stats", "Authorization: Bearer abc").answer()[0] == 200


def set_local_hosts(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = serve(app, api=True, local_hosts="my.host").connect()
    for host, status in (("my.host", 200), ("your.host", 403)):
        wire.send(f"GET /api/stats HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert wire.answer()[0] == status


def set_forwarded_host(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    app.route("/host", lambda request: request.host)
    for told, expected in ((False, b"localhost"), (True, b"shop.example")):
        wire = serve(app, trusted_proxies="127.0.0.1", forwarded_host=told).connect()
        assert wire.get("/host", "X-Forwarded-Host: shop.example").answer()[2] == expected


def set_workers(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    words = [sys.executable, "-m", "dimserver", "run", "--port", "0", "--workers", "3"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().endswith(f"(pid {process.pid}, 3 workers)\n")
    process.terminate()
    process.communicate()


def set_threads(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert serve(app, threads=2).connect().get("/thread").answer()[2] == b"dimserver-0"


def set_loop(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    def running(request: Any) -> str:
        try:
            return type(asyncio.get_running_loop()).__module__.partition(".")[0]
        except RuntimeError:
            return "none"

    app.get("/loop")(running)
    assert serve(app).connect().get("/loop").answer()[2] == b"none"
    assert serve(app, loop="asyncio").connect().get("/loop").answer()[2] == b"asyncio"
    have_uvloop = importlib.util.find_spec("uvloop") is not None
    if have_uvloop:
        assert serve(app, loop="uvloop").connect().get("/loop").answer()[2] == b"uvloop"
    else:
        with pytest.raises(ConfigError, match=r"pip install 'dimserver\[uvloop\]'"):
            serve(app, loop="uvloop")

    async def handler(request: Any) -> str:
        return running(request)

    app.get("/async")(handler)
    expected = b"uvloop" if have_uvloop else b"asyncio"
    assert serve(app).connect().get("/async").answer()[2] == expected


def run_until(
    tmp_path: pathlib.Path, wanted: str, *words: str, act: Callable[[Any], object] = lambda process: None
) -> str:
    """Run a server of its own until it says what is wanted on standard error."""
    (tmp_path / "own.py").write_text(
        "import time\nfrom dimserver import App\napp = App()\napp.get('/hang')(lambda request: time.sleep(60))\n"
    )
    command = [sys.executable, "-m", "dimserver", "run", "own", "--uds", "s", *words]
    with subprocess.Popen(
        command, cwd=tmp_path, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        impatience = threading.Timer(20, process.kill)
        impatience.start()
        act(process)
        seen = ""
        while wanted not in seen:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        process.terminate()
        process.communicate()
        impatience.cancel()
    return seen


def set_worker_timeout(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    held = []

    def hang(process: Any) -> None:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(tmp_path / "s"))
        sock.sendall(b"GET /hang HTTP/1.1\r\nHost: test\r\n\r\n")
        held.append(sock)

    wanted = "was killed: its loop was blocked for more than 0.5 s (worker-timeout)"
    seen = run_until(tmp_path, wanted, "--worker-timeout", "500ms", act=hang)
    assert "own.py" in seen  # where it hung
    held[0].close()


def set_recycle_age(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    run_until(tmp_path, "is replaced: it is ", "--recycle-age", "100ms")


def set_recycle_requests(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    def ask(process: Any) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "s"))
            sock.sendall(b"GET /none HTTP/1.1\r\nHost: test\r\n\r\n" * 3)
            sock.recv(1000)

    run_until(tmp_path, "is replaced: it has served ", "--recycle-requests", "2", act=ask)


def set_recycle_memory(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    run_until(tmp_path, "is replaced: it uses ", "--recycle-memory", "1")


def set_pidfile(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    def reload(process: Any) -> None:
        assert (tmp_path / "pid").read_text() == f"{process.pid}\n"
        words = [sys.executable, "-m", "dimserver", "reload", "--pidfile", "pid"]
        done = subprocess.run(words, cwd=tmp_path, env=child_environment(), capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"dimserver: process {process.pid} has reloaded in ")

    run_until(tmp_path, "info: reload: ", "--pidfile", "pid", act=reload)
    assert not (tmp_path / "pid").exists()


def set_reload(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    pytest.importorskip("watchfiles")
    done = threading.Event()

    def change(process: Any) -> None:
        def write() -> None:
            while not done.wait(0.2):
                (tmp_path / "other.py").write_text(str(time.monotonic()))

        threading.Thread(target=write, daemon=True).start()

    run_until(tmp_path, "info: changed: ", "--reload", act=change)
    done.set()


def set_max_connections(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, max_connections=1)
    assert server.connect().get().answer()[0] == 200
    assert server.connect().get().answer()[0] == 503


def set_max_http(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, max_http=1)
    assert server.connect().get().answer()[0] == 200
    assert server.connect().get().answer()[0] == 503


def set_max_websocket(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    serve(app, max_websocket=1)
    app.connection_manifold.manifest_connection(pool_type="websocket")
    with pytest.raises(PoolFull):
        app.connection_manifold.manifest_connection(pool_type="websocket")


def set_max_api(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, max_api=1, api=True)
    assert server.connect().get("/api/status").answer()[0] == 200
    assert server.connect().get("/api/status").answer()[0] == 503
    assert server.connect().get("/").answer()[0] == 200


def set_max_per_address(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, max_per_address=1, admin="127.0.0.1:0")
    mine = server.connect()
    assert mine.get().answer()[0] == 200
    assert server.connect().get().answer()[0] == 503
    assert [server.connect(1).get("/api/stats").answer()[0] for _ in range(2)] == [200, 200]
    mine.close()
    until(lambda: server.connect().get().answer()[0] == 200)


def set_admin_reserve(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, max_connections=1, admin_reserve=1, admin="127.0.0.1:0")
    assert server.connect().get().answer()[0] == 200
    assert server.connect(1).get("/api/stats").answer()[0] == 200
    assert server.connect(1).get("/api/stats").answer()[0] == 503


def set_limit_request_line(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, limit_request_line=100)
    assert server.connect().get("/" + "a" * 70).answer()[0] == 404
    assert server.connect().get("/" + "a" * 100).answer()[0] == 414


def set_limit_head(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, limit_head=300)
    assert server.connect().get("/", *["A: " + "b" * 50] * 3).answer()[0] == 200
    assert server.connect().get("/", *["A: " + "b" * 50] * 6).answer()[0] == 431


def set_limit_field(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, limit_field=100)
    assert server.connect().get("/", "A: " + "b" * 50).answer()[0] == 200
    assert server.connect().get("/", "A: " + "b" * 100).answer()[0] == 431


def set_limit_fields(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, limit_fields=3)
    assert server.connect().get("/", "A: b", "C: d").answer()[0] == 200
    assert server.connect().get("/", "A: b", "C: d", "E: f").answer()[0] == 431


def set_limit_body(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, limit_body=10)
    post = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"
    assert server.connect().send(post % 10 + b"0123456789").answer()[0] == 200
    assert server.connect().send(post % 11).answer()[0] == 413


def set_body_memory(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    app.post("/kind")(lambda request: type(next(request.stream())).__name__ + str(len(list(request.stream()))))
    post = b"POST /kind HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"
    body = b"x" * 200_000
    assert serve(app, body_memory=300_000).connect().send(post % len(body) + body).answer()[2] == b"bytes1"
    assert serve(app, body_memory=1000).connect().send(post % len(body) + body).answer()[2] == b"bytes4"


def upload(size: int, sent: int, path: bytes = b"/echo") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (path, size) + b"x" * sent


def set_budget_memory(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    app.route("/size", lambda request: str(len(request.body)), methods=["POST"])
    server = serve(app, budget_memory=1 << 20)
    wires = [server.connect().send(upload(500_000, 250_000, b"/size")) for _ in range(6)]
    memory = server.worker._core.memory
    end = time.monotonic() + SOON
    while memory.refused < 3:  # two have the three quarters that are for large ones, the others are in files
        assert time.monotonic() < end
        time.sleep(0.005)
    assert memory.limit == 1 << 20
    assert memory.used <= memory.limit
    for wire in wires:
        assert wire.send(b"x" * 250_000).answer()[2] == b"500000"


def set_budget_spool(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, body_memory=0, budget_spool=1 << 20)
    first, second = (server.connect().send(upload(900_000, 600_000)) for _ in range(2))
    second.sock.settimeout(SOON)
    assert second.answer()[0] == 503
    assert first.send(b"x" * 300_000).answer()[0] == 200
    assert server.worker._core.disk.limit == 1 << 20


def set_spool_dir(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    (tmp_path / "spool").mkdir()
    server = serve(app, body_memory=0, spool_dir=str(tmp_path / "spool"))
    head, body = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n", b"some body"
    wire = server.connect().send(head + body[:4])
    links = pathlib.Path("/proc/self/fd")
    if links.is_dir():
        end = time.monotonic() + SOON
        # "(deleted)": between its creation and its removal it has a name for a moment.
        while not any(
            str(link.readlink()).startswith(str(tmp_path)) and str(link.readlink()).endswith("(deleted)")
            for link in links.iterdir()
            if link.is_symlink()
        ):
            assert time.monotonic() < end
            time.sleep(0.005)
    assert list((tmp_path / "spool").iterdir()) == []
    assert wire.send(body[4:]).answer()[2] == body
    (tmp_path / "spool").rmdir()  # and it is asked for each time
    assert server.connect().send(head + body[:4]).answer()[0] == 503


def set_timeout(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = serve(app, timeout=0.1).connect()
    assert wire.get().answer()[0] == 200
    assert closed_within(wire, SOON)


def set_timeout_connect(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert closed_within(serve(app, timeout_connect=0.1).connect(), SOON)


def set_timeout_handshake(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    def advance(request: Any) -> str:
        for point in app.connection_manifold.index.get_at(0, 1):
            app.connection_manifold.transition(point.id, 2)
        return "done"

    app.route("/advance", advance)
    server = serve(app, timeout_handshake=0.1)
    waiting = server.connect()
    assert server.connect().get("/advance").answer()[2] == b"done"
    assert closed_within(waiting, SOON)


def set_timeout_head(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = serve(app, timeout_head=0.1).connect().send(b"GET / HTTP/1.1\r\nHost:")
    wire.sock.settimeout(SOON)
    assert wire.answer()[0] == 408


def set_timeout_half_closed(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    async def long(request: Any) -> str:
        await asyncio.sleep(SOON + 2)
        return "done"

    app.route("/long", long)
    wire = serve(app, timeout_half_closed=0.1).connect().get("/long")
    wire.sock.shutdown(socket.SHUT_WR)
    assert closed_within(wire, SOON)


def set_timeout_linger(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, timeout_linger=0.1)
    wire = server.connect().send(b"nonsense\r\n\r\n")
    assert wire.answer()[0] == 400
    end = time.monotonic() + 1.5  # below the default
    while server.worker.pools.index.total_connections():  # the client has not closed
        assert time.monotonic() < end
        time.sleep(0.01)


def set_timeout_linger_silence(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, timeout_linger_silence=0.1)
    assert server.connect().send(b"nonsense\r\n\r\n").answer()[0] == 400
    end = time.monotonic() + 3  # below the default
    while server.worker.pools.index.total_connections():  # the client has not closed
        assert time.monotonic() < end
        time.sleep(0.01)


def set_rate_body(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    post = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n0"
    slow = serve(app, rate_body=100_000, rate_credit=0.1).connect().send(post)
    slow.sock.settimeout(SOON)
    assert slow.answer()[0] == 408
    patient = serve(App(), rate_body=0, rate_credit=0.1).connect().send(post)
    assert not closed_within(patient, 1)


def set_rate_send(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, rate_send=100_000, rate_credit=0.1)
    server.connect().get("/big")  # and reads nothing of it
    index = server.worker.pools.index
    until(lambda: index.added and index.total_connections() == 0)


def set_rate_credit(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = serve(app, rate_body=100_000, rate_credit=2).connect()
    wire.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n0")
    assert not closed_within(wire, 1)


def set_watchdog(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert serve(app, watchdog=0.1).connect().get("/nap").answer()[0] == 500  # its None is no answer
    assert re.search(r"handler still running after [\d.]+ s: GET /nap", capfd.readouterr().err)
    assert serve(app).connect().get("/nap").answer()[0] == 500
    assert "still running" not in capfd.readouterr().err


# WebSockets: frames of a client, whose mask is zero, and what comes back.
SHAKE = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


class Talk:
    """Sends back as many bytes as it is told, three times at once."""

    def on_message(self, ws: Any, message: str | bytes) -> None:
        for _ in range(3 if len(message) > 1 else 1):
            ws.send(b"x" * int(message) if isinstance(message, str) else message)


def socket_of(server: Any, *fields: str) -> Any:
    wire = server.connect()
    status, headers, _ = wire.get("/ws", *SHAKE, *fields).answer()
    assert status == 101
    wire.headers = headers
    return wire


def masked(opcode: int, payload: bytes, final: bool = True) -> bytes:
    return encode_frame(opcode, payload, mask=bytes(4), final=final)


def received(wire: Any, size: int) -> bytes:
    while len(wire.left) < size:
        wire.more()
    found, wire.left = wire.left[:size], wire.left[size:]
    return bytes(found)


def sockets(**settings: Any) -> App:
    app = App(**settings)
    app.websocket("/ws", Talk)
    return app


def set_ws_max_message(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = socket_of(serve(sockets(), ws_max_message=10))
    wire.send(masked(2, b"x") + masked(2, b"x" * 11))
    assert received(wire, 7) == b"\x82\x01x" + b"\x88\x19\x03\xf1"  # 1009


def set_ws_max_frames(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = socket_of(serve(sockets(), ws_max_frames=2))
    wire.send(masked(2, b"x", False) + masked(0, b"", False) + masked(0, b"", False))
    assert received(wire, 4)[2:] == b"\x03\xf1"


def set_ws_buffer(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    # Three times 8 MiB do not fit what the kernel takes: the third finds more waiting than is allowed, or not.
    for buffer, third in (("64KiB", False), ("64MiB", True)):
        wire = socket_of(serve(sockets(), ws_buffer=buffer, ws_slow="drop"))
        wire.send(masked(1, b"8388608"))
        frames = 3 if third else 1
        assert len(received(wire, frames * (10 + (8 << 20)))) == frames * (10 + (8 << 20))
        wire.send(masked(2, b"!"))
        assert received(wire, 3) == b"\x82\x01!"


def set_ws_slow(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = socket_of(serve(sockets(), ws_buffer="64KiB", ws_slow="close-1008"))
    wire.send(masked(1, b"8388608"))
    received(wire, 10 + (8 << 20))
    assert received(wire, 4)[2:] == b"\x03\xf0"


def set_ws_deflate(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    assert "sec-websocket-extensions" not in socket_of(serve(sockets()), offer).headers
    assert (
        "permessage-deflate" in socket_of(serve(sockets(), ws_deflate=True), offer).headers["sec-websocket-extensions"]
    )


def rooms() -> App:
    """A socket that is subscribed to what its messages name."""
    app = App()

    @app.websocket("/ws")
    class Room:
        def on_message(self, ws: Any, message: str) -> None:
            try:
                ws.send("yes" if app.topic(message).subscribe(ws) else "no")
            except TopicLimit as error:
                ws.send(str(error))

    return app


def set_topic_buffer(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    for buffer, second in (("2KiB", b"False"), ("1MiB", b"True")):
        app = rooms()
        app.get("/publish")(lambda request, app=app: str([app.topic("x").publish("x" * 1024) for _ in range(2)][1]))
        server = serve(app, topic_buffer=buffer)
        wire = socket_of(server)
        wire.send(masked(1, b"x"))
        assert received(wire, 5) == b"\x81\x03yes"
        assert server.connect().get("/publish").answer()[2] == second


def set_max_topics(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(rooms(), max_topics=2)
    for name, answer in ((b"a", b"yes"), (b"b", b"yes"), (b"c", b"2 topics have subscribers already (max-topics)")):
        wire = socket_of(server)
        wire.send(masked(1, name))
        assert received(wire, 2 + len(answer))[2:] == answer


def set_topics_per_socket(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = socket_of(serve(rooms(), topics_per_socket=2))
    most = b"a socket may be subscribed to 2 topics (topics-per-socket)"
    for name, answer in ((b"a", b"yes"), (b"b", b"yes"), (b"a", b"no"), (b"c", most)):
        wire.send(masked(1, name))
        assert received(wire, 2 + len(answer))[2:] == answer


def asked_at_a_server(app: App, serve: Serve, **settings: Any) -> bytes:
    """What comes at a Redis server that says what is wanted, until somebody subscribes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        server = serve(app, pubsub=f"redis://127.0.0.1:{listener.getsockname()[1]}/0", **settings)
        data = b""
        while b"PSUBSCRIBE" not in data:
            client, _ = listener.accept()
            with client:
                client.settimeout(20)
                while b"PSUBSCRIBE" not in data and (more := client.recv(4096)):
                    data += more
                    for command in re.findall(rb"\*\d+\r\n\$\d+\r\n(\w+)", more):
                        client.sendall(b"+PONG\r\n" if command == b"PING" else b"+OK\r\n")
    server.stop()
    return data


def set_pubsub(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert b"dimserver:*" in asked_at_a_server(rooms(), serve)


def set_pubsub_prefix(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert b"mine:*" in asked_at_a_server(rooms(), serve, pubsub_prefix="mine:")


def set_ws_ping(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    assert received(socket_of(serve(sockets(), ws_ping=0.1)), 2) == b"\x89\x00"


def set_ws_timeout(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = socket_of(serve(sockets(), ws_ping=0.1, ws_timeout=0.1))
    assert received(wire, 2) == b"\x89\x00"
    assert closed_within(wire, SOON)


def set_ws_message_timeout(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    wire = socket_of(serve(sockets(), ws_message_timeout=0.1))
    wire.send(b"\x81\x85\0\0\0\0he")
    assert received(wire, 4) == b"\x88\x24\x03\xf0"
    wire = socket_of(serve(sockets(), ws_message_timeout=0))
    wire.send(b"\x81\x85\0\0\0\0he")
    assert not closed_within(wire, 1)


def set_ws_close(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(sockets(), ws_close=0.1, drain=PATIENCE)
    wire = socket_of(server)
    server.stop()  # returns when the socket is cut, as its peer does not answer
    assert received(wire, 4) == b"\x88\x02\x03\xe9"


def set_drain(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, drain=0)
    wire = server.connect().get("/slow")
    time.sleep(0.1)
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 1
    assert wire.ended()


def set_access_log(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, access_log="common")
    server.connect().get().answer()
    server.stop()
    assert '"GET / HTTP/1.1" 200 5\n' in capfd.readouterr().out


def set_access_log_file(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, access_log="json", access_log_file=tmp_path / "log")
    server.connect().get().answer()
    server.stop()
    assert json.loads((tmp_path / "log").read_text())["status"] == 200
    assert "GET" not in capfd.readouterr().out
    with pytest.raises(StartError, match=f"cannot open the access log '{tmp_path}': Is a directory"):
        Worker(app, Settings(port=0, access_log="json", access_log_file=tmp_path))


def set_log_level(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    serve(app, log_level="critical").connect().get("/fail").answer()
    assert capfd.readouterr().err == ""
    serve(app, log_level="error").connect().get("/fail").answer()
    assert "ZeroDivisionError" in capfd.readouterr().err


def set_log_file(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    path = tmp_path / "log"
    server = serve(app, log_file=path)
    wire = server.connect()
    wire.get("/fail").answer()
    path.rename(tmp_path / "log.1")
    server.worker.reopen_logs()
    wire.get("/fail?2").answer()
    assert "a handler failed: GET /fail (request " in (tmp_path / "log.1").read_text()
    assert "a handler failed: GET /fail?2 (request " in path.read_text()
    assert capfd.readouterr().err == ""
    with pytest.raises(StartError, match=f"cannot open the log '{tmp_path}': Is a directory"):
        Worker(app, Settings(port=0, log_file=tmp_path))


def set_log_format(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    serve(app, log_format="json").connect().get("/fail").answer()
    found = json.loads(capfd.readouterr().err)
    assert (found["level"], found["message"], found["error"]) == ("error", "a handler failed", "ZeroDivisionError")
    assert found["request"]["target"] == "/fail"


def who(app: App) -> None:
    app.get("/who")(lambda request: [request.client_ip, request.request_id])


def set_trusted_proxies(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    who(app)
    for trusted, client in (("127.0.0.0/8", "203.0.113.9"), ("10.0.0.0/8,unix", "127.0.0.1")):
        wire = serve(app, trusted_proxies=trusted).connect()
        assert json.loads(wire.get("/who", "X-Forwarded-For: 203.0.113.9").answer()[2])[0] == client
    wire = serve(app, trusted_proxies="unix", uds=tmp_path / "s").connect()
    assert json.loads(wire.get("/who", "X-Forwarded-For: 203.0.113.9").answer()[2])[0] == "203.0.113.9"


def set_proxy_protocol(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    app.route("/who", lambda request: request.client_ip)
    server = serve(app, proxy_protocol=True, trusted_proxies="127.0.0.1")
    wire = server.connect().send(b"PROXY TCP4 203.0.113.9 198.51.100.1 1 2\r\n")
    assert wire.get("/who").answer()[2] == b"203.0.113.9"
    assert closed_within(server.connect().get("/who"), SOON)
    with pytest.raises(ConfigError, match="--proxy-protocol needs --trusted-proxies"):
        Worker(app, Settings(port=0, proxy_protocol=True))


def set_forwarded_headers(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    who(app)
    wire = serve(app, trusted_proxies="127.0.0.1", forwarded_headers="forwarded").connect()
    fields = ("X-Forwarded-For: 203.0.113.9", 'Forwarded: for="[2001:db8::1]"')
    assert json.loads(wire.get("/who", *fields).answer()[2])[0] == "2001:db8::1"


def set_request_id_header(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    who(app)
    wire = serve(app, trusted_proxies="127.0.0.1", request_id_header="X-Id").connect()
    assert json.loads(wire.get("/who", "X-Id: abc").answer()[2])[1] == "abc"


def set_route(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, route=["/echo limit-body=3", "/thread blocking"])
    assert server.connect().send(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n").answer()[0] == 413
    thread = server.connect().get("/thread").answer()[2]
    server.stop()
    assert serve(app).connect().get("/thread").answer()[2] != thread  # what another server is told is its own


def set_header(serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    server = serve(app, header=["X-A: b"])
    with server.connect() as wire:
        assert wire.get("/none").answer()[1]["x-a"] == "b"


@pytest.mark.parametrize("name", BY_ATTRIBUTE)
def test_setting(name: str, quick_rounds: None, serve: Serve, app: App, tmp_path: pathlib.Path, capfd: Any) -> None:
    globals()[f"set_{name}"](serve, app, tmp_path, capfd)


def test_no_setting_of_the_past_is_left() -> None:
    assert {name.removeprefix("set_") for name in globals() if name.startswith("set_")} == set(BY_ATTRIBUTE)


# --- start and stop -----------------------------------------------------------------------------


def test_a_start_that_fails_leaves_nothing_open(app: App, tmp_path: pathlib.Path) -> None:
    before = descriptors()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = tmp_path / "s"
        with pytest.raises(StartError, match="already in use"):
            Worker(app, Settings(uds=str(path), admin=f"127.0.0.1:{taken.getsockname()[1]}"))
        assert not path.exists()
    with pytest.raises(ConfigError, match="--static"):
        Worker(app, Settings(port=0, static=str(tmp_path / "none")))
    assert descriptors() == before


def test_a_stop_leaves_nothing_open(serve: Serve, app: App) -> None:
    before = descriptors()
    threads = threading.active_count()
    server = serve(app, threads=2, admin="127.0.0.1:0")
    wires = [server.connect() for _ in range(5)]
    for wire in wires:
        assert wire.get().answer()[0] == 200
    server.stop()
    for wire in wires:
        assert wire.ended()
        wire.close()
    assert descriptors() == before
    assert threading.active_count() <= threads
    assert app.connection_manifold.index.total_connections() == 0
    assert app.request_manifold.get_stats()["in_flight"] == 0


def test_an_app_may_be_served_again(serve: Serve, app: App) -> None:
    for number in (1, 2):
        server = serve(app)
        assert server.connect().get().answer()[2] == b"index"
        server.stop()
        assert app.request_manifold.get_stats()["total_requests"] == number


def test_stop_before_run(app: App) -> None:
    worker = Worker(app, Settings(port=0))
    worker.stop()
    worker.stop()
    worker.run()


def test_the_counts_have_a_connection_once(serve: Serve, app: App) -> None:
    server = serve(app, api=True)
    server.connect().get("/api/status").answer()  # enters the http pool, and then the api pool
    server.connect().get("/fail").answer()
    server.stop()
    counts = server.worker.counts()
    assert counts == {"requests": 2, "errors": 1, "connections": 2, "cut_off": 0}


def test_an_async_handler_runs_however_it_was_registered(serve: Serve, app: App) -> None:
    async def handler(request: object) -> str:
        return threading.current_thread().name

    app.request_manifold.register_route("GET", "/async", handler)
    wire = serve(app, threads=2).connect()
    assert wire.get("/async").answer()[2] == b"server under test"  # on the loop, whatever `threads` says
    assert wire.get("/thread").answer()[2] == b"dimserver-0"


def test_points_of_the_apps_own(serve: Serve, app: App) -> None:
    server = serve(app, api=True)
    point = app.connection_manifold.manifest_connection(address=("10.0.0.1", 1), connection_id="mine")
    status, _, body = server.connect().get("/api/connections?spiral=0").answer()
    assert status == 200
    assert "mine" in body.decode()
    server.stop()
    assert isinstance(point, ConnectionPoint)
    assert app.connection_manifold.index.total_connections() == 1


def test_an_answer_of_a_thread_whose_client_left(serve: Serve, app: App) -> None:
    closed = threading.Event()

    class Body:
        def close(self) -> None:
            closed.set()
            raise RuntimeError("and it cannot even be closed")

    def handler(request: object) -> tuple[int, dict[str, str], Body]:
        time.sleep(0.2)
        return 200, {}, Body()

    app.get("/gone", blocking=True)(handler)
    server = serve(app, log_level="critical")
    index = server.worker.pools.index
    wire = server.connect().get("/gone")
    time.sleep(0.05)
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wire.close()  # resets
    assert server.connect().get("/").answer()[2] == b"index"
    end = time.monotonic() + SOON
    while index.count_at(0, 3) and time.monotonic() < end:
        time.sleep(0.01)
    assert server.connect().get("/").answer()[2] == b"index"


def test_connections_of_every_kind_in_one_server(serve: Serve, app: App) -> None:
    app.route("/response", lambda request: Response({"a": 1}, 202))
    wire = serve(app).connect()
    wire.get("/").get("/response").get("/nap").get("/none").get("/fail").get("/")
    assert [wire.answer()[0] for _ in range(6)] == [200, 202, 500, 404, 500, 200]


def test_run_gives_signals_back(app: App) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
    worker = Worker(app, Settings(port=0))
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    worker.run(signals=True)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)) == before
