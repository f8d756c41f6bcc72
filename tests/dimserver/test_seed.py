"""Every example of the document the project started from, with the names and call forms it gives them.

"ButterflyFX Server Optimization Results" by Kenneth Bingham (CC BY 4.0).  The code here is our own; the order is the
document's.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pathlib
import signal
import socket
import sys
import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any

import pytest
from tests.support.waiting import until

import dimcore
import dimserver
from dimserver import (
    ConnectionPoint,
    ConnectionPoolManifold,
    ConnectionSubstrate,
    DimensionalConnectionIndex,
    OptimizedDimensionalServer,
    RequestPoint,
    RequestResponseManifold,
    RequestSubstrate,
    RouteSubstrate,
)

Start = Callable[..., Any]
SEED = pathlib.Path(dimserver.__file__).parents[2] / "examples" / "seed"
SCRIPT = "server/dimensional_server_optimized.py"
SOON = 20.0  # seconds

needs_examples = pytest.mark.skipif(not SEED.exists(), reason="no examples beside an installed package")


# --- architecture ----------------------------------------------------------------------------------------


def test_the_four_pools_are_spirals_0_to_3() -> None:
    manifold = ConnectionPoolManifold()
    assert manifold.pools == {"http": 0, "websocket": 1, "api": 2, "admin": 3}
    for pool, spiral in manifold.pools.items():
        point = manifold.manifest_connection(None, ("192.0.2.1", 1000), pool)
        assert (point.spiral, point.layer) == (spiral, 1)
        assert point in manifold.index.get_at(spiral, 1)


def test_the_fields_of_a_connection_point() -> None:
    here, there = socket.socketpair()
    with here, there:
        point = ConnectionPoint(
            connection_id="conn-1", socket=here, address=("192.0.2.1", 1000), spiral=0, layer=1, position=0.5,
            identity_vector=(0.25, 4.0),
        )  # fmt: skip
        assert point.connection_id == "conn-1"
        assert point.socket is here
        assert point.address == ("192.0.2.1", 1000)
        assert (point.spiral, point.layer, point.position) == (0, 1, 0.5)
        assert (point.identity_vector, point.z_value) == ((0.25, 4.0), 1.0)
        bare = ConnectionPoint(connection_id="conn-2", socket=here, address=("192.0.2.1", 1000))
        assert (bare.spiral, bare.layer, bare.position) == (0, 1, 0.0)


def test_the_seven_states_of_a_connection() -> None:
    names = [ConnectionPoint(layer=layer).layer_name for layer in range(1, 8)]
    assert names == ["new", "handshake", "active", "idle", "closing", "closed", "archived"]


def test_the_index_adds_gets_and_moves() -> None:
    index = DimensionalConnectionIndex()
    connection = ConnectionPoint("conn-1")
    index.add(connection=connection)
    found = index.get_at(spiral=0, layer=1)
    assert isinstance(found, AbstractSet)
    assert found == {connection}
    index.move(connection_id="conn-1", new_spiral=1, new_layer=3)
    assert index.get_at(0, 1) == set()
    assert index.get_at(1, 3) & {connection} == {connection}
    assert found == {connection}  # a set does not change under whoever holds it
    other = ConnectionPoint("conn-2", spiral=1, layer=4)
    index.add(other)
    assert index.get_at(1, 3) | index.get_at(1, 4) == {connection, other}
    assert index.get_at(1, 3) - index.get_at(1, 4) == {connection}
    assert index.get_by_id(connection_id="conn-1") is connection
    assert index.count_at(spiral=1, layer=3) == 1
    assert index.total_connections() == 2
    assert index.remove(connection_id="conn-1") is connection


def test_the_manifold_manifests_connections_by_pool_type() -> None:
    manifold = ConnectionPoolManifold()
    here, there = socket.socketpair()
    with here, there:
        point = manifold.manifest_connection(socket=here, address=("192.0.2.1", 1000), pool_type="websocket")
        assert (point.spiral, point.layer, point.socket) == (1, 1, here)
        other = manifold.manifest_connection(None, ("192.0.2.2", 1000), "http")
        assert manifold.compose(point, other) == point.z_value * other.z_value


# --- requests ----------------------------------------------------------------------------------------------


def test_the_fields_of_a_request_point() -> None:
    request = RequestPoint(
        request_id="req-1", method="PUT", path="/a", headers={"Host": "x"}, body=b"b", spiral=2, layer=1, position=0.5
    )
    assert (request.request_id, request.method, request.path, request.body) == ("req-1", "PUT", "/a", b"b")
    assert request.headers["host"] == "x"
    assert (request.spiral, request.layer, request.position) == (2, 1, 0.5)


def test_a_request_of_each_method_has_its_spiral() -> None:
    requests = RequestSubstrate()
    assert [requests.manifest(method, "/").spiral for method in ("GET", "POST", "PUT")] == [0, 1, 2]


def test_the_seven_stages_of_a_request() -> None:
    requests = RequestSubstrate()
    request = requests.manifest("GET", "/")
    seen = [request.stage_name]
    for stage in range(2, 8):
        requests.transition(request.id, stage)
        seen.append(request.stage_name)
    assert seen == ["received", "parsed", "routed", "processed", "response ready", "sent", "logged"]
    assert len(requests.index) == 0


def test_routes_exact_and_by_prefix() -> None:
    routes = RouteSubstrate()

    def handler(request: RequestPoint) -> str:
        return "exact"

    def files(request: RequestPoint) -> str:
        return "prefix"

    routes.register(method="GET", pattern="/api/status", handler=handler)
    routes.register("GET", "/static/", files, exact=False)
    assert routes.route(request=RequestPoint(method="GET", path="/api/status")) is handler
    assert routes.route(RequestPoint(method="GET", path="/static/a/b.css")) is files
    assert routes.route(RequestPoint(method="GET", path="/nowhere")) is None


def test_the_whole_pipeline_in_process() -> None:
    manifold = RequestResponseManifold()
    stages: list[str] = []

    def echo(request: RequestPoint) -> tuple[int, dict[str, str], bytes]:
        stages.append(request.stage_name)
        return 200, {"Content-Type": request.headers["content-type"]}, request.body

    manifold.register_route("POST", "/echo", echo)
    answer = manifold.process_request(method="POST", path="/echo", headers={"Content-Type": "text/plain"}, body=b"b")
    assert answer == (200, {"Content-Type": "text/plain"}, b"b")
    assert stages == ["routed"]
    assert len(manifold.index) == 0  # archived
    stats = manifold.get_stats()
    assert (stats["total_requests"], stats["total_processed"], stats["total_errors"]) == (1, 1, 0)
    assert stats["success_rate"] == 100.0


# --- z = x·y -----------------------------------------------------------------------------------------------


def test_the_identity_of_an_address() -> None:
    address = ("192.0.2.1", 1000)
    digest = hashlib.md5(address[0].encode(), usedforsecurity=False).digest()
    x = int.from_bytes(digest[:4], "big") / 2**32
    y = 1.0 / (x + 0.001)
    point = ConnectionPoint("conn-1", None, address)
    assert point.identity_vector == (x, y)
    assert point.z_value == x * y


def test_compositions() -> None:
    connections = [ConnectionPoint(address=(f"192.0.2.{number}", 1)) for number in range(200)]
    capacities = [ConnectionPoint(identity_vector=(float(weight), 1.0)) for weight in (1, 3, 2)]
    affinities = [connections[0].z_value * capacity.z_value for capacity in capacities]
    assert affinities.index(max(affinities)) == 1

    first, second = RequestPoint(path="/a"), RequestPoint(path="/a")
    assert first.z_value * second.z_value == RequestSubstrate().compose(first, second)

    pools = 4
    assert {connection.z_value % pools < pools for connection in connections} == {True}
    # z is near 1 for nearly every address, so whole places come from x: `affinity` and `rendezvous`.
    assert len({int(connection.z_value % pools) for connection in connections}) == 1
    assert {dimcore.affinity(connection, pools) for connection in connections} == set(range(pools))


# --- the code it compares ------------------------------------------------------------------------------------


def test_finding_and_cleaning_up() -> None:
    index = DimensionalConnectionIndex()
    substrate = ConnectionSubstrate(index)
    manifested = [substrate.manifest() for _ in range(5)]
    for connection in manifested[:3]:
        for layer in (2, 3, 4):
            substrate.transition(connection.id, layer)

    def find_connection(connection_id: str) -> Any:
        return index.get_by_id(connection_id)

    assert find_connection(manifested[0].id) is manifested[0]
    assert find_connection("nobody") is None

    threshold = -1.0
    for connection in index.get_at(spiral=0, layer=4):
        if connection.idle_seconds > threshold:  # type: ignore[attr-defined] # an index may hold any point
            substrate.transition(connection.id, 7)
    assert index.total_connections() == 2
    assert substrate.get_stats()["total_closed"] == 3
    assert substrate.cleanup_idle(max_idle_seconds=0.0) == 0


def test_routing_a_request() -> None:
    routes = RouteSubstrate()
    routes.register("GET", "/api/status", test_routing_a_request)
    for number in range(300):
        routes.register("GET", f"/api/more/{number}", test_finding_and_cleaning_up)

    def route_request(request: RequestPoint) -> Callable[..., Any] | None:
        return routes.route(request)

    assert route_request(RequestPoint("req-1", "GET", "/api/status")) is test_routing_a_request


def test_parsed_when_it_is_asked_for() -> None:
    raw = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nCookie: d=e\r\nContent-Length: 4\r\n\r\nbody"
    parsed = dimcore.parse_request(raw)
    assert parsed is not None
    request, consumed = parsed
    assert consumed == len(raw)
    assert request.headers["Host"] == "x"
    assert request.body == b"body"
    assert (request.query_params["b"], request.cookies["d"]) == ("c", "e")


def test_transitions_archive_at_the_end() -> None:
    substrate = ConnectionSubstrate()
    conn_id = substrate.manifest(address=("192.0.2.1", 1000)).id
    for layer in (2, 3, 4, 7):  # handshake, active, idle, archived
        substrate.transition(conn_id, layer)
    assert substrate.index.get_by_id(conn_id) is None
    assert substrate.get_stats()["total_closed"] == 1


# --- deployment and migration ----------------------------------------------------------------------------------


def started(child: Start, *options: str, **more: Any) -> Any:
    return child(*options, cwd=SEED, module=(SCRIPT,), **more)


def ask(server: Any, target: str) -> Any:
    with server.connect() as wire:
        status, headers, body = wire.get(target).answer()
        assert status == 200, (target, status, body)
        return json.loads(body) if headers["content-type"] == "application/json" else body


@needs_examples
def test_the_server_as_a_program(child: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.txt").write_text("a file")
    server = started(child, "--host", "127.0.0.1", "--port", "0", "--max-connections", "10000", "--timeout", "300",
                     "--static", str(tmp_path))  # fmt: skip
    assert ask(server, "/api/status")["status"] == "online"
    assert "O(1)" in ask(server, "/api/status")["optimizations"].values()
    assert ask(server, "/api/connections")
    assert ask(server, "/api/manifold/evaluate?spiral=0&layer=3&position=0")["layer_name"] == "active"
    assert ask(server, "/a.txt") == b"a file"
    stats = ask(server, "/api/stats")
    assert {"total_connections", "active_connections", "idle_connections", "total_created", "total_closed"} <= set(
        stats["connections"]["spiral_0"]
    )
    assert {"total_requests", "total_processed", "total_errors", "avg_processing_time_ms", "success_rate"} <= set(
        stats["requests"]
    )
    code, out, err = server.end(signal.SIGINT)
    assert (code, err) == (0, "")
    assert "stopped; 6 requests" in out


@needs_examples
def test_more_connections_than_the_descriptors_allow(child: Start, tmp_path: pathlib.Path) -> None:
    """It says how many there can be, at the start and in /api/status."""

    limited = (
        "import os, resource, runpy\n"
        f"os.dup2(os.open({str(tmp_path / 'err')!r}, os.O_WRONLY | os.O_CREAT), 2)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1000))\n"
        f"runpy.run_path({SCRIPT!r}, run_name='__main__')\n"
    )
    options = ("--port", "0", "--max-connections", "50000", "--timeout", "600")
    server = child(*options, cwd=SEED, module=("-c", limited))
    status = ask(server, "/api/status")
    assert (status["max_connections"], status["descriptors_allow"]) == (50000, 936)
    assert b'<a href="/api/status">' in ask(server, "/")  # no directory was given: a page with links
    assert server.end()[0] == 0
    (line,) = (tmp_path / "err").read_text().splitlines()
    assert "max-connections 50000" in line
    assert "allows 936 connections" in line


@needs_examples
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--port", "70000"), 2, "port: '70000' is not allowed; allowed: a whole number from 0 to 65535"),
        (("--max-connections", "0"), 2, "max_connections: '0' is not allowed"),
        (("--host", "192.0.2.1", "--port", "0"), 1, "cannot listen on 192.0.2.1:0"),
    ],
)
def test_a_mistake_is_one_line(child: Start, options: tuple[str, ...], code: int, said: str) -> None:
    ended, out, err = started(child, *options, announced=False).end(0)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert said in err


@needs_examples
def test_a_program_that_imports_the_server(child: Start, tmp_path: pathlib.Path) -> None:
    """The steps of the migration guide, in a program of its own."""
    program = (
        "import json, sys\n"
        f"sys.path.insert(0, {str(SEED)!r})\n"
        "from server.dimensional_server_optimized import OptimizedDimensionalServer\n"
        "from server.substrates.request_substrate import RequestPoint\n"
        "server = OptimizedDimensionalServer('127.0.0.1', 0)\n"
        "def handle_api(request: RequestPoint):\n"
        "    return 200, {'Content-Type': 'application/json'}, json.dumps({'status': 'ok'}).encode()\n"
        "server.request_manifold.register_route('GET', '/api/status', handle_api)\n"
        "server.run_forever()\n"
    )
    (tmp_path / "serve.py").write_text(program)
    server = child(cwd=tmp_path, module=("serve.py",))
    assert ask(server, "/api/status") == {"status": "ok"}
    assert server.end(signal.SIGINT)[::2] == (0, "")


@needs_examples
def test_the_files_it_names_have_the_names_it_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SEED))
    for name in [name for name in sys.modules if name.partition(".")[0] == "server"]:
        monkeypatch.delitem(sys.modules, name)
    connections = importlib.import_module("server.substrates.connection_substrate")
    assert connections.ConnectionPoint is ConnectionPoint
    assert connections.DimensionalConnectionIndex is DimensionalConnectionIndex
    assert connections.ConnectionPoolManifold is ConnectionPoolManifold
    assert connections.ConnectionSubstrate is ConnectionSubstrate
    requests = importlib.import_module("server.substrates.request_substrate")
    assert requests.RequestPoint is RequestPoint
    assert requests.RouteSubstrate is RouteSubstrate
    assert requests.RequestSubstrate is RequestSubstrate
    assert requests.RequestResponseManifold is RequestResponseManifold
    module = importlib.import_module("server.dimensional_server_optimized")
    assert module.OptimizedDimensionalServer is OptimizedDimensionalServer
    for name in [name for name in sys.modules if name.partition(".")[0] == "server"]:
        del sys.modules[name]


# --- the server object -----------------------------------------------------------------------------------------


def test_host_port_and_limits_by_position() -> None:
    server = OptimizedDimensionalServer("127.0.0.2", 8081, 50000, 600)
    assert server.defaults == {
        "api": True, "host": "127.0.0.2", "port": 8081, "max_connections": 50000, "timeout": 600
    }  # fmt: skip
    assert OptimizedDimensionalServer().defaults == {"api": True}
    assert OptimizedDimensionalServer(host="::1", port=1, static=".").defaults["host"] == "::1"


def test_shutdown_from_another_thread(capsys: pytest.CaptureFixture[str]) -> None:
    server = OptimizedDimensionalServer("127.0.0.1", 0)
    thread = threading.Thread(target=server.run_forever)
    thread.start()
    told: list[str] = []
    until(lambda: told.append(capsys.readouterr().out) or "serving" in "".join(told))
    server.shutdown()
    thread.join(SOON)
    assert not thread.is_alive()


def test_shutdown_from_a_handler(child: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "serve.py").write_text(
        "from dimserver import OptimizedDimensionalServer\n"
        "server = OptimizedDimensionalServer('127.0.0.1', 0)\n"
        "def end(request):\n"
        "    server.shutdown()\n"
        "    return 'bye'\n"
        "server.request_manifold.register_route('GET', '/end', end)\n"
        "server.request_manifold.register_route('GET', '/end-on-a-thread', end, blocking=True)\n"
        "if __name__ == '__main__':\n"
        "    server.run_forever()\n"
    )
    for words, module, target in (
        ((), ("serve.py",), "/end"),
        ((), ("serve.py",), "/end-on-a-thread"),
        (("run", "serve:server", "--no-api", "--port", "0", "--workers", "2"), ("-m", "dimserver"), "/end"),
    ):
        server = child(*words, cwd=tmp_path, module=module)
        assert ask(server, target) == b"bye"
        code, out, err = server.end(0)
        assert (code, err) == (0, "")
        assert "stopped; 1 requests" in out
