"""``python -m bench.load.gateways``: WSGI and ASGI apps as they are, under each server that runs them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bench.load import peers, report, stand, wrk
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 64
INLINE = f"{OURS}, on the loop"
THREADS = f"{OURS}, on threads"
BARE = f"{OURS}, native handler"
UVLOOP = f"{OURS}, uvloop"
ASYNCIO = f"{OURS}, asyncio"

Command = tuple[str, ...]


def _ours(app: str, *more: str) -> Command:
    return ("-m", "dimserver", "run", app, "--port", "{port}", *more)


def _granian(interface: str, app: str) -> Command:
    return ("-m", "granian", "--interface", interface, "--port", "{port}", *peers.GRANIAN, app)


def _embedded(name: str, app: str) -> Command:
    return ("embedded.py", name, "{port}", app)  # servers run in the directory of the apps


def _gunicorn(app: str) -> Command:
    return ("-m", "gunicorn", "-b", "127.0.0.1:{port}", *peers.GUNICORN, app)


def _wsgi_peers(app: str) -> dict[str, Command]:
    return {
        "granian": _granian("wsgi", app),
        "waitress": ("-m", "waitress", "--listen", "127.0.0.1:{port}", app),
        "cheroot": _embedded("cheroot", app),
        "gunicorn (gthread)": _gunicorn(app),
    }


def _wsgi(app: str) -> dict[str, Command]:
    """Every server for one WSGI app: those that run it where they read, and those with threads."""
    return {
        INLINE: _ours(app, "--threads", "0"),
        THREADS: _ours(app, "--threads", "4"),
        "bjoern": _embedded("bjoern", app),
        "fastwsgi": _embedded("fastwsgi", app),
        "fastpysgi": _embedded("fastpysgi", app),
        **_wsgi_peers(app),
    }


def _asgi(app: str, *more: str) -> dict[str, Command]:
    """Every server for one ASGI app, those of ours first.

    Args:
        more: names of embedded servers.
    """
    return {
        UVLOOP: _ours(app, "--loop", "uvloop"),
        ASYNCIO: _ours(app, "--loop", "asyncio"),
        "uvicorn": ("-m", "uvicorn", "--port", "{port}", *peers.UVICORN, app),
        "granian (ASGI)": _granian("asgi", app),
        **{f"{name} (ASGI)": _embedded(name, app) for name in more},
    }


SERVERS: dict[str, dict[str, Command]] = {
    "wsgi": {BARE: _ours("native:app"), **_wsgi("plain_wsgi:app")},
    "flask": _wsgi("hello_flask:app"),
    "django": _wsgi("hello_django:app"),
    "asgi": _asgi("plain_asgi:app", "fastpysgi"),
    "fastapi": _asgi("hello_fastapi:app"),
}
HEADINGS = {
    "wsgi": "A bare WSGI app",
    "flask": "Flask",
    "django": "Django",
    "asgi": "A bare ASGI app",
    "fastapi": "FastAPI",
}


MEMORY = {"memory": ("wsgi", INLINE), "memory-threads": ("wsgi", THREADS), "memory-asgi": ("asgi", UVLOOP)}
REQUESTS = 1_000_000
BOUND_BYTES = 2 << 20


def load(running: Running, seconds: int, cpu: int | None, scratch: Path) -> Values:
    """One load on a warm server.

    Raises:
        LoadError: wrk failed, or an answer was an error.
    """
    wrk.run(running.port, CONNECTIONS, 1, 1, cpu, scratch)
    before = running.cpu_seconds()
    taken = wrk.run(running.port, CONNECTIONS, seconds, 1, cpu, scratch)
    spent = running.cpu_seconds() - before
    if taken.errors or not taken.requests:
        raise wrk.LoadError(f"{taken.requests} answers, and errors: {taken.errors}")
    return {"cpu_us": spent / taken.requests * 1e6, "per_second": taken.per_second, "p99_us": taken.p99_us}


def growth(running: Running, seconds: int, cpu: int | None, scratch: Path, requests: int) -> Values:
    """What is resident more after so many requests; those of the warm-up not counted.

    Raises:
        LoadError: wrk failed, or nothing was answered.
    """
    wrk.run(running.port, CONNECTIONS, seconds, 1, cpu, scratch)
    before = running.resident_bytes()
    answered = 0
    while answered < requests:
        taken = wrk.run(running.port, CONNECTIONS, seconds, 1, cpu, scratch)
        if taken.errors or not taken.requests:
            raise wrk.LoadError(f"{taken.requests} answers, and errors: {taken.errors}")
        answered += taken.requests
    return {"growth_bytes": float(max(0, running.resident_bytes() - before)), "requests": float(answered)}


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    results.versions |= peers.versions(stand_.peers_python, *PACKAGES)

    def measured(name: str, command: Command) -> Values:
        # Ours, whichever way it is run, with the interpreter that has it.
        with stand_.serve(OURS if name.startswith(OURS) else name, command) as running:
            return load(running, stand_.seconds, stand_.client_cpu, stand_.scratch)

    def grown(command: Command) -> Values:
        with stand_.serve(OURS, command) as running:
            seconds, requests = max(stand_.seconds, 2), stand_.scaled(REQUESTS)
            return growth(running, seconds, stand_.client_cpu, stand_.scratch, requests)

    for key, (scenario, name) in MEMORY.items():
        if stand_.takes(name):
            yield stand.attempt(key, name, 0, partial(grown, SERVERS[scenario][name]))
    for number in range(stand_.rounds):
        for scenario, servers in SERVERS.items():
            for name, command in servers.items():
                if stand_.takes(name):
                    yield stand.attempt(scenario, name, number, partial(measured, name, command))


PACKAGES = ("waitress", "cheroot", "flask", "werkzeug", "django", "fastapi", "starlette")

COLUMNS = (
    Column("cpu_us", "CPU µs/request", "{:.2f}".format),
    Column("per_second", "requests/s", "{:,.0f}".format),
    Column("p99_us", "p99, ms", lambda value: f"{value / 1e3:.1f}"),
)


def best(scenario: str, mine: str, names: tuple[str, ...] = ()) -> Callable[[Results], float | None]:
    """Return what reads our CPU time as a multiple of the least that one of the others takes.

    Args:
        names: those others; all that are not ours when there are none.
    """

    def read(results: Results) -> float | None:
        others = names or tuple(name for name in results.servers(scenario) if not name.startswith(OURS))
        ratios = [ratio for name in others if (ratio := results.ratio(scenario, mine, "cpu_us", name)) is not None]
        return max(ratios, default=None)

    return read


def _at_most(bound: float) -> Callable[[float], bool]:
    return lambda value: value <= bound


def _times(value: float) -> str:
    return f"{value:.2f} ×"


TARGETS = (
    Target(
        "bare WSGI on the loop",
        "≤ 5.0 µs",
        stand.median_of("wsgi", "cpu_us", INLINE),
        _at_most(5.0),
        "{:.2f} µs".format,
    ),
    Target("… against the best of all others", "≤ 1 ×", best("wsgi", INLINE), _at_most(1.0), _times),
    Target(
        "bare WSGI on threads, against waitress", "≤ 0.5 ×", best("wsgi", THREADS, ("waitress",)), _at_most(0.5), _times
    ),
    Target("… against granian", "≤ 1 ×", best("wsgi", THREADS, ("granian",)), _at_most(1.0), _times),
    *(
        Target(
            f"growth over a million requests, {name.partition(', ')[2]}",
            "< 2 MiB",
            stand.median_of(key, "growth_bytes", name),
            lambda grown: grown < BOUND_BYTES,
            lambda grown: f"{grown / 2**20:.2f} MiB",
        )
        for key, (_, name) in MEMORY.items()
    ),
    *(
        Target(
            f"{HEADINGS[key]}, {mine.partition(', ')[2]}, against the best of all others",
            "≤ 1 ×",
            best(key, mine),
            _at_most(1.0),
            _times,
        )
        for key in ("flask", "django")
        for mine in (INLINE, THREADS)
    ),
    Target(
        "bare ASGI on uvloop", "≤ 9 µs", stand.median_of("asgi", "cpu_us", UVLOOP), _at_most(9.0), "{:.2f} µs".format
    ),
    Target(
        "bare ASGI on asyncio",
        "≤ 12 µs",
        stand.median_of("asgi", "cpu_us", ASYNCIO),
        _at_most(12.0),
        "{:.2f} µs".format,
    ),
    *(
        Target(f"{HEADINGS[key]} against the best of all others", "≤ 1 ×", best(key, UVLOOP), _at_most(1.0), _times)
        for key in ("asgi", "fastapi")
    ),
)

BENCH = Bench(
    key="gateways",
    title="Apps of other interfaces",
    text=(
        f"One worker of each server runs the same app, which answers 13 bytes; {CONNECTIONS} keep-alive connections, "
        "one request at a time on each.  The figure is the CPU time of the server's whole process tree a request."
    ),
    take=take,
    scenarios={key: (heading, COLUMNS) for key, heading in HEADINGS.items()},
    targets=TARGETS,
)


def readme_block(results: Results, link: str) -> str:
    """The table of README: CPU time a request, a row a server, a column an app."""
    names = list(dict.fromkeys(name for scenario in SERVERS for name in results.servers(scenario)))
    rows = []
    for name in names:
        cells = (results.median(scenario, name, "cpu_us") for scenario in SERVERS)
        shown = ("–" if value is None else f"{value:.1f}" for value in cells)
        rows.append((f"**{name}**" if name.startswith(OURS) else name, *shown))
    table = report.table(("CPU µs/request", *HEADINGS.values()), rows)
    return f"{table}\n\n{results.method.get('rounds and length', '')}.  [The whole page]({link})."


def main(arguments: list[str] | None = None) -> int:
    """Run the bench, and with ``--readme`` write its table into README.md."""
    words = sys.argv[1:] if arguments is None else arguments
    readme = "--readme" in words
    words = [word for word in words if word != "--readme"]
    code = stand.main(BENCH, words)
    if readme and code != 2:
        place = stand.options_from(BENCH, words).out / f"{BENCH.key}.json"
        block = readme_block(Results.read(place), "bench/load/results/gateways.md")
        report.write_readme(ROOT / "README.md", block, "gateways")
    return code


if __name__ == "__main__":
    sys.exit(main())
