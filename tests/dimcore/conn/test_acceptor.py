"""At the door: batches, room, pools, and what happens when there is none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import dimcore
from dimcore import Acceptor, Report, Site, UsageError

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
SOURCES = Path(dimcore.__file__).parents[1]
Serve = Callable[..., Any]


def refused(rig: Any, listener: Any = None) -> Any:
    """Connect, ask, and be told that there is no room."""
    client = rig.connect(listener)
    client.send(GET)
    answer = client.answer()
    assert (answer.status, answer["retry-after"], answer["connection"]) == (503, "1", "close")
    return client


BATCH = 8  # connections a round


def test_many_come_in_at_once(serve: Serve) -> None:
    rig = serve()
    socks = [socket.create_connection(rig.listener.getsockname()) for _ in range(3 * BATCH + 1)]
    for batch in range(1, 4):
        assert rig.turn(0.1) == 1
        assert rig.cells() == {(0, 1): batch * BATCH}  # the open ones get their turn in between
    rig.turn()
    assert rig.cells() == {(0, 1): len(socks)}
    for sock in socks:
        sock.close()
    rig.turn()
    rig.turn()
    assert rig.cells() == {}


def test_points_of_other_kinds_take_no_place_of_a_client(serve: Serve) -> None:
    """Streams, upstream and database connections and jobs beside `max_connections`, the reserve and a pool's cap."""
    rig = serve(max_connections=2)
    names = ("stream", "upstream", "database", "jobs")
    points = [rig.core.pools.manifest_connection(pool_type=name) for name in names for _ in range(5)]
    rig.core.pools.set_cap("http", 2)
    first, second = rig.connect(), rig.connect()
    assert first.ask(GET).status == second.ask(GET).status == 200
    refused(rig)
    assert rig.core.pools.index.total_connections() == 2
    for point in points:
        rig.core.pools.index.remove(point.id)


def test_a_flood_at_the_door_does_not_keep_others_waiting(serve: Serve) -> None:
    """Between two answers to somebody who is in, no more than a few of a crowd are accepted, refused and let go."""
    rig = serve()
    inside = rig.connect()
    inside.ask(GET)
    crowd = []
    for _ in range(30 * BATCH):
        sock = socket.create_connection(rig.listener.getsockname())
        sock.sendall(b"GET / HTTP/1.1\r\nHost : test\r\n\r\n")
        crowd.append(sock)
    work = [0]  # events served when each answer was there: accepting counts for as many as came in
    done = 0
    while rig.core.pools.get_stats()["spiral_0"]["total_created"] <= len(crowd):
        inside.sock.sendall(GET)
        while b"hello" not in inside.left:
            before = rig.core.pools.get_stats()["spiral_0"]["total_created"]
            done += rig.turn() + rig.core.pools.get_stats()["spiral_0"]["total_created"] - before
            inside.receive()
        inside.left = b""
        work.append(done)
    assert max(later - earlier for earlier, later in pairwise(work)) <= 8 * BATCH
    assert len(work) > 5
    rig.turn_for(0.05)
    for sock in crowd:
        assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
        sock.close()
    rig.turn_for(0.05)


def test_over_the_cap(serve: Serve) -> None:
    rig = serve(max_connections=2)
    inside = [rig.connect() for _ in range(2)]
    outside = [refused(rig) for _ in range(3)]
    assert rig.core.turned_away == 3
    for client in outside:
        assert client.rest() == b""
    assert [client.ask(GET).status for client in inside] == [200, 200]
    stats = rig.core.pools.get_stats()["spiral_0"]
    assert (stats["total_created"], stats["total_refused"], stats["total_connections"]) == (2, 3, 2)
    assert rig.core.requests.get_stats()["total_errors"] == 0


def test_those_at_the_door_take_nobodys_place(serve: Serve) -> None:
    """Clients that were refused and do not leave must not keep others out."""
    rig = serve(max_connections=1)
    inside = rig.connect()
    outside = [refused(rig) for _ in range(5)]
    inside.sock.close()
    rig.turn()
    assert rig.core.turned_away == 5
    assert rig.connect().ask(GET).status == 200
    assert len(outside) == 5


def test_a_crowd_at_the_door(serve: Serve) -> None:
    rig = serve(max_connections=1)
    rig.connect()
    crowd = [refused(rig) for _ in range(300)]
    assert rig.core.turned_away == 256
    for client in crowd[256:]:
        assert client.rest() == b""
    rig.core.drain()
    assert rig.core.turned_away == 0
    for client in crowd:
        client.wait_for_end()
    assert refused(rig).rest() == b""


def test_the_door_is_cleared_in_time(serve: Serve) -> None:
    rig = serve(max_connections=1, seconds={"linger": 0.1})
    rig.connect()
    client = refused(rig)
    client.sock.sendall(b"x" * 100)  # what it still sends buys it no time
    rig.turn_for(0.4)
    assert rig.core.turned_away == 0
    client.wait_for_end()
    client.sock.settimeout(5)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        client.sock.sendall(b"x" * 100_000_000)


def test_the_admin_gets_in(serve: Serve) -> None:
    rig = serve(max_connections=2, admin_reserve=2)
    admin = rig.listen(Site(rig.core, rig.router, None, 3, False))
    crowd = [rig.connect() for _ in range(2)]
    for _ in range(20):
        refused(rig)
    operators = [rig.connect(admin) for _ in range(2)]
    assert [client.ask(GET).status for client in operators] == [200, 200]
    refused(rig, admin)  # the reserve is used up, and so is the rest
    crowd.pop().sock.close()
    rig.turn()
    rig.connect(admin)  # more of them take the places of others
    refused(rig)
    assert rig.core.pools.index.count_at(3, 4) + rig.core.pools.index.count_at(3, 1) == 3


def test_admins_take_no_place_of_others_within_the_reserve(serve: Serve) -> None:
    rig = serve(max_connections=2, admin_reserve=2)
    admin = rig.listen(Site(rig.core, rig.router, None, 3, False))
    for _ in range(2):
        rig.connect(admin)
    assert [rig.connect().ask(GET).status for _ in range(2)] == [200, 200]
    refused(rig)


def test_caps_of_pools(serve: Serve) -> None:
    rig = serve({"GET /": lambda request: "x", "GET /api/": lambda request: "api"})
    rig.core.pools.set_cap("http", 2)
    rig.core.pools.set_cap("api", 1)
    first = rig.connect()
    assert first.ask(GET.replace(b" / ", b" /api/ ")).body == b"api"
    assert rig.cells() == {(2, 4): 1}
    assert first.ask(GET).status == 200
    assert rig.cells() == {(2, 4): 1}  # the first request decides
    second = rig.connect()
    answer = second.ask(GET.replace(b" / ", b" /api/ "))
    assert (answer.status, answer["retry-after"], second.rest()) == (503, "1", b"")
    third, _ = rig.connect(), rig.connect()
    assert third.ask(GET).status == 200
    assert third.ask(GET.replace(b" / ", b" /api/ ")).status == 200  # not its first
    refused(rig)


def test_a_site_that_does_not_split(serve: Serve) -> None:
    rig = serve({"GET /api/": lambda request: "api"})
    listener = rig.listen(Site(rig.core, rig.router, None, 0, False))
    rig.connect(listener).ask(GET.replace(b" / ", b" /api/ "))
    assert rig.cells() == {(0, 4): 1}


def test_unix_sockets_and_ipv6(serve: Serve) -> None:
    rig = serve(lambda request: repr(request.connection.address))
    with tempfile.TemporaryDirectory() as directory:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{directory}/sock")
        listener.listen()
        listener.setblocking(False)
        acceptor = Acceptor(Site(rig.core, rig.router), listener.fileno(), lambda: None)
        rig.selector.register(listener, 1, acceptor.on_ready)
        rig.listeners.append(listener)
        assert rig.connect(listener).ask(GET).body == b"None"
    try:
        listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    except (OSError, ValueError):
        pytest.skip("no IPv6 here")
    listener.setblocking(False)
    acceptor = Acceptor(Site(rig.core, rig.router), listener.fileno(), lambda: None)
    rig.selector.register(listener, 1, acceptor.on_ready)
    rig.listeners.append(listener)
    port = listener.getsockname()[1]
    for host, seen in (("::1", "::1"), ("127.0.0.1", "127.0.0.1")):
        with socket.create_connection((host, port)) as sock:
            sock.sendall(GET)
            for _ in range(3):
                rig.turn(0.05)
            assert f"('{seen}', {sock.getsockname()[1]})".encode() in sock.recv(10_000)
            sock.shutdown(socket.SHUT_RDWR)
            rig.turn(0.05)


def test_one_that_left_before_it_was_accepted(serve: Serve) -> None:
    rig = serve()
    sock = socket.create_connection(rig.listener.getsockname())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    for _ in range(3):
        rig.turn(0.02)
    assert rig.cells() == {}
    assert rig.connect().ask(GET).status == 200


def test_a_loop_that_is_full(serve: Serve) -> None:
    def full(*key: Any) -> None:
        raise OSError("no space left")

    rig = serve(options={"register": full})
    with socket.create_connection(rig.listener.getsockname()) as sock:
        rig.turn(0.1)
        assert sock.recv(1) == b""
    assert [(what, str(error)) for what, _, error in rig.reports] == [(Report.CONNECTION_FAILED, "no space left")]


def test_arguments(serve: Serve) -> None:
    rig = serve()
    site = Site(rig.core, rig.router)
    with pytest.raises(UsageError):
        Acceptor(site, -1, None)  # type: ignore[arg-type]
    acceptor = Acceptor(site, 0, lambda: None)
    assert (acceptor.site, acceptor.fileno) == (site, 0)


EXHAUSTED = """
import resource, selectors, socket, sys
from dimcore import *
core = Core(ConnectionPoolManifold(), RequestSubstrate())
router = Router()
router.add("GET", "/", lambda request: "x")
listener = socket.create_server(("127.0.0.1", 0), backlog=512)
listener.setblocking(False)
selector = selectors.DefaultSelector()
core.attach(Host(register=selector.register, modify=selector.modify, unregister=selector.unregister))
told = []
acceptor = Acceptor(Site(core, router), listener.fileno(), lambda: told.append(1))
selector.register(listener, 1, acceptor.on_ready)
def turn():
    tick(core)
    for key, mask in selector.select(0.01):
        key.data(mask)
GET = b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n"
def ask(client):
    client.sendall(GET)
    turn()
    turn()
    client.settimeout(5)
    return client.recv(1000)[:12]
idle = [socket.create_connection(listener.getsockname()) for _ in range(30)]
assert all(ask(client) == b"HTTP/1.1 200" for client in idle)
late = [socket.create_connection(listener.getsockname()) for _ in range(20)]
resource.setrlimit(resource.RLIMIT_NOFILE, (5, 100))
turn()
assert told == [1], told
assert core.pools.index.count_at(0, 4) == 14
assert all(client.recv(1) == b"" for client in idle[:16])   # those idle longest
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
turn()
assert all(ask(client) == b"HTTP/1.1 200" for client in late + idle[16:])
print("recovered", core.pools.index.total_connections())
for connection in core.pools.index.get_at(0, 4):
    connection.close()
for client in idle + late:
    client.close()
selector.close()
listener.close()
"""


def test_out_of_descriptors() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", EXHAUSTED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
    )
    assert (done.stdout, done.stderr) == ("recovered 34\n", "")


# --- a limit on each address --------------------------------------------------------------------


def connect_from(rig: Any, host: str) -> Any:
    """A client with an address of its own: all of 127.0.0.0/8 is this machine."""
    return rig.connect(source=host)


def over(rig: Any, host: str) -> Any:
    client = connect_from(rig, host)
    answer = client.ask(GET)
    assert (answer.status, answer["retry-after"], answer["connection"]) == (503, "1", "close")
    assert answer.body == b"too many connections from this address\n"
    return client


several = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of this machine on Linux alone")


@several
def test_an_address_has_its_share(serve: Serve) -> None:
    rig = serve(max_per_address=2)
    mine = [connect_from(rig, "127.0.0.2") for _ in range(2)]
    for _ in range(3):
        over(rig, "127.0.0.2")
    other = connect_from(rig, "127.0.0.3")
    assert [client.ask(GET).status for client in (*mine, other)] == [200, 200, 200]
    assert rig.core.pools.get_stats()["spiral_0"]["total_refused"] == 3
    mine.pop().sock.close()
    rig.turn()
    assert connect_from(rig, "127.0.0.2").ask(GET).status == 200  # though those refused are still at the door
    over(rig, "127.0.0.2")
    assert rig.core.turned_away == 4
    rig.core.configure(max_per_address=0)
    assert connect_from(rig, "127.0.0.2").ask(GET).status == 200


def gone_by_closing(rig: Any, client: Any) -> None:
    client.sock.close()


def gone_by_reset(rig: Any, client: Any) -> None:
    client.reset()


def gone_in_mid_head(rig: Any, client: Any) -> None:
    client.send(b"GET / HT").sock.close()


def gone_by_nonsense(rig: Any, client: Any) -> None:
    assert client.ask(b"\0").status == 400
    client.sock.close()


def gone_by_its_own_wish(rig: Any, client: Any) -> None:
    assert client.ask(GET[:-2] + b"Connection: close\r\n\r\n").status == 200
    client.wait_for_end()


def gone_while_a_thread_works(rig: Any, client: Any) -> None:
    client.send(GET.replace(b" / ", b" /slow ")).reset()
    rig.run_job()


def gone_by_the_clock(rig: Any, client: Any) -> None:
    rig.core.configure(seconds={"connect": 0.01})
    rig.turn_for(0.2)
    client.wait_for_end()
    rig.core.configure(seconds={"connect": 0})


def gone_by_the_program(rig: Any, client: Any) -> None:
    (connection,) = rig.connections()
    rig.core.pools.transition(connection.id, 7)


def gone_by_close(rig: Any, client: Any) -> None:
    (connection,) = rig.connections()
    connection.close()
    connection.close()


def gone_by_its_handler(rig: Any, client: Any) -> None:
    client.ask(GET.replace(b" / ", b" /end "))
    client.wait_for_end()
    over(rig, "127.0.0.1")  # it lingers until its peer has read all: a descriptor is a descriptor
    client.sock.close()


def gone_with_an_answer_half_read(rig: Any, client: Any) -> None:
    client.send(GET.replace(b" / ", b" /large ")).reset()


WAYS = {name.removeprefix("gone_"): way for name, way in globals().items() if name.startswith("gone_")}


@pytest.mark.parametrize("way", WAYS)
def test_a_place_is_given_back(serve: Serve, way: str) -> None:
    def end(request: Any) -> str:
        request.connection.close()
        return "x"

    routes = {"GET /": lambda request: "x", "GET !/slow": lambda request: "x", "GET /end": end}
    routes["GET /large"] = lambda request: bytes(8_000_000)
    rig = serve(routes, max_per_address=1)
    for _ in range(3):
        client = rig.connect()
        over(rig, "127.0.0.1")
        WAYS[way](rig, client)
        for _ in range(3):
            rig.turn()
    assert rig.connect().ask(GET).status == 200
    over(rig, "127.0.0.1")


def test_the_pool_says_no_behind_the_address(serve: Serve) -> None:
    """Who is refused for another reason has not used up a place of its address."""
    rig = serve(max_per_address=1)
    rig.core.pools.set_cap("http", 0)
    refused(rig)
    rig.core.pools.set_cap("http", None)
    assert rig.connect().ask(GET).status == 200


def test_operators_and_unix_sockets_are_not_counted(serve: Serve) -> None:
    rig = serve(max_per_address=1, admin_reserve=8)
    admin = rig.listen(Site(rig.core, rig.router, None, 3, False))
    assert [rig.connect(admin).ask(GET).status for _ in range(3)] == [200] * 3
    assert rig.connect().ask(GET).status == 200
    with tempfile.TemporaryDirectory() as directory:
        listener = rig.listen(Site(rig.core, rig.router), socket.AF_UNIX, f"{directory}/sock")
        assert [rig.connect(listener).ask(GET).status for _ in range(3)] == [200] * 3


def test_connections_from_before_the_limit_are_not_counted(serve: Serve) -> None:
    rig = serve()
    before = [rig.connect() for _ in range(3)]
    rig.core.configure(max_per_address=1)
    inside = rig.connect()
    assert inside.ask(GET).status == 200
    over(rig, "127.0.0.1")
    for client in before:
        client.sock.close()
    rig.turn()
    over(rig, "127.0.0.1")


def test_limits_an_address_cannot_have(serve: Serve) -> None:
    rig = serve()
    for value in (-1, 1 << 40):
        with pytest.raises(UsageError, match="max_per_address"):
            rig.core.configure(max_per_address=value)


# --- behind proxies that introduce their clients ------------------------------------------------


def proxied(rig: Any, trusts: Any = lambda address: True, **more: Any) -> Any:
    return rig.listen(Site(rig.core, rig.router, trusts=trusts, **more))


def test_strangers_are_closed_without_a_word(serve: Serve) -> None:
    rig = serve()
    asked: list[Any] = []
    listener = proxied(rig, lambda address: bool(asked.append(address)))
    client = rig.connect(listener)
    client.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n" + GET)
    client.wait_for_end()
    assert client.left == b""
    assert asked == [client.sock.getsockname()]
    ((message, request, error),) = rig.reports
    assert (message, request) == (Report.NOT_INTRODUCED, None)
    assert str(error) == "127.0.0.1 is no trusted proxy"
    assert rig.core.pools.get_stats()["spiral_0"]["total_refused"] == 1
    assert rig.cells() == {}
    assert rig.connect().ask(GET).status == 200  # elsewhere they may


def test_who_cannot_be_judged_is_a_stranger(serve: Serve) -> None:
    rig = serve()
    client = rig.connect(proxied(rig, lambda address: address / 2))
    client.wait_for_end()
    assert [message for message, _, _ in rig.reports] == [
        Report.PROXY_UNDECIDED,
        Report.NOT_INTRODUCED,
    ]


def test_a_proxy_is_in_its_handshake_until_the_first_request(serve: Serve) -> None:
    rig = serve()
    client = rig.connect(proxied(rig))
    assert rig.cells() == {(0, 2): 1}
    client.send(b"PROXY UNKNOWN\r\n")
    rig.turn()
    assert rig.cells() == {(0, 2): 1}
    assert client.ask(GET).status == 200
    assert rig.cells() == {(0, 4): 1}


def test_proxies_find_no_room_as_others_do(serve: Serve) -> None:
    rig = serve(max_connections=1)
    listener = proxied(rig)
    inside = rig.connect(listener)
    refused(rig, listener)
    inside.send(b"PROXY UNKNOWN\r\n")
    assert inside.ask(GET).status == 200
    rig.core.pools.set_cap("http", 1)
    rig.core.configure(max_connections=5)
    refused(rig, listener)
