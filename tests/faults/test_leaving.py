"""Clients that leave at every stage of a connection: by a reset, by closing, and by half."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.conftest import LARGE, MIB, Faulted
from tests.support.waiting import until

Start = Callable[..., Faulted]
POST = "POST /%s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"


def post(path: str, size: int, sent: int) -> bytes:
    return (POST % (path, size)).encode() + bytes(sent)


# Each brings a connection to its stage and waits until the server is there.


def at_nothing(server: Faulted, wire: Any) -> None:
    pass


def at_mid_request_line(server: Faulted, wire: Any) -> None:
    wire.send(b"GET / HT")


def at_mid_head(server: Faulted, wire: Any) -> None:
    wire.send(b"GET / HTTP/1.1\r\nHost: test\r\nAcce")


def at_mid_second_head(server: Faulted, wire: Any) -> None:
    assert wire.get("/").answer()[0] == 200
    wire.send(b"GET / HTTP/1.1\r\nHost: test\r\nAcce")


def at_mid_body(server: Faulted, wire: Any) -> None:
    wire.send(post("body", 1000, 10))


def at_mid_chunk(server: Faulted, wire: Any) -> None:
    wire.send(b"POST /body HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123")


def at_mid_chunk_size(server: Faulted, wire: Any) -> None:
    wire.send(b"POST /body HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5")


def at_mid_trailer(server: Faulted, wire: Any) -> None:
    wire.send(b"POST /body HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\nX-Sum: ")


def at_mid_spooled_body(server: Faulted, wire: Any) -> None:
    wire.send(post("body", 4 * MIB, 2 * MIB))


def at_mid_streamed_body(server: Faulted, wire: Any) -> None:
    before = server.begun
    wire.send(post("body/thread", 4 * MIB, 2 * MIB))
    until(lambda: server.begun > before)


def at_continue(server: Faulted, wire: Any) -> None:
    wire.send(b"POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert wire.answer()[0] == 100


def at_handler_on_a_thread(server: Faulted, wire: Any) -> None:
    before = server.begun
    wire.get("/wait")
    until(lambda: server.begun > before)


def at_pipelined_behind_a_thread(server: Faulted, wire: Any) -> None:
    before = server.begun
    wire.get("/wait").get("/").get("/file")
    until(lambda: server.begun > before)


def answered(path: str) -> Callable[[Faulted, Any], None]:
    def begin(server: Faulted, wire: Any) -> None:
        wire.get(path)
        wire.left = wire.sock.recv(1000)
        assert wire.left.startswith(b"HTTP/1.1 200 OK\r\n")

    return begin


def at_idle(server: Faulted, wire: Any) -> None:
    assert wire.get("/").answer()[0] == 200


def at_lingering(server: Faulted, wire: Any) -> None:
    assert wire.send(b"nonsense\r\n\r\n").answer()[0] == 400


STAGES: dict[str, Callable[[Faulted, Any], None]] = {
    **{name.removeprefix("at_"): stage for name, stage in globals().items() if name.startswith("at_")},
    "mid_answer": answered("/large"),
    "mid_file": answered("/file"),
    "mid_file_of_a_thread": answered("/file/thread"),
    "mid_parts": answered("/parts"),
    "mid_stream": answered("/stream"),
    "mid_stream_of_a_thread": answered("/stream/thread"),
}


@pytest.mark.parametrize("way", ["reset", "close"])
@pytest.mark.parametrize("stage", STAGES)
def test_leaving(faulted: Start, stage: str, way: str) -> None:
    server = faulted()
    for _ in range(2):
        wire = server.connect(receive_buffer=4096)
        STAGES[stage](server, wire)
        server.ask()
        wire.reset() if way == "reset" else wire.close()
        server.ask()
    server.gate.set()
    server.check()
    if "stream_of" in stage or stage == "mid_stream":
        assert server.closed == 2
    if stage == "mid_streamed_body":
        assert len(server.cut) == 2


@pytest.mark.parametrize("way", ["reset", "close"])
def test_a_crowd_that_leaves_at_once(faulted: Start, way: str) -> None:
    """Every stage on many connections, and all of them go in the same moment."""
    server = faulted(threads=16)
    crowd = []
    for stage, bring in STAGES.items():
        # What waits on threads must not take all of them: the others' handlers run there too.
        for _ in range(1 if "thread" in stage or "streamed" in stage else 4):
            wire = server.connect(receive_buffer=4096)
            bring(server, wire)
            crowd.append(wire)
    for wire in crowd:
        wire.reset() if way == "reset" else wire.close()
    server.gate.set()
    server.check()


# What a client gets that says it sends no more: None for the end alone, a status for a refusal, else the size of the
# last body.
HALF: dict[str, Any] = {
    "nothing": None,
    "idle": None,
    "lingering": None,
    "mid_request_line": 400,
    "mid_head": 400,
    "mid_second_head": 400,
    "mid_body": 400,
    "mid_chunk": 400,
    "mid_chunk_size": 400,
    "mid_trailer": 400,
    "mid_spooled_body": 400,
    "mid_streamed_body": 400,
    "continue": 400,
    "handler_on_a_thread": b"waited",
    "pipelined_behind_a_thread": LARGE,
    "mid_answer": LARGE,
    "mid_file": LARGE,
    "mid_file_of_a_thread": LARGE,
    "mid_parts": LARGE + 2,
    "mid_stream": LARGE,
    "mid_stream_of_a_thread": LARGE,
}


@pytest.mark.parametrize("stage", STAGES)
def test_closing_by_half(faulted: Start, stage: str) -> None:
    """What was asked for in full is answered in full; what was not, is refused; then the server closes too."""
    server = faulted()
    wire = server.connect()
    STAGES[stage](server, wire)
    wire.sock.shutdown(1)
    server.gate.set()
    expected = HALF[stage]
    if expected is None:
        assert wire.ended()
    else:
        rest = wire.left
        pieces = [rest]
        while data := wire.sock.recv(MIB):
            pieces.append(data)
        rest = b"".join(pieces)
        if type(expected) is int and expected < 1000:
            assert rest.startswith(b"HTTP/1.1 %d " % expected)
            assert rest.count(b"HTTP/1.1 ") == 1
        elif type(expected) is bytes:
            assert rest.endswith(b"\r\n\r\n" + expected)
        elif b"chunked" in rest[:1000]:
            assert rest.endswith(b"\r\n0\r\n\r\n")
            assert rest.count(b"\0") == expected
        else:
            body = rest.rpartition(b"\r\n\r\n")[2]
            assert len(body) == expected
    wire.close()
    server.check()


def test_every_stage_is_closed_by_half() -> None:
    assert STAGES.keys() == HALF.keys()
