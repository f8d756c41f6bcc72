"""Time limits: each state has its own, kept by the index, and progress buys time where it should."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import ConnectionPoint, Report, RequestPoint, UsageError, tick

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n"
SHORT = 0.1
KEPT_WITHIN = 0.35  # a limit of SHORT, the sweep's tenth of a second, and a busy machine
Serve = Callable[..., Any]


def closed_after(client: Any) -> float:
    began = time.monotonic()
    client.wait_for_end()
    return time.monotonic() - began


def test_nothing_sent(serve: Serve) -> None:
    rig = serve(seconds={"connect": SHORT})
    client = rig.connect()
    assert SHORT <= closed_after(client) < KEPT_WITHIN
    assert client.left == b""


def test_idle(serve: Serve) -> None:
    rig = serve(seconds={"idle": SHORT, "connect": 60})
    client, fresh = rig.connect(), rig.connect()
    for _ in range(3):
        client.ask(GET)
        rig.turn_for(SHORT / 2)
    assert SHORT / 2 <= closed_after(client) < KEPT_WITHIN
    assert fresh.is_open()  # it is new, not idle


@pytest.mark.parametrize("before", [b"", GET])
def test_half_a_head_by_drops(serve: Serve, before: bytes) -> None:
    rig = serve(seconds={"head": SHORT, "linger": SHORT})
    client = rig.connect()
    if before:
        client.ask(before)
    began = time.monotonic()
    for byte in b"GET / HTTP/1.1\r\nHost: a" * 20:
        client.sock.send(bytes([byte]))
        rig.turn_for(0.01)
        if client.receive():
            break
    assert time.monotonic() - began < KEPT_WITHIN
    assert client.answer().status == 408
    assert client.rest() == b""
    assert rig.core.requests.get_stats()["total_errors"] == 1


def test_a_body_that_stops(serve: Serve) -> None:
    rig = serve({"POST /": pytest.fail}, body_rate=10, seconds={"body_credit": SHORT})
    client = rig.connect()
    client.send(POST + b"x" * 50)
    assert client.answer().status == 408
    assert client.rest() == b""


def test_a_body_by_drops_and_one_that_flows(serve: Serve) -> None:
    rig = serve({"POST /": lambda request: request.body}, body_rate=100, seconds={"body_credit": 3 * SHORT})
    slow, steady = rig.connect(), rig.connect()
    slow.send(POST)
    steady.send(POST)
    began = time.monotonic()
    for _ in range(30):
        slow.sock.send(b"x")
        steady.sock.send(b"x" * 5)
        rig.turn_for(0.025)
        if slow.receive():
            break
    assert slow.answer().status == 408
    # 40 of 100 bytes a second: it lives on its credit and on what it earns.
    assert 3 * SHORT <= time.monotonic() - began < 10 * SHORT
    for _ in range(20):
        if steady.receive():
            break
        steady.sock.send(b"x" * 5)
        rig.turn_for(0.025)
    assert steady.answer().body == b"x" * 100


def test_a_pause_is_not_slowness(serve: Serve) -> None:
    """What came faster than the rate pays for a pause, but for no more than the credit."""
    rig = serve({"POST /": lambda request: str(len(request.body))}, body_rate=10, seconds={"body_credit": 0.6})
    client = rig.connect()
    for _ in range(3):
        client.send(POST + b"x" * 50)
        rig.turn_for(0.4)
        client.send(b"x" * 20)
        rig.turn_for(0.4)
        client.send(b"x" * 30)
        assert client.answer().body == b"100"
    client.send(POST + b"x" * 99)  # ten seconds' worth
    began = time.monotonic()
    assert client.answer().status == 408
    assert 0.6 <= time.monotonic() - began < 1.0


def test_a_reader_may_pause_too(serve: Serve) -> None:
    rig = serve(lambda request: b"x" * 8_000_000, send_rate=1000, seconds={"send_credit": 1.0})
    client, stuck = rig.connect(receive_buffer=4096), rig.connect(receive_buffer=4096)
    client.send(GET)
    stuck.send(GET)
    for _ in range(3):
        rig.turn_for(0.6)
        client.receive()
    assert len(rig.connections()) == 1
    assert len(client.answer().body) == 8_000_000


def test_one_that_reads_a_stream_by_drops(serve: Serve) -> None:
    """Its credit is one for the whole answer, and not for each piece that was waited for."""

    def source(request: RequestPoint) -> Any:
        return (b"x" * 1000 for _ in range(100_000))

    rig = serve(source, send_rate=1_000_000, seconds={"send_credit": 0.4})
    client = rig.connect(receive_buffer=4096)
    client.send(GET)
    began = time.monotonic()
    while rig.connections() and time.monotonic() - began < 5:
        try:
            client.sock.recv(2000)
        except OSError:
            pass
        rig.turn_for(0.02)
    assert time.monotonic() - began < 3


def test_an_answer_nobody_reads_and_one_that_is_read_slowly(serve: Serve) -> None:
    rig = serve(lambda request: b"x" * 8_000_000, send_rate=1000, seconds={"send_credit": 4 * SHORT})
    stuck, slow = rig.connect(receive_buffer=4096), rig.connect(receive_buffer=4096)
    stuck.send(GET)
    slow.send(GET)
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        slow.receive()
        rig.turn_for(0.02)
    assert len(rig.connections()) == 1  # the one that reads
    assert len(slow.answer().body) == 8_000_000


def test_pipelined_answers_nobody_reads(serve: Serve) -> None:
    """They end in half a head, whose own time limit would only have begun a second round of waiting."""
    rig = serve(lambda request: b"x" * 15_000, send_rate=1000, seconds={"send_credit": SHORT, "head": 60})
    client = rig.connect(receive_buffer=4096)
    data = GET * 1000 + b"GE"
    for _ in range(100):
        rig.turn()
        try:
            data = data[client.sock.send(data) :]
        except BlockingIOError:
            break
        if not data:
            break
    rig.turn_for(0.5)
    assert rig.cells() == {}


def test_lingering_ends(serve: Serve) -> None:
    rig = serve(seconds={"linger": SHORT})
    client = rig.connect()
    assert client.ask(b"\0").status == 400
    began = time.monotonic()
    while rig.cells():
        assert rig.cells() == {(0, 5): 1}
        assert time.monotonic() - began < KEPT_WITHIN
        try:
            client.sock.send(b"x")  # what it still sends does not renew it where all the time may be silent
        except OSError:
            pass
        rig.turn_for(0.02)


def lingers_for(rig: Any, piece: bytes, seconds: float) -> float:
    """How long a refused client that sends so much fifty times a second is read."""
    client = rig.connect()
    assert client.ask(b"\0").status == 400
    began = time.monotonic()
    while rig.cells() and time.monotonic() - began < seconds:
        try:
            client.sock.send(piece)
        except OSError:
            pass
        rig.turn_for(0.02)
    return time.monotonic() - began


def test_one_that_is_still_sending_is_waited_for(serve: Serve) -> None:
    limits = {"linger": 1.0, "linger_silence": 0.3}
    rig = serve(body_rate=1000, seconds=limits)
    assert 0.7 <= lingers_for(rig, b"x" * 1000, 5) < 1.25  # all the time there is, and not more
    assert 0.3 <= lingers_for(rig, b"x", 5) < 0.6  # 50 bytes a second are no sign of life
    client = rig.connect()
    assert client.ask(b"\0").status == 400
    (connection,) = rig.connections()
    assert connection.socket is None
    began = time.monotonic()
    while rig.cells():
        rig.turn_for(0.02)
    assert 0.3 <= time.monotonic() - began < 0.6  # silent


def test_a_stop_ends_lingering(serve: Serve) -> None:
    rig = serve(body_rate=10, seconds={"linger": 60, "linger_silence": 30})
    client = rig.connect()
    assert client.ask(b"\0").status == 400
    rig.core.drain()
    began = time.monotonic()
    while rig.cells():
        client.sock.send(b"x" * 100)
        rig.turn_for(0.05)
        assert time.monotonic() - began < 3


def test_a_slow_handler_is_told_of_and_goes_on(serve: Serve) -> None:
    rig = serve({"GET !/": lambda request: "late"}, seconds={"handler": SHORT, "head": SHORT, "idle": 60})
    client = rig.connect()
    client.send(GET)
    rig.turn_for(0.5)
    assert len(rig.reports) >= 2
    message, request, error = rig.reports[0]
    assert (message, request.path, error) == (Report.HANDLER_RUNS_LONG, "/", None)
    rig.run_job()
    assert client.answer().body == b"late"


def test_no_limits_unless_given(serve: Serve) -> None:
    rig = serve({"POST /": lambda request: "x", "GET /": lambda request: "x"})
    clients = [rig.connect() for _ in range(4)]
    clients[1].send(b"GE")
    clients[2].send(POST)
    clients[3].ask(GET)
    rig.turn_for(0.3)
    assert all(client.is_open() for client in clients)


def test_points_of_the_program_are_passed_over(serve: Serve) -> None:
    rig = serve(seconds={"connect": SHORT, "idle": SHORT, "head": SHORT})
    manual = [rig.core.pools.manifest_connection() for _ in range(5)]
    idle = ConnectionPoint("mine")
    rig.core.pools.index.add(idle, 0, 4)
    request = rig.core.requests.manifest("BREW", "/")
    clients = [rig.connect() for _ in range(3)]
    clients[1].send(b"GE")
    clients[2].ask(GET)
    assert clients[1].answer().status == 408
    for client in clients:
        client.wait_for_end()
        client.sock.close()
    rig.turn(0.05)
    assert rig.cells() == {(0, 1): 5, (0, 4): 1}
    assert rig.in_flight == {(7, 1): 1}
    for point in manual:
        rig.core.pools.transition(point.id, 7)
    rig.core.pools.index.remove("mine")
    rig.core.requests.transition(request.id, 7)


def test_limits_of_clients_are_not_those_of_other_kinds(serve: Serve) -> None:
    rig = serve(seconds={"connect": SHORT, "idle": SHORT, "head": SHORT})
    client = rig.connect()
    (connection,) = rig.connections()
    rig.core.pools.index.move(connection.id, 4, 4)  # a stream, kept idle: whoever has streams ends them
    time.sleep(2 * SHORT)
    tick(rig.core)
    assert client.is_open()
    rig.core.pools.index.move(connection.id, 0, 4)
    time.sleep(2 * SHORT)
    client.wait_for_end()


def test_thousands_at_once(serve: Serve) -> None:
    rig = serve(seconds={"connect": SHORT})
    clients = [rig.connect() for _ in range(400)]
    rig.turn_for(KEPT_WITHIN)
    assert rig.cells() == {}
    assert all(client.receive() and client.ended for client in clients)


def test_a_clock_that_stands_still_or_jumps(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock dates answers and decides nothing."""
    rig = serve(seconds={"idle": 60})
    client = rig.connect()
    client.ask(GET)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    rig.turn()
    assert client.is_open()


def test_not_from_within_a_handler(serve: Serve) -> None:
    def nested(request: RequestPoint) -> str:
        time.sleep(SHORT)  # a sweep is due
        with pytest.raises(UsageError):
            tick(rig.core)
        return "x"

    rig = serve(nested)
    rig.turn_for(0.15)
    assert rig.connect().ask(GET).body == b"x"
