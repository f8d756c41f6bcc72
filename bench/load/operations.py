"""``python -m bench.load.operations``: what it costs to ask two workers who is connected, with 10,000 connections."""

from __future__ import annotations

import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.load import process, stand, wrk
from bench.load.peers import APPS
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

WORKERS = 2
CONNECTIONS = 10_000
BUSY = 64  # connections of wrk, beside those that are idle
ASKED = 300  # times each, one after the other
EVERY = 1.0  # seconds between two questions, as of a dashboard, while the others' times are taken
STATS = "/api/stats"
LIST = "/api/connections?limit=100"

COMMAND = (
    "-m", "dimserver", "run", str(APPS / "native.py"), "--port", "{port}", "--workers", str(WORKERS), "--api",
    "--log-level", "warning",
)  # fmt: skip


class Operator:
    """A client that keeps its connection and reads JSON."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, target: str) -> tuple[float, bytes]:
        """Return how long the answer took, in milliseconds, and its body."""
        head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        began = time.perf_counter()
        self._sock.sendall(head)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        fields, _, body = data.partition(b"\r\n\r\n")
        size = int(fields.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < size:
            body += self._more()
        took = (time.perf_counter() - began) * 1e3
        if not fields.startswith(b"HTTP/1.1 200"):
            raise wrk.LoadError(f"{target}: {fields[:100]!r}")
        return took, body

    def _more(self) -> bytes:
        data = self._sock.recv(1 << 20)
        if not data:
            raise wrk.LoadError("the server closed the operator's connection")
        return data

    def close(self) -> None:
        self._sock.close()


@contextmanager
def crowd(running: Running, count: int) -> Iterator[None]:
    """Open connections that ask once and then stay."""
    held: list[socket.socket] = []
    try:
        for _ in range(count):
            held.append(socket.create_connection(("127.0.0.1", running.port), timeout=10))
            if not process.ask(held[-1]):
                raise wrk.LoadError(f"the server closed connection {len(held)}")
        yield
    finally:
        for sock in held:
            sock.close()


def times(running: Running, target: str, count: int) -> list[float]:
    """Return milliseconds of one question after the other."""
    operator = Operator(running.port)
    try:
        operator.ask(target)
        return [operator.ask(target)[0] for _ in range(count)]
    finally:
        operator.close()


def answered(running: Running, connections: int) -> None:
    """See that the answers are whole: the sums are right, all workers are there, and none is missing."""
    operator = Operator(running.port)
    try:
        stats = json.loads(operator.ask(STATS)[1])
        listed = json.loads(operator.ask(LIST)[1])
    finally:
        operator.close()
    found = sum(pool["total_connections"] for pool in stats["connections"].values())
    if not connections <= found <= connections + 5 or len(stats["workers"]) != WORKERS:
        raise wrk.LoadError(f"{found} connections of {connections} counted, {len(stats['workers'])} workers")
    if listed["missing"] or len(listed["points"]) != min(100, found):
        raise wrk.LoadError(f"missing: {listed['missing']}, {len(listed['points'])} listed")


def beside(running: Running, stand_: Stand, asking: bool) -> float:
    """Return p99 of 64 other connections at full load, in microseconds."""
    stop = threading.Event()
    failed: list[Exception] = []

    def keep_asking() -> None:
        operator = Operator(running.port)
        try:
            while not stop.wait(EVERY):
                operator.ask(LIST)
        except Exception as error:
            failed.append(error)
        finally:
            operator.close()

    thread = threading.Thread(target=keep_asking)
    if asking:
        thread.start()
    try:
        seen = wrk.run(running.port, BUSY, stand_.seconds, 1, stand_.client_cpu, stand_.scratch)
    finally:
        stop.set()
        if asking:
            thread.join()
    if failed:
        raise wrk.LoadError(f"the operator got no answer: {failed[0]}")
    return seen.p99_us


def measure(stand_: Stand) -> Values:
    count = stand_.scaled(CONNECTIONS)
    asked = max(20, stand_.scaled(ASKED))
    with stand_.serve(OURS, COMMAND) as running, crowd(running, count):
        answered(running, count)
        stats, listed = times(running, STATS, asked), times(running, LIST, asked)
        alone, with_operator = beside(running, stand_, False), beside(running, stand_, True)
    return {
        "stats_ms": statistics.median(stats),
        "stats_p99_ms": statistics.quantiles(stats, n=100)[98],
        "list_ms": statistics.median(listed),
        "list_p99_ms": statistics.quantiles(listed, n=100)[98],
        "alone_p99_us": alone,
        "asked_p99_us": with_operator,
        "p99_ratio": with_operator / alone,
    }


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    results.method["connections"] = f"{stand_.scaled(CONNECTIONS):,} idle ones, on {WORKERS} workers"
    for number in range(stand_.rounds):
        yield stand.attempt("ask", OURS, number, lambda: measure(stand_))


BENCH = Bench(
    key="operations",
    title="Asking who is connected",
    text=(
        f"{WORKERS} workers hold 10,000 idle connections.  An operator asks for the sums and for a list of 100 points, "
        f"one request after the other on one connection; then 64 connections load the server, once without and once "
        f"with such a list every second beside them."
    ),
    take=take,
    scenarios={
        "ask": (
            "One operator",
            (
                Column("stats_ms", "stats, ms", "{:.2f}".format),
                Column("stats_p99_ms", "p99", "{:.2f}".format),
                Column("list_ms", "list of 100, ms", "{:.2f}".format),
                Column("list_p99_ms", "p99", "{:.2f}".format),
                Column("alone_p99_us", "others' p99 alone, µs", "{:,.0f}".format),
                Column("asked_p99_us", "with the operator, µs", "{:,.0f}".format),
            ),
        ),
    },
    targets=(
        Target("/api/stats, ms", "≤ 2", stand.median_of("ask", "stats_ms"), lambda ms: ms <= 2, "{:.2f}".format),
        Target(
            "/api/connections?limit=100, ms",
            "≤ 5",
            stand.median_of("ask", "list_ms"),
            lambda ms: ms <= 5,
            "{:.2f}".format,
        ),
        Target(
            "others' p99 with the operator, of that without",
            "≤ 1.1 ×",
            stand.median_of("ask", "p99_ratio"),
            lambda ratio: ratio <= 1.1,
            "{:.2f} ×".format,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
