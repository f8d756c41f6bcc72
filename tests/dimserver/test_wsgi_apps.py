"""WSGI apps over real sockets, on the loop and on threads: `wsgiref.validate` around them, and every fault there is."""

from __future__ import annotations

import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
from tests.support.waiting import until

from dimserver import App

Environ = dict[str, Any]
Start = Callable[..., Any]
Serve = Callable[..., Any]

PLAIN = [("Content-Type", "text/plain")]
KIB = 1024
MIB = 1024 * KIB

both = pytest.mark.parametrize("threads", [0, 4], ids=["loop", "threads"])


@pytest.fixture
def run(serve: Serve, tmp_path: pathlib.Path) -> Callable[..., Any]:
    """``run(app, threads)`` serves it; ``.entries()`` of what it returns is the error log."""

    def start(app: Any, threads: int, **settings: Any) -> Any:
        served = App()
        served.mount("/", app, interface="wsgi")
        log = tmp_path / "error.log"
        server = serve(served, threads=threads, log_file=str(log), **settings)
        server.entries = lambda: log.read_text() if log.exists() else ""
        return server

    return start


def rest_of(wire: Any) -> bytes:
    """All that comes until the end, however that comes."""
    try:
        while data := wire.sock.recv(MIB):
            wire.left += data
    except ConnectionResetError:
        pass
    return bytes(wire.left)


class Body:
    """An iterable that tells when it is closed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def close(self) -> None:
        self.closed += 1


# --- validated ----------------------------------------------------------------------------------


def whole(environ: Environ, start: Start) -> list[bytes]:
    data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start("200 OK", PLAIN)
    return [b"<", data, b">"]


def lines(environ: Environ, start: Start) -> Iterator[bytes]:
    found = list(environ["wsgi.input"])
    start("200 OK", PLAIN)
    yield b"<"
    yield from found
    yield b">"


def declared(environ: Environ, start: Start) -> list[bytes]:
    data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start("200 OK", [*PLAIN, ("Content-Length", str(len(data) + 2))])
    return [b"<" + data + b">"]


def written(environ: Environ, start: Start) -> list[bytes]:
    data = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    write = start("200 OK", PLAIN)
    write(b"<")
    write(data)
    return [b">"]


@both
@pytest.mark.parametrize("app", [whole, lines, declared, written])
@pytest.mark.parametrize("size", [0, 10, 100 * KIB, 3 * MIB])
def test_validated(run: Any, threads: int, app: Any, size: int) -> None:
    data = os.urandom(size)
    wire = run(validator(app), threads, limit_body=4 * MIB).connect()
    for _ in range(2):
        wire.send(f"POST /p/%C3%A9?q=1 HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n".encode() + data)
        status, headers, body = wire.answer()
        assert status == 200
        if "content-length" not in headers:
            body = wire.chunked()
        assert body == b"<" + data + b">"


@both
@pytest.mark.parametrize("size", [0, 10, 3 * MIB])
def test_a_body_in_chunks(run: Any, threads: int, size: int) -> None:
    sizes: list[Any] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        sizes.append(environ.get("CONTENT_LENGTH"))
        data = environ["wsgi.input"].read()
        start("200 OK", PLAIN)
        return [str(len(data)).encode()]

    wire = run(app, threads).connect()
    for _ in range(2):
        wire.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, size, 64 * KIB):
            piece = b"x" * min(64 * KIB, size - at)
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert wire.send(b"0\r\n\r\n").answer()[2] == str(size).encode()
    assert sizes == [str(size), str(size)]  # here before the app is called, so the length is known


@both
def test_many_at_once(run: Any, threads: int) -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", PLAIN)
        return [environ["PATH_INFO"].encode() + environ["REMOTE_PORT"].encode()]

    server = run(app, threads)
    wires = [server.connect() for _ in range(50)]
    for turn in range(20):
        for wire in wires:
            wire.get(f"/{turn}-")
        for wire in wires:
            assert wire.answer()[2] == f"/{turn}-{wire.sock.getsockname()[1]}".encode()


@both
def test_pipelined(run: Any, threads: int) -> None:
    def app(environ: Environ, start: Start) -> Any:
        start("200 OK", PLAIN)
        number = int(environ["PATH_INFO"][1:])
        return [b"%d" % number] if number % 3 else Body(iter([b"%d" % number]))

    wire = run(app, threads).connect()
    for number in range(60):
        wire.get(f"/{number}")
    for number in range(60):
        headers, body = wire.answer()[1:]
        assert (body if "content-length" in headers else wire.chunked()) == b"%d" % number


# --- threads ------------------------------------------------------------------------------------


def test_apps_that_wait_do_so_at_the_same_time(run: Any) -> None:
    together = threading.Barrier(4)

    def app(environ: Environ, start: Start) -> list[bytes]:
        together.wait(10)
        start("200 OK", PLAIN)
        return [b"met"]

    server = run(app, 4)
    wires = [server.connect().get() for _ in range(4)]
    assert [wire.answer()[2] for wire in wires] == [b"met"] * 4


def test_a_slow_client_holds_no_thread(run: Any) -> None:
    server = run(whole, 1)
    slow = server.connect().send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345")
    assert server.connect().get().answer()[2] == b"<>"
    assert slow.send(b"67890").answer()[2] == b"<1234567890>"


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 5242880", "Content-Length: 900"])
def test_a_hundred_slow_uploads_hold_no_thread(run: Any, framing: str) -> None:
    """In chunks, larger than what is held in memory, and small; some of them are in a temporary file by then."""
    server = run(whole, 2, body_memory=4 * KIB, drain=0.5)
    piece = b"x" * (8 * KIB if "900" not in framing else 300)
    if "chunked" in framing:
        piece = b"%x\r\n%b\r\n" % (len(piece), piece)
    slow = [server.connect() for _ in range(100)]
    for number, wire in enumerate(slow):
        wire.send(f"POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n".encode() + (piece if number % 2 else piece[:5]))
    with server.connect() as other:
        for _ in range(20):
            assert other.get().answer()[2] == b"<>"
    assert server.worker._threads.in_flight == 0
    for wire in slow:
        wire.close()


def test_the_client_is_asked_for_its_body_when_the_app_reads(run: Any) -> None:
    reading = threading.Event()

    def app(environ: Environ, start: Start) -> list[bytes]:
        if environ["PATH_INFO"] == "/read":
            reading.wait(10)
            body = environ["wsgi.input"].read()
        else:
            body = b"unread"
        start("200 OK", PLAIN)
        return [body]

    server = run(app, 2, stream_bodies=True)
    head = "POST /{} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    wire = server.connect().send(head.format("read").encode())
    wire.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        wire.sock.recv(1)
    wire.sock.settimeout(20)
    reading.set()
    assert wire.answer()[0] == 100
    assert wire.send(b"body").answer()[2] == b"body"
    wire = server.connect().send(head.format("not").encode())
    status, headers, body = wire.answer()
    assert (status, headers["connection"], body) == (200, "close", b"unread")


@both
def test_else_it_is_asked_at_once(run: Any, threads: int) -> None:
    wire = run(whole, threads).connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    assert wire.answer()[0] == 100
    assert wire.send(b"body").answer()[2] == b"<body>"


def test_an_app_that_lags_behind_a_large_body(run: Any) -> None:
    taken: list[int] = []
    go = threading.Event()

    def app(environ: Environ, start: Start) -> list[bytes]:
        go.wait(10)
        while piece := environ["wsgi.input"].read(64 * KIB):
            taken.append(len(piece))
        start("200 OK", PLAIN)
        return [str(sum(taken)).encode()]

    wire = run(app, 1, limit_body=64 * MIB, body_memory=64 * KIB, stream_bodies=True).connect()
    wire.sock.setblocking(False)
    wire.sock.send(f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {50 * MIB}\r\n\r\n".encode())
    sent = 0
    stuck = 0
    while stuck < 20:  # the socket is not read while the app lags
        try:
            sent += wire.sock.send(b"x" * min(MIB, 50 * MIB - sent))
            stuck = 0
        except BlockingIOError:
            stuck += 1
            time.sleep(0.01)
    assert sent < 30 * MIB
    go.set()
    wire.sock.settimeout(20)
    wire.send(b"x" * (50 * MIB - sent))
    assert wire.answer()[2] == str(50 * MIB).encode()


def test_write_waits_for_the_client(run: Any) -> None:
    done: list[int] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        write = start("200 OK", PLAIN)
        for number in range(200):
            write(b"x" * 64 * KIB)
            done.append(number)
        return []

    wire = run(app, 1).connect()
    wire.get()
    time.sleep(0.3)
    assert len(done) < 150
    wire.answer()
    assert len(wire.chunked()) == 200 * 64 * KIB


# --- answers that begin before their request is complete ------------------------------------------


def echo(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", PLAIN)
    while piece := environ["wsgi.input"].read1(64 * KIB):
        yield piece.upper()


def echo_by_write(environ: Environ, start: Start) -> list[bytes]:
    write = start("200 OK", PLAIN)
    while piece := environ["wsgi.input"].read1(64 * KIB):
        write(piece.upper())
    return []


def large(size: int, *fields: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} / HTTP/1.1", "Host: h", f"Content-Length: {size}", *fields, "", ""]).encode()


@pytest.mark.parametrize("app", [echo, echo_by_write])
def test_an_app_on_a_thread_answers_while_it_reads(run: Any, app: Any) -> None:
    server = run(app, 2, body_memory=4 * KIB, stream_bodies=True)
    wire = server.connect().send(large(3 * MIB) + b"a" * MIB)
    status, headers, _ = wire.answer()
    assert (status, headers["connection"]) == (200, "close")
    while wire.left.count(b"A") < MIB:  # the answer to what has come, before the rest is sent
        wire.more()
    wire.send(b"b" * MIB)
    while wire.left.count(b"B") < MIB:
        wire.more()
    wire.send(b"c" * MIB)
    assert wire.chunked() == b"A" * MIB + b"B" * MIB + b"C" * MIB
    assert rest_of(wire) == b""
    assert server.entries() == ""


def test_and_a_body_in_chunks(run: Any) -> None:
    wire = run(echo, 2, stream_bodies=True).connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    assert wire.answer()[0] == 200
    while b"ONE" not in wire.left:
        wire.more()
    wire.send(b"3\r\ntwo\r\n0\r\n\r\n")
    assert wire.chunked() == b"ONETWO"


@both
@pytest.mark.parametrize("size", [5, 300 * KIB])
def test_what_is_there_is_echoed_in_either_place(run: Any, threads: int, size: int) -> None:
    wire = run(echo, threads, body_memory=64 * KIB).connect().send(large(size) + b"x" * size)
    assert wire.answer()[0] == 200
    assert wire.chunked() == b"X" * size


@both
def test_an_answer_without_the_body_having_been_read(run: Any, threads: int) -> None:
    """The rest is thrown away, so that a client that sends all of it before it reads gets the answer."""

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("413 Content Too Large", PLAIN)
        yield b"too "
        yield b"much"

    server = run(app, threads, body_memory=64 * KIB, stream_bodies=True)
    wire = server.connect().send(large(8 * MIB) + b"x" * 8 * MIB)
    assert (wire.answer()[0], wire.chunked()) == (413, b"too much")
    if threads:
        assert rest_of(wire) == b""  # the end, and no reset
    assert server.entries() == ""


def test_a_client_that_waits_to_be_asked_is_not_asked_any_more(run: Any) -> None:
    seen: list[str] = []

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("401 Unauthorized", PLAIN)
        yield b"who?"
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            seen.append(str(error))
        yield b" really"

    wire = run(app, 2, stream_bodies=True).connect().send(large(2 * MIB, "Expect: 100-continue"))
    status, headers, _ = wire.answer()
    assert (status, headers["connection"], wire.chunked()) == (401, "close", b"who? really")
    assert seen == ["the answer was given before the request was complete"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("POST", "204 No Content")])
def test_an_answer_without_a_body_reads_nothing_on(run: Any, method: str, status: str) -> None:
    closed = threading.Event()

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start(status, [] if status[0:3] == "204" else PLAIN)
        try:
            yield b"x"
            yield environ["wsgi.input"].read()
        finally:
            closed.set()

    server = run(app, 2, body_memory=4 * KIB, stream_bodies=True)
    wire = server.connect().send(large(MIB, method=method) + b"x" * 100 * KIB)
    while b"\r\n\r\n" not in wire.left:
        wire.more()
    head, _, rest = bytes(wire.left).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status[:3]} ".encode())
    assert b"Connection: close" in head
    assert rest == b""
    assert closed.wait(10)


def test_a_client_that_leaves_while_its_body_is_echoed(run: Any) -> None:
    faults: list[str] = []
    ended = threading.Event()

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        try:
            yield from echo(environ, start)
        except OSError as error:
            faults.append(str(error))
            raise
        finally:
            ended.set()

    server = run(app, 1, body_memory=4 * KIB, stream_bodies=True)
    wire = server.connect().send(large(MIB) + b"x" * 100 * KIB)
    assert wire.answer()[0] == 200
    wire.sock.close()
    assert ended.wait(10)
    assert len(faults) <= 1  # it reads, and is told, or it writes, and is closed


def test_a_client_that_stops_sending_holds_no_thread(run: Any) -> None:
    ended = threading.Event()

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        try:
            yield from echo(environ, start)
        finally:
            ended.set()

    server = run(app, 1, body_memory=4 * KIB, rate_credit=0.3, stream_bodies=True)
    wire = server.connect().send(large(MIB) + b"x" * 100 * KIB)
    assert wire.answer()[0] == 200
    assert ended.wait(10)
    assert not rest_of(wire).endswith(b"0\r\n\r\n")


def test_a_client_that_keeps_sending_is_not_cut_off(run: Any) -> None:
    server = run(echo, 1, body_memory=4 * KIB, rate_credit=0.2, stream_bodies=True)
    wire = server.connect().send(large(50 * KIB) + b"x" * 10 * KIB)
    assert wire.answer()[0] == 200
    for _ in range(40):
        time.sleep(0.025)
        wire.send(b"x" * KIB)
    assert wire.chunked() == b"X" * 50 * KIB


# --- faults -------------------------------------------------------------------------------------


def raises(environ: Environ, start: Start) -> list[bytes]:
    raise RuntimeError("on purpose")


def raises_in_the_first_step(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", PLAIN)
    raise RuntimeError("on purpose")
    yield b""


@both
@pytest.mark.parametrize("app", [raises, raises_in_the_first_step])
def test_an_exception_before_the_first_byte(run: Any, threads: int, app: Any) -> None:
    server = run(app, threads)
    wire = server.connect()
    for _ in range(2):
        assert wire.get("/there").answer()[::2] == (500, b"Internal Server Error\n")
    assert "a handler failed: GET /there" in server.entries()
    assert "RuntimeError: on purpose" in server.entries()


def raises_later(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", PLAIN)
    yield b"begun"
    raise RuntimeError("on purpose")


def raises_after_write(environ: Environ, start: Start) -> list[bytes]:
    start("200 OK", PLAIN)(b"begun")
    raise RuntimeError("on purpose")


@both
def test_an_exception_after_it(run: Any, threads: int) -> None:
    server = run(raises_later, threads)
    wire = server.connect().get()
    assert b"begun" in rest_of(wire)
    assert not wire.left.endswith(b"0\r\n\r\n")
    until(lambda: "RuntimeError: on purpose" in server.entries())
    assert "a streamed body failed" in server.entries()


def test_an_exception_after_write(run: Any) -> None:
    server = run(raises_after_write, 1)
    wire = server.connect().get()
    assert b"begun" in rest_of(wire)
    assert not wire.left.endswith(b"0\r\n\r\n")
    until(lambda: "RuntimeError: on purpose" in server.entries())
    server = run(raises_after_write, 0)  # where nothing is out yet
    assert server.connect().get().answer()[0] == 500


@both
def test_start_response_is_never_called(run: Any, threads: int) -> None:
    server = run(lambda environ, start: [b"x"], threads)
    assert server.connect().get().answer()[0] == 500
    assert "the app returned without having called start_response" in server.entries()


@both
@pytest.mark.parametrize("pieces", [[b"tool", b"ong"], [b"toolong"], [b"too", b"lo", b"ng"]])
@pytest.mark.parametrize("kind", [list, iter])
def test_too_many_bytes(run: Any, threads: int, pieces: Any, kind: Any) -> None:
    def app(environ: Environ, start: Start) -> Any:
        start("200 OK", [("Content-Length", "4")])
        return kind(pieces)

    server = run(app, threads)
    wire = server.connect()
    for _ in range(2):
        assert wire.get().answer()[2] == b"tool"
    until(lambda: server.entries().count("a WSGI app gave more bytes than its Content-Length says") == 2)


@both
@pytest.mark.parametrize("kind", [list, iter])
def test_too_few_bytes(run: Any, threads: int, kind: Any) -> None:
    def app(environ: Environ, start: Start) -> Any:
        start("200 OK", [("Content-Length", "10")])
        return kind([b"sho", b"rt"])

    server = run(app, threads)
    wire = server.connect().get()
    if kind is list:
        assert wire.answer()[0] == 500
    else:
        assert rest_of(wire).endswith(b"short")
    until(lambda: "Content-Length" in server.entries())


@both
def test_the_client_leaves_while_it_is_answered(run: Any, threads: int) -> None:
    bodies: list[Body] = []

    def pieces() -> Iterator[bytes]:
        while True:
            yield b"x" * 64 * KIB

    def app(environ: Environ, start: Start) -> Body:
        start("200 OK", PLAIN)
        bodies.append(Body(pieces()))
        return bodies[-1]

    server = run(app, threads)
    wire = server.connect().get()
    wire.answer()
    wire.close()
    until(lambda: bodies[0].closed == 1)
    assert server.connect().get("/again").answer()[0] == 200  # the thread is free, and the loop
    assert "Traceback" not in server.entries()


@both
def test_the_client_leaves_while_it_asks(run: Any, threads: int) -> None:
    calls: list[Any] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        try:
            calls.append(environ["wsgi.input"].read())
        except OSError as error:
            calls.append(error)
            raise
        start("200 OK", PLAIN)
        return [b"x"]

    server = run(app, threads, body_memory=1024, stream_bodies=True)
    server.connect().send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 5000).close()
    if threads:
        until(lambda: calls)
        assert isinstance(calls[0], OSError)
    else:
        assert server.connect().get().answer()[0] == 200
        assert calls == [b""]  # of that request alone


@both
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /" + b"x" * 10000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"x" * 40000 + b"\r\n\r\n",
        b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
        b"GET / HTTP/3.0\r\nHost: h\r\n\r\n",
    ],
)
def test_what_never_reaches_the_app(run: Any, threads: int, data: bytes) -> None:
    calls: list[Any] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        calls.append(environ)
        start("200 OK", PLAIN)
        return [b"x"]

    server = run(app, threads)
    assert server.connect().send(data).answer()[0] >= 400
    assert calls == []


@both
def test_a_broken_chunk_reaches_no_app_as_a_body(run: Any, threads: int) -> None:
    bodies: list[Any] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        bodies.append(environ["wsgi.input"].read())
        start("200 OK", PLAIN)
        return [b"x"]

    wire = run(app, threads).connect()
    wire.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nX\r\n")
    assert wire.answer()[0] == 400
    assert bodies == []


# --- as a user runs it --------------------------------------------------------------------------

PROGRAM = """
import sys

def application(environ, start_response):
    print("to the log", file=environ["wsgi.errors"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))
"""


@pytest.mark.parametrize("threads", ["auto", "0", "3"])
def test_from_the_command_line(child: Any, tmp_path: pathlib.Path, threads: str) -> None:
    (tmp_path / "site_.py").write_text(PROGRAM)
    server = child("run", "site_:application", "--port", "0", "--threads", threads, cwd=tmp_path)
    status, headers, body = server.connect().get().answer()
    assert (status, headers["content-length"], body) == (200, str(len(PROGRAM)), PROGRAM.encode())
    code, _, errors = server.end()
    assert code == 0
    assert "to the log" in errors.splitlines()  # as it is: the level is the app's own affair
