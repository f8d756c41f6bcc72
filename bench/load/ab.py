"""``python -m bench.load.ab OLD NEW``: what two builds of dimserver cost a request, on the hot path.

    python -m bench.load.ab OLD NEW                   # CPU nanoseconds a request: 20 rounds, minima and medians
    python -m bench.load.ab OLD NEW --instructions    # instructions a request, counted by callgrind

A build is the interpreter that has it installed, the directory of a virtual environment, or a source tree whose core
is compiled in place; the last runs with `--python`.

A server this fast waits for its load generator, so requests a second say little about it.  Here both share one CPU
and neither interrupts the other (SCHED_BATCH): wrk answers all that came, then the server all that wrk sent, and so
every turn of the server's loop has all connections in it, on every build alike.  What counts is the server's own time
on the CPU, which the scheduler keeps in nanoseconds.

Every round starts each build afresh, since two processes of one build differ, too: OLD, NEW, and OLD once more, in
an order that turns from round to round.  OLD against itself is the spread: a difference no larger than it is none.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import callgrind, idle, wrk
from bench.load.peers import OURS, SERVERS
from bench.load.process import Running, ServerError, free_port, serving, tree

ROUNDS = 20
SECONDS = 1  # of each load; wrk knows whole ones only
SPREAD = 1.02  # OLD against itself: beyond it the machine is too noisy for a verdict
COMMAND = next(server.command for server in SERVERS if server.name == OURS)


@dataclass(frozen=True)
class Scenario:
    """A load: so many connections, and so many requests in one write of each."""

    key: str
    title: str
    connections: int
    pipeline: int = 1


SCENARIOS = (
    Scenario("plain-64", "64 connections", 64),
    Scenario("pipelined-16", "64 connections, 16 pipelined", 64, 16),
    Scenario("plain-1000", "1,000 connections", 1000),
)


@dataclass(frozen=True)
class Build:
    """An installed or compiled dimserver: the interpreter that runs it, and ``PYTHONPATH`` for a source tree."""

    python: str
    python_path: str = ""

    def command(self, port: int) -> list[str]:
        return [self.python, *(word.replace("{port}", str(port)) for word in COMMAND)]


class BuildError(Exception):
    """What was named is no build."""


def build_at(place: str, python: str) -> Build:
    """Return the build at a path.

    Args:
        place: an interpreter, a virtual environment, or a source tree.
        python: the interpreter for a source tree.

    Raises:
        BuildError: it is none of them.
    """
    path = Path(place).absolute()  # not resolved: the link to an interpreter is what makes an environment
    if (path / "bin" / "python").exists():
        return Build(str(path / "bin" / "python"))
    if (path / "src" / "dimserver").is_dir():
        if not list((path / "src" / "dimcore").glob("*.so")):
            raise BuildError(f"{place}: its core is not compiled (python setup.py build_ext --inplace)")
        return Build(python, str(path / "src"))
    if path.is_file() and os.access(path, os.X_OK):
        return Build(str(path))
    raise BuildError(f"{place}: neither an interpreter nor a virtual environment nor a source tree of dimserver")


def on_cpu_ns(pid: int) -> int:
    """Return how long the threads of a process and its descendants have been on a CPU."""
    total = 0
    for each in tree(pid):
        for path in Path(f"/proc/{each}/task").glob("*/schedstat"):
            try:
                total += int(path.read_text().split()[0])
            except OSError:
                continue  # the thread ended meanwhile
    return total


@contextmanager
def sharing(cpu: int) -> Iterator[None]:
    """Let what is started inside run on one CPU and wait for its turn there, whatever else wakes up."""
    policy, cpus = os.sched_getscheduler(0), os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.sched_setaffinity(0, cpus)


def cost(running: Running, scenario: Scenario, seconds: int, scratch: Path) -> float:
    """Return the server's CPU nanoseconds for one request under a load.

    Raises:
        LoadError: wrk failed, or not every answer was one.
    """
    before = on_cpu_ns(running.pid)
    load = wrk.run(running.port, scenario.connections, seconds, scenario.pipeline, None, scratch)
    spent = on_cpu_ns(running.pid) - before
    if load.errors or not load.requests:
        raise wrk.LoadError(f"{scenario.title}: {load.requests} answers, errors: {load.errors}")
    return spent / load.requests


def measure(builds: dict[str, Build], scenarios: list[Scenario], rounds: int, seconds: int) -> dict[str, Samples]:
    """Return the cost of a request by scenario and build, a figure for each round.

    Raises:
        ServerError: a build did not start.
        LoadError: wrk is missing or failed.
    """
    wrk.find()
    samples: dict[str, Samples] = {scenario.key: {name: [] for name in builds} for scenario in scenarios}
    names = list(builds)
    cpu = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-ab-") as place, sharing(cpu):
        scratch = Path(place)
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                port = free_port()
                build = builds[name]
                with serving(build.command(port), port, None, scratch / "log", build.python_path) as running:
                    wrk.run(port, 64, 1, 1, None, scratch)  # warm
                    for scenario in scenarios:
                        samples[scenario.key][name].append(cost(running, scenario, seconds, scratch))
            show_round(number, names, samples)
    return samples


Samples = dict[str, list[float]]
AGAIN = "OLD again"


def show_round(number: int, names: list[str], samples: dict[str, Samples]) -> None:
    latest = (f"{key}: " + " ".join(f"{samples[key][name][-1]:,.0f}" for name in names) for key in samples)
    print(f"{number + 1:3}  " + "   ".join(latest), file=sys.stderr, flush=True)


def ratio(samples: Samples, name: str) -> float:
    """Return the minimum of a build over that of OLD."""
    return min(samples[name]) / min(samples["OLD"])


def table(samples: dict[str, Samples], scenarios: list[Scenario]) -> str:
    """Return minima and medians, each also against those of OLD."""
    lines = [f"{'CPU ns/request':32}{'build':12}{'minimum':>10}{'× OLD':>8}{'median':>10}{'× OLD':>8}"]
    for scenario in scenarios:
        found = samples[scenario.key]
        base = statistics.median(found["OLD"])
        for name, values in found.items():
            middle = statistics.median(values)
            title = scenario.title if name == "OLD" else ""
            lines.append(
                f"{title:32}{name:12}{min(values):10,.0f}{ratio(found, name):8.3f}{middle:10,.0f}{middle / base:8.3f}"
            )
    return "\n".join(lines)


def verdict(samples: dict[str, Samples], scenarios: list[Scenario]) -> tuple[list[str], bool]:
    """Return a line for each scenario, and whether NEW costs nowhere more than OLD, as far as can be told."""
    lines, fine = [], True
    for scenario in scenarios:
        found = samples[scenario.key]
        again, new = ratio(found, AGAIN), ratio(found, "NEW")
        spread = max(again, 1 / again)
        if spread > SPREAD:
            said = f"no verdict: OLD against itself is {again:.3f}; more rounds, or a quieter machine"
            fine = False
        elif new > SPREAD:
            said = f"NEW costs more: {new:.3f} × OLD (OLD against itself: {again:.3f})"
            fine = False
        else:
            said = f"NEW costs no more: {new:.3f} × OLD (OLD against itself: {again:.3f})"
        lines.append(f"{scenario.title}: {said}")
    return lines, fine


def count_instructions(builds: dict[str, Build], scenarios: list[Scenario], keep: Path | None) -> bool:
    """Print the instructions of one request on each build; return whether NEW takes no more than OLD.

    Raises:
        ServerError: a build did not start, or callgrind is not there.
    """
    fine = True
    print(f"{'instructions/request':32}{'OLD':>10}{'NEW':>10}{'× OLD':>8}")
    with sharing(max(os.sched_getaffinity(0))):
        for scenario in scenarios:
            found = {
                name: callgrind.instructions(
                    build.python, build.python_path, scenario.connections, scenario.pipeline,
                    keep / f"{scenario.key}-{name}" if keep else None,
                )
                for name, build in builds.items()
            }  # fmt: skip
            against = found["NEW"] / found["OLD"]
            fine = fine and against <= SPREAD
            print(f"{scenario.title:32}{found['OLD']:10,.0f}{found['NEW']:10,.0f}{against:8.3f}", flush=True)
    return fine


def options_from(arguments: list[str] | None) -> argparse.Namespace:
    keys = [scenario.key for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="python -m bench.load.ab",
        description="Compare what a request costs on two builds of dimserver.  Linux only.",
        epilog="A build: an interpreter, a virtual environment, or a source tree with its core compiled in place.",
    )
    parser.add_argument("old", metavar="OLD", help="the build to compare with")
    parser.add_argument("new", metavar="NEW", help="the build to judge; OLD itself shows the spread alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"fresh starts of each build ({ROUNDS})")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"length of one load ({SECONDS})")
    parser.add_argument("--scenarios", nargs="+", default=keys, choices=keys, metavar="KEY", help=", ".join(keys))
    parser.add_argument("--python", default=sys.executable, help="interpreter for source trees (this one)")
    parser.add_argument("--instructions", action="store_true", help="count instructions, with valgrind's callgrind")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep callgrind's profiles (for callgrind_annotate)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 where NEW costs more or nothing could be told, 2 where nothing could be measured."""
    options = options_from(arguments)
    if not sys.platform.startswith("linux"):
        print(f"the comparison needs Linux (affinity, /proc); this is {sys.platform}", file=sys.stderr)
        return 2
    scenarios = [scenario for scenario in SCENARIOS if scenario.key in options.scenarios]
    limit = idle.raise_descriptor_limit()
    if limit < 1100 and any(scenario.connections >= 1000 for scenario in scenarios):
        print(f"1,000 connections need 1,100 open files, the hard limit is {limit} (ulimit -Hn)", file=sys.stderr)
        return 2
    try:
        old, new = (build_at(place, options.python) for place in (options.old, options.new))
        if options.instructions:
            return 0 if count_instructions({"OLD": old, "NEW": new}, scenarios, options.keep) else 1
        samples = measure({"OLD": old, "NEW": new, AGAIN: old}, scenarios, options.rounds, options.seconds)
    except (BuildError, ServerError, wrk.LoadError) as error:
        print(error, file=sys.stderr)
        return 2
    lines, fine = verdict(samples, scenarios)
    print(table(samples, scenarios), "", *lines, sep="\n")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
