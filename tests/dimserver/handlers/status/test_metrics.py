"""Metrics: what Prometheus' own parser reads from them."""

from __future__ import annotations

import builtins
import threading
import time
from typing import Any

import pytest
from tests.support.waiting import PATIENCE

from dimserver.handlers.status.metrics import Metrics, encoder, pieces

client = pytest.importorskip("prometheus_client")


@pytest.fixture
def metrics(context: Any) -> Metrics:
    return Metrics(context)


def samples(answer: tuple[int, dict[str, str], bytes]) -> dict[tuple[str, ...], float]:
    """By name and label values."""
    assert answer[0] == 200
    if answer[1]["Content-Type"].startswith("application/openmetrics-text"):
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    else:
        from prometheus_client.parser import text_string_to_metric_families
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer[2].decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ([], "text/plain"),
        ("*/*", "text/plain"),
        ("text/plain;version=0.0.4", "text/plain"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text"),
    ],
)
def test_figures(metrics: Metrics, context: Any, ask: Any, accept: Any, kind: str) -> None:
    context.pools.manifest_connection()
    context.requests.manifest("POST", "/")
    context.another(connections=2)
    gone = context.another(connections=1)
    context.board.retire(gone.record)
    context.board.tally("crashes")
    answer = metrics(ask(accept=accept))
    assert answer[1]["Content-Type"].startswith(kind)
    found = samples(answer)
    assert found["dimserver_connections", "http", "new"] == 3
    assert found["dimserver_connections", "admin", "idle"] == 0
    assert found["dimserver_connections_created_total", "http"] == 4
    assert found["dimserver_connections_closed_total", "http"] == 1
    assert found["dimserver_requests_in_flight", "POST", "received"] == 1
    assert found["dimserver_requests_total",] == 1
    assert found["dimserver_request_errors_total",] == 0
    assert found["dimserver_workers", "serving"] == 2
    assert found["dimserver_workers", "starting"] == 1
    assert found["dimserver_worker_crashes_total",] == 1
    assert found["dimserver_info", "1.2.3"] == 1
    assert abs(found["dimserver_start_time_seconds",] - time.time()) < 60
    budgets = context.board.snapshot().budgets()
    for name, figures in budgets.items():
        for key in ("limit", "used"):
            assert found[f"dimserver_budget_{key}_bytes", name] == figures[key]
        for key in ("ended", "refused"):
            assert found[f"dimserver_budget_{key}_total", name] == figures[key]
    assert set(budgets) == {"memory", "spool"}
    assert budgets["memory"]["limit"] > 0


def test_points_of_other_kinds_are_no_connections_of_clients(metrics: Metrics, context: Any, ask: Any) -> None:
    before = {key for key in samples(metrics(ask())) if key[0].startswith("dimserver_connections")}
    context.pools.manifest_connection(pool_type="jobs")
    found = samples(metrics(ask()))
    assert {key for key in found if key[0].startswith("dimserver_connections")} == before
    assert sum(value for key, value in found.items() if key[0] == "dimserver_connections") == 0
    context.pools.add_pool("more")
    context.pools.manifest_connection(pool_type="more")
    assert samples(metrics(ask()))["dimserver_connections_created_total", "spiral_8"] == 1


def test_durations(metrics: Metrics, context: Any, ask: Any) -> None:
    from dimcore import RequestResponseManifold, Router

    router = Router()
    router.add("GET", "/", lambda request: time.sleep(0.02))
    manifold = RequestResponseManifold(router)
    context.requests = manifold.requests
    from dimcore import Core, Entry

    entry = Entry(context.board, context.board.allot(2), Core(context.pools, manifold.requests))
    for _ in range(3):
        manifold.process_request("GET", "/")
    entry.publish()
    found = samples(metrics(ask()))
    assert found["dimserver_request_duration_seconds_count",] == 3
    assert found["dimserver_request_duration_seconds_sum",] >= 0.06
    buckets = {key[1]: value for key, value in found.items() if key[0] == "dimserver_request_duration_seconds_bucket"}
    assert buckets["+Inf"] == 3
    assert buckets[repr(2**24 / 1e9)] == 0  # 16.8 ms
    assert len(buckets) == 22


def test_it_is_written_family_by_family(context: Any) -> None:
    for accept, end in (("", b"dimserver_reloads_total 0.0\n"), ("application/openmetrics-text", b"# EOF\n")):
        encode, _ = encoder(accept)
        parts = list(pieces(context.board.snapshot(), "1", encode))
        assert len(parts) > 15
        assert max(part.count(b"\n") for part in parts) < 60
        assert b"".join(parts).endswith(end)
        assert b"".join(parts).count(b"# EOF") == end.count(b"# EOF")
        assert len({part.split()[2] for part in parts if part.startswith(b"# HELP")}) == len(parts) - 1


def test_a_scrape_takes_several_rounds(metrics: Metrics, context: Any, ask: Any) -> None:
    answers: list[Any] = []
    metrics.begin(ask(), answers.append)
    assert answers == []  # never before `begin` has returned
    metrics.begin(ask(), answers.append)  # a second scrape meanwhile
    until = time.monotonic() + PATIENCE
    while len(answers) < 2:
        assert time.monotonic() < until
        context.loop.run()
        time.sleep(0.001)
    assert sorted(answer[0] for answer in answers) == [200, 503]
    metrics.begin(ask(), answers.append)
    turns = 0
    while len(answers) < 3:
        context.loop.calls.pop(0)()
        turns += 1
    assert answers[2][0] == 200
    assert turns > 15
    assert samples(answers[2])["dimserver_workers", "serving"] == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "metrics" and thread.is_alive()]


def test_without_the_library(context: Any, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("prometheus_client"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    answers: list[Any] = [Metrics(context)(ask())]
    Metrics(context).begin(ask(), answers.append)
    until = time.monotonic() + PATIENCE
    while len(answers) < 2:
        assert time.monotonic() < until
        context.loop.run()
        time.sleep(0.001)
    for status, headers, body in answers:
        assert status == 501
        assert headers["Content-Type"].startswith("text/plain")
        assert b"dimserver[metrics]" in body


def test_a_fault_is_an_answer(metrics: Metrics, context: Any, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dimserver.handlers.status.metrics.families", lambda *given: 1 / 0)
    answers: list[Any] = []
    metrics.begin(ask(), answers.append)
    until = time.monotonic() + PATIENCE
    while not answers:
        assert time.monotonic() < until
        context.loop.run()
        time.sleep(0.001)
    assert (answers[0][0], b"ZeroDivisionError" in answers[0][2]) == (500, True)


def test_for_operators(metrics: Metrics, ask: Any, stranger: Any, later: Any) -> None:
    assert later(metrics, ask(peer=stranger))[0] == 403
    assert metrics(ask(peer=stranger))[0] == 403


def test_routes(metrics: Metrics) -> None:
    assert list(metrics.routes()) == [("GET", "/metrics", metrics)]
