"""Counts from the board, points from the workers."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status import connections as module
from dimserver.handlers.status.connections import MAX_LISTED, Connections
from dimserver.handlers.status.names import POOLS


@pytest.fixture
def connections(context: Any) -> Connections:
    for number in range(5):
        context.pools.manifest_connection(None, ("203.0.113.9", number), "http", f"c{number}")
    for number in range(3):
        for layer in (2, 3):
            context.pools.transition(f"c{number}", layer)
    context.pools.manifest_connection(None, None, "admin", "op")
    return Connections(context)


def test_counts(connections: Connections, context: Any, ask: Any, read: Any, later: Any) -> None:
    context.another(connections=2)
    found = read(later(connections, ask()))
    assert found["total_connections"] == 8
    assert [pool["name"] for pool in found["pools"]] == list(POOLS)
    assert found["pools"][0] == {
        "spiral": 0,
        "name": "http",
        "total": 7,
        "layers": {"new": 4, "handshake": 0, "active": 3, "idle": 0, "closing": 0, "closed": 0, "archived": 0},
    }
    assert set(found) == {"total_connections", "pools"}
    assert context.peers.asked == []  # counts are on the board


def test_points(connections: Connections, ask: Any, read: Any, later: Any) -> None:
    found = read(later(connections, ask("spiral=0&layer=3")))
    assert [point["id"] for point in found["points"]] == ["1-c0", "1-c1", "1-c2"]
    assert (found["matching"], found["limit"], found["missing"]) == (3, 100, [])
    found = read(later(connections, ask("limit=2")))
    assert [point["id"] for point in found["points"]] == ["1-c3", "1-c4"]
    assert (found["matching"], found["limit"]) == (6, 2)


def test_other_workers_are_asked(connections: Connections, context: Any, ask: Any, read: Any, later: Any) -> None:
    for state in ("serving", "draining"):
        context.another(1, state)
    cell = 0 << 3 | 1
    oldest, newest = (cell, 0, b'{"id":"2-1"}'), (cell, 1 << 62, b'{"id":"2-9"}')
    context.peers.answers = {2: [[oldest], [], [newest]], 3: [[(1 << 3 | 1, 0, b'{"id":"3-1"}')]]}
    found = read(later(connections, ask("layer=1&limit=20")))
    # Not the worker that is starting, and not this one.
    assert context.peers.asked == [([2, 3], ("list", [0, 1, 2, 3], [1], 20))]
    assert [point["id"] for point in found["points"]] == ["2-1", "1-c3", "1-c4", "2-9", "3-1", "1-op"]
    assert found["matching"] == 5
    assert context.peers.patience == pytest.approx(0.202)


def test_a_worker_that_does_not_answer_is_named(
    connections: Connections, context: Any, ask: Any, read: Any, later: Any
) -> None:
    other = context.another(1)
    context.peers.missing = {other.record: "no answer within 0.2 s"}
    found = read(later(connections, ask("layer=3")))
    (row,) = found["missing"]
    assert (row["worker"], row["reason"]) == (other.record, "no answer within 0.2 s")
    assert isinstance(row["pid"], int)
    assert len(found["points"]) == 3


def test_nothing_wanted_nobody_asked(connections: Connections, context: Any, ask: Any, read: Any, later: Any) -> None:
    context.another(1)
    found = read(later(connections, ask("limit=0")))
    assert found["points"] == []
    assert context.peers.asked == []


def test_a_list_is_made_over_several_rounds(
    connections: Connections, context: Any, ask: Any, read: Any, later: Any
) -> None:
    """Who closes meanwhile is left out, and the rest of it is whole."""
    for number in range(1000):
        context.pools.manifest_connection(None, ("203.0.113.9", number), "websocket", f"w{number}")
    answers: list[Any] = []
    connections.begin(ask("spiral=1&limit=2000"), answers.append)
    context.loop.calls.pop(0)()
    context.pools.index.remove("w999")
    turns = 1
    while context.loop.calls:
        assert not answers
        context.loop.calls.pop(0)()
        turns += 1
    assert turns > 10
    found = read(answers[0])
    assert [point["id"] for point in found["points"]] == [f"1-w{number}" for number in range(999)]
    assert found["matching"] == 1000


def test_a_fault_while_it_is_made(connections: Connections, context: Any, ask: Any, monkeypatch: Any) -> None:
    def slices(*_: object) -> Any:
        yield []
        raise MemoryError

    monkeypatch.setattr(module, "rows", slices)
    context.another(1)
    answers: list[Any] = []
    connections.begin(ask("limit=5"), lambda *what: answers.append(what))
    context.loop.run()
    ((result, error),) = answers
    assert result is None
    assert isinstance(error, MemoryError)


def test_without_a_loop(connections: Connections, ask: Any, read: Any) -> None:
    found = read(connections(ask("layer=3")))
    assert len(found["points"]) == 3
    assert read(connections(ask()))["total_connections"] == 6


def test_more_pools_than_the_four_usual_ones(
    connections: Connections, context: Any, ask: Any, read: Any, later: Any
) -> None:
    context.pools.add_pool("more")
    context.pools.add_pool("most")
    context.pools.manifest_connection(None, None, "most")
    found = read(later(connections, ask("spiral=9")))
    assert [pool["spiral"] for pool in found["pools"]] == [0, 1, 2, 3, 9]
    assert found["pools"][-1]["name"] == found["points"][0]["pool"] == "spiral_9"
    assert found["total_connections"] == sum(pool["total"] for pool in found["pools"][:4])


def test_points_of_other_kinds_are_listed_where_there_are_any(
    connections: Connections, context: Any, ask: Any, read: Any, later: Any
) -> None:
    before = read(connections(ask()))
    upstream = context.pools.manifest_connection(None, ("192.0.2.1", 80), "upstream")
    context.pools.transition(upstream.id, 2)
    found = read(later(connections, ask("spiral=5")))
    assert found["pools"][:4] == before["pools"]
    (pool,) = found["pools"][4:]
    assert (pool["spiral"], pool["name"], pool["total"], pool["layers"]["handshake"]) == (5, "upstream", 1, 1)
    assert (found["total_connections"], found["matching"]) == (before["total_connections"], 1)
    (row,) = found["points"]
    assert (row["spiral"], row["pool"], row["layer_name"], row["client"]) == (
        5,
        "upstream",
        "handshake",
        "192.0.2.1:80",
    )
    assert read(later(connections, ask("spiral=4")))["points"] == []
    context.pools.transition(upstream.id, 7)
    assert read(connections(ask()))["pools"] == before["pools"]


@pytest.mark.parametrize(
    ("query", "parameter", "allowed"),
    [
        ("spiral=4", "spiral", "a whole number from 0 to 3"),
        ("layer=0", "layer", "a whole number from 1 to 7"),
        ("layer=8", "layer", "a whole number from 1 to 7"),
        (f"limit={MAX_LISTED + 1}", "limit", f"a whole number from 0 to {MAX_LISTED}"),
        ("limit=-1", "limit", f"a whole number from 0 to {MAX_LISTED}"),
        ("sprial=0", "sprial", "no such parameter"),
        ("limit=1&limit=1", "limit", "once"),
    ],
)
def test_bad_parameters_are_named(
    connections: Connections, ask: Any, read: Any, later: Any, query: str, parameter: str, allowed: str
) -> None:
    for found in (read(later(connections, ask(query)), 400), read(connections(ask(query)), 400)):
        assert found["parameter"] == parameter
        assert found["allowed"].startswith(allowed)


def test_for_operators_and_forbidden_says_nothing_about_parameters(
    connections: Connections, ask: Any, read: Any, later: Any, stranger: Any
) -> None:
    for query in ("", "spiral=99"):
        assert read(later(connections, ask(query, stranger)), 403)["error"] == "forbidden"
        assert connections(ask(query, stranger))[0] == 403


def test_routes(connections: Connections) -> None:
    assert list(connections.routes()) == [("GET", "/api/connections", connections)]
