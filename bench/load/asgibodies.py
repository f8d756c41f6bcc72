"""``python -m bench.load.asgibodies``: 100 MiB through the ASGI gateway, on either loop, against its peers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial

from bench.load import bodies, peers, stand
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

UVLOOP = f"{OURS}, uvloop"
ASYNCIO = f"{OURS}, asyncio"
BOUND_BYTES = 8 << 20  # of growth, whatever the size of the body

Command = tuple[str, ...]


def _servers(app: str) -> dict[str, Command]:
    """Every server for one app, ours first."""
    ours = ("-m", "dimserver", "run", app, "--port", "{port}", "--limit-body", "1GiB", "--loop")
    uvicorn = ("-m", "uvicorn", "--port", "{port}", *peers.UVICORN, app, "--http", "httptools", "--loop")
    granian = ("-m", "granian", "--interface", "asgi", "--port", "{port}", *peers.GRANIAN, app, "--loop")
    return {
        UVLOOP: (*ours, "uvloop"),
        ASYNCIO: (*ours, "asyncio"),
        "uvicorn, uvloop": (*uvicorn, "uvloop"),
        "uvicorn, asyncio": (*uvicorn, "asyncio"),
        "granian, uvloop": (*granian, "uvloop"),
        "granian, asyncio": (*granian, "asyncio"),
    }


SERVERS = {"": _servers("large_asgi:app"), "starlette-": _servers("large_starlette:app")}
SCENARIOS = {
    "upload": "Upload in chunks, taken with `receive`",
    "download": "Streamed answer, sent with `send`",
    "starlette-upload": "The same upload to Starlette's `request.stream()`",
    "starlette-download": "The same answer as Starlette's `StreamingResponse`",
}


def measure(running: Running, size: int, seconds: float, up: bool) -> Values:
    """Repeat one exchange for some seconds: how fast it is, what it costs, and what is resident meanwhile."""

    def once() -> int:
        return bodies.upload(running.port, size) if up else bodies.download(running.port, size, "/make")

    once()
    before = running.resident_bytes()
    running.reset_peak()
    values = bodies.again(running, seconds, once)
    return {**values, "growth_bytes": float(max(0, running.peak_bytes() - before))}


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    size = stand_.scaled(bodies.BODY_BYTES)
    results.versions |= peers.versions(stand_.peers_python, "starlette")

    def measured(name: str, command: Command, up: bool) -> Values:
        with stand_.serve(OURS if name.startswith(OURS) else name, command) as running:
            return measure(running, size, stand_.seconds, up)

    for number in range(stand_.rounds):
        for scenario in SCENARIOS:
            family, _, direction = scenario.rpartition("-")
            for name, command in SERVERS[family and f"{family}-"].items():
                if stand_.takes(name):
                    yield stand.attempt(scenario, name, number, partial(measured, name, command, direction == "upload"))


def against_the_best(scenario: str, mine: str) -> Callable[[Results], float | None]:
    """Return what reads our throughput as a multiple of that of the fastest peer, on whichever loop that is."""

    def read(results: Results) -> float | None:
        own = results.median(scenario, mine, "mib_per_second")
        theirs = (
            results.median(scenario, name, "mib_per_second")
            for name in results.servers(scenario)
            if not name.startswith(OURS)
        )
        best = max((figure for figure in theirs if figure), default=None)
        return None if own is None or best is None else own / best

    return read


def most_growth(mine: str) -> Callable[[Results], float | None]:
    """Return what reads the largest growth over all scenarios."""

    def read(results: Results) -> float | None:
        grown = (results.median(scenario, mine, "growth_bytes") for scenario in SCENARIOS)
        return max((figure for figure in grown if figure is not None), default=None)

    return read


def _targets() -> Iterator[Target]:
    for scenario in SCENARIOS:
        family, _, direction = scenario.rpartition("-")
        for name in (UVLOOP, ASYNCIO):
            what = f"{direction}{', Starlette' if family else ''}, {name.partition(', ')[2]}"
            read = against_the_best(scenario, name)
            yield Target(what, "≥ 1.0 × the best of the peers", read, lambda ratio: ratio >= 1.0, "{:.2f}".format)
    for name in (UVLOOP, ASYNCIO):
        what = f"growth of memory, {name.partition(', ')[2]}"
        yield Target(
            what,
            f"≤ {BOUND_BYTES >> 20} MiB",
            most_growth(name),
            lambda grown: grown <= BOUND_BYTES,
            lambda grown: f"{grown / 2**20:.1f} MiB",
        )


_COLUMNS = (
    Column("mib_per_second", "MiB/s", "{:,.0f}".format),
    Column("cpu_ms_per_gib", "CPU µs/MiB", lambda value: f"{value * 1e3 / 1024:,.0f}"),
    Column("growth_bytes", "memory grown by, MiB", lambda value: f"{value / 2**20:.1f}"),
)

BENCH = Bench(
    key="asgibodies",
    title="Bodies of 100 MiB through ASGI",
    text=(
        "One connection after the other.  Sent in chunks of 64 KiB to an app that counts the bytes as they come; made "
        "by an app in pieces of 64 KiB of which the length is not told before, and read by a client that only counts.  "
        "Memory is the peak of what is resident while that goes on, above what it was after a first body."
    ),
    take=take,
    scenarios={key: (heading, _COLUMNS) for key, heading in SCENARIOS.items()},
    targets=tuple(_targets()),
    seconds=3,
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
