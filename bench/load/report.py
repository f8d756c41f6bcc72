"""The run as Markdown: one table a scenario, the claims, the method; and the block README shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.load import claims
from bench.load.peers import OURS, SERVERS
from bench.load.results import Results
from bench.load.scenarios import SCENARIOS

BEGIN = "<!-- bench:begin, written by `python -m bench.load` -->"
END = "<!-- bench:end -->"
ENGINES = {server.name: server.engine for server in SERVERS}
LOADS = ("plain-64", "pipelined-16", "plain-1000", "plain-10000")

PREFACE = """\
Written by `python -m bench.load`; the samples are in `samples.json` beside it, the method in
[bench/README.md](../../README.md).  Compare ratios within one run, not figures of two machines."""

Format = Callable[[float], str]
ABSENT = "–"


class ReadmeError(Exception):
    """README has no block to write to."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table; the first `left` columns are text, the others figures."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def bold(server: str) -> str:
    """Our own row stands out."""
    return f"**{server}**" if server == OURS else server


def _cell(value: float | None, form: Format) -> str:
    return ABSENT if value is None else form(value)


def _ordered(results: Results, scenario: str, key: str) -> list[str]:
    """Best first; those without a figure last."""
    return sorted(results.servers(scenario), key=lambda name: results.median(scenario, name, key) or float("inf"))


def _microseconds(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _load_table(results: Results, scenario: str) -> str:
    rows = []
    for name in _ordered(results, scenario, "cpu_us"):

        def cell(key: str, form: Format, name: str = name) -> str:
            return _cell(results.median(scenario, name, key), form)

        spread = _cell(results.spread(scenario, name, "cpu_us"), "± {:.0%}".format)
        rows.append(
            (
                bold(name),
                cell("cpu_us", _microseconds),
                spread,
                _cell(results.ratio(scenario, name, "cpu_us"), "{:.2f}".format),
                cell("per_second", "{:,.0f}".format),
                cell("p50_us", "{:,.0f}".format),
                cell("p99_us", "{:,.0f}".format),
                cell("errors", "{:,.0f}".format),
            )
        )
    header = ("server", "CPU µs/request", "spread", "× floor", "req/s", "p50 µs", "p99 µs", "errors")
    return table(header, rows)


def _idle_table(results: Results) -> str:
    scenario = "idle-10000"
    rows = [
        (
            bold(name),
            _cell(results.median(scenario, name, "bytes_per_connection"), "{:,.0f}".format),
            _cell(results.median(scenario, name, "opened"), "{:,.0f}".format),
            _cell(results.median(scenario, name, "alive"), "{:,.0f}".format),
            _cell(results.median(scenario, name, "rss_bytes"), lambda value: f"{value / 1e6:.1f}"),
        )
        for name in _ordered(results, scenario, "bytes_per_connection")
    ]
    return table(("server", "bytes/connection", "opened", "alive at the end", "resident MB"), rows)


def _cold_table(results: Results) -> str:
    scenario = "cold-start"
    rows = [
        (
            bold(name),
            _cell(results.median(scenario, name, "seconds"), lambda value: f"{value * 1e3:.0f}"),
            _cell(results.median(scenario, name, "rss_bytes"), lambda value: f"{value / 1e6:.1f}"),
        )
        for name in _ordered(results, scenario, "seconds")
    ]
    return table(("server", "ms", "resident MB"), rows)


def _million_table(results: Results) -> str:
    scenario = "million"
    rows = [
        (
            bold(name),
            _cell(results.median(scenario, name, "requests"), "{:,.0f}".format),
            _cell(results.median(scenario, name, "before_bytes"), lambda value: f"{value / 1e6:.2f}"),
            _cell(results.median(scenario, name, "after_bytes"), lambda value: f"{value / 1e6:.2f}"),
            _cell(results.median(scenario, name, "growth_bytes"), "{:+,.0f}".format),
        )
        for name in results.servers(scenario)
    ]
    return table(("server", "requests", "MB before", "MB after", "growth, bytes"), rows)


OTHERS = {"idle-10000": _idle_table, "cold-start": _cold_table, "million": _million_table}


def markdown(results: Results, plot: str | None) -> str:
    """Return the whole report.

    Args:
        plot: name of the picture beside the report, or `None`.
    """
    facts = [("", ""), *results.machine.items(), *results.method.items()][1:]
    versions = ((bold(name), ENGINES.get(name, ""), version) for name, version in results.versions.items())
    parts = [
        "# Servers against servers",
        PREFACE,
        table(("what", "value"), facts, left=2),
        table(("server", "made of", "version"), versions, left=3),
    ]
    if plot:
        parts.append(f"![CPU time per request of each server]({plot})")
    for scenario in SCENARIOS:
        if results.servers(scenario.key):
            body = OTHERS[scenario.key](results) if scenario.key in OTHERS else _load_table(results, scenario.key)
            parts += [f"## {scenario.title[0].upper()}{scenario.title[1:]}", body]
    parts += ["## The seed's claims", _claims_table(results)]
    if problems := results.problems():
        parts += ["## What could not be measured", "\n".join(f"- {line}" for line in problems)]
    return "\n\n".join(parts) + "\n"


def _claims_table(results: Results) -> str:
    return table(("what", "claimed", "measured", "how"), claims.rows(results), left=4)


def readme_block(results: Results, link: str) -> str:
    """Return the short table for README, best CPU figure first.

    Args:
        link: path of the whole report from README.
    """
    rows = []
    for name in _ordered(results, "plain-64", "cpu_us"):
        cpu = (_cell(results.median(scenario, name, "cpu_us"), _microseconds) for scenario in LOADS[:3])
        rows.append(
            (
                bold(name),
                *cpu,
                _cell(results.ratio("plain-64", name, "cpu_us"), "{:.2f}".format),
                _cell(results.median("plain-64", name, "per_second"), "{:,.0f}".format),
                _cell(results.median("idle-10000", name, "bytes_per_connection"), "{:,.0f}".format),
                _cell(results.median("cold-start", name, "seconds"), lambda value: f"{value * 1e3:.0f}"),
            )
        )
    header = (
        "server",
        "CPU µs/request, 64 connections",
        "16 pipelined",
        "1,000 connections",
        "× floor",
        "req/s",
        "idle B/connection",
        "start, ms",
    )
    where = f"{results.machine.get('processor', '')}, {results.machine.get('kernel', '')}"
    how = results.method.get("rounds and length", "")
    note = f"{where}; {results.method.get('python', '')}; {how}.  [The whole report]({link}), with versions and method."
    return "\n\n".join((table(header, rows), note, _claims_table(results)))


def write_readme(readme: Path, block: str, name: str = "") -> None:
    """Replace what stands between the two marks.

    Args:
        name: of the bench the block belongs to; that of all servers when empty.

    Raises:
        ReadmeError: the marks are not there, each once and in order.
    """
    text = readme.read_text()
    first, last = BEGIN, END
    if name:
        first = f"<!-- {name}:begin, written by `python -m bench.load.{name}` -->"
        last = f"<!-- {name}:end -->"
    head, begin, rest = text.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise ReadmeError(f"{readme} has no lines {first!r} and {last!r}")
    readme.write_text(f"{head}{begin}\n\n{block}\n\n{end}{tail}")
