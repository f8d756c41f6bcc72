"""A whole request in process, and over a socket without the network's share: all seven stages, handler included.

Run:  pytest bench/micro/test_pipeline.py --benchmark-only

`process` is `process_request`, which the seed has too: about 8 us there for an
exact route, 12 us for a prefix among 100.  `pipelined` is a connection served
over a socket pair, 100 requests an event: `per_request_ns` is what parsing,
routing, indexing, the handler and the answer cost, with the two system calls
divided by a hundred.
"""

from __future__ import annotations

import socket
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dimcore import (
    Acceptor,
    ConnectionPoolManifold,
    Core,
    Host,
    RequestPoint,
    RequestResponseManifold,
    RequestSubstrate,
    Router,
    Site,
    tick,
)

HEADERS = {"Content-Type": "text/plain"}
GET = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
BATCH = 100


def handler(request: RequestPoint) -> tuple[int, dict[str, str], bytes]:
    return 200, HEADERS, b"Hello, World!"


def filled() -> RequestResponseManifold:
    manifold = RequestResponseManifold()
    manifold.register_route("GET", "/api/status", handler)
    for number in range(100):
        manifold.register_route("GET", f"/area{number}/", handler, exact=False)
    return manifold


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/status", None),
        ("/api/status?a=b&c=d", None),
        ("/api/status", {"Host": "localhost", "Accept": "*/*"}),
        ("/area50/x/y", None),
    ],
    ids=["exact", "query", "headers", "prefix"],
)
def test_dimcore_process(benchmark: BenchmarkFixture, path: str, headers: dict[str, str] | None) -> None:
    benchmark.group = "process_request"
    process = filled().process_request
    assert process("GET", path, headers)[0] == 200
    benchmark(process, "GET", path, headers)


def test_dimcore_pipelined(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "a connection, 100 pipelined"
    core = Core(ConnectionPoolManifold(), RequestSubstrate())
    router = Router()
    router.add("GET", "/api/status", handler)
    served: list[Any] = []
    core.attach(
        Host(
            register=lambda fd, events, call: served.append(call),
            modify=lambda fd, events, call: None,
            unregister=lambda fd: None,
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        acceptor = Acceptor(Site(core, router), listener.fileno(), lambda: None)
        with socket.create_connection(listener.getsockname()) as client:
            assert acceptor.on_ready(1) == 1
            ready = served[0]
            requests = GET * BATCH
            client.sendall(requests)
            ready(1)
            size = len(client.recv(1 << 20))
            assert size > BATCH * 100

            def run() -> None:
                client.sendall(requests)
                tick(core)
                ready(1)
                assert len(client.recv(size, socket.MSG_WAITALL)) == size

            benchmark(run)
        ready(1)
    if benchmark.stats is not None:
        benchmark.extra_info["per_request_ns"] = round(benchmark.stats.stats.min / BATCH * 1e9, 1)
