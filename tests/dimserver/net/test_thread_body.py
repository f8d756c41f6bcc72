"""A body that a thread makes: its pace, its errors, and its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until

from dimcore import ResponseError
from dimserver import App
from dimserver.net.thread_body import HIGH_WATER, ThreadBody

KIB = 1024
MIB = 1024 * KIB

Serve = Callable[..., Any]


class Calls:
    """A loop that only takes calls down, to be made when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def call_from_thread(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        while self.calls:
            self.calls.pop(0)()


class Body:
    """Stands for the Push; says what `write` is to say."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[BaseException | None] = []
        self.keeps_up = True

    def write(self, data: bytes) -> bool:
        self.pieces.append(data)
        return self.keeps_up

    def end(self, error: BaseException | None = None) -> None:
        self.ends.append(error)


def make(source: Any) -> tuple[Any, Calls, Body]:
    loop = Calls()
    stream: Any = ThreadBody(loop, iter(source))  # type: ignore[arg-type]
    stream.body = Body()
    return stream, loop, stream.body


def test_all_pieces_and_the_end() -> None:
    stream, loop, body = make(["a", b"", b"b", bytearray(b"c")])
    started: list[bool] = []
    stream.run(started.append)
    loop.turn()
    assert started == [True]
    assert b"".join(body.pieces) == b"abc"
    assert body.ends == [None]


@pytest.mark.parametrize("source", [[], [""], [b"", ""]])
def test_no_body(source: Any) -> None:
    stream, loop, body = make(source)
    started: list[bool] = []
    stream.run(started.append)
    loop.turn()
    assert started == [False]
    assert body.pieces == []


@pytest.mark.parametrize("wrong", [None, 5, [b"a"]])
def test_a_wrong_first_piece_is_raised(wrong: Any) -> None:
    stream, _, _ = make([wrong])
    with pytest.raises(ResponseError):
        stream.run(pytest.fail)


@pytest.mark.parametrize("wrong", [None, 5, [b"a"]])
def test_a_wrong_piece_ends_the_body(wrong: Any) -> None:
    stream, loop, body = make([b"a", wrong, b"b"])
    stream.run(bool)
    loop.turn()
    assert body.pieces == [b"a"]
    assert [type(error) for error in body.ends] == [ResponseError]


def test_an_error_of_the_source_comes_behind_what_it_made() -> None:
    def source() -> Iterator[bytes]:
        yield b"a"
        raise ValueError

    stream, loop, body = make(source())
    stream.run(bool)
    loop.turn()
    assert body.pieces == [b"a"]
    assert [type(error) for error in body.ends] == [ValueError]


def test_the_thread_waits_for_the_loop() -> None:
    made: list[int] = []

    def source() -> Iterator[bytes]:
        for number in range(100):
            made.append(number)
            yield b"x" * (HIGH_WATER // 8)

    stream, loop, body = make(source())
    thread = threading.Thread(target=partial(stream.run, bool))
    thread.start()
    until(lambda: len(made) >= 9)
    time.sleep(0.02)
    assert len(made) == 9
    body.keeps_up = False
    loop.turn()  # the peer lags: what comes now stays here
    until(lambda: len(made) >= 17)
    time.sleep(0.02)
    loop.turn()
    assert len(body.pieces) == 8
    assert len(made) in (17, 18)
    body.keeps_up = True
    stream._go_on()
    while thread.is_alive():
        loop.turn()
        time.sleep(0.001)
    loop.turn()
    assert sum(map(len, body.pieces)) == 100 * (HIGH_WATER // 8)
    assert body.ends == [None]


def test_a_peer_that_leaves_ends_the_source_on_its_thread() -> None:
    ended: list[int] = []

    def source() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * HIGH_WATER
        except GeneratorExit:
            ended.append(threading.get_ident())
            raise

    stream, loop, _ = make(source())
    thread = threading.Thread(target=partial(stream.run, bool))
    thread.start()
    number = thread.ident
    time.sleep(0.01)
    stream._leave()
    thread.join(PATIENCE)
    assert ended == [number]
    loop.turn()


# --- with a server ------------------------------------------------------------------------------


def dechunked(wire: Any) -> bytes:
    """The body that follows, up to its last chunk; EOFError where it is cut."""
    body = b""
    while True:
        while b"\r\n" not in wire.left:
            wire.more()
        line, _, wire.left = wire.left.partition(b"\r\n")
        size = int(line, 16)
        while len(wire.left) < size + 2:
            wire.more()
        body += wire.left[:size]
        assert wire.left[size : size + 2] == b"\r\n"
        wire.left = wire.left[size + 2 :]
        if not size:
            return body


def app_of(handler: Callable[[Any], Any]) -> App:
    app = App()
    app.route("/", handler, methods=["GET", "HEAD"], blocking=True)
    app.get("/next", blocking=True)(lambda request: "next")
    return app


def test_a_stream_and_the_requests_behind_it(serve: Serve) -> None:
    def handler(request: Any) -> Iterator[Any]:
        for number in range(200):
            yield f"{number}:" + "x" * 10_000

    expected = "".join(f"{number}:" + "x" * 10_000 for number in range(200)).encode()
    wire = serve(app_of(handler)).connect()
    for _ in range(2):
        wire.get("/").get("/next").get("/")
        assert wire.answer()[1]["transfer-encoding"] == "chunked"
        assert dechunked(wire) == expected
        assert wire.answer()[2] == b"next"
        wire.answer()
        assert dechunked(wire) == expected


def test_an_empty_stream_has_a_length(serve: Serve) -> None:
    wire = serve(app_of(lambda request: iter(()))).connect()
    for _ in range(2):
        status, headers, body = wire.get().answer()
        assert (status, headers["content-length"], body) == (200, "0", b"")


def test_head_runs_no_source(serve: Serve) -> None:
    ran: list[int] = []

    def handler(request: Any) -> Iterator[bytes]:
        ran.append(1)
        yield b"a"

    wire = serve(app_of(handler)).connect()
    assert wire.get(method="HEAD").answer(head_only=True)[0] == 200
    assert wire.get("/next").answer()[2] == b"next"
    assert ran == []


def test_a_length_and_the_bytes_it_promises(serve: Serve) -> None:
    pieces = [b"hel", b"lo"]
    wire = serve(app_of(lambda request: (200, {"Content-Length": "5"}, iter(pieces)))).connect()
    status, headers, body = wire.get().answer()
    assert (status, body) == (200, b"hello")
    assert "transfer-encoding" not in headers
    pieces[1] = b"l"
    with pytest.raises(EOFError):
        wire.get().answer()


def test_errors_before_and_after_the_first_piece(serve: Serve, capfd: Any) -> None:
    after = [False]

    def handler(request: Any) -> Iterator[bytes]:
        if after[0]:
            yield b"a"
            time.sleep(0.02)
        raise ValueError("broken source")

    server = serve(app_of(handler))
    wire = server.connect()
    assert wire.get().answer()[0] == 500
    after[0] = True
    assert wire.get().answer()[0] == 200
    with pytest.raises(EOFError):
        dechunked(wire)
    server.stop()  # first: what is captured while it is written may be lost
    assert capfd.readouterr().err.count("ValueError: broken source") == 2


def test_a_slow_reader_and_one_that_leaves(serve: Serve) -> None:
    made = [0]
    ended = threading.Event()

    def handler(request: Any) -> Iterator[bytes]:
        try:
            while True:
                made[0] += 1
                yield b"x" * 64 * KIB
        finally:
            ended.set()

    wire = serve(app_of(handler)).connect().get()
    wire.answer()
    until(lambda: made[0] > 3)
    last = -1
    while last != made[0]:
        last = made[0]
        time.sleep(0.05)
    assert last * 64 * KIB < 32 * MIB
    wire.close()
    assert ended.wait(PATIENCE)


def test_streams_do_not_take_the_place_of_other_jobs(serve: Serve) -> None:
    """A thread that streams is not there for anything else: another one is started."""
    gate = threading.Event()

    def handler(request: Any) -> Iterator[bytes]:
        yield b"a"
        gate.wait(PATIENCE)

    server = serve(app_of(handler))
    streams = [server.connect().get() for _ in range(3)]
    for wire in streams:
        assert wire.answer()[0] == 200
    assert server.connect().get("/next").answer()[2] == b"next"
    gate.set()
    assert [dechunked(wire) for wire in streams] == [b"a"] * 3
    until(lambda: server.worker._threads.in_flight == 0)


def test_a_server_that_stops_leaves_no_thread(serve: Serve) -> None:
    def handler(request: Any) -> Iterator[bytes]:
        while True:
            yield b"x" * 64 * KIB

    server = serve(app_of(handler), drain=0.1)
    server.connect().get().answer()
    server.stop()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("dimserver-")])
