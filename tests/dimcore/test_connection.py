"""The hot path over real sockets: what arrives, in whatever pieces, is answered in order, once, and nothing is left."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dimcore
from dimcore import Connection, FileBody, RequestPoint, Site, UsageError

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
Serve = Callable[..., Any]
SOURCES = Path(dimcore.__file__).parents[1]


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *fields, "", ""]).encode()


def echo_path(request: RequestPoint) -> str:
    return request.path


def echo_body(request: RequestPoint) -> bytes:
    return request.body


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


# --- bodies in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 1_000_000])
def test_bodies_by_length(serve: Serve, size: int) -> None:
    rig = serve({"POST /": echo_body})
    body = os.urandom(size)
    client = rig.connect()
    for _ in range(2):
        assert client.ask(POST + b"Content-Length: %d\r\n\r\n" % size + body).body == body
    assert client.ask(POST + b"Content-Length: 3\r\n\r\nabc" + get("/nowhere")).body == b"abc"
    assert client.answer().status == 404


def test_bodies_in_chunks(serve: Serve) -> None:
    rig = serve({"POST /": echo_body})
    client = rig.connect()
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert client.ask(head + b"3\r\nabc\r\n0\r\n\r\n").body == b"abc"
    client.send(head)
    client.send(b"FFF0\r\n" + b"x" * 0xFFF0 + b"\r\n")
    assert client.ask(b"1\r\ny\r\n0\r\nTrailer-A: b\r\n\r\n").body == b"x" * 0xFFF0 + b"y"
    answer = client.ask(head + b"zz\r\n")
    assert (answer.status, answer["connection"]) == (400, "close")
    assert client.rest() == b""


def test_continue_is_said_when_the_body_is_wanted(serve: Serve) -> None:
    rig = serve({"POST /": echo_body})
    client = rig.connect()
    expects = POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    answer = client.ask(expects)
    assert (answer.status, answer.fields) == (100, [])
    assert client.ask(b"body").body == b"body"
    assert client.ask(expects + b"body").status == 200  # it came unasked: nothing to say
    assert client.ask(expects.replace(b" / ", b" /nowhere ")).status == 404  # nor for a body nobody wants
    assert client.rest() == b""


def test_refused_before_the_body(serve: Serve) -> None:
    rig = serve({"POST /": echo_body}, max_body=10)
    for head, status in (
        (POST + b"Content-Length: 11\r\n\r\n", 413),
        (POST + b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", 413),
        (POST + b"Expect: miracles\r\nContent-Length: 1\r\n\r\n", 417),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nb\r\n", 413),
    ):
        client = rig.connect()
        answer = client.ask(head)
        assert (answer.status, answer["connection"]) == (status, "close")
        client.send(b"x" * 100_000)  # what it sends all the same is read, so that no reset destroys the answer
        assert client.rest() == b""
    assert rig.core.requests.get_stats()["total_errors"] == 4


# --- versions and closing -------------------------------------------------------------------------


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
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
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
    rig = serve(lambda request: b"x" * 15_000, send_rate=1000, seconds={"send_grace": 0.1})
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


# --- hooks ----------------------------------------------------------------------------------------


def test_the_access_log(serve: Serve) -> None:
    log: list[Any] = []
    rig = serve(
        {"GET /": lambda request: b"12345", "POST /": echo_body},
        options={"access_log": lambda request, status, sent, ns: log.append((request.raw_target, status, sent, ns))},
    )
    client = rig.connect()
    client.send(GET + get("/", method="HEAD") + get("/nowhere") + b"\0")
    client.rest()
    assert [line[:3] for line in log] == [("/", 200, 5), ("/", 200, 0), ("/nowhere", 404, 10), ("", 400, 26)]
    assert all(taken >= 0 for _, _, _, taken in log[:3])


def test_a_broken_access_log_disturbs_nobody(serve: Serve) -> None:
    def broken(request: RequestPoint, *figures: Any) -> None:
        kept.append(request)
        raise OSError("disk full")

    kept: list[RequestPoint] = []
    rig = serve({"GET /n*": echo_path}, options={"access_log": broken})
    client = rig.connect()
    client.send(get("/n/1") + get("/n/2"))
    assert [client.answer().body for _ in range(2)] == [b"/n/1", b"/n/2"]
    assert [what for what, _, _ in rig.reports] == ["the access log failed"] * 2
    assert [request.path for request in kept] == ["/n/1", "/n/2"]


@pytest.mark.parametrize("layer", [0, 7])
def test_an_access_log_that_closes(serve: Serve, layer: int) -> None:
    def closing(request: RequestPoint, *figures: Any) -> None:
        if layer:
            rig.core.pools.transition(request.connection.id, layer)
        else:
            request.connection.close()

    rig = serve({"GET /n*": echo_path}, options={"access_log": closing})
    client = rig.connect()
    client.send(b"GET /n")
    client.send(b"/1 HTTP/1.1\r\nHost: a\r\n\r\n" + get("/n/2") + get("/n/3"))
    client.wait_for_end()
    assert client.left.count(b"HTTP/1.1 200") == (0 if layer else 2)


def test_a_loop_that_refuses(serve: Serve) -> None:
    def full(*key: Any) -> None:
        raise OSError("no space left")

    rig = serve(lambda request: b"x" * 8_000_000, options={"modify": full})
    client = rig.connect(receive_buffer=4096)
    client.send(GET)
    assert rig.cells() == {}
    assert rig.reports[0][0] == "a connection failed"
    rig.connect().is_open()


# --- memory ---------------------------------------------------------------------------------------


def test_one_request_object_serves_all_until_it_is_kept(serve: Serve) -> None:
    kept: list[RequestPoint] = []
    seen: list[int] = []

    def look(request: RequestPoint) -> str:
        seen.append(id(request))
        assert request.position == 0.0
        request.position = 5.0
        if request.path == "/n/keep":
            kept.append(request)
        return request.path

    rig = serve({"GET /n*": look})
    client = rig.connect()
    for _ in range(3):
        client.ask(get("/n/1") + get("/n/2"))
        client.answer()
    assert len(set(seen)) == 1
    client.ask(get("/n/keep", "A: b"))
    client.ask(get("/n/3", "A: c"))
    assert seen[-1] != seen[-2]
    assert (kept[0].path, kept[0].headers["a"], kept[0].stage_name) == ("/n/keep", "b", "logged")


@pytest.mark.parametrize("how", ["request", "headers", "thread"])
def test_what_is_kept_stays_valid(serve: Serve, how: str) -> None:
    kept: list[Any] = []

    def keep(request: RequestPoint) -> bytes:
        kept.append(request.headers if how == "headers" else request)
        return request.body

    place = "POST !/" if how == "thread" else "POST /"
    rig = serve({place: keep})
    client = rig.connect()
    for number in range(3):
        client.send(POST + b"N: %d\r\nContent-Length: 4\r\n\r\nbod%d" % (number, number))
        if how == "thread":
            rig.run_job()
        assert client.answer().body == b"bod%d" % number
    client.send(b"junk" * 10_000)
    values = [item["n"] if how == "headers" else item.headers["n"] for item in kept]
    assert values == ["0", "1", "2"]
    if how != "headers":
        assert [item.body for item in kept] == [b"bod0", b"bod1", b"bod2"]


def test_what_is_kept_of_a_burst_stays_valid(serve: Serve) -> None:
    """The next head is parsed before the request is let go; neither it nor the access log may see that one."""
    kept: list[RequestPoint] = []
    agents: list[Any] = []

    def keep(request: RequestPoint) -> bytes:
        if int(request.query_string) % 3 == 0:
            kept.append(request)
        return request.body

    rig = serve(
        {"POST /": keep},
        options={"access_log": lambda request, *figures: agents.append(request.headers.get("user-agent"))},
    )
    client = rig.connect()
    requests = [
        b"POST /?%d HTTP/1.1\r\nHost: test\r\n%sUser-Agent: agent %d\r\nContent-Length: 4\r\n\r\n%04d"
        % (number, b"X-Filler: y\r\n" * (number % 5), number, number)
        for number in range(40)
    ]
    client.send(b"".join(requests) + b"GET / HTTP/1.1\r\nX-Half: a\r\nB: c")
    assert [client.answer().body for _ in requests] == [b"%04d" % number for number in range(40)]
    assert agents == [f"agent {number}" for number in range(40)]
    assert [request.headers["user-agent"] for request in kept] == [f"agent {number}" for number in range(0, 40, 3)]
    assert [request.body for request in kept] == [b"%04d" % number for number in range(0, 40, 3)]


LEAK = """
import gc, os, selectors, socket, sys
from dimcore import *
core = Core(ConnectionPoolManifold(), RequestSubstrate())
router = Router()
kept = [None]
def handle(request):
    kept[0] = request if request.query_string else None
    request.headers.get("host"), request.params, request.connection
    return 200, {"A": "b"}, b"x" * (20_000 if request.query_string else 5)
router.add("GET", "/", handle)
router.add("GET", "/fail", lambda request: 1 // 0)
router.add("POST", "/", lambda request: {"a": len(request.body)})
listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
selector = selectors.DefaultSelector()
core.attach(
    register=selector.register, modify=selector.modify, unregister=selector.unregister, report=lambda *what: None
)
acceptor = Acceptor(Site(core, router), listener.fileno(), lambda: None)
selector.register(listener, 1, acceptor.on_ready)
def turn():
    for key, mask in selector.select(0):
        key.data(mask)
    tick(core)
def resident():
    gc.collect()
    with open("/proc/self/statm") as figures:
        return int(figures.read().split()[1]) * os.sysconf("SC_PAGESIZE")
GET = b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"
BURST = (GET * 90 + GET.replace(b"/ ", b"/?keep ") + GET.replace(b"/ ", b"/fail ")
         + b"POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 3\\r\\n\\r\\nabc"
         + b"POST / HTTP/1.1\\r\\nHost: a\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nabc\\r\\n0\\r\\n\\r\\n"
         + GET * 6)
def rounds(count):
    for number in range(count):
        client = socket.create_connection(listener.getsockname())
        client.setblocking(False)
        turn()
        for _ in range(10):
            client.sendall(BURST[:1000 + number % 500])
            turn()
            client.sendall(BURST[1000 + number % 500:])
            turn()
            got = b""
            while got.count(b"HTTP/1.1 ") < 100:
                try:
                    got += client.recv(1 << 20)
                except BlockingIOError:
                    turn()
        if number % 3 == 0:
            client.sendall(b"garbage\\r\\n")
            turn()
        client.close()
        turn()
rounds(40)
before = resident()
rounds(200)
grown = resident() - before
print(grown, core.requests.get_stats()["total_requests"], len(os.listdir("/proc/self/fd")))
for connection in list(core.pools.index.get_at(0, 1)) + list(core.pools.index.get_at(0, 4)):
    connection.close()
selector.close()
listener.close()
"""


def test_no_leak_over_200_000_requests() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", LEAK],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )
    assert done.returncode == 0, done.stderr
    grown, requests, descriptors = map(int, done.stdout.split())
    assert requests >= 240_000
    assert grown < 512 * 1024
    assert descriptors < 12
    assert done.stderr == ""


# --- the object -----------------------------------------------------------------------------------


def test_it_is_made_by_accepting_alone() -> None:
    with pytest.raises(UsageError):
        Connection()
    bare = Connection.__new__(Connection)
    assert sys.getsizeof(bare) <= 176
    assert not gc.is_tracked(bare)
    assert (bare.fileno, bare.request, bare.address, bare.requests) == (-1, None, None, 0)
    bare.on_ready(3)
    bare.complete(None, (200, None, FileBody(os.open(os.devnull, os.O_RDONLY), 0, 1)))
    bare.close()
    del bare
    gc.collect()
    os.fstat(0)  # and what it never owned is open


def test_counters_are_folded_in(serve: Serve) -> None:
    rig = serve()
    client = rig.connect()
    client.ask(GET)
    client.ask(GET)
    (connection,) = rig.connections()
    rig.core.pools.transition(connection.id, 7)
    assert connection.fileno == -1
    stats = rig.core.pools.get_stats()["spiral_0"]
    assert stats["total_requests"] == 2
    assert stats["bytes_in"] == 2 * len(GET)
    assert stats["bytes_out"] == connection.bytes_out
    assert client.rest() == b""


def test_the_address(serve: Serve) -> None:
    rig = serve(lambda request: repr(request.connection.address))
    client = rig.connect()
    assert client.ask(GET).body.decode() == repr(client.sock.getsockname())


# --- introduced by a proxy ----------------------------------------------------------------------

NAMED = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
ADDRESSES = b"\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"
NAMED_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + ADDRESSES
NOBODY_2 = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


def told_of(request: Any) -> str:
    connection = request.connection
    return f"{connection.address} {connection.proxied} {connection.proxy} {request.client_ip}"


def introducing(serve: Serve, handler: Any = told_of, **limits: Any) -> tuple[Any, Any]:
    rig = serve({"GET /": handler, "POST /": lambda request: request.body}, **limits)
    return rig, rig.listen(Site(rig.core, rig.router, trusts=lambda address: True))


@pytest.mark.parametrize("header", [NAMED, NAMED_2])
def test_the_client_is_whom_the_proxy_names(serve: Serve, header: bytes) -> None:
    rig, listener = introducing(serve)
    client = rig.connect(listener)
    ours = client.sock.getsockname()
    expected = f"('192.0.2.7', 56324) True {ours} 192.0.2.7".encode()
    assert client.ask(header + GET).body == expected
    assert client.ask(GET).body == expected  # for every request
    (connection,) = rig.connections()
    assert (connection.address, connection.proxy) == (("192.0.2.7", 56324), ours)
    client.sock.close()
    rig.turn()
    assert connection.proxy is None
    assert rig.reports == []


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", NOBODY_2])
def test_a_proxy_that_names_nobody(serve: Serve, header: bytes) -> None:
    """The address is the proxy's; and what stands in the headers is not its word: it has not looked at them."""
    rig, listener = introducing(serve)
    client = rig.connect(listener)
    ours = client.sock.getsockname()
    asked: list[Any] = []
    rig.core.attach(
        register=rig.selector.register, modify=rig.selector.modify, unregister=rig.selector.unregister,
        forwarded=lambda *given: asked.append(given) or ("6.6.6.6", None, None, None),
    )  # fmt: skip
    assert client.ask(header + GET).body == f"{ours} True {ours} 127.0.0.1".encode()
    assert asked == []
    other = rig.connect(listener)
    assert other.ask(NAMED + GET).body.endswith(b" 6.6.6.6")
    assert asked[0][0] == ("192.0.2.7", 56324)  # the proxies before this one are looked for from there


def test_elsewhere_nobody_is_introduced(serve: Serve) -> None:
    rig, _ = introducing(serve)
    assert rig.connect().ask(NAMED + GET).status == 400
    client = rig.connect()
    assert client.ask(GET).body == f"{client.sock.getsockname()} False None 127.0.0.1".encode()


@pytest.mark.parametrize("header", [NAMED, NAMED_2, b"PROXY UNKNOWN\r\n", NOBODY_2])
def test_the_header_in_two_pieces_anywhere(serve: Serve, header: bytes) -> None:
    rig, listener = introducing(serve, lambda request: "hello")
    behind = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc" + GET
    for cut in range(len(header) + 3):
        client = rig.connect(listener)
        client.send((header + behind)[:cut])
        rig.turn()
        client.send((header + behind)[cut:])
        assert [client.answer().body, client.answer().body] == [b"abc", b"hello"]
        client.sock.close()
        rig.turn()
    assert rig.reports == []


def test_the_header_byte_by_byte(serve: Serve) -> None:
    rig, listener = introducing(serve, lambda request: "hello")
    for header in (NAMED, NAMED_2):
        client = rig.connect(listener)
        for at in range(len(header)):
            client.send(header[at : at + 1])
            rig.turn()
        assert client.ask(GET).body == b"hello"
        assert client.ask(header).status == 400  # it comes once


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (GET, "there is none"),
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n" + GET, "its address or port is malformed"),
        (b"PROXY TCP4 " + b"1" * 5000, "it is longer than allowed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "it is longer than allowed"),
    ],
)
def test_without_a_right_header_it_is_closed_without_an_answer(serve: Serve, data: bytes, why: str) -> None:
    rig, listener = introducing(serve)
    client = rig.connect(listener)
    client.send(data)
    client.wait_for_end()
    assert client.left == b""
    ((message, _, error),) = rig.reports
    assert message == "a connection without a word of a trusted proxy was closed"
    assert str(error) == f"of the PROXY header from 127.0.0.1: {why}"
    assert rig.core.pools.get_stats()["spiral_0"]["total_refused"] == 1
    assert rig.cells() == {}


def test_a_proxy_that_looks_whether_we_live_is_no_fault(serve: Serve) -> None:
    rig, listener = introducing(serve)
    for data in (b"", b"PRO", NAMED):
        client = rig.connect(listener)
        client.send(data)
        rig.turn()
        client.sock.close()
        rig.turn()
    assert rig.cells() == {}
    assert rig.reports == []


def test_the_header_has_its_time(serve: Serve) -> None:
    rig, listener = introducing(serve, seconds={"handshake": 0.4, "connect": 0.1})
    slow = rig.connect(listener)
    slow.send(NAMED[:-1])
    rig.turn_for(0.2)
    assert slow.is_open()
    rig.turn_for(0.5)
    slow.wait_for_end()
    assert slow.left == b""
    # What is behind the header has time of its own.
    client = rig.connect(listener)
    rig.turn_for(0.25)
    client.send(NAMED)
    rig.turn_for(0.25)
    assert client.ask(GET).status == 200


def test_a_cap_is_that_of_the_client_not_of_its_proxy(serve: Serve) -> None:
    rig, listener = introducing(serve, lambda request: "hello", max_per_address=2)
    inside = [rig.connect(listener) for _ in range(2)]
    for client in inside:
        assert client.ask(NAMED + GET).status == 200
    for behind in (GET, b""):
        outside = rig.connect(listener)
        answer = outside.ask(NAMED + behind)
        assert (answer.status, answer.body) == (503, b"too many connections from this address\n")
        assert outside.rest() == b""
    other = rig.connect(listener)
    assert other.ask(NAMED.replace(b"192.0.2.7", b"192.0.2.8") + GET).status == 200
    unnamed = [rig.connect(listener) for _ in range(3)]
    for client in unnamed:
        assert client.ask(b"PROXY UNKNOWN\r\n" + GET).status == 200
    addresses = rig.core.addresses
    assert [addresses.count(host) for host in ("192.0.2.7", "192.0.2.8", "127.0.0.1")] == [2, 1, 0]
    inside[0].sock.close()
    rig.turn()
    assert addresses.count("192.0.2.7") == 1
    assert rig.connect(listener).ask(NAMED + GET).status == 200


def test_the_access_log_has_the_client(serve: Serve) -> None:
    seen: list[Any] = []
    rig = serve(options={"access_log": lambda request, *more: seen.append(request.client_ip)})
    client = rig.connect(rig.listen(Site(rig.core, rig.router, trusts=lambda address: True)))
    client.ask(NAMED + GET)
    assert seen == ["192.0.2.7"]
