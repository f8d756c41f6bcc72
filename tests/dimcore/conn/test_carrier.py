"""What a connection sends: pace, turns, and what a peer that reads slowly is allowed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dimcore import Connection, Push, UsageError
from dimcore.conn.carrier import Carrier

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
KIB = 1024
MIB = 1024 * KIB

Serve = Callable[..., Any]


class Endless:
    """Makes pieces for as long as somebody asks."""

    def __init__(self, size: int = 64 * KIB, most: int = 1 << 30) -> None:
        self.piece = b"x" * size
        self.most = most
        self.pulled = 0
        self.closed = False

    def __call__(self, request: Any) -> Iterator[bytes]:  # noqa: ARG002 - the signature of a handler
        try:
            while self.pulled < self.most:
                self.pulled += 1
                yield self.piece
        except GeneratorExit:
            self.closed = True
            raise


def test_it_is_made_by_accepting() -> None:
    carrier = Carrier()
    assert carrier.fileno == -1
    carrier.on_ready(3)
    with pytest.raises(UsageError):
        Connection()


def test_a_slow_reader_holds_the_source_back(serve: Serve) -> None:
    source = Endless(most=2000)
    rig = serve(source)
    client = rig.connect(receive_buffer=4096).send(GET)
    rig.turn_for(0.1)
    held = source.pulled
    assert held * 64 * KIB < 16 * MIB  # the kernel's buffers, and one piece
    rig.turn_for(0.05)
    assert source.pulled == held
    for _ in range(50):
        client.receive()
        rig.turn()
    assert held <= source.pulled < 2000


def test_a_client_that_leaves_ends_the_source(serve: Serve) -> None:
    source = Endless()
    rig = serve(source)
    client = rig.connect(receive_buffer=4096).send(GET)
    client.reset()
    rig.turn_for(0.05)
    assert source.closed
    assert rig.cells() == {}
    assert rig.in_flight == {}


@pytest.mark.parametrize("size", [1, 64 * KIB])
def test_a_fast_reader_leaves_others_their_turn(serve: Serve, size: int) -> None:
    source = Endless(size)
    rig = serve({"GET /": source, "GET /other": lambda request: "other"})
    client = rig.connect().send(GET)
    other = rig.connect()
    before = source.pulled
    client.receive()
    other.sock.send(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
    while not other.receive():
        rig.turn()
        client.receive()
    assert b"other" in other.left
    assert source.pulled - before < 3000  # a few turns, not all there is
    client.reset()


def test_answers_behind_a_stream_keep_their_order(serve: Serve) -> None:
    source = Endless(most=100)
    rig = serve({"GET /": source, "GET /next": lambda request: "next"})
    client = rig.connect(receive_buffer=4096)
    client.send(GET + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert client.answer()["transfer-encoding"] == "chunked"
    chunk = b"10000\r\n" + source.piece + b"\r\n"
    size = len(chunk) * 100 + 5
    client.wait(lambda: len(client.left) >= size)
    assert client.left[:size] == chunk * 100 + b"0\r\n\r\n"
    client.left = client.left[size:]
    assert [client.answer().body for _ in range(2)] == [b"next"] * 2
    (connection,) = rig.connections()
    assert connection.requests == 3
    assert connection.bytes_out > 100 * 64 * KIB


def test_a_reader_that_stops_is_closed(serve: Serve) -> None:
    source = Endless()
    rig = serve(source, seconds={"send_credit": 0.15}, send_rate=240)
    rig.connect(receive_buffer=4096).send(GET)
    begun = time.monotonic()
    while not source.closed and time.monotonic() - begun < 5:
        rig.turn(0.05)
    assert source.closed
    assert time.monotonic() - begun < 2
    assert rig.cells() == {}


def test_a_source_that_is_slow_is_not_its_readers_fault(serve: Serve) -> None:
    push = Push()
    rig = serve(lambda request: (200, None, push), seconds={"send_credit": 0.1}, send_rate=240)
    client = rig.connect().send(GET)
    rig.turn_for(0.4)
    push.write(b"late")
    rig.turn_for(0.25)
    push.end()
    assert client.answer().status == 200
    client.wait(lambda: client.left == b"4\r\nlate\r\n0\r\n\r\n")


def test_the_readers_time_begins_when_it_lags(serve: Serve) -> None:
    push = Push()
    rig = serve(lambda request: (200, None, push), seconds={"send_credit": 0.4}, send_rate=240)
    client = rig.connect(receive_buffer=4096).send(GET)
    rig.turn_for(0.35)  # nearly all of a period without a piece
    while push.write(b"x" * MIB):
        pass
    rig.turn_for(0.25)
    assert len(rig.connections()) == 1
    client.reset()


def test_a_handler_that_closes_its_own_connection_in_the_middle(serve: Serve) -> None:
    def handler(request: Any) -> Iterator[bytes]:
        yield b"one"
        request.connection.close()
        yield b"two"

    rest = serve(handler).connect().send(GET + GET).rest()
    assert rest.count(b"HTTP/1.1 ") == 1
    assert rest.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_a_connection_removed_in_the_middle(serve: Serve) -> None:
    ended = []

    def handler(request: Any) -> Iterator[bytes]:
        try:
            yield b"one"
            rig.core.pools.index.remove(request.connection)
            yield b"two"
        finally:
            ended.append(1)

    rig = serve(handler)
    rig.connect().send(GET).rest()
    assert ended == [1]


def test_the_access_log_counts_what_was_streamed(serve: Serve) -> None:
    lines: list[Any] = []
    options = {"access_log": lambda request, status, size, time_ns: lines.append((status, size))}
    rig = serve(Endless(10, most=7), options=options)
    client = rig.connect().send(GET)
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    assert lines == [(200, 70)]
    rig = serve(Endless(), options=options)
    rig.connect(receive_buffer=4096).send(GET).reset()
    rig.turn_for(0.05)
    assert lines[1][0] == 200
    assert lines[1][1] > 0
