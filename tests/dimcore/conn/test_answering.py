"""From a handler's result to its answer: every fault of a handler becomes an answer, exactly once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.dimcore.requests_sent import GET, POST, echo_body, echo_path, get

from dimcore import BadRequest, Composite, FileBody, PeerError, RequestPoint, UsageError

Serve = Callable[..., Any]


# --- bodies out -----------------------------------------------------------------------------------


def file_of(data: bytes) -> int:
    with tempfile.TemporaryFile() as made:
        made.write(data)
        made.flush()
        return os.dup(made.fileno())


@pytest.mark.parametrize("size", [16 * 1024 - 1, 16 * 1024, 20 * 1024 * 1024])
def test_large_bodies_to_a_slow_reader(serve: Serve, size: int) -> None:
    data = os.urandom(1024) * (size // 1024) + b"x" * (size % 1024)
    rig = serve(lambda request: data)
    client = rig.connect(receive_buffer=65536)
    client.send(GET + GET)
    for _ in range(5):
        rig.turn()
    if size > 1 << 20:
        assert rig.in_flight == {(0, 5): 1}
        (connection,) = rig.connections()
        assert connection.request.path == "/"
        assert not rig.turn(0.01)  # it waits for the peer, it does not spin
    assert client.answer().body == data
    assert client.answer().body == data
    assert client.is_open()
    assert rig.in_flight == {}


def test_files_and_composites(serve: Serve) -> None:
    data = os.urandom(3_000_000)

    def composite(request: RequestPoint) -> Any:
        parts = [b"head", FileBody(file_of(data), 5, 2_000_000), b"", FileBody(file_of(data), 7, 0), b"tail"]
        return 200, None, Composite(parts)

    rig = serve(
        {
            "GET /file": lambda request: (206, None, FileBody(file_of(data), 1, len(data) - 1)),
            "GET /composite": composite,
            "GET /empty": lambda request: (200, None, FileBody(file_of(data), 0, 0)),
        }
    )
    client = rig.connect(receive_buffer=8192)
    client.send(get("/file") + get("/composite") + get("/empty") + get("/file", method="HEAD"))
    assert client.answer().body == data[1:]
    assert client.answer().body == b"head" + data[5:2_000_005] + b"tail"
    assert client.answer().body == b""
    assert client.answer(head_only=True)["content-length"] == str(len(data) - 1)
    assert client.is_open()


def test_a_file_shorter_than_promised_ends_the_connection(serve: Serve) -> None:
    rig = serve(lambda request: (200, None, FileBody(file_of(b"short"), 0, 100)))
    client = rig.connect()
    client.send(GET)
    head, _, body = client.rest().partition(b"\r\n\r\n")
    assert b"Content-Length: 100" in head
    assert body == b"short"


def test_a_file_the_kernel_cannot_send_is_copied(serve: Serve) -> None:
    rig = serve(lambda request: (200, None, FileBody(os.open("/proc/self/status", os.O_RDONLY), 0, 20)))
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    assert rig.connect().ask(GET).body.startswith(b"Name:")


def test_a_file_is_good_for_one_answer(serve: Serve) -> None:
    kept = FileBody(file_of(b"once"), 0, 4)
    rig = serve(lambda request: (200, None, kept))
    client = rig.connect()
    assert client.ask(GET).body == b"once"
    assert client.ask(GET).status == 500
    assert "already" in str(rig.reports[0][2])


def test_the_peer_leaves_in_the_middle(serve: Serve) -> None:
    log: list[Any] = []
    rig = serve(
        lambda request: (200, None, FileBody(file_of(b"x" * 8_000_000), 0, 8_000_000)),
        options={"access_log": lambda request, status, sent, ns: log.append((request.path, status, sent))},
    )
    client = rig.connect(receive_buffer=8192)
    client.send(GET)
    client.reset()
    rig.turn(0.05)
    assert rig.cells() == {}
    ((path, status, sent),) = log
    assert (path, status) == ("/", 200)
    assert 0 < sent < 8_000_000


@pytest.mark.parametrize("status", [204, 205, 304])
def test_answers_without_a_body(serve: Serve, status: int) -> None:
    rig = serve({"GET /": lambda request: (status, {"X-A": "b"}, b"ignored"), "GET /next": lambda request: "next"})
    client = rig.connect()
    answer = client.ask(GET, head_only=True)
    assert answer.status == status
    assert ("content-length" in answer) == (status == 205)  # RFC 9110 15.3.6: 205 has to say that it is empty
    assert "content-type" not in answer
    assert client.ask(get("/next")).body == b"next"


def test_head_has_the_headers_of_get(serve: Serve) -> None:
    rig = serve(
        {"GET /": lambda request: (200, {"Content-Type": "text/x"}, b"12345"), "GET /big": lambda r: b"x" * 99999}
    )
    client = rig.connect()
    answer = client.ask(get("/", method="HEAD"), head_only=True)
    assert (answer["content-length"], answer["content-type"]) == ("5", "text/x")
    assert client.ask(get("/big", method="HEAD"), head_only=True)["content-length"] == "99999"
    assert client.ask(GET).body == b"12345"


# --- what handlers do -----------------------------------------------------------------------------


def nonsense_headers() -> list[Any]:
    return [
        {"A\r\nB": "c"},
        {"A": "b\r\nSet-Cookie: c"},
        {"A": "b\0"},
        {"A": "\n"},
        {"A b": "c"},
        {"": "c"},
        {"A": "\u20ac"},
        {"\u20ac": "a"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "4"},
        {"Content-Length": "+5"},
        {"A": None},
        {"A": True},
        {"A": ["b"]},
        [("A",)],
        "text",
        5,
        [("Content-Length", "99")],
        object(),
        iter([("A", "b"), 7]),
    ]


@pytest.mark.parametrize("headers", nonsense_headers(), ids=repr)
def test_bad_headers_become_a_500(serve: Serve, headers: Any) -> None:
    rig = serve({"GET /": lambda request: (200, headers, b"secret"), "GET /next": lambda request: "next"})
    client = rig.connect()
    client.send(GET + get("/next"))
    answer = client.answer()
    assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
    assert [name for name, _ in answer.fields] == ["content-type", "server", "date", "content-length"]
    assert client.answer().body == b"next"
    assert len(rig.reports) == 1


class Surly(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        raise RuntimeError("no items")


class SurlyResult:
    headers = None
    body = b""

    @property
    def status(self) -> int:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "result",
    [
        None,
        5,
        object(),
        (200, None),
        (200, None, b"", 1),
        (99, None, b""),
        (199, None, b""),
        (600, None, b""),
        ("200", None, b""),
        (True, None, b""),
        (10**30, None, b""),
        (200, None, 5),
        {"a": object()},
        [float("nan")],
        "\ud800",
        (200, None, "\ud800"),
        (200, Surly(), b""),
        SurlyResult(),
        (101, None, b""),
    ],
    ids=repr,
)
def test_nonsense_becomes_a_500(serve: Serve, result: Any) -> None:
    rig = serve(lambda request: result)
    client = rig.connect()
    client.send(GET + GET)
    assert [client.answer().status for _ in range(2)] == [500, 500]
    assert client.is_open()
    assert [what for what, _, _ in rig.reports] == ["a handler failed"] * 2
    assert rig.core.requests.get_stats()["total_errors"] == 2


class Odd(PeerError):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValueError("secret"), 500, b"Internal Server Error\n"),
        (SystemExit(3), 500, b"Internal Server Error\n"),
        (BadRequest("no such thing", 422), 422, b"no such thing\n"),
        (PeerError("caf\u00e9 \ud800"), 400, "caf\u00e9 ?\n".encode()),
        (PeerError("odd", 99), 500, b"Internal Server Error\n"),
        (PeerError("odd", "x"), 500, b"Internal Server Error\n"),  # type: ignore[arg-type]
        (Odd("x"), 500, b"Internal Server Error\n"),
    ],
)
def test_exceptions_of_handlers(serve: Serve, error: BaseException, status: int, text: bytes) -> None:
    def fail(request: RequestPoint) -> None:
        raise error

    rig = serve({"GET /": fail, "GET !/slow": fail})
    client = rig.connect()
    answer = client.ask(GET)
    assert (answer.status, answer.body) == (status, text)
    client.send(get("/slow"))
    connection, request, _ = rig.jobs.pop()
    connection.complete(request, None, error)
    assert client.answer().status == status
    assert client.is_open()


def test_an_interrupt_is_not_swallowed(serve: Serve) -> None:
    def interrupted(request: RequestPoint) -> None:
        raise KeyboardInterrupt

    rig = serve(interrupted)
    client = rig.connect()
    client.sock.sendall(GET)
    with pytest.raises(KeyboardInterrupt):
        rig.turn(0.1)
    assert client.rest() == b""
    assert rig.cells() == {}


def test_a_pool_without_threads_is_a_500(serve: Serve) -> None:
    def none_left(*job: Any) -> None:
        raise RuntimeError("can't start new thread")

    rig = serve({"GET !/slow": echo_path}, options={"offload": none_left})
    client = rig.connect()
    assert client.ask(get("/slow")).status == 500
    assert client.is_open()


@pytest.mark.parametrize("layer", [6, 7])
def test_a_handler_that_ends_its_own_connection(serve: Serve, layer: int) -> None:
    kept = []

    def end(request: RequestPoint) -> Any:
        kept.append(request)
        rig.core.pools.transition(request.connection.id, layer)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)
        return 200, None, FileBody(file_of(b"x" * 99), 0, 99)

    rig = serve({"GET /end": end, "GET /": lambda request: "x", "POST /end": end})
    for prefix in (b"", GET, b"GE"):
        client = rig.connect()
        (connection,) = rig.connections()
        number = connection.fileno
        if prefix == b"GE":  # its bytes lie in the connection's own inbox then
            client.send(prefix)
        client.send((prefix if prefix != b"GE" else b"") + get("/end?a=b", "X: y")[2 if prefix == b"GE" else 0 :] + GET)
        client.wait_for_end()
        assert (rig.cells(), rig.in_flight) == ({}, {})
        assert (kept[-1].headers["x"], kept[-1].query_string, kept[-1].connection) == ("y", "a=b", connection)
        assert connection.layer == 7
    stats = rig.core.pools.get_stats()["spiral_0"]
    assert (stats["total_created"], stats["total_closed"], stats["total_requests"]) == (3, 3, 4)


def test_closing_from_within_comes_after_the_answer(serve: Serve) -> None:
    rig = serve(lambda request: request.connection.close())
    rig2 = serve(lambda request: (request.connection.close(), "bye")[1])
    client = rig2.connect()
    answer = client.ask(GET + GET)
    assert (answer.body, answer["connection"], client.rest()) == (b"bye", "close", b"")
    assert rig.connect().ask(GET).status == 500  # it returned None


def test_a_connection_told_to_close_does_so_after_its_answer(serve: Serve) -> None:
    rig = serve(lambda request: (rig.core.pools.transition(request.connection.id, 5), "bye")[1])
    client = rig.connect()
    answer = client.ask(GET)
    assert (answer.body, answer["connection"], client.rest()) == (b"bye", "close", b"")


def test_a_handler_that_closes_the_others(serve: Serve) -> None:
    def close_all(request: RequestPoint) -> str:
        for connection in rig.connections():
            if connection is not request.connection:
                connection.close()
        return str(rig.core.pools.cleanup_idle(0))

    rig = serve(
        {
            "GET /all": close_all,
            "GET /": lambda request: "x",
            "POST /": echo_body,
            "GET /big": lambda r: b"x" * 9_000_000,
        }
    )
    idle, half, body, big, asker = (rig.connect(receive_buffer=4096) for _ in range(5))
    idle.ask(GET)
    half.send(b"GET /")
    body.send(POST + b"Content-Length: 5\r\n\r\nx")
    big.send(get("/big"))
    for client in (
        idle,
        half,
        body,
    ):  # events of one round: some are for connections that are gone when it is their turn
        client.sock.sendall(b"x")
    assert asker.ask(get("/all")).body == b"0"
    for client in (idle, half, body, big):
        while not client.ended:
            try:
                client.receive()
            except ConnectionResetError:
                break
    assert rig.cells() == {(0, 4): 1}


def test_a_handler_cannot_serve_others(serve: Serve) -> None:
    errors = []

    def nested(request: RequestPoint) -> str:
        for call in (
            lambda: other.on_ready(1),
            lambda: request.connection.on_ready(1),
            lambda: rig.jobs[0][0].complete(rig.jobs[0][1], "stolen"),
            lambda: next(iter(rig.selector.get_map().values())).data(1),
        ):
            with pytest.raises(UsageError) as caught:
                call()
            errors.append(caught.value)
        return "mine"

    rig = serve({"GET /": nested, "GET !/slow": echo_path})
    waiting = rig.connect()
    waiting.send(get("/slow"))
    other = rig.connections()[0]
    client = rig.connect()
    client.send(GET + GET)
    assert [client.answer().body for _ in range(2)] == [b"mine", b"mine"]
    assert len(errors) == 8
    rig.run_job()
    assert waiting.answer().body == b"/slow"


@pytest.mark.parametrize("stage", [4, 5, 7])
def test_a_handler_that_meddles_with_its_request(serve: Serve, stage: int) -> None:
    kept: list[RequestPoint] = []

    def meddle(request: RequestPoint) -> str:
        if stage == 7:
            rig.core.requests.transition(request.id, 7)
        else:
            rig.core.requests.index.move(request.id, 3, stage)
        kept.append(request)
        return request.path

    rig = serve({"GET /n*": meddle})
    client = rig.connect()
    client.send(get("/n/1") + get("/n/2") + b"GET /n")
    assert client.ask(b"/3 HTTP/1.1\r\nHost: a\r\n\r\n").body == b"/n/1"
    assert [client.answer().body for _ in range(2)] == [b"/n/2", b"/n/3"]
    assert [request.path for request in kept] == ["/n/1", "/n/2", "/n/3"]
    assert rig.cells() == {(0, 4): 1}


def test_points_taken_out_by_the_program(serve: Serve) -> None:
    rig = serve(lambda request: (rig.core.pools.index.remove(request.connection.id), "x")[1])
    client = rig.connect()
    assert client.ask(GET).body == b"x"
    assert client.ask(GET).status == 500  # UnknownPoint
    client.sock.close()
    rig.turn(0.05)
    assert len(rig.selector.get_map()) == 1
