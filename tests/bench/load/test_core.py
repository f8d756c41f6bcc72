"""The core's figures without a socket of the harness: taken, at a small scale, by what takes them."""

from __future__ import annotations

from bench.load.core import ROUTES, million_over_routes


def test_a_few_requests_for_every_route() -> None:
    figures = million_over_routes(20 * ROUTES)
    assert set(figures) == {"routes_seconds", "collections_0", "collections_1", "collections_2"}
    assert figures["routes_seconds"] > 0
    assert all(figures[f"collections_{generation}"] <= 20 for generation in range(3))
