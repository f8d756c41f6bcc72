"""Status and sums, over all workers."""

from __future__ import annotations

import os
from typing import Any

import pytest

from dimserver.handlers.status.access import Access
from dimserver.handlers.status.figures import Figures


@pytest.fixture
def figures(context: Any) -> Figures:
    return Figures(context)


def test_status_is_for_anybody(figures: Figures, context: Any, ask: Any, read: Any, stranger: Any) -> None:
    assert read(figures.status(ask(peer=stranger))) == {"status": "online"}
    found = read(figures.status(ask()))
    assert (found["status"], found["version"], found["workers"]) == ("online", "1.2.3", 1)
    assert 0 <= found["uptime"] < 60
    assert found["max_connections"] == context.settings.max_connections
    assert found["descriptors_allow"] == 960
    context.another()
    assert read(figures.status(ask()))["workers"] == 2
    context.board.draining = True
    assert read(figures.status(ask()))["status"] == "draining"
    assert read(figures.status(ask(peer=stranger))) == {"status": "draining"}


def test_the_admin_listener_asks_for_the_token_for_status_too(
    figures: Figures, context: Any, ask: Any, read: Any, admin: Any
) -> None:
    context.access = Access("t")
    read(figures.status(ask(peer=admin)), 403)
    assert read(figures.status(ask(peer=admin, authorization="Bearer t")))["version"] == "1.2.3"
    assert read(figures.status(ask())) == {"status": "online"}


def test_stats_are_for_operators(figures: Figures, ask: Any, read: Any, stranger: Any) -> None:
    assert read(figures.stats(ask(peer=stranger)), 403)["error"] == "forbidden"


def test_one_worker_has_its_own_figures_at_this_moment(figures: Figures, context: Any, ask: Any, read: Any) -> None:
    context.pools.manifest_connection()
    context.requests.manifest("GET", "/")
    found = read(figures.stats(ask()))
    assert found["connections"] == context.pools.get_stats()
    assert found["requests"] == context.requests.get_stats()


def test_stats_are_sums_and_outlive_a_worker(figures: Figures, context: Any, ask: Any, read: Any) -> None:
    context.pools.manifest_connection()
    other = context.another(connections=2)
    found = read(figures.stats(ask()))
    assert found["connections"]["spiral_0"]["total_connections"] == 3
    assert [(row["worker"], row["state"], row["connections"]) for row in found["workers"]] == [
        (0, "starting", 0),
        (1, "serving", 1),
        (2, "serving", 2),
    ]
    assert found["workers"][1]["pid"] == os.getpid()
    assert found["workers"][1]["busy"] == 0.0
    context.board.retire(other.record)
    context.board.tally("crashes")
    found = read(figures.stats(ask()))
    stats = found["connections"]["spiral_0"]
    assert (stats["total_connections"], stats["total_created"], stats["total_closed"]) == (1, 3, 2)
    assert len(found["workers"]) == 2
    assert found["supervisor"] == {"crashes": 1, "recycled": 0, "reloads": 0}


def test_shared_memory_is_shown_to_operators(figures: Figures, context: Any, ask: Any, read: Any) -> None:
    (board,) = read(figures.stats(ask()))["shared"]
    assert board == {"name": "board", "version": 1, "bytes": context.segments["board"].bytes}
    assert board["bytes"] >= context.board.size(4)


def test_routes(figures: Figures) -> None:
    assert [route[:2] for route in figures.routes()] == [("GET", "/api/status"), ("GET", "/api/stats")]
