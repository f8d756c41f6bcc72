"""``python -m bench.load.large``: memory while 4 GiB go to a slow handler, or to a slow reader."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from bench.load import bodies, client, peers, stand, wrk
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

BODY_BYTES = 4 << 30
RATE = 200 << 20  # bytes a second of whoever is slow; the other side could do many times that
BOUND_BYTES = 64 << 20

SERVERS = {
    OURS: ("-m", "dimserver", "run", "large_native:app", "--port", "{port}", "--limit-body", "8GiB"),
    "uvicorn": bodies.UVICORN,
    "granian (ASGI)": bodies.SERVERS["granian (ASGI)"],
}


def upload(running: Running, size: int, rate: float) -> Values:
    """Send at full speed to a handler that takes its time."""
    count = -(-size // bodies.PIECE_BYTES) * bodies.PIECE_BYTES
    piece = bytes(bodies.PIECE_BYTES)
    fields = (f"Content-Length: {count}",)
    head = client.head_of("POST", f"/slow?rate={rate}", *fields)
    before = _start(running)
    answer = client.exchange(running.port, head, (piece for _ in range(count // len(piece))), keep=1024)
    if answer.status != 200 or str(count).encode() not in answer.body:
        raise wrk.LoadError(f"{answer.status} {answer.body!r}, not 200 and {count}")
    return _grown(running, before, count, answer.seconds)


def download(running: Running, size: int, rate: float, path: str) -> Values:
    """Read slowly what is made on demand."""
    pieces = -(-size // bodies.PIECE_BYTES)
    count = pieces * bodies.PIECE_BYTES
    before = _start(running)
    answer = client.exchange(running.port, client.head_of("GET", f"{path}?pieces={pieces}"), rate=rate)
    if answer.status != 200 or answer.received < count:
        raise wrk.LoadError(f"{answer.status} with {answer.received} of {count} bytes")
    return _grown(running, before, count, answer.seconds)


def _start(running: Running) -> int:
    running.reset_peak()
    return running.resident_bytes()


def _grown(running: Running, before: int, count: int, seconds: float) -> Values:
    return {
        "growth_bytes": float(max(0, running.peak_bytes() - before)),
        "before_bytes": float(before),
        "mib_per_second": count / seconds / 2**20,
    }


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    size = stand_.scaled(BODY_BYTES)
    results.versions |= peers.versions(stand_.peers_python)

    def measured(name: str, scenario: str) -> Values:
        with stand_.serve(name, SERVERS[name]) as running:
            if scenario == "upload":
                return upload(running, size, RATE)
            return download(running, size, RATE, "/make/thread" if scenario == "download-thread" else "/make")

    for number in range(stand_.rounds):
        for scenario in ("upload", "download", "download-thread"):
            for name in filter(stand_.takes, SERVERS):
                if scenario != "download-thread" or name == OURS:
                    yield stand.attempt(scenario, name, number, partial(measured, name, scenario))


def _target(what: str, scenario: str) -> Target:
    bound = f"≤ {BOUND_BYTES >> 20} MiB"
    read = stand.median_of(scenario, "growth_bytes")
    return Target(what, bound, read, lambda grown: grown <= BOUND_BYTES, lambda grown: f"{grown / 2**20:.1f} MiB")


_COLUMNS = (
    Column("growth_bytes", "peak over the start, MiB", lambda value: f"{value / 2**20:.1f}"),
    Column("before_bytes", "at the start, MiB", lambda value: f"{value / 2**20:.1f}"),
    Column("mib_per_second", "MiB/s", "{:,.0f}".format),
)

BENCH = Bench(
    key="large",
    title="Memory while 4 GiB pass through",
    text=(
        "One side sends or makes zeros as fast as it is let, the other takes 200 MiB a second.  The figure is the peak "
        "of resident memory (`VmHWM`, over all processes of the server) above what was resident at the start."
    ),
    take=take,
    scenarios={
        "upload": ("4 GiB to a handler that takes its time", _COLUMNS),
        "download": ("4 GiB from a generator to a slow reader", _COLUMNS),
        "download-thread": ("The same, made on a thread", _COLUMNS),
    },
    targets=(
        _target("upload of 4 GiB to a slow handler", "upload"),
        _target("download of 4 GiB by a slow reader", "download"),
        _target("the same, made on a thread", "download-thread"),
    ),
    rounds=1,
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
