"""What the benches of single figures share: options, the servers' places, and the page with its verdicts.

Each of them (`files`, `large`, `malformed`, `slow`) is one `Bench` and one command,
``python -m bench.load.NAME``; its page and its samples go to ``bench/load/results``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.load import idle, machine, wrk
from bench.load.process import Running, ServerError, free_port, is_up, pinned, serving
from bench.load.results import Results, Sample, Values

RESULTS = Path(__file__).resolve().parent / "results"
OURS = "dimserver"


@dataclass(frozen=True)
class Stand:
    """The constants of one run.

    Attributes:
        python: interpreter that has dimserver.
        peers_python: interpreter that has the peers.
        python_path: ``PYTHONPATH`` for dimserver, when it runs from a source tree.
        scratch: directory for logs, scripts and files to be served.
        seconds: length of one load.
        rounds: samples of each.
        scale: of sizes and counts: 1 for the figures, less for a look.
        names: servers to measure; empty means all.
        server_cpu, client_cpu: CPUs they are bound to; `None` where there is only one.
    """

    python: str
    peers_python: str
    python_path: str
    scratch: Path
    seconds: int
    rounds: int
    scale: float
    names: tuple[str, ...] = ()
    server_cpu: int | None = None
    client_cpu: int | None = None

    def takes(self, name: str) -> bool:
        """Return whether a server is to be measured."""
        return not self.names or any(name.startswith(wanted) for wanted in self.names)

    def scaled(self, count: int) -> int:
        """Return a count or size at this run's scale, at least 1."""
        return max(1, int(count * self.scale))

    @contextmanager
    def serve(self, name: str, command: tuple[str, ...], up: Callable[[int], bool] = is_up) -> Iterator[Running]:
        """Start a server and stop it at the end.

        Args:
            name: what begins with `OURS` runs with this checkout, any other with the peers' interpreter.
            command: words after the interpreter, or a whole command when the first is an absolute path;
                ``{port}`` is replaced in each.
            up: asked with the port whether it answers now.

        Raises:
            ServerError: it did not start.
        """
        port = free_port()
        words = [word.replace("{port}", str(port)) for word in command]
        if not Path(words[0]).is_absolute():
            words.insert(0, self.python if name.startswith(OURS) else self.peers_python)
        log = self.scratch / f"{name.replace(' ', '-')}.log"
        path = self.python_path if name.startswith(OURS) else ""
        with serving(words, port, self.server_cpu, log, path, up) as running:
            yield running


@dataclass(frozen=True)
class Column:
    """A figure of a table: its key in the samples, its heading, and how it is written."""

    key: str
    title: str
    form: Callable[[float], str]


@dataclass(frozen=True)
class Target:
    """A figure to be reached.

    Attributes:
        what: said in a line.
        reach: the bound, as text.
        value: returns the figure of a run; `None` when it was not taken.
        holds: whether a figure is within the bound.
        form: writes it.
    """

    what: str
    reach: str
    value: Callable[[Results], float | None]
    holds: Callable[[float], bool]
    form: Callable[[float], str]


@dataclass(frozen=True)
class Bench:
    """One command.

    Attributes:
        key: name of the module, and of the files it writes.
        title: heading of its page.
        text: what is done, for the page and the command's help.
        take: yields samples; what it raises as ServerError or LoadError is for it to turn into a sample's problem.
        scenarios: heading and columns by scenario.
        notes: further lines for the page.
        seconds, rounds: defaults of the options.
    """

    key: str
    title: str
    text: str
    take: Callable[[Stand, Results], Iterator[Sample]]
    scenarios: dict[str, tuple[str, tuple[Column, ...]]]
    targets: tuple[Target, ...]
    notes: Callable[[Results], list[str]] = field(default=lambda results: [])
    seconds: int = 5
    rounds: int = 3


def attempt(scenario: str, server: str, number: int, measure: Callable[[], Values]) -> Sample:
    """Return a sample; what goes wrong is noted in it and does not end the run."""
    taken = Sample(scenario, server, number)
    try:
        taken.values = measure()
    except (ServerError, wrk.LoadError, OSError) as error:
        taken.problem = f"{type(error).__name__}: {error}"
    return taken


def median_of(scenario: str, key: str, server: str = OURS) -> Callable[[Results], float | None]:
    """Return what reads one figure of a run."""
    return lambda results: results.median(scenario, server, key)


def against(scenario: str, key: str, *others: str) -> Callable[[Results], float | None]:
    """Return what reads the ratio of our figure to the best (the largest) of some peers."""

    def read(results: Results) -> float | None:
        mine = results.median(scenario, OURS, key)
        theirs = [value for name in others if (value := results.median(scenario, name, key))]
        return None if mine is None or not theirs else mine / max(theirs)

    return read


def page(bench: Bench, results: Results) -> str:
    """Return the report of one bench as Markdown."""
    facts = [*results.machine.items(), *results.method.items(), *results.versions.items()]
    parts = [f"# {bench.title}", f"Written by `python -m bench.load.{bench.key}`.  {bench.text}"]
    rows: list[tuple[str, ...]] = []
    for target in bench.targets:
        value = target.value(results)
        verdict = "not measured" if value is None else "yes" if target.holds(value) else "**no**"
        rows.append((target.what, target.reach, "–" if value is None else target.form(value), verdict))
    parts.append(_table(("figure", "to reach", "measured", "reached"), rows))
    for scenario, (heading, columns) in bench.scenarios.items():
        names = results.servers(scenario)
        if not names:
            continue
        rows = []
        for name in names:
            medians = ((column, results.median(scenario, name, column.key)) for column in columns)
            cells = ("–" if value is None else column.form(value) for column, value in medians)
            rows.append((f"**{name}**" if name == OURS else name, *cells))
        parts += [f"## {heading}", _table(("server", *(column.title for column in columns)), rows)]
    parts += bench.notes(results)
    if problems := results.problems():
        parts += ["## What could not be measured", "\n".join(f"- {line}" for line in problems)]
    parts += ["## Where and how", _table(("what", "value"), facts)]
    return "\n\n".join(parts) + "\n"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def options_from(bench: Bench, arguments: list[str] | None) -> argparse.Namespace:
    """Read a bench's command line."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.load.{bench.key}",
        description=bench.text,
        epilog="Run it from the root of the checkout, on a machine that does nothing else.  Linux only.",
    )
    peers_python = os.environ.get("BENCH_PEERS_PYTHON", sys.executable)
    parser.add_argument("--rounds", type=int, default=bench.rounds, help=f"samples of each ({bench.rounds})")
    parser.add_argument("--seconds", type=int, default=bench.seconds, help=f"length of one load ({bench.seconds})")
    parser.add_argument("--scale", type=float, default=1.0, help="of sizes and counts; less than 1 is a look (1)")
    parser.add_argument("--servers", nargs="+", default=[], metavar="NAME", help="only those whose names begin so")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has dimserver (this one)")
    parser.add_argument("--peers-python", default=peers_python, help="interpreter that has the peers")
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the page (bench/load/results)")
    return parser.parse_args(arguments)


def main(bench: Bench, arguments: list[str] | None = None) -> int:
    """Run a bench's command; 1 where a figure was not reached."""
    options = options_from(bench, arguments)
    if not sys.platform.startswith("linux"):
        print(f"the comparison needs Linux (affinity, /proc); this is {sys.platform}", file=sys.stderr)
        return 2
    idle.raise_descriptor_limit()
    cpus = sorted(os.sched_getaffinity(0))
    given = os.environ.get("PYTHONPATH", "")  # a server is started in another directory than this
    results = Results(machine=machine.describe())
    results.method = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": machine.python_version(options.python),
        "python of the peers": machine.python_version(options.peers_python),
        "rounds and length": f"{options.rounds} rounds, {options.seconds} s a load, medians; scale {options.scale:g}",
        "placement": "server on one CPU, clients on another" if len(cpus) > 1 else "one CPU for both: rough figures",
    }
    with tempfile.TemporaryDirectory(prefix="bench-load-") as place:
        stand = Stand(
            python=options.python,
            peers_python=options.peers_python,
            python_path=os.pathsep.join(map(os.path.abspath, filter(None, given.split(os.pathsep)))),
            scratch=Path(place),
            seconds=options.seconds,
            rounds=options.rounds,
            scale=options.scale,
            names=tuple(options.servers),
            server_cpu=cpus[0] if len(cpus) > 1 else None,
            client_cpu=cpus[1] if len(cpus) > 1 else None,
        )
        with pinned(stand.client_cpu):  # this process is a client too, and so is what it starts
            for taken in bench.take(stand, results):
                results.samples.append(taken)
                shown = "  ".join(f"{key} {value:,.2f}" for key, value in taken.values.items())
                print(f"{taken.scenario:16}{taken.round + 1:3}  {taken.server:20}{shown or taken.problem}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    results.write(options.out / f"{bench.key}.json")
    written = options.out / f"{bench.key}.md"
    written.write_text(page(bench, results))
    print(f"written: {written}")
    missed = [t.what for t in bench.targets if (value := t.value(results)) is not None and not t.holds(value)]
    for what in missed:
        print(f"not reached: {what}", file=sys.stderr)
    return 1 if missed else 0
