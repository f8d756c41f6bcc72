"""``python -m bench.load``: measure, and write the report, the samples and the picture."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.load import idle, machine, peers, plot, report, scenarios, wrk
from bench.load.process import ServerError
from bench.load.results import Results, Sample

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results"


def options_from(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description="Compare dimserver with other servers on loopback, beside a bare C responder in the same run.",
        epilog="Run it from the root of the checkout, on a machine that does nothing else.  Linux only.",
    )
    keys = [scenario.key for scenario in scenarios.SCENARIOS]
    parser.add_argument("--rounds", type=int, default=5, help="samples of each server and scenario (5)")
    parser.add_argument("--seconds", type=int, default=4, help="length of one load (4)")
    parser.add_argument("--servers", nargs="+", default=[], metavar="NAME", help="only these, and the floor")
    parser.add_argument("--scenarios", nargs="+", default=keys, choices=keys, metavar="KEY", help=", ".join(keys))
    parser.add_argument("--python", default=sys.executable, help="interpreter that has dimserver (this one)")
    parser.add_argument(
        "--peers-python",
        default=os.environ.get("BENCH_PEERS_PYTHON", sys.executable),
        help="interpreter that has the peers ($BENCH_PEERS_PYTHON, or this one)",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="directory of the report (bench/load/results)")
    parser.add_argument("--readme", action="store_true", help="also write the table into README.md")
    parser.add_argument("--render", type=Path, metavar="JSON", help="measure nothing: report these samples again")
    return parser.parse_args(arguments)


def build_floor(scratch: Path) -> Path:
    """Compile the C floor and return the program's path."""
    program = scratch / "floor"
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-O2", "-o", str(program), str(HERE / "floor.c")], check=True)
    return program


def setup_from(options: argparse.Namespace, scratch: Path) -> scenarios.Setup:
    cpus = sorted(os.sched_getaffinity(0))
    return scenarios.Setup(
        python=options.python,
        peers_python=options.peers_python,
        python_path=os.environ.get("PYTHONPATH", ""),
        floor=build_floor(scratch),
        scratch=scratch,
        seconds=options.seconds,
        server_cpu=cpus[0] if len(cpus) > 1 else None,
        client_cpu=cpus[1] if len(cpus) > 1 else None,
    )


def candidates(options: argparse.Namespace, results: Results) -> list[peers.Server]:
    """Return those asked for that are installed; say which are not."""
    have = peers.versions(options.peers_python)
    ours = peers.versions(options.python)
    chosen = []
    for server in peers.choose(options.servers):
        if server.name == peers.OURS:
            results.versions[server.name] = ours.get("dimserver", "source tree")
        elif server.package is None:
            results.versions[server.name] = "this checkout"
        elif server.package in have:
            results.versions[server.name] = have[server.package]
        else:
            print(f"left out: {server.name} is not installed for {options.peers_python}", file=sys.stderr)
            continue
        chosen.append(server)
    return chosen


def runs(
    options: argparse.Namespace, servers: list[peers.Server], limit: int, results: Results
) -> Iterator[tuple[scenarios.Scenario, peers.Server, int]]:
    """Yield what to measure, in order: every server once, then the next round."""
    for scenario in scenarios.SCENARIOS:
        if scenario.key not in options.scenarios:
            continue
        if limit < scenario.descriptors:
            problem = f"needs {scenario.descriptors} open files, the hard limit is {limit} (ulimit -Hn)"
            results.samples.append(Sample(scenario.key, "all", 0, problem=problem))
            continue
        for number in range(min(options.rounds, scenario.rounds or options.rounds)):
            yield from ((scenario, server, number) for server in servers if scenario.takes(server))


def measure(options: argparse.Namespace) -> Results:
    """Take all samples; what fails is noted and does not end the run."""
    wrk.find()  # before anything else: without it there is no load
    limit = idle.raise_descriptor_limit()
    results = Results(machine=machine.describe())
    with tempfile.TemporaryDirectory(prefix="bench-load-") as place:
        setup = setup_from(options, Path(place))
        results.method = method(options, setup)
        servers = candidates(options, results)
        for scenario, server, number in runs(options, servers, limit, results):
            taken = Sample(scenario.key, server.name, number)
            try:
                taken.values = scenarios.sample(scenario, server, setup)
            except (ServerError, wrk.LoadError) as error:
                taken.problem = str(error)
            results.samples.append(taken)
            show(taken)
        if any(server.name == peers.OURS for server in servers):
            results.core = scenarios.in_process(setup)
    return results


def method(options: argparse.Namespace, setup: scenarios.Setup) -> dict[str, str]:
    pinned = setup.server_cpu is not None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": machine.python_version(options.python),
        "python of the peers": machine.python_version(options.peers_python),
        "rounds and length": f"{options.rounds} rounds, {options.seconds} s a load, medians",
        "placement": "server on one CPU, wrk on another" if pinned else "one CPU for both: figures are rough",
    }


def show(taken: Sample) -> None:
    shown = ("cpu_us", "per_second", "bytes_per_connection", "alive", "seconds", "growth_bytes", "errors")
    figures = "  ".join(f"{key} {taken.values[key]:,.2f}" for key in shown if key in taken.values)
    print(f"{taken.scenario:14}{taken.round + 1:3}  {taken.server:20}{figures or taken.problem}", flush=True)


def main() -> int:
    options = options_from()
    if not sys.platform.startswith("linux") and not options.render:
        print(f"the comparison needs Linux (affinity, /proc); this is {sys.platform}", file=sys.stderr)
        return 2
    try:
        results = Results.read(options.render) if options.render else measure(options)
    except (wrk.LoadError, peers.UnknownServerError) as error:
        print(error, file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "cpu.svg"
    drawn = plot.draw(results, picture)
    if not drawn:
        print("no picture: matplotlib is not installed, or there is nothing to draw", file=sys.stderr)
    page = options.out / "report.md"
    page.write_text(report.markdown(results, picture.name if drawn else None))
    results.write(options.out / "samples.json")
    if options.readme:
        link = Path(os.path.relpath(page, ROOT)).as_posix()
        report.write_readme(ROOT / "README.md", report.readme_block(results, link))
    print(f"written: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
