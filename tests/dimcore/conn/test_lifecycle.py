"""The end of a connection by either side, at every stage."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.dimcore.requests_sent import GET, POST, echo_body, echo_path, get

from dimcore import Composite, FileBody, RequestPoint

Serve = Callable[..., Any]


def test_http_1_0(serve: Serve) -> None:
    rig = serve()
    client = rig.connect()
    answer = client.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (answer.version, answer["connection"], client.rest()) == ("HTTP/1.1", "close", b"")
    client = rig.connect()
    answer = client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert answer["connection"] == "keep-alive"
    assert client.ask(GET).status == 200


def test_closing_by_either_side(serve: Serve) -> None:
    rig = serve({"GET /": lambda request: "x", "GET /bye": lambda request: (200, {"connection": "Close"}, b"x")})
    client = rig.connect()
    assert client.ask(get("/", "Connection: close"))["connection"] == "close"
    assert client.rest() == b""
    client = rig.connect()
    assert client.ask(get("/bye"))["connection"] == "close"
    assert client.rest() == b""
    client = rig.connect()
    rig.core.drain()
    assert client.ask(GET)["connection"] == "close"
    assert client.rest() == b""


def test_closing_unasked_lingers(serve: Serve) -> None:
    """The next request may be on its way already: answered with a reset, it would take the last answer with it."""
    rig = serve(lambda request: (200, {"Connection": "close"}, b"x"))
    client = rig.connect()
    client.sock.sendall(GET)
    rig.turn()
    client.sock.sendall(GET * 100)
    rig.turn()
    rig.turn()
    assert client.answer().body == b"x"
    assert client.rest() == b""


MORE = b"x" * 300_000  # than one receive takes


def send_in_one(client: Any, data: bytes) -> None:
    client.sock.setblocking(True)
    client.sock.sendall(data)
    client.sock.setblocking(False)


def test_closing_lingers_behind_a_thread_if_more_has_come(serve: Serve) -> None:
    """What came while the handler ran was kept for the next request, which there is none of: more may be to come."""
    rig = serve({"GET !/slow": echo_path})
    client = rig.connect()
    send_in_one(client, get("/slow", "Connection: close") + MORE)
    for _ in range(3):
        rig.turn()
    rig.run_job()
    assert client.answer().body == b"/slow"
    assert client.rest() == b""


def test_closing_lingers_behind_a_large_answer_if_more_has_come(serve: Serve) -> None:
    """While an answer goes out nothing is read; the end of it must not fall to a reset."""
    rig = serve(lambda request: b"y" * 4_000_000)
    client = rig.connect(receive_buffer=8192)
    client.send(get("/", "Connection: close"))
    send_in_one(client, b"x" * 1000)
    assert len(client.answer().body) == 4_000_000
    assert client.rest() == b""


def test_a_half_closed_client_gets_its_answer(serve: Serve) -> None:
    rig = serve({"GET /": lambda request: b"x" * 4_000_000, "GET !/slow": echo_path, "POST /": echo_body})
    client = rig.connect(receive_buffer=8192)
    client.sock.sendall(GET)
    client.sock.shutdown(socket.SHUT_WR)
    assert len(client.answer().body) == 4_000_000
    assert client.rest() == b""

    client = rig.connect()
    client.sock.sendall(get("/slow") + get("/slow"))
    client.sock.shutdown(socket.SHUT_WR)
    for _ in range(2):
        rig.turn(0.01)
        rig.turn(0.01)
        assert not rig.turn(0.01)  # the end of the stream is no reason to spin
        rig.run_job()
        assert client.answer().body == b"/slow"
    assert client.rest() == b""


@pytest.mark.parametrize(
    "cut",
    [
        b"G",
        b"GET / HTTP/1.1\r\nHo",
        POST + b"Content-Length: 9\r\n\r\nhalf",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nha",
    ],
)
def test_a_cut_request_is_refused_and_never_handled(serve: Serve, cut: bytes) -> None:
    rig = serve({"POST /": pytest.fail, "GET /": pytest.fail})
    client = rig.connect()
    client.send(cut)
    client.sock.shutdown(socket.SHUT_WR)
    assert client.answer().status == 400
    assert client.rest() == b""


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET, GET + b"GE", POST + b"Content-Length: 9\r\n\r\nhalf"])
def test_resets_at_every_stage(serve: Serve, sent: bytes) -> None:
    rig = serve({"GET /": lambda request: "x", "POST /": echo_body})
    client = rig.connect()
    client.send(sent)
    client.reset()
    rig.turn(0.05)
    assert rig.cells() == {}
    assert rig.in_flight == {}
    assert rig.reports == []


def test_the_client_leaves_while_a_thread_works(serve: Serve) -> None:
    rig = serve({"GET !/slow": lambda request: (200, None, FileBody(os.open(os.devnull, os.O_RDONLY), 0, 1))})
    client = rig.connect()
    client.send(get("/slow?q=1", "Cookie: a=b"))
    (connection,) = rig.connections()
    connection.close()
    assert (connection.fileno, connection.request, rig.cells(), rig.in_flight) == (-1, None, {}, {})
    client.wait_for_end()
    request = rig.jobs[0][1]
    assert (request.query_params, request.cookies, request.connection) == ({"q": "1"}, {"a": "b"}, connection)
    rig.run_job()  # its answer is dropped, its file closed


# --- the bytes of a request whose connection ends under it ------------------------------------------

AGENT = "an agent whose name is long enough to be seen when its memory was used for something else"


@pytest.fixture
def long_file(tmp_path: Any) -> Any:
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(400_000)
    return path


ENDS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "a file": lambda rig, request, path: (200, {}, FileBody(os.open(path, os.O_RDONLY), 0, 400_000)),
    "several parts": lambda rig, request, path: (
        200, {}, Composite([b"x", FileBody(os.open(path, os.O_RDONLY), 0, 400_000)])),
    "large bytes": lambda rig, request, path: b"x" * 400_000,
    "pieces": lambda rig, request, path: (200, {}, iter([b"x" * 20_000] * 20)),
    "archived by its handler": lambda rig, request, path: (
        rig.core.pools.transition(request.connection.id, 7), b"too late")[1],
}  # fmt: skip


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("arrives", ["in one piece", "in two pieces", "behind a thread", "behind a thread's head"])
@pytest.mark.parametrize("how", ENDS)
def test_who_keeps_a_request_may_read_it_when_its_connection_has_ended(
    serve: Serve, long_file: Any, how: str, arrives: str, leaves: bool
) -> None:
    """Its bytes lay in the inbox of the connection, which is freed with that."""
    logged: list[tuple[RequestPoint, str, str]] = []

    def log(request: RequestPoint, *_: object) -> None:
        if request.path != "/job":
            logged.append((request, request.raw_target, request.headers["user-agent"]))

    routes = {"GET !/job": lambda request: b"done", "GET /big": lambda request: ENDS[how](rig, request, long_file)}
    rig = serve(routes, options={"access_log": log})
    client = rig.connect()
    asked = get("/big", f"User-Agent: {AGENT}")
    if arrives == "in two pieces":
        client.send(asked[:-2])
        asked = asked[-2:]
    elif arrives != "in one piece":
        client.send(get("/job"))
        if arrives == "behind a thread's head":
            client.send(asked[:20])
            asked = asked[20:]
    client.sock.send(asked)
    if arrives.startswith("behind"):
        rig.turn()
    if leaves:
        client.sock.close()
    while rig.jobs:
        rig.run_job()
    rig.turn()
    rig.turn()
    if not leaves and how != "archived by its handler":
        client.reset()
        rig.turn()
    rig.connect().ask(GET)  # other bytes in the buffers of the worker
    if how == "archived by its handler":
        assert logged == []  # nothing was answered
    for request, target, agent in logged:
        assert (target, agent) == ("/big", AGENT)
        assert (request.raw_target, request.headers["user-agent"], request.method) == ("/big", AGENT, "GET")


@pytest.mark.parametrize("arrives", ["in one piece", "in two pieces"])
def test_a_handler_may_keep_a_request_whose_connection_it_archives(serve: Serve, arrives: str) -> None:
    kept: list[RequestPoint] = []

    def handler(request: RequestPoint) -> bytes:
        kept.append(request)
        rig.core.pools.transition(request.connection.id, 7)
        return b"too late"

    rig = serve({"POST /": handler, "GET /": lambda request: b"x"})
    client = rig.connect()
    asked = get("/", f"User-Agent: {AGENT}", "Content-Length: 4", method="POST") + b"body"
    if arrives == "in two pieces":
        client.send(asked[:20])
        asked = asked[20:]
    client.send(asked)
    assert client.rest() == b""
    for _ in range(3):
        rig.connect().ask(GET)
    assert (kept[0].raw_target, kept[0].headers["user-agent"], kept[0].body) == ("/", AGENT, b"body")
