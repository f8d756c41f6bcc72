"""Bytes a request takes while it is in flight: as a handler sees it, and as it waits for one on a thread.

Run:  pytest bench/micro/test_request_memory.py --benchmark-only

The figures are in `extra_info`, and held to a bound; the time is of no interest.
`owned_bytes` counts what the allocators were asked for, by `tracemalloc`;
`resident_bytes` is the growth of the process over 100,000 requests kept at once,
with what the allocators round up and add.  A request that is answered inline
takes neither: one object serves them all, over the bytes as they were received.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

import dimcore

SOURCES = Path(dimcore.__file__).parents[1]
MOST_BYTES = 700

# In a process of its own: here, what others freed would hide what this takes.
MEASURE = """
import gc, json, os, socket, sys, tracemalloc
from dimcore import *
GET = b"GET /api/status HTTP/1.1\\r\\nHost: localhost\\r\\nUser-Agent: bench\\r\\nAccept: */*\\r\\n\\r\\n"
COUNT = 100_000
core = Core(ConnectionPoolManifold(), RequestSubstrate())
kept = [None] * COUNT
at = 0
def keep(request):
    global at
    kept[at] = request
    at += 1
    return b""
router = Router()
router.add("GET", "/api/status", keep)
served = []
core.attach(Host(register=lambda fd, events, call: served.append(call), modify=None, unregister=lambda fd: None))
listener = socket.create_server(("127.0.0.1", 0))
listener.setblocking(False)
acceptor = Acceptor(Site(core, router), listener.fileno(), lambda: None)
client = socket.create_connection(listener.getsockname())
acceptor.on_ready(1)
def ask(count):
    for _ in range(count // 100):
        client.sendall(GET * 100)
        served[0](1)
        client.recv(1 << 20)
def resident():
    with open("/proc/self/statm") as figures:
        return int(figures.read().split()[1]) * os.sysconf("SC_PAGESIZE")
ask(1000)
at = 0
kept[:1000] = [None] * 1000
gc.collect()
before = resident()
ask(COUNT)
found = {"resident_bytes": (resident() - before) / COUNT}
kept[:] = [None] * COUNT
at = 0
tracemalloc.start()
before = tracemalloc.get_traced_memory()[0]
ask(10_000)
found["owned_bytes"] = (tracemalloc.get_traced_memory()[0] - before) / 10_000
found["object_bytes"] = sys.getsizeof(kept[0])
json.dump(found, sys.stdout)
"""


def test_bytes_in_flight(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "bytes a request in flight"
    gc.collect()

    def measure() -> dict[str, float]:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={**os.environ, "PYTHONPATH": str(SOURCES)},
        )
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    figures: dict[str, float] = benchmark.pedantic(measure, rounds=1, iterations=1)  # type: ignore[no-untyped-call]
    for name, value in figures.items():
        benchmark.extra_info[name] = round(value, 1)
        assert value <= MOST_BYTES, f"{name}: {value:.0f}"
