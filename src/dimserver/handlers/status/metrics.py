"""GET /metrics: the figures of all workers for Prometheus, in its text format or OpenMetrics."""

from __future__ import annotations

import time
from functools import partial

from dimserver.handlers.status.access import refuse_reading
from dimserver.handlers.status.connection_rows import spread
from dimserver.handlers.status.figures import look
from dimserver.handlers.status.json_answer import text
from dimserver.handlers.status.names import LAYERS, METHODS, STAGES, is_pool, pool_name
from dimserver.http.deferred import Deferred

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dimcore import Snapshot
    from dimserver.handlers.status.types import Answer, Context, Handler, Reply, Request

__all__ = ["Metrics", "encoder", "families", "pieces"]

MISSING = "/metrics needs the library prometheus-client: pip install 'dimserver[metrics]'"
EOF = b"# EOF\n"
FINEST = 6  # of the board's 32 buckets of durations those from 2**16 ns (66 µs) to 2**36 ns (69 s) are shown
COARSEST = 27
STATES = ("starting", "serving", "draining")

# Of a pool: name of the family, what it is, and its key in the figures.
POOL_COUNTERS = (
    ("dimserver_connections_created", "Connections that entered the pool.", "total_created"),
    ("dimserver_connections_closed", "Connections that left the pool.", "total_closed"),
    ("dimserver_connections_refused", "Connections refused because the pool was full.", "total_refused"),
    ("dimserver_connection_requests", "Requests on connections that are closed.", "total_requests"),
    ("dimserver_received_bytes", "Bytes received on connections that are closed.", "bytes_in"),
    ("dimserver_sent_bytes", "Bytes sent on connections that are closed.", "bytes_out"),
)
REQUEST_COUNTERS = (
    ("dimserver_requests", "Requests whose head was understood or refused.", "total_requests"),
    ("dimserver_requests_processed", "Requests answered without a fault.", "total_processed"),
    ("dimserver_request_errors", "Requests refused as malformed, or answered with 500 and above.", "total_errors"),
)
BUDGET_GAUGES = (
    ("dimserver_budget_limit_bytes", "What all clients together may make the workers hold.", "limit"),
    ("dimserver_budget_used_bytes", "What they make them hold.", "used"),
)
BUDGET_COUNTERS = (
    ("dimserver_budget_ended", "Clients below their rate that were ended for others.", "ended"),
    ("dimserver_budget_refused", "Clients refused because nobody could be ended for them.", "refused"),
)
TALLIES = (
    ("dimserver_worker_crashes", "Workers that ended without being told to.", "crashes"),
    ("dimserver_workers_recycled", "Workers replaced for their age, requests or memory.", "recycled"),
    ("dimserver_reloads", "Reloads of configuration and code.", "reloads"),
)


class Metrics(Deferred):
    """The board as metrics.

    The text takes a millisecond or two.  On a thread it would hold the interpreter's lock for as long, and the loop
    would wait for that; so it is written on the loop, one family a round.  The library is imported on a thread, by
    the first request that needs it.

    Args:
        context: the worker that answers.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._writing = False
        self._imported = False

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "GET", "/metrics", self

    def begin(self, request: Request, reply: Reply) -> None:
        """Write them and answer."""
        loop = self._context.loop
        if not self._context.access.may_read(request):
            loop.call_later(0, partial(reply, refuse_reading()))
            return
        if self._writing:  # one at a time: nobody scrapes that often, and nobody is to start threads at will
            loop.call_later(0, partial(reply, text(503, "busy with another scrape")))
            return
        accept = ", ".join(request.headers.getall("accept"))

        def finish(found: Answer) -> None:
            self._writing = False
            reply(found)

        def written(kind: str, parts: list[bytes], error: BaseException | None) -> None:
            if error is None:
                finish((200, _headers(kind), b"".join(parts)))
            else:
                finish(text(500, f"the metrics cannot be written: {type(error).__name__}"))

        def start() -> None:
            self._imported = True
            try:
                encode, kind = encoder(accept)
            except ImportError:
                finish(text(501, MISSING))
            else:
                parts = pieces(look(self._context), self._context.version, encode)
                spread(loop, parts, partial(written, kind))

        def load() -> None:
            try:
                encoder("")
            except Exception:  # noqa: S110 - `start` has the same, and somebody to tell it to
                pass
            loop.call_from_thread(start)

        self._writing = True
        if self._imported:
            loop.call_soon(start)
            return

        from threading import Thread

        try:
            Thread(target=load, name="metrics", daemon=True).start()
        except RuntimeError:  # the system gives no thread
            loop.call_later(0, partial(finish, text(503, "no thread to be had")))

    def __call__(self, request: Request) -> Answer:
        """The same, here and now."""
        if not self._context.access.may_read(request):
            return refuse_reading()
        try:
            encode, kind = encoder(", ".join(request.headers.getall("accept")))
        except ImportError:
            return text(501, MISSING)
        return 200, _headers(kind), b"".join(pieces(look(self._context), self._context.version, encode))


def _headers(kind: str) -> dict[str, str]:
    return {"Content-Type": kind, "Cache-Control": "no-store"}


class _One:
    """A family, as what the library's encoders take."""

    def __init__(self, family: Any) -> None:
        self._family = family

    def collect(self) -> list[Any]:
        return [self._family]


def encoder(accept: str) -> tuple[Callable[[Any], bytes], str]:
    """What writes metrics in the format the client likes best, and the type of that.

    Raises:
        ImportError: the library is not installed.
    """
    from prometheus_client.exposition import choose_encoder

    encode: Any
    encode, kind = choose_encoder(accept)
    return encode, kind


def pieces(snapshot: Snapshot, version: str, encode: Callable[[Any], bytes]) -> Iterator[bytes]:
    """The text, family by family."""
    end = b""
    for family in families(snapshot, version):
        written = encode(_One(family))
        end = EOF if written.endswith(EOF) else b""  # OpenMetrics: behind the last one only
        yield written.removesuffix(EOF)
    yield end


def families(snapshot: Snapshot, version: str) -> Iterator[Any]:
    """The metrics of the library, one family after the other."""
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
    )

    yield InfoMetricFamily("dimserver", "The server.", {"version": version})
    started = time.time() - (time.monotonic() - snapshot.started)
    yield GaugeMetricFamily("dimserver_start_time_seconds", "When the server was started, in Unix time.", started)

    cells = GaugeMetricFamily("dimserver_connections", "Open connections.", labels=("pool", "state"))
    for spiral in filter(is_pool, range(snapshot.spirals)):
        for layer, name in enumerate(LAYERS[:-1], 1):  # nobody stays archived
            cells.add_metric((pool_name(spiral), name), snapshot.count_at(spiral, layer))
    yield cells
    cells = GaugeMetricFamily("dimserver_requests_in_flight", "Requests being served.", labels=("method", "stage"))
    for number, method in enumerate(METHODS):
        for stage, name in enumerate(STAGES[:-1], 1):
            cells.add_metric((method, name), snapshot.stage_count(number, stage))
    yield cells

    pools = {int(key.removeprefix("spiral_")): figures for key, figures in snapshot.connections().items()}
    for family, what, key in POOL_COUNTERS:
        counter = CounterMetricFamily(family, what, labels=("pool",))
        for spiral, figures in pools.items():
            counter.add_metric((pool_name(spiral),), figures[key])
        yield counter
    requests = snapshot.requests()
    for family, what, key in REQUEST_COUNTERS:
        yield CounterMetricFamily(family, what, requests[key])
    buckets, total = snapshot.durations()
    shown = [(repr(limit), count) for limit, count in buckets[FINEST:COARSEST]]
    yield HistogramMetricFamily(
        "dimserver_request_duration_seconds",
        "From the head complete to the answer ready.",
        [*shown, ("+Inf", buckets[-1][1])],
        total,
    )

    budgets = snapshot.budgets()
    for name, what, key in BUDGET_GAUGES:
        cells = GaugeMetricFamily(name, what, labels=("budget",))
        for budget, counts in budgets.items():
            cells.add_metric((budget,), counts[key])
        yield cells
    for name, what, key in BUDGET_COUNTERS:
        counter = CounterMetricFamily(name, what, labels=("budget",))
        for budget, counts in budgets.items():
            counter.add_metric((budget,), counts[key])
        yield counter

    workers = GaugeMetricFamily("dimserver_workers", "Worker processes.", labels=("state",))
    for state in STATES:
        workers.add_metric((state,), sum(worker["state"] == state for worker in snapshot.workers))
    yield workers
    for family, what, key in TALLIES:
        yield CounterMetricFamily(family, what, snapshot.tallies[key])
