"""Async handlers in a running server, on each asyncio loop: order, pace, contexts, ends, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextvars
import pathlib
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.processes import resident
from tests.support.waiting import until

from dimcore import BadRequest
from dimserver import App

KIB = 1024
MIB = 1024 * KIB

Serve = Callable[..., Any]
Start = Callable[..., Any]

APP = """
import asyncio, logging, time
from dimserver import App
app = App()
logging.getLogger("asyncio").setLevel("ERROR")  # in development mode it tells of every slow step of a busy machine

@app.get("/")
async def hello(request):
    return "hello"

@app.get("/sync")
def sync(request):
    return "sync"

@app.get("/later")
async def later(request):
    await asyncio.sleep(0)
    return "later"

@app.get("/sleep/{seconds}")
async def sleep(request):
    try:
        await asyncio.sleep(float(request.params["seconds"]))
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    return "slept"

@app.get("/pieces")
async def pieces(request):
    for number in range(3):
        yield str(number)
        await asyncio.sleep(0)

@app.get("/fail")
async def fail(request):
    await asyncio.sleep(0)
    raise LookupError("why")

@app.post("/up", stream=True)
async def up(request):
    size = 0
    async for piece in request.stream():
        if size < 2 << 20:
            await asyncio.sleep(0.005)
        size += len(piece)
    return str(size)

@app.post("/whole")
async def whole(request):
    size = len(request.body)
    return f"{size} {sum([len(piece) async for piece in request.stream()])}"

@app.get("/thread", blocking=True)
def thread(request):
    time.sleep(0.05)
    return "thread"
"""

LOOPS = ["asyncio", "uvloop"]


@pytest.fixture(params=LOOPS)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.fixture
def start(kind: str, serve: Serve) -> Serve:
    return lambda app, **settings: serve(app, loop=kind, **settings)


@pytest.fixture
def program(tmp_path: pathlib.Path, kind: str) -> Callable[..., list[str]]:
    """The words that serve `APP`."""
    (tmp_path / "later.py").write_text(APP)
    return lambda *more: ["run", str(tmp_path / "later.py"), "--port", "0", "--loop", kind, *more]


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


def post(path: str, size: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n".encode()


linux = pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="reads /proc")


# --- mixed --------------------------------------------------------------------------------------


def test_the_whole_server_strictly(child: Start, program: Callable[..., list[str]]) -> None:
    """In asyncio's and Python's development mode, with every warning an error."""
    server = child(*program("--timeout-half-closed", "300ms"), python=("-X", "dev", "-W", "error"))
    wire = server.connect()
    for _ in range(3):
        for path, body in (
            ("/", b"hello"), ("/sync", b"sync"), ("/later", b"later"), ("/thread", b"thread"),
            ("/sleep/0.01", b"slept"), ("/fail", b"Internal Server Error\n"),
        ):  # fmt: skip
            assert wire.get(path).answer()[2] == body
    assert wire.send(post("/up", 5) + b"12345").answer()[2] == b"5"
    assert wire.send(post("/up", 5)).send(b"12345").answer()[2] == b"5"
    assert wire.send(post("/whole", 5) + b"12345").answer()[2] == b"5 5"
    wire.get("/pieces").answer()
    while not wire.left.endswith(b"0\r\n\r\n"):
        wire.left += wire.sock.recv(1000)
    left = server.connect().get("/sleep/100")
    time.sleep(0.1)
    left.close()
    server.connect().get("/sleep/0.2", "Connection: close")
    time.sleep(0.1)
    code, out, err = server.end()
    assert code == 0
    assert "\ncancelled\ndimserver: stopped; " in f"\n{out}"
    assert "cut off" not in out  # the last one was waited for
    assert err.count("LookupError: why") == 3
    assert err.count("error:") == 3
    assert "Warning" not in err


def test_answers_keep_their_order(start: Serve) -> None:
    app = App()

    @app.get("/{wait}")
    async def handler(request: Any) -> str:
        await asyncio.sleep(float(request.params["wait"]))
        return str(request.params["wait"])

    app.get("/plain/sync")(lambda request: "sync")
    app.get("/plain/thread", blocking=True)(lambda request: "thread")
    wire = start(app).connect()
    order = ["0.2", "plain/sync", "0", "plain/thread", "0.05", "plain/sync", "0.01"]
    wire.send(b"".join(get(f"/{path}") for path in order))
    assert [wire.answer()[2].decode() for _ in order] == [path.removeprefix("plain/") for path in order]


def test_a_thousand_wait_at_once(start: Serve) -> None:
    app = App()
    gate: list[asyncio.Event] = []
    waiting = [0]

    @app.get("/wait")
    async def wait(request: Any) -> str:
        if not gate:
            gate.append(asyncio.Event())
        waiting[0] += 1
        await gate[0].wait()
        return "through"

    @app.get("/open")
    async def open_(request: Any) -> str:
        gate[0].set()
        return "open"

    server = start(app, max_connections=2000)
    wires = [server.connect().get("/wait") for _ in range(1000)]
    until(lambda: waiting[0] == 1000)
    assert server.connect().get("/open").answer()[2] == b"open"
    assert [wire.answer()[2] for wire in wires] == [b"through"] * 1000


def test_contexts_and_timeouts(start: Serve) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    app = App()

    @app.get("/{name}/{wait}")
    async def handler(request: Any) -> str:
        before = name.get()
        name.set(request.params["name"])
        try:
            async with asyncio.timeout(0.05):
                await asyncio.sleep(float(request.params["wait"]))
        except TimeoutError:
            return f"{before} {name.get()} timeout"
        inner = await asyncio.create_task(asyncio.to_thread(name.get))
        return f"{before} {name.get()} {inner}"

    server = start(app)
    wires = [server.connect().get(f"/{number}/{number % 2 * 10}") for number in range(20)]
    for number, wire in enumerate(wires):
        end = "timeout" if number % 2 else str(number)
        assert wire.answer()[2] == f"nobody {number} {end}".encode()


def test_a_bad_request_out_of_a_handler(start: Serve) -> None:
    app = App()

    @app.get("/")
    async def handler(request: Any) -> None:
        await asyncio.sleep(0)
        raise BadRequest("no tea", 418)

    assert start(app).connect().get().answer()[::2] == (418, b"no tea\n")


def test_anyio(start: Serve) -> None:
    anyio = pytest.importorskip("anyio")
    app = App()
    threads: list[int] = []

    @app.get("/")
    async def handler(request: Any) -> str:
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(10)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0.001)
        threads.append(await anyio.to_thread.run_sync(threading.get_ident))
        return str(scope.cancelled_caught)

    wire = start(app).connect()
    for _ in range(3):
        assert wire.get().answer()[2] == b"True"
    assert len(set(threads)) == 1  # its threads live as long as the server, not as long as one request


# --- bodies -------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize("path", ["/up", "/whole"])
def test_a_large_upload_is_not_held_in_memory(child: Start, program: Callable[..., list[str]], path: str) -> None:
    size = 64 * MIB if path == "/up" else 8 * MIB
    server = child(*program("--limit-body", "1GiB"))
    wire = server.connect()
    wire.send(post(path, 2 * MIB) + bytes(2 * MIB)).answer()
    before = resident(server.pid)
    most = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            most[0] = max(most[0], resident(server.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    wire.send(post(path, size))
    for _ in range(size // MIB):
        wire.send(bytes(MIB))
    answer = wire.answer()[2]
    done.set()
    watcher.join()
    if path == "/up":
        assert answer == b"%d" % size
        assert most[0] - before < 16 * MIB
    else:
        assert answer == b"%d %d" % (size, size)  # who asks for all of it gets all of it


def test_a_body_comes_as_it_arrives(start: Serve) -> None:
    app = App()
    seen: list[bytes] = []

    @app.post("/", stream=True)
    async def handler(request: Any) -> str:
        async for piece in request.stream():
            seen.append(piece)  # noqa: PERF401 - seen while it goes on
        return str(len(seen))

    wire = start(app).connect().send(post("/", 6))
    for piece in (b"ab", b"cd", b"ef"):
        wire.send(piece)
        until(lambda piece=piece: seen[-1:] == [piece])
    assert wire.answer()[2] == b"3"
    assert wire.send(post("/", 2) + b"gh").answer()[0] == 200
    chunked = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.send(chunked + b"3\r\nijk\r\n")
    until(lambda: seen[-1:] == [b"ijk"])
    assert wire.send(b"0\r\n\r\n").answer()[0] == 200


@pytest.mark.parametrize("end", ["close", "garbage"])
def test_a_body_that_is_cut(start: Serve, end: str) -> None:
    app = App()
    seen: list[str] = []

    @app.post("/", stream=True)
    async def handler(request: Any) -> str:
        try:
            async for piece in request.stream():
                seen.append(piece.decode())  # noqa: PERF401
        except BaseException as error:
            seen.append(type(error).__name__)
            raise
        return "whole"

    wire = start(app).connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    until(lambda: seen == ["a"])
    if end == "close":
        wire.close()
    else:
        wire.send(b"x\r\n")
        assert wire.answer()[0] == 400
    until(lambda: len(seen) == 2)
    assert seen[1] == "CancelledError"  # either way: nobody is there any more to answer


def test_an_answer_before_the_body(start: Serve) -> None:
    app = App()

    @app.post("/", stream=True)
    async def handler(request: Any) -> tuple[int, None, str]:
        if request.query_string:
            await asyncio.sleep(0.01)
        return 403, None, "no"

    server = start(app)
    for path in ("/", "/?wait"):
        wire = server.connect().send(post(path, 100) + b"x")
        assert wire.answer()[::2] == (403, b"no")
        assert wire.ended()


def test_half_a_close_over_the_command_line(child: Start, program: Callable[..., list[str]]) -> None:
    server = child(*program("--timeout-half-closed", "300ms"), python=("-X", "dev", "-W", "error"))
    answered, alone = server.connect().get("/sleep/0.2"), server.connect().get("/sleep/100")
    for wire in (answered, alone):
        wire.sock.shutdown(socket.SHUT_WR)
    assert answered.answer()[2] == b"slept"
    assert answered.ended()
    assert alone.ended()
    code, out, err = server.end()
    assert (code, err) == (0, "")
    assert out.startswith("cancelled\n")


# --- ends ---------------------------------------------------------------------------------------


def test_a_client_that_leaves_ends_its_handler_and_no_other(start: Serve, capfd: Any) -> None:
    app = App()
    ended: list[str] = []
    begun: list[str] = []

    @app.get("/{name}")
    async def handler(request: Any) -> str:
        begun.append(request.params["name"])
        try:
            await asyncio.sleep(0.7 if request.params["name"] == "stays" else 100)
        except asyncio.CancelledError:
            ended.append(request.params["name"])
            raise
        return "slept"

    server = start(app, timeout_half_closed=0.1)
    stays = server.connect().get("/stays")
    leaves = server.connect().get("/leaves")
    until(lambda: len(begun) == 2)
    leaves.close()
    until(lambda: ended)
    assert stays.answer()[2] == b"slept"
    assert ended == ["leaves"]
    server.stop()
    assert capfd.readouterr().err == ""


def test_a_stop_waits_for_handlers_and_cancels_what_takes_longer(start: Serve, capfd: Any) -> None:
    app = App()
    seen: list[str] = []

    @app.get("/{seconds}")
    async def handler(request: Any) -> str:
        seen.append("begun")
        try:
            await asyncio.sleep(float(request.params["seconds"]))
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)  # what it has to put in order is waited for
            seen.append("cancelled")
            raise
        return "slept"

    server = start(app, drain=1)
    short, long = server.connect().get("/0.3"), server.connect().get("/100")
    until(lambda: len(seen) == 2)
    server.stop()
    assert short.answer()[2] == b"slept"
    assert long.ended()
    assert seen == ["begun", "begun", "cancelled"]
    assert capfd.readouterr().err == ""


def test_signals(child: Start, program: Callable[..., list[str]]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        server = child(*program())
        wire = server.connect()
        assert wire.get("/later").answer()[2] == b"later"
        server.connect().get("/sleep/0.3", "Connection: close")  # else its end is lingered for
        time.sleep(0.1)
        code, out, err = server.end(number)
        assert (code, err) == (0, "")
        assert "cancelled" not in out


def test_the_second_signal_ends_at_once(child: Start, program: Callable[..., list[str]]) -> None:
    server = child(*program())
    server.connect().get("/sleep/100")
    server.connect().get("/").answer()
    server.hint()
    time.sleep(0.3)
    begun = time.monotonic()
    code, out, err = server.end()
    assert time.monotonic() - begun < 10
    assert (code, err) == (0, "")
    assert out.startswith("cancelled\n")
    assert "1 cut off at the end" in out


@linux
def test_many_requests_leave_nothing_behind(child: Start, program: Callable[..., list[str]]) -> None:
    paths = ["/", "/later", "/sync", "/fail", "/sleep/0"]
    server = child(*program("--log-level", "critical"))
    batch = b"".join(get(path) for path in paths) * 10

    def ask(rounds: int) -> None:
        wire = server.connect()
        for _ in range(rounds):
            wire.send(batch)
            for _ in range(len(paths) * 10):
                wire.answer()

    def leave(times: int) -> None:
        for _ in range(times):
            wire = server.connect().get("/sleep/100")
            wire.close()

    ask(100)
    leave(100)
    before = resident(server.pid)
    ask(400)
    leave(400)
    assert server.connect().get("/").answer()[0] == 200
    assert resident(server.pid) - before < MIB
