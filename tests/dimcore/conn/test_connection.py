"""The hot path over real sockets: what hooks do to it, what it leaves in memory, and the object itself."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.dimcore.requests_sent import echo_body, echo_path, get

import dimcore
from dimcore import Connection, Endpoint, FileBody, Push, Report, RequestPoint, UsageError

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
Serve = Callable[..., Any]
SOURCES = Path(dimcore.__file__).parents[1]


class Mute:
    def on_message(self, ws: Any, message: Any) -> None:
        """Nothing is said here."""


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


@pytest.mark.parametrize(
    ("sent", "method", "target", "version", "status"),
    [
        (b"GET /a HTTP/1.1\r\nHost: b\r\nno colon\r\n\r\n", "GET", "/a", "1.1", 400),
        (b"BREW /a?b HTTP/1.1\r\n\r\n", "BREW", "/a?b", "1.1", 400),
        (b"GET /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", "/a", "1.0", 400),
        (b"POST /a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "POST", "/a", "1.1", 501),
        (b"GET /a HTTP/2.0\r\n", "GET", "/a", "1.1", 505),
        (b"GET /" + b"a" * 9000, "GET", "", "1.1", 414),
        (b"GET /a HTTP/1.1\r\nA: " + b"b" * 9000, "GET", "/a", "1.1", 431),
        (b"GET /a HTTP/1.1\r\nHost: b\r\n", "GET", "/a", "1.1", 400),
        (b"\0", "", "", "1.1", 400),
    ],
)
@pytest.mark.parametrize("before", [b"", GET])
def test_a_refused_request_is_logged_with_its_line(
    serve: Serve, before: bytes, sent: bytes, method: str, target: str, version: str, status: int
) -> None:
    log: list[Any] = []

    def note(request: RequestPoint, status: int, *figures: Any) -> None:
        log.append((request.method, request.raw_target, request.http_version, status))

    rig = serve({"GET /": echo_path}, options={"access_log": note})
    for pieces in ([before + sent], [before + sent[:9], sent[9:]], [before + sent[:-1], sent[-1:]]):
        log.clear()
        client = rig.connect()
        for piece in pieces:
            client.send(piece)
        client.sock.shutdown(socket.SHUT_WR)
        client.wait_for_end()
        assert log[-1] == (method, target, version, status)
        assert len(log) == (2 if before else 1)


def test_a_request_that_came_too_late_is_logged_with_its_line(serve: Serve) -> None:
    log: list[Any] = []
    rig = serve(
        {"GET /": echo_path},
        options={"access_log": lambda request, status, *rest: log.append((request.raw_target, status))},
        seconds={"head": 0.05},
    )
    client = rig.connect()
    client.send(b"GET /late HTTP/1.1\r\nHo")
    assert client.answer().status == 408
    client.wait_for_end()
    assert log == [("/late", 408)]


def test_options_where_nobody_answers_it(serve: Serve) -> None:
    rig = serve({"GET /a": echo_path, "POST /a": echo_body, "OPTIONS /b": echo_path, "GET /c*": echo_path})
    client = rig.connect()
    for path, status, allow in (
        ("/a", 204, "GET, HEAD, POST, OPTIONS"), ("/b", 200, None), ("/c/d", 204, "GET, HEAD, OPTIONS"),
        ("/d", 404, None), ("*", 200, "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
    ):  # fmt: skip
        client.send(get(path, method="OPTIONS"))
        answer = client.answer()
        assert (answer.status, dict(answer.fields).get("allow")) == (status, allow)
        assert ("content-length" in answer) == (status != 204)


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
    assert rig.reports[0][0] == Report.CONNECTION_FAILED
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
core.attach(Host(
    register=selector.register, modify=selector.modify, unregister=selector.unregister, report=lambda *what: None
))
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


# --- other threads ------------------------------------------------------------------------------------


def elsewhere(call: Callable[[], Any]) -> Any:
    """What a call returns or raises on another thread."""
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(call).result()
        except Exception as error:
            return error


def test_another_thread_is_refused_wherever_it_enters(serve: Serve) -> None:
    """`close` aside: what the loop's thread is in the middle of, nobody else can know."""
    push = Push()
    rig = serve({"GET /": lambda request: (200, None, push), "GET /!wait": lambda request: "late"})
    client = rig.connect().send(GET)
    (connection,) = rig.connections()
    request = connection.request
    pausing = [connection.pause_body, connection.resume_body] if connection.body_paused else [connection.pause_body]
    for call in (
        lambda: push.write(b"a"),
        push.end,
        lambda: connection.push(push, b"a"),
        lambda: connection.end_push(push, None),
        lambda: connection.on_ready(1),
        lambda: connection.complete(request, "a"),
        lambda: connection.upgrade(request, Endpoint(Mute()), None),
        lambda: connection.upgrade_late(request, Endpoint(Mute()), None),
        rig.core.drain,
        lambda: rig.selector.get_key(rig.listener).data(1),
        *pausing,
    ):
        refused = elsewhere(call)
        assert isinstance(refused, UsageError), call
        assert "the loop's thread alone" in str(refused)
    assert (connection.closing, connection.half_closed, connection.address) == (False, False, connection.address)
    assert push.write(b"whole")
    push.end()
    client.wait(lambda: client.left.endswith(b"5\r\nwhole\r\n0\r\n\r\n"))


def test_close_from_another_thread_is_done_by_the_loop(serve: Serve) -> None:
    calls: list[Callable[[], Any]] = []
    rig = serve(options={"from_thread": calls.append})
    client = rig.connect()
    client.ask(GET)
    (connection,) = rig.connections()
    assert elsewhere(connection.close) is None
    assert client.is_open()
    for call in calls:
        call()
    assert client.rest() == b""
    assert elsewhere(connection.close) is None  # it is closed: there is nothing to do
    assert len(calls) == 1


def test_close_from_another_thread_without_a_way_to_the_loop(serve: Serve) -> None:
    rig = serve()
    client = rig.connect()
    client.ask(GET)
    (connection,) = rig.connections()
    assert isinstance(elsewhere(connection.close), UsageError)
    assert client.ask(GET).status == 200


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
