"""Coroutines, threads and sources whose client sends no more: answered if it still reads, ended if it is gone."""

from __future__ import annotations

import asyncio
import pathlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.support.servers import Local
from tests.support.waiting import until
from tests.support.wire import Wire, connect

from dimserver import App, event_stream

LIMIT = 0.4  # seconds: `timeout-half-closed` of these tests
AT_ONCE = 0.3  # seconds: what needs no limit to be found out takes less, on a busy machine too
GET = "GET %s HTTP/1.1\r\nHost: test\r\n\r\n"


class Halved:
    """An app whose handlers all wait, and what became of them.

    Attributes:
        begun, ended: names of handlers and sources.
        told: `half_closed` of the connection, each time `on_peer_done` was called.
        gate: lets those on threads go on.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.told: list[bool] = []
        self.gate = threading.Event()
        self.app = App()
        self.app.get("/sleep/{seconds}")(self.sleep)
        self.app.get("/forever")(self.forever)
        self.app.get("/slowly")(self.slowly)
        self.app.get("/events")(lambda request: event_stream(self.silent()))
        self.app.get("/thread", blocking=True)(self.thread)
        self.app.get("/thread/stream", blocking=True)(self.thread_stream)
        self.app.post("/up", stream=True)(self.up)

    async def sleep(self, request: Any) -> str:
        self.begun.append("sleep")
        request.on_peer_done = lambda: self.told.append(request.connection.half_closed)
        try:
            await asyncio.sleep(float(request.params["seconds"]))
        except asyncio.CancelledError:
            self.ended.append("sleep")
            raise
        return "slept"

    async def forever(self, request: Any) -> None:
        def fail() -> None:
            raise LookupError("told")

        self.begun.append("forever")
        request.on_peer_done = fail
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.append("forever")

    async def slowly(self, _: Any) -> AsyncIterator[str]:
        self.begun.append("slowly")
        try:
            for number in range(5):
                yield f"{number}"
                await asyncio.sleep(LIMIT / 2)
        finally:
            self.ended.append("slowly")

    async def silent(self) -> AsyncIterator[str]:
        self.begun.append("events")
        try:
            yield "first"
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.append("events")

    def thread(self, _: Any) -> str:
        self.begun.append("thread")
        assert self.gate.wait(20)
        return "waited"

    def thread_stream(self, _: Any) -> Iterator[str]:
        self.begun.append("thread stream")
        try:
            yield "first"
            assert self.gate.wait(20)
            yield "second"
            self.begun.append("thread stream goes on")
        finally:
            self.ended.append("thread stream")

    async def up(self, request: Any) -> str:
        self.begun.append("up")
        try:
            return str(sum([len(piece) async for piece in request.stream()]))
        finally:
            self.ended.append("up")


@pytest.fixture
def halved() -> Iterator[Halved]:
    made = Halved()
    yield made
    made.gate.set()


@pytest.fixture
def start(halved: Halved, loop_kind: str, quick_rounds: None) -> Iterator[Callable[..., Local]]:
    running: list[Local] = []

    def begin(**settings: object) -> Local:
        running.append(Local(halved.app, **{"loop": loop_kind, "timeout_half_closed": LIMIT, **settings}))
        return running[-1]

    yield begin
    halved.gate.set()
    for server in running:
        for wire in server.wires:
            wire.close()
        server.stop()
        assert server.worker.pipeline.get_stats()["in_flight"] == 0


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def loop_kind(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        # The first loop of a process makes a pair of descriptors for good.
        pytest.importorskip("uvloop").new_event_loop().close()
    return str(request.param)


def halve(wire: Wire) -> float:
    wire.sock.shutdown(socket.SHUT_WR)
    return time.monotonic()


def asked(server: Local, halved: Halved, path: str, name: str) -> Wire:
    wire = server.connect().get(path)
    until(lambda: name in halved.begun)
    return wire


# --- who still reads ----------------------------------------------------------------------------


def test_a_coroutine_answers(start: Callable[..., Local], halved: Halved) -> None:
    wire = asked(start(), halved, "/sleep/0.2", "sleep")
    halve(wire)
    answer = wire.rest()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nslept")
    assert halved.ended == []
    assert halved.told == [True]


def test_the_end_may_come_with_the_request(start: Callable[..., Local], halved: Halved) -> None:
    wire = start().connect()
    wire.get("/sleep/0.1").get("/sleep/0.1").get("/sleep/0")
    halve(wire)
    assert wire.rest().count(b"slept") == 3
    assert halved.ended == []


def test_what_shows_signs_of_life_goes_on(start: Callable[..., Local], halved: Halved) -> None:
    """Its whole answer takes longer than the limit, no piece of it does."""
    wire = asked(start(), halved, "/slowly", "slowly")
    halve(wire)
    answer = wire.rest()
    assert answer.endswith(b"1\r\n3\r\n1\r\n4\r\n0\r\n\r\n")
    assert halved.ended == ["slowly"]


def test_without_a_limit_nothing_is_ended(start: Callable[..., Local], halved: Halved) -> None:
    server = start(timeout_half_closed=0)
    gone = asked(server, halved, "/forever", "forever")
    gone.sock.shutdown(socket.SHUT_WR)
    wire = asked(server, halved, "/sleep/0.9", "sleep")
    halve(wire)
    assert wire.rest().endswith(b"slept")
    assert halved.ended == []
    gone.reset()  # else the end of the server waits for it


def test_a_thread_answers_whatever_the_limit(start: Callable[..., Local], halved: Halved) -> None:
    wire = asked(start(), halved, "/thread", "thread")
    halve(wire)
    time.sleep(2 * LIMIT)
    halved.gate.set()
    assert wire.rest().endswith(b"waited")


def test_half_a_body_is_told_to_its_handler(start: Callable[..., Local], halved: Halved) -> None:
    wire = start().connect().send(b"POST /up HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n1234")
    until(lambda: "up" in halved.begun)
    halve(wire)
    answer = wire.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in answer
    until(lambda: halved.ended == ["up"])  # cancelled, once the server has said what is wrong


def test_others_who_take_long_are_not_ended(start: Callable[..., Local], halved: Halved) -> None:
    """The same limit is looked at in the cell of everybody whose handler is at work."""
    server = start()
    wires = [asked(server, halved, path, name) for path, name in (("/sleep/0.9", "sleep"), ("/events", "events"))]
    assert wires[0].answer()[2] == b"slept"
    assert wires[1].answer()[0] == 200
    assert halved.ended == halved.told == []


def test_an_event_from_before_is_no_hang_up(start: Callable[..., Local], halved: Halved) -> None:
    """The end of the stream may be in the batch of events whose first one made that uninteresting."""
    server = start()
    wire = asked(server, halved, "/sleep/0.3", "sleep")
    halve(wire)
    until(lambda: bool(halved.told))
    (connection,) = server.worker.pools.index.get_at(0, 3)
    server.worker.loop.call_from_thread(lambda: connection.on_ready(1))
    server.worker.loop.call_from_thread(lambda: connection.on_ready(2))
    assert wire.rest().endswith(b"slept")


# --- who is gone --------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "name"), [("/sleep/100", "sleep"), ("/events", "events"), ("/forever", "forever")])
def test_who_closed_is_given_the_limit(start: Callable[..., Local], halved: Halved, path: str, name: str) -> None:
    wire = asked(start(log_level="critical"), halved, path, name)
    while name == "events" and b"first" not in wire.left:  # what is left unread is answered with a reset
        wire.left += wire.sock.recv(1000)
    wire.close()
    began = time.monotonic()
    until(lambda: halved.ended == [name])
    assert LIMIT - 0.05 < time.monotonic() - began < LIMIT + 1
    assert halved.told == ([True] if name == "sleep" else [])


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("path", "name"), [("/sleep/100", "sleep"), ("/events", "events"), ("/forever", "forever")])
def test_a_reset_needs_none(start: Callable[..., Local], halved: Halved, path: str, name: str, half: bool) -> None:
    wire = asked(start(timeout_half_closed=0, log_level="critical"), halved, path, name)
    if half:
        halve(wire)
        time.sleep(0.1)
    wire.reset()
    began = time.monotonic()
    until(lambda: halved.ended == [name])
    assert time.monotonic() - began < AT_ONCE
    assert halved.told == ([True] if name == "sleep" else [])


def test_a_unix_socket_tells_a_close_from_half_a_close(
    start: Callable[..., Local], halved: Halved, tmp_path: pathlib.Path
) -> None:
    start(uds=str(tmp_path / "socket"), timeout_half_closed=0)
    half, gone = (connect(f"unix:{tmp_path / 'socket'}").get("/sleep/0.5") for _ in range(2))
    until(lambda: len(halved.begun) == 2)
    halve(half)
    gone.close()
    until(lambda: halved.ended == ["sleep"])
    assert half.rest().endswith(b"slept")
    half.close()


def test_a_source_learns_of_it_with_its_next_piece(start: Callable[..., Local], halved: Halved) -> None:
    """The first is answered by a reset, which shows although nothing is read any more."""
    wire = asked(start(timeout_half_closed=0), halved, "/slowly", "slowly")
    wire.close()
    began = time.monotonic()
    until(lambda: halved.ended == ["slowly"])
    assert time.monotonic() - began < 1.5 * LIMIT


def test_a_source_on_a_thread_is_closed_when_it_moves(start: Callable[..., Local], halved: Halved) -> None:
    server = start()
    wire = asked(server, halved, "/thread/stream", "thread stream")
    assert wire.answer()[0] == 200
    wire.close()
    until(lambda: server.worker.pools.index.total_connections() == 0)
    halved.gate.set()
    until(lambda: halved.ended == ["thread stream"])
    assert "thread stream goes on" not in halved.begun


def test_a_reset_is_seen_while_the_handler_lags(start: Callable[..., Local], halved: Halved) -> None:
    """The socket is not read then."""
    ended: list[str] = []

    async def lags(request: Any) -> None:
        try:
            async for _ in request.stream():
                await asyncio.get_running_loop().create_future()
        finally:
            ended.append("lags")

    halved.app.post("/lags", stream=True)(lags)
    wire = start(timeout_half_closed=0).connect()
    wire.send(b"POST /lags HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000\r\n\r\n" + bytes(1_000_000))
    time.sleep(0.2)
    assert ended == []
    wire.reset()
    until(lambda: ended == ["lags"])


def test_a_failing_hook_is_logged_and_harms_nobody(start: Callable[..., Local], halved: Halved, capfd: Any) -> None:
    wire = asked(start(), halved, "/forever", "forever")
    halve(wire)
    assert wire.rest() == b""
    until(lambda: halved.ended == ["forever"])
    assert "LookupError: told" in capfd.readouterr().err


# --- the price ----------------------------------------------------------------------------------


def test_waiting_takes_no_time(start: Callable[..., Local], halved: Halved) -> None:
    """The end of a stream stays readable: whoever watched for it would never sleep."""
    server = start()
    for path, name in (("/sleep/0.8", "sleep"), ("/events", "events"), ("/thread", "thread")):
        halve(asked(server, halved, path, name))
    time.sleep(0.1)
    rounds = 0
    poll = server.worker.loop.selector.poll

    def counted(timeout: float, most: int) -> Any:
        nonlocal rounds
        rounds += 1
        return poll(timeout, most)

    server.worker.loop.selector.poll = counted
    time.sleep(LIMIT / 2)
    assert rounds < 10
