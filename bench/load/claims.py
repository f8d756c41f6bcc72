"""The headline figures of the design this server grew from, each beside what was measured.

The document (see README, "Where it comes from") names neither machine nor
method, so a row says what was claimed and what this run saw, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.load.peers import OURS
from bench.load.results import Results

CLAIMED_RATE = 10_000  # requests a second, at which the CPU usage is claimed

Measured = Callable[[Results], str | None]


@dataclass(frozen=True)
class Claim:
    """One row.

    Attributes:
        what: the property, in the document's words.
        claimed: its figure.
        measured: returns this run's figure as text; `None` when the scenario was not run.
        how: what exactly was measured.
    """

    what: str
    claimed: str
    measured: Measured
    how: str


def _load(scenario: str, key: str, form: Callable[[float], str]) -> Measured:
    def measured(results: Results) -> str | None:
        value = results.median(scenario, OURS, key)
        return None if value is None else form(value)

    return measured


def _core(key: str, form: Callable[[float], str]) -> Measured:
    return lambda results: form(results.core[key]) if key in results.core else None


def _saved_by_laziness(results: Results) -> str | None:
    if not results.core:
        return None
    return f"{100 * (1 - results.core['lazy_ns'] / results.core['eager_ns']):.0f} % less time"


def _held(results: Results) -> str | None:
    opened, alive = (results.median("idle-10000", OURS, key) for key in ("opened", "alive"))
    return None if opened is None or alive is None else f"{alive:,.0f} alive of {opened:,.0f} opened"


def _collections(results: Results) -> str | None:
    if "collections_0" not in results.core:
        return None
    counts = (results.core[f"collections_{generation}"] for generation in range(3))
    return " + ".join(f"{count:,.0f}" for count in counts) + " collections"


def _nanoseconds(value: float) -> str:
    return f"{value:,.0f} ns ({value / 1e6:.6f} ms)"


def _bytes(value: float) -> str:
    return f"{value:,.0f} B"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"


CLAIMS = (
    Claim("connection lookup", "0.5 ms", _core("lookup_ns", _nanoseconds), "`get_by_id` among 10,000 points"),
    Claim("route matching", "0.1 ms", _core("route_ns", _nanoseconds), "`RouteSubstrate.route`, exact, 100 routes"),
    Claim(
        "lazy parsing",
        "60 % faster",
        _saved_by_laziness,
        "browser GET: head parsed, against headers, query, cookies and body all asked for",
    ),
    Claim(
        "memory a connection",
        "0.6 KB",
        _load("idle-10000", "bytes_per_connection", _bytes),
        "resident bytes, 10,000 idle keep-alive connections",
    ),
    Claim("memory with 10,000 connections", "600 MB", _load("idle-10000", "rss_bytes", _megabytes), "resident, total"),
    Claim("concurrent connections", "10,000+", _held, "keep-alive, one worker"),
    Claim(
        "memory a request",
        "1.5 KB",
        _core("request_bytes", _bytes),
        "a small GET held by a handler, head included",
    ),
    Claim("throughput", "10,000 req/s", _load("plain-64", "per_second", "{:,.0f} req/s".format), "64 connections"),
    Claim(
        "latency, p99",
        "5 ms",
        _load("plain-64", "p99_us", lambda us: f"{us / 1e3:.2f} ms"),
        "64 connections, at the throughput above",
    ),
    Claim(
        "CPU usage",
        "30 %",
        _load("plain-64", "cpu_us", lambda us: f"{us * CLAIMED_RATE / 1e4:.1f} %"),
        "of one CPU at 10,000 req/s: CPU time a request times the rate",
    ),
    Claim(
        "cold start",
        "0.5 s",
        _load("cold-start", "seconds", lambda s: f"{s * 1e3:.0f} ms"),
        "process start to the end of the first answer",
    ),
    Claim("1,000,000 requests, time", "100 s", _load("million", "seconds", "{:.1f} s".format), "64 connections"),
    Claim("1,000,000 requests, peak memory", "1.5 GB", _load("million", "after_bytes", _megabytes), "resident, total"),
    Claim(
        "1,000,000 requests with 100 routes, time",
        "100 s",
        _core("routes_seconds", "{:.1f} s".format),
        "all routes in turn over one connection, in process, the client's part included",
    ),
    Claim(
        "garbage collection",
        "rare",
        _collections,
        "runs of Python's collector over these million requests, young + middle + old generation",
    ),
    Claim(
        "no memory leak",
        "none",
        _load("million", "growth_bytes", "{:+,.0f} B".format),
        "growth of resident memory over a million requests after warm-up",
    ),
)


def rows(results: Results) -> list[tuple[str, str, str, str]]:
    """Return what, claimed, measured, how; a figure this run did not take is shown as not measured."""
    return [(claim.what, claim.claimed, claim.measured(results) or "not measured", claim.how) for claim in CLAIMS]
