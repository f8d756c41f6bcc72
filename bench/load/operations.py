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
PACES = {"second": 1.0, "tenth": 0.1}  # seconds between two questions: of a dashboard, and of ten of them
PAIRS = 5  # windows with lists, and as many without, one after the other, at each pace
TRIVIAL = "/"
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


def beside(running: Running, stand_: Stand, target: str, every: float) -> wrk.Load:
    """Return what 64 other connections saw at full load, while an operator asks for something."""
    stop = threading.Event()
    failed: list[Exception] = []

    def keep_asking() -> None:
        operator = Operator(running.port)
        try:
            while not stop.wait(every):
                operator.ask(target)
        except Exception as error:
            failed.append(error)
        finally:
            operator.close()

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        seen = wrk.run(running.port, BUSY, stand_.seconds, 1, stand_.client_cpu, stand_.scratch)
    finally:
        stop.set()
        thread.join()
    if failed:
        raise wrk.LoadError(f"the operator got no answer: {failed[0]}")
    return seen


def notice(stand_: Stand, every: float) -> Values:
    """Take short windows in turns: with lists, and with something trivial asked at the same pace.

    Both have the same idle connections and the same operator, who takes time of the clients' CPU; the order
    changes from pair to pair, so that neither always comes second.
    """
    seen: dict[str, list[wrk.Load]] = {TRIVIAL: [], LIST: []}
    with stand_.serve(OURS, COMMAND) as running, crowd(running, stand_.scaled(CONNECTIONS)):
        for number in range(max(1, stand_.scaled(PAIRS))):
            for target in (TRIVIAL, LIST) if number % 2 else (LIST, TRIVIAL):
                seen[target].append(beside(running, stand_, target, every))
    found: Values = {}
    for name, target in (("trivial", TRIVIAL), ("list", LIST)):
        found[f"{name}_p99_us"] = statistics.median(load.p99_us for load in seen[target])
        found[f"{name}_p999_us"] = statistics.median(load.p999_us for load in seen[target])
    found["p99_ratio"] = found["list_p99_us"] / found["trivial_p99_us"]
    return found


def answers(stand_: Stand) -> Values:
    """Ask for sums and for lists, one after the other."""
    count = stand_.scaled(CONNECTIONS)
    asked = max(20, stand_.scaled(ASKED))
    with stand_.serve(OURS, COMMAND) as running, crowd(running, count):
        answered(running, count)
        stats, listed = times(running, STATS, asked), times(running, LIST, asked)
    return {
        "stats_ms": statistics.median(stats),
        "stats_p99_ms": statistics.quantiles(stats, n=100)[98],
        "list_ms": statistics.median(listed),
        "list_p99_ms": statistics.quantiles(listed, n=100)[98],
    }


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    results.method["connections"] = f"{stand_.scaled(CONNECTIONS):,} idle ones, on {WORKERS} workers"
    for number in range(stand_.rounds):
        yield stand.attempt("ask", OURS, number, lambda: answers(stand_))
        for name, every in PACES.items():
            yield stand.attempt(name, OURS, number, lambda every=every: notice(stand_, every))  # type: ignore[misc]


BENCH = Bench(
    key="operations",
    title="Asking who is connected",
    text=(
        f"{WORKERS} workers hold 10,000 idle connections.  An operator asks for the sums and for a list of 100 points, "
        f"one request after the other on one connection.  Then 64 connections load the server in short windows, "
        f"{PAIRS} with such a list every second beside them and {PAIRS} with a trivial answer in its place, in turns; "
        f"and the same with ten lists a second.  A round's figures are the medians of its windows."
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
            ),
        ),
        **{
            name: (
                f"What others notice, {1 / every:.0f} a second",
                (
                    Column("trivial_p99_us", "p99 beside trivial answers, µs", "{:,.0f}".format),
                    Column("list_p99_us", "beside lists, µs", "{:,.0f}".format),
                    Column("p99_ratio", "ratio", "{:.2f}".format),
                    Column("trivial_p999_us", "p99.9 beside trivial answers, µs", "{:,.0f}".format),
                    Column("list_p999_us", "beside lists, µs", "{:,.0f}".format),
                ),
            )
            for name, every in PACES.items()
        },
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
        *(
            Target(
                f"others' p99 beside {1 / every:.0f} lists a second, of that beside trivial answers",
                "≤ 1.1 ×",
                stand.median_of(name, "p99_ratio"),
                lambda ratio: ratio <= 1.1,
                "{:.2f} ×".format,
            )
            for name, every in PACES.items()
        ),
    ),
    seconds=2,
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
