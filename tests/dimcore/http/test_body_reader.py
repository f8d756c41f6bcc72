"""Where the pieces of a body go: to memory, to a file, or to a handler that runs already."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import BadRequest, Push, UsageError
from dimcore.http.body_reader import BodyReader

Serve = Callable[..., Any]

KIB = 1024
HEAD = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"


class Sink:
    """What a handler on a thread would read from."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.pieces: list[bytes] = []
        self.ends: list[str] = []

    def feed(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def end(self, error: str) -> None:
        self.ends.append(error)

    def read(self) -> bytes:
        if self.ends != [""]:
            raise BadRequest(self.ends[0], 400)
        return b"".join(self.pieces)

    def __iter__(self) -> Any:
        return iter(self.pieces)


class Streams:
    """`open_stream` that remembers what it opened."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []

    def __call__(self, connection: Any) -> Sink:
        self.sinks.append(Sink(connection))
        return self.sinks[-1]


def handler(request: Any) -> bytes:
    return bytes(request.body)


@pytest.fixture
def streams() -> Streams:
    return Streams()


def blocking(serve: Serve, streams: Streams, **limits: Any) -> Any:
    rig = serve({}, options={"open_stream": streams}, **({"body_memory": 1000} | limits))
    rig.router.add("POST", "/", handler, blocking=True).streaming = 2  # a large body is handed on as it arrives
    return rig


def chunks(body: bytes, size: int = 700) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_it_is_the_connections_own() -> None:
    assert not [name for name in dir(BodyReader()) if not name.startswith("_")]


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 70_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("step", [113, 8192, 1 << 20])
def test_whole_bodies_wherever_they_went(serve: Serve, size: int, chunked: bool, step: int) -> None:
    body = (b"0123456789" * 7001)[:size]
    data = CHUNKED + chunks(body) if chunked else HEAD % size + body
    if size == 70_000 and step == 113:
        data, body = (
            (CHUNKED + chunks(body[:5000]), body[:5000]) if chunked else (HEAD % 5000 + body[:5000], body[:5000])
        )
    client = serve({"POST /": handler}, body_memory=1000).connect()
    for at in range(0, len(data), step):
        client.send(data[at : at + step])
    assert client.answer().body == body
    assert client.ask(HEAD % 2 + b"ok").body == b"ok"


# --- to the handler -----------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_the_handler_begins_before_the_end(serve: Serve, streams: Streams, chunked: bool) -> None:
    rig = blocking(serve, streams)
    body = b"0123456789" * 500
    data = CHUNKED + chunks(body) if chunked else HEAD % len(body) + body
    client = rig.connect().send(data[:3000])
    assert len(rig.jobs) == 1
    (sink,) = streams.sinks
    assert sink.ends == []
    client.send(data[3000:-1])
    client.send(data[-1:] + HEAD % 2 + b"ok")  # and the next request behind it
    assert sink.ends == [""]
    assert b"".join(sink.pieces) == body
    rig.run_job()
    assert client.answer().body == body
    rig.run_job()
    assert client.answer().body == b"ok"
    assert len(streams.sinks) == 1


def test_while_the_handler_lags_the_socket_is_not_read(serve: Serve, streams: Streams) -> None:
    rig = blocking(serve, streams)
    client = rig.connect().send(HEAD % 100_000 + b"x" * 5000)
    (connection,) = rig.connections()
    connection.pause_body()
    before = connection.bytes_in
    client.sock.send(b"x" * 5000)
    rig.turn_for(0.05)
    assert connection.bytes_in == before
    connection.resume_body()
    connection.resume_body()
    rig.turn_for(0.05)
    assert connection.bytes_in == before + 5000
    client.send(b"x" * 90_000)
    rig.run_job()
    assert client.answer().body == b"x" * 100_000


def test_pausing_where_there_is_nothing_to_pause(serve: Serve) -> None:
    rig = serve()
    client = rig.connect()
    (connection,) = rig.connections()
    connection.pause_body()
    connection.resume_body()
    assert client.ask().body == b"hello"


def test_a_pause_that_is_never_ended_ends_with_the_body(serve: Serve, streams: Streams) -> None:
    """A handler may answer without taking what waits for it; the next request is not paused."""
    rig = blocking(serve, streams, seconds={"body_credit": 0.15}, body_rate=240)
    client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
    (connection,) = rig.connections()
    feed = streams.sinks[0].feed

    def pausing(piece: bytes) -> None:
        feed(piece)
        connection.pause_body()

    streams.sinks[0].feed = pausing  # type: ignore[method-assign]
    client.send(b"x" * 2000)
    assert streams.sinks[0].ends == [""]
    rig.run_job()
    assert client.answer().status == 200
    client.send(HEAD % 5000 + b"x")  # and then not a byte more
    assert client.answer().status == 408


def test_a_client_that_leaves_in_the_middle(serve: Serve, streams: Streams) -> None:
    rig = blocking(serve, streams)
    rig.connect().send(HEAD % 5000 + b"x" * 3000).reset()
    rig.turn_for(0.05)
    assert len(streams.sinks[0].ends) == 1
    assert "left" in streams.sinks[0].ends[0]
    rig.run_job()
    assert rig.cells() == {}
    assert rig.reports == []


def test_a_client_that_half_closes_in_the_middle(serve: Serve, streams: Streams) -> None:
    rig = blocking(serve, streams)
    client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
    client.sock.shutdown(1)
    rig.turn_for(0.05)
    assert len(streams.sinks[0].ends) == 1
    assert client.answer().status == 400
    rig.run_job()
    assert rig.reports == []


def test_framing_broken_in_the_middle(serve: Serve, streams: Streams) -> None:
    rig = blocking(serve, streams)
    client = rig.connect().send(CHUNKED + b"bb8\r\n" + b"x" * 3000 + b"\r\n")
    client.send(b"zz\r\nmore")
    (sink,) = streams.sinks
    assert client.answer().status == 400  # before the handler has said a word
    assert sink.ends == ["a chunk size is malformed"]
    rig.run_job()
    client.wait_for_end()
    assert client.left == b""
    assert rig.reports == []


def test_an_answer_before_the_body_is_read(serve: Serve, streams: Streams) -> None:
    rig = blocking(serve, streams)
    client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
    (connection,) = rig.connections()
    connection.pause_body()
    connection.complete(rig.jobs[0][1], "no, thank you")
    answer = client.answer()
    assert answer.body == b"no, thank you"
    assert answer["connection"] == "close"
    assert len(streams.sinks[0].ends) == 1  # nobody waits for the rest
    assert streams.sinks[0].ends != [""]
    client.send(b"x" * 2000)
    client.sock.shutdown(1)
    client.wait_for_end()
    assert client.left == b""


def test_a_thread_that_is_not_to_be_had(serve: Serve, streams: Streams) -> None:
    def offload(*job: Any) -> None:
        raise RuntimeError("no thread")

    rig = serve({}, options={"open_stream": streams, "offload": offload}, body_memory=1000)
    rig.router.add("POST", "/", handler, blocking=True).streaming = 2  # a large body is handed on as it arrives
    client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
    assert client.answer().status == 500


def test_a_core_without_streams(serve: Serve) -> None:
    rig = serve({}, body_memory=1000)
    rig.router.add("POST", "/", handler, blocking=True).streaming = 2  # a large body is handed on as it arrives
    rig.connect().send(HEAD % 5000 + b"x" * 3000).wait_for_end()
    assert isinstance(rig.reports[0][2], UsageError)


@pytest.mark.parametrize("fault", ["framing", "length", "time", "end"])
def test_a_refusal_once_the_answer_has_begun_cuts_the_connection(serve: Serve, streams: Streams, fault: str) -> None:
    rig = blocking(serve, streams, max_body=8000, seconds={"body_credit": 0.15, "send_credit": 0.15}, body_rate=240)
    client = rig.connect().send(CHUNKED + b"bb8\r\n" + b"x" * 3000 + b"\r\n")
    push = Push()
    (connection,) = rig.connections()
    connection.complete(rig.jobs[0][1], (200, None, push))
    push.write(b"begun")
    client.wait(lambda: b"begun" in client.left)
    if fault == "framing":
        client.send(b"zz\r\n")
    elif fault == "length":
        client.send(b"1771\r\n" + b"x" * 6001)
    elif fault == "end":
        client.sock.shutdown(1)
    client.wait_for_end()
    assert not client.left.endswith(b"0\r\n\r\n")
    assert b"HTTP/1.1 4" not in client.left
    assert streams.sinks[0].ends[0]
    push.write(b"more")
    push.end()
    assert rig.reports == []
    rig.jobs.clear()


# --- limits -------------------------------------------------------------------------------------


def test_the_limit_holds_for_what_is_not_held_in_memory(serve: Serve, streams: Streams) -> None:
    for rig in (serve({"POST /": handler}, body_memory=1000, max_body=4000), blocking(serve, streams, max_body=4000)):
        client = rig.connect().send(CHUNKED + chunks(b"x" * 3900))
        if rig.jobs:
            rig.run_job()
        assert client.answer().status == 200
        client.send(CHUNKED + b"b00\r\n" + b"x" * 0xB00 + b"\r\n" + b"b00\r\n" + b"x" * 0xB00)
        if rig.jobs:
            rig.run_job()
        assert client.answer().status == 413
        client.sock.close()


def test_a_body_by_drops_is_closed_wherever_it_goes(serve: Serve, streams: Streams) -> None:
    limits = {"seconds": {"body_credit": 0.15}, "body_rate": 240}
    rig = serve({"POST /": handler}, body_memory=1000, **limits)
    client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
    for _ in range(8):
        client.send(b"x")
        rig.turn_for(0.05)
    assert client.answer().status == 408
    rig = blocking(serve, streams, **limits)
    client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
    assert client.answer().status == 408  # also while its handler runs
    assert client.rest() == b""
    assert streams.sinks[0].ends == ["the request did not arrive in time"]
    rig.run_job()
    assert rig.reports == []


def test_no_time_limit_for_whom_the_handler_keeps_waiting(serve: Serve, streams: Streams) -> None:
    rig = blocking(serve, streams, seconds={"body_credit": 0.1}, body_rate=240)
    client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
    (connection,) = rig.connections()
    connection.pause_body()
    rig.turn_for(0.4)
    connection.resume_body()
    client.send(b"x" * 2000)
    rig.run_job()
    assert client.answer().status == 200


def test_continue_is_said_before_a_large_body(serve: Serve, streams: Streams) -> None:
    expect = b"\r\nExpect: 100-continue\r\n\r\n"
    buffered = serve({}, body_memory=1000)
    buffered.router.add("POST", "/", handler, blocking=True)
    for rig in (serve({"POST /": handler}, body_memory=1000), buffered):
        client = rig.connect().send((HEAD % 5000).replace(b"\r\n\r\n", expect))
        assert client.answer().status == 100
        client.send(b"x" * 5000)
        if rig.jobs:
            rig.run_job()
        assert client.answer().body == b"x" * 5000


# --- a disk that is full ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EACCES])
def test_no_temporary_file_is_to_be_had(serve: Serve, number: int) -> None:
    broken = [True]

    def open_spool() -> int:
        if broken[0]:
            raise OSError(number, os.strerror(number))
        return os.memfd_create("spool")

    rig = serve({"POST /": handler}, options={"open_spool": open_spool}, body_memory=1000)
    client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
    answer = client.answer()
    assert (answer.status, answer["retry-after"]) == (503, "1")
    assert [report[0] for report in rig.reports] == ["a request body could not be kept"]
    client.send(b"x" * 2000)
    client.sock.close()
    broken[0] = False
    assert rig.connect().ask(HEAD % 5000 + b"x" * 5000).body == b"x" * 5000


def test_a_full_disk(serve: Serve) -> None:
    options = {"open_spool": lambda: os.open("/dev/full", os.O_RDWR)}
    rig = serve({"POST /": handler}, options=options, body_memory=1000)
    for _ in range(3):
        client = rig.connect().send(HEAD % 5000 + b"x" * 3000)
        assert client.answer().status == 503
        client.sock.close()
    assert rig.connect().ask(HEAD % 500 + b"x" * 500).status == 200
