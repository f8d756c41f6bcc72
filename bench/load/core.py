"""Figures of the core without a socket, printed as one JSON object.

Run by ``bench.load`` in a process of its own, so that memory is not blurred by
what the harness holds.  ``bench/micro`` looks much closer; these are the few
that the seed's claims are about.
"""

from __future__ import annotations

import gc
import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dimcore import (
    Acceptor,
    ConnectionPoint,
    ConnectionPoolManifold,
    Core,
    DimensionalConnectionIndex,
    Host,
    RequestPoint,
    RequestSubstrate,
    Router,
    RouteSubstrate,
    Site,
    parse_request,
    tick,
)

SMALL_GET = b"GET /api/route50 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
BROWSER_GET = (
    b"GET /api/route50?page=2&sort=name HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Referer: https://www.example.com/api/route49\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\n"
    b"Connection: keep-alive\r\n"
    b"\r\n"
)
ROUTES = 100
POINTS = 10_000
IN_FLIGHT = 100_000
MILLION = 1_000_000


def best_ns(call: Callable[[], object], calls: int = 20_000, repeats: int = 9) -> float:
    """Return the least time of one call, nanoseconds, the loop around it included."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter_ns()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter_ns() - began) / calls)
    return best


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmRSS")


def request_of(data: bytes) -> RequestPoint:
    parsed = parse_request(data)
    if parsed is None:
        raise ValueError("an incomplete request")
    return parsed[0]


def lookup_ns() -> float:
    index = DimensionalConnectionIndex()
    for number in range(POINTS):
        index.add(ConnectionPoint(f"connection-{number}", None, ("127.0.0.1", number)))
    wanted = f"connection-{POINTS // 2}"
    assert index.get_by_id(wanted) is not None
    return best_ns(lambda: index.get_by_id(wanted))


def route_ns() -> float:
    routes = RouteSubstrate()
    for number in range(ROUTES):
        routes.register("GET", f"/api/route{number}", lambda request: None)
    request = request_of(SMALL_GET)
    assert routes.route(request) is not None
    return best_ns(lambda: routes.route(request))


def request_bytes() -> float:
    """Return resident bytes of one parsed small GET that a handler holds, its head included."""
    kept: list[RequestPoint | None] = [None] * IN_FLIGHT
    for number in range(1000):
        kept[number] = request_of(bytes(bytearray(SMALL_GET)))
    kept[:1000] = [None] * 1000
    gc.collect()
    before = resident_bytes()
    for number in range(IN_FLIGHT):
        kept[number] = request_of(bytes(bytearray(SMALL_GET)))
    return (resident_bytes() - before) / IN_FLIGHT


def million_over_routes(wanted: int = MILLION) -> dict[str, float]:
    """Serve requests for all of 100 routes in turn over one connection, each batch with one of each.

    Returns:
        Seconds of it all, the client's part included, and how often the garbage collector ran meanwhile, by generation.
    """
    router = Router()
    for number in range(ROUTES):
        router.add(
            "GET", f"/api/route{number}", lambda request: (200, {"Content-Type": "text/plain"}, b"Hello, World!")
        )
    core = Core(ConnectionPoolManifold(), RequestSubstrate())
    served: list[Any] = []
    core.attach(
        Host(
            register=lambda fd, events, call: served.append(call),
            modify=lambda fd, events, call: None,
            unregister=lambda fd: None,
        )
    )
    batch = b"".join(SMALL_GET.replace(b"route50", b"route%d" % number) for number in range(ROUTES))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        acceptor = Acceptor(Site(core, router), listener.fileno(), lambda: None)
        with socket.create_connection(listener.getsockname()) as client:
            acceptor.on_ready(1)
            (ready,) = served
            client.sendall(batch)
            ready(1)
            answers = client.recv(1 << 20)
            assert answers.count(b"HTTP/1.1 200 ") == ROUTES
            gc.collect()
            before = [generation["collections"] for generation in gc.get_stats()]
            began = time.perf_counter()
            for _ in range(wanted // ROUTES):
                client.sendall(batch)
                tick(core)
                ready(1)
                assert len(client.recv(len(answers), socket.MSG_WAITALL)) == len(answers)
            seconds = time.perf_counter() - began
            collections = [generation["collections"] for generation in gc.get_stats()]
        ready(1)
    figures = {"routes_seconds": seconds}
    for generation, (first, last) in enumerate(zip(before, collections, strict=True)):
        figures[f"collections_{generation}"] = float(last - first)
    return figures


def everything(data: bytes) -> None:
    request = request_of(data)
    dict(request.headers.items())
    _ = request.query_params, request.cookies, request.body


def main() -> None:
    figures = {
        # First: nothing freed before it may hide what it takes.
        "request_bytes": request_bytes(),
        "lookup_ns": lookup_ns(),
        "route_ns": route_ns(),
        "lazy_ns": best_ns(lambda: request_of(BROWSER_GET)),
        "eager_ns": best_ns(lambda: everything(BROWSER_GET), calls=5_000),
        **million_over_routes(),
    }
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
