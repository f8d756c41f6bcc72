"""The watchdog: who is told of, with which line, how often, and that it is not there unless asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until

from dimserver import App
from dimserver.worker.watchdog import Watchdog

Serve = Callable[..., Any]


class Gate:
    """Where handlers wait until the test has seen enough."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def wait_at_the_gate(self) -> None:
        assert self.event.wait(PATIENCE)


class Told:
    """A log that remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def warning(self, message: str, detail: str = "") -> None:
        self.messages.append((message, detail))

    def wait(self, count: int) -> list[tuple[str, str]]:
        until(lambda: not (len(self.messages) < count), lambda: self.messages)
        return self.messages


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.event.set()


def watched(serve: Serve, app: App, limit: float = 0.1) -> tuple[Any, Told]:
    server = serve(app, watchdog=limit)
    told = Told()
    server.worker._watchdog._log = told
    return server, told


@pytest.mark.parametrize("blocking", [False, True])
def test_the_line_a_handler_is_at(serve: Serve, gate: Gate, blocking: bool) -> None:
    app = App()

    @app.get("/stuck/{what}", blocking=blocking)
    def stuck_handler(request: Any) -> str:
        gate.wait_at_the_gate()
        return "at last"

    server, told = watched(serve, app)
    wire = server.connect().get("/stuck/here?a=b")
    ((message, stack),) = told.wait(1)[:1]
    assert message.startswith("handler still running after 0.")
    assert " s: GET /stuck/here?a=b" in message
    assert message.endswith("on a thread" if blocking else "on the loop, which serves no other client meanwhile")
    assert "in stuck_handler" in stack
    assert "in wait_at_the_gate" in stack
    gate.event.set()
    assert wire.answer()[2] == b"at last"
    assert wire.get("/none").answer()[0] == 404


def test_it_is_told_at_the_limit_and_whenever_that_has_doubled(serve: Serve, gate: Gate) -> None:
    app = App()
    app.get("/", blocking=True)(lambda request: gate.wait_at_the_gate() or "x")
    server, told = watched(serve, app, 0.05)
    wire = server.connect().get()
    begun = time.monotonic()
    told.wait(4)
    took = time.monotonic() - begun
    assert took > 0.05 * 8 * 0.9  # once, twice, four and eight times
    gate.event.set()
    assert wire.answer()[0] == 200
    count = len(told.messages)
    for _ in range(20):  # handlers that do not take long are not told of, whoever was before on their thread
        assert wire.get().answer()[0] == 200
    time.sleep(0.1)
    assert len(told.messages) == count


def test_a_generator_on_the_loop_and_on_a_thread(serve: Serve, gate: Gate) -> None:
    """On a thread a stream may take its time; on the loop it keeps everybody waiting."""
    app = App()

    def pieces(request: Any) -> Iterator[bytes]:
        yield b"first"
        gate.wait_at_the_gate()
        yield b"last"

    app.get("/thread", blocking=True)(pieces)
    app.get("/loop")(pieces)
    server, told = watched(serve, app)
    patient = server.connect().get("/thread")
    time.sleep(0.4)
    assert told.messages == []
    other = server.connect().get("/loop")
    ((message, stack),) = told.wait(1)[:1]
    assert "GET /loop" in message
    assert "in pieces" in stack
    gate.event.set()
    for wire in (patient, other):
        while not wire.left.endswith(b"0\r\n\r\n"):
            wire.more()
        assert b"first" in wire.left
        assert b"last" in wire.left


def test_a_first_piece_that_takes_long(serve: Serve, gate: Gate) -> None:
    app = App()

    @app.get("/", blocking=True)
    def late(request: Any) -> Iterator[bytes]:
        gate.wait_at_the_gate()
        yield b"x"

    server, told = watched(serve, app)
    server.connect().get()
    assert "in late" in told.wait(1)[0][1]


def test_many_at_once_are_told_apart(serve: Serve, gate: Gate) -> None:
    app = App()
    app.get("/{n}", blocking=True)(lambda request: gate.wait_at_the_gate() or request.params["n"])
    server, told = watched(serve, app)
    wires = [server.connect().get(f"/{n}") for n in range(4)]
    told.wait(4)
    assert {message.split()[7] for message, _ in told.messages[:4]} == {f"/{n}," for n in range(4)}
    gate.event.set()
    assert [wire.answer()[2] for wire in wires] == [b"0", b"1", b"2", b"3"]


def test_what_it_holds_of_a_request_is_let_go(serve: Serve, gate: Gate) -> None:
    """The object of a request that was looked at serves others again, or is its keeper's alone."""
    kept: list[Any] = []
    app = App()

    @app.get("/{n}")
    def handler(request: Any) -> str:
        if request.params["n"] == "slow":
            kept.append(request)
            gate.wait_at_the_gate()
        return str(request.params["n"])

    server, told = watched(serve, app)
    wire = server.connect().get("/slow")
    told.wait(1)
    gate.event.set()
    assert wire.answer()[2] == b"slow"
    for n in range(5):
        assert wire.get(f"/{n}").answer()[2] == str(n).encode()
    assert kept[0].raw_target == "/slow"


def test_no_thread_unless_it_is_asked_for(serve: Serve) -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate()]

    server = serve(App())
    assert server.connect().get().answer()[0] == 404
    assert "dimserver-watchdog" not in names()
    server = serve(App(), watchdog=60)
    assert server.connect().get().answer()[0] == 404
    assert "dimserver-watchdog" in names()
    server.stop()
    assert "dimserver-watchdog" not in names()


def test_stopping_before_the_start(serve: Serve) -> None:
    server = serve(App())
    watchdog = Watchdog(1, server.worker._core, {}, server.worker.log)
    watchdog.stop()
    watchdog.stop()
    watchdog.look()
