"""What arrives, in whatever pieces, is answered in order, once; what is malformed is refused."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.dimcore.requests_sent import GET, POST, echo_body, echo_path, get

Serve = Callable[..., Any]


# --- one after the other --------------------------------------------------------------------------


def test_answers_and_stays_open(serve: Serve) -> None:
    rig = serve()
    client = rig.connect()
    for _ in range(3):
        answer = client.ask(GET)
        assert (answer.status, answer.body) == (200, b"hello")
        assert "connection" not in answer
    assert rig.cells() == {(0, 4): 1}
    assert rig.in_flight == {}
    (connection,) = rig.connections()
    assert (connection.requests, connection.bytes_in, connection.request) == (3, 3 * len(GET), None)
    assert connection.bytes_out > 3 * len(b"hello")


def test_every_split_of_a_head(serve: Serve) -> None:
    rig = serve({"GET /split": echo_path})
    data = get("/split", "A: b")
    client = rig.connect()
    for at in range(1, len(data)):
        client.send(data[:at])
        assert rig.in_flight == {(7, 1): 1}  # received, the method not known yet
        assert client.ask(data[at:]).body == b"/split"
        assert rig.in_flight == {}
    assert rig.core.requests.get_stats()["total_processed"] == len(data) - 1


def test_byte_by_byte(serve: Serve) -> None:
    rig = serve({"POST /": echo_body})
    client = rig.connect()
    for byte in (
        POST + b"Content-Length: 4\r\n\r\nbody" + POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    ):
        client.send(bytes([byte]))
    assert client.answer().body == b"body"
    assert client.answer().body == b"x"


def test_what_is_looked_up_too_early_is_not_kept(serve: Serve) -> None:
    """Somebody lists the requests in flight while half a head is there; the handler must not see that half."""
    rig = serve({"GET /later": lambda request: f"{request.path} {request.method} {request.headers['host']}"})
    client = rig.connect()
    client.send(b"GET /later HT")
    (early,) = rig.core.requests.index.get_at(7, 1)
    assert (early.path, early.method, early.raw_target, early.query_params, early.cookies) == ("/", "GET", "", {}, {})
    assert early.headers.items() == []
    assert early.host is None
    assert early.connection.address[0] == "127.0.0.1"
    assert client.ask(b"TP/1.1\r\nHost: test\r\n\r\n").body == b"/later GET test"
    assert early.path == "/later"


# --- pipelining -----------------------------------------------------------------------------------


def test_pipelined_answers_come_in_order_with_one_send(serve: Serve) -> None:
    rig = serve({"GET /n*": echo_path})
    client = rig.connect()
    client.send(b"".join(get(f"/n/{number}") for number in range(100)))
    got = client.sock.recv(1 << 20)  # all that one send brought
    assert got.count(b"HTTP/1.1 200 OK") == 100
    client.left = got
    assert [client.answer().body for _ in range(100)] == [b"/n/%d" % number for number in range(100)]


def test_a_burst_of_a_megabyte(serve: Serve) -> None:
    rig = serve({"GET /n*": echo_path})
    client = rig.connect()
    requests = [get(f"/n/{number:06}") for number in range(1 << 15)]
    data = b"".join(requests)
    assert len(data) > 1 << 20
    for request in requests:
        while data and b"HTTP" not in client.left:
            try:
                data = data[client.sock.send(data) :]
            except BlockingIOError:
                pass
            rig.turn()
            client.receive()
        assert client.answer().body == request[4:13]
    assert rig.in_flight == {}


def test_order_with_blocking_and_inline_handlers(serve: Serve) -> None:
    rig = serve({"GET !/slow*": echo_path, "GET /fast": echo_path})
    client = rig.connect()
    client.send(get("/fast") + get("/slow/1") + get("/fast") + get("/slow/2") + get("/fast"))
    assert client.answer().body == b"/fast"
    assert len(rig.jobs) == 1
    assert rig.in_flight == {(0, 3): 1}
    assert client.is_open()
    assert client.left == b""
    rig.run_job()
    assert [client.answer().body for _ in range(2)] == [b"/slow/1", b"/fast"]
    assert client.left == b""
    rig.run_job()
    assert [client.answer().body for _ in range(2)] == [b"/slow/2", b"/fast"]
    assert rig.cells() == {(0, 4): 1}


@pytest.mark.parametrize("half_closed", [False, True])
def test_the_loop_rests_while_a_handler_runs_behind_an_answer_that_was_read_late(
    serve: Serve, half_closed: bool
) -> None:
    """The peer has taken the answers before: it is not waited for any more, whatever the thread does."""
    rig = serve({"GET /": lambda request: b"x" * 15_000, "GET !/slow": echo_path})
    rig.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client = rig.connect(receive_buffer=4096)
    client.send(GET * 3 + get("/slow"))
    if half_closed:
        client.sock.shutdown(socket.SHUT_WR)
    assert len(rig.jobs) == 1
    assert [client.answer().body for _ in range(3)] == [b"x" * 15_000] * 3
    for _ in range(3):
        rig.turn()
    assert [rig.turn() for _ in range(10)] == [0] * 10
    if not half_closed:
        client.send(GET)
    rig.run_job()
    assert client.answer().body == b"/slow"
    assert half_closed or client.answer().body == b"x" * 15_000


def test_a_flood_behind_a_blocking_handler_stops_the_reading(serve: Serve) -> None:
    rig = serve({"GET !/slow": echo_path, "GET /": lambda request: "x"})
    client = rig.connect()
    client.send(get("/slow"))
    sent = 0
    data = GET * 40_000  # 1.2 MB
    for _ in range(200):
        try:
            sent += client.sock.send(data[sent : sent + 65536])
        except BlockingIOError:
            break
        rig.turn()
    (connection,) = rig.connections()
    assert connection.bytes_in <= len(get("/slow")) + 65536
    assert rig.turn(0.01) == 0  # nor is the loop kept busy by what waits
    rig.run_job()
    assert client.answer().body == b"/slow"
    for _ in range(sent // len(GET)):
        assert client.answer().status == 200


def test_pipelined_requests_are_dropped_after_the_last_answer(serve: Serve) -> None:
    rig = serve({"GET /n*": echo_path})
    client = rig.connect()
    client.send(get("/n/1", "Connection: close") + get("/n/2"))
    assert client.answer()["connection"] == "close"
    assert client.rest() == b""


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\0\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n", 414),
        (get("/", "A: " + "x" * 9000), 431),
        (get("/nowhere"), 404),
        (get("/", method="PUT"), 405),
        (get("/", method="BREW"), 405),
        (get("/nowhere", method="TRACE"), 501),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ],
)
def test_what_gets_which_status(serve: Serve, data: bytes, status: int) -> None:
    rig = serve()
    client = rig.connect()
    answer = client.ask(data)
    assert answer.status == status
    assert ("allow" in answer) == (status in (200, 405))
    if status in (400, 414, 431, 505) or data.startswith(b"CONNECT"):
        assert answer["connection"] == "close"
        assert client.rest() == b""
    else:
        assert client.ask(GET).status == 200


def test_garbage_behind_good_requests(serve: Serve) -> None:
    rig = serve()
    client = rig.connect()
    client.send(GET + GET + b"\0\0\0" + GET)
    assert [client.answer().status for _ in range(3)] == [200, 200, 400]
    assert client.rest() == b""
    stats = rig.core.requests.get_stats()
    assert (stats["total_requests"], stats["total_processed"], stats["total_errors"]) == (3, 2, 1)


@pytest.mark.parametrize("how", ["fault", "fault in pieces", "end", "time"])
def test_a_refused_head_has_no_body(serve: Serve, how: str) -> None:
    rig = serve(seconds={"head": 0.05, "linger": 0.05})
    client = rig.connect()
    if how == "fault":
        client.send(b"HEAD / HTTP/1.1\r\n\r\n")
    else:
        client.send(b"HEAD / HT")
        if how == "fault in pieces":
            client.send(b"TP/1.1\r\nA : b\r\n")
        elif how == "end":
            client.sock.shutdown(socket.SHUT_WR)
    answer = client.answer(head_only=True)
    assert answer.status == (408 if how == "time" else 400)
    assert int(answer["content-length"]) > 10
    assert client.rest() == b""


def test_every_refusal_has_a_request_to_be_timed_by(serve: Serve) -> None:
    """A peer that pipelines, ends in garbage and reads nothing is held to the rate of reading all the same."""
    rig = serve(lambda request: b"x" * 15_000, send_rate=1000, seconds={"send_credit": 0.1})
    client = rig.connect(receive_buffer=4096)
    data = GET * 400 + b"\0"
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
