"""Coordinates in space."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dimserver.handlers.status.access import Access
from dimserver.handlers.status.manifold import Manifold
from dimserver.handlers.status.names import LAYERS


@pytest.fixture
def manifold(context: Any) -> Manifold:
    return Manifold(context)


def test_evaluate(manifold: Manifold, context: Any, ask: Any, read: Any, stranger: Any) -> None:
    for number in range(3):
        context.pools.manifest_connection(None, None, "http", f"c{number}")
        for layer in (2, 3):
            context.pools.transition(f"c{number}", layer)
    found = read(manifold.evaluate(ask("spiral=0&layer=3&position=0", stranger)))
    assert found["coordinate"] == {"spiral": 0, "layer": 3, "position": 0}
    assert found["layer_name"] == "active"
    assert found["connections"] == 3
    assert found["point"] == pytest.approx({"x": math.cos(4 * math.pi / 7), "y": 0, "z": math.sin(4 * math.pi / 7)})
    assert read(manifold.evaluate(ask("", stranger))) == found
    found = read(manifold.evaluate(ask("spiral=2&layer=1&position=-2.5e1")))
    assert found["point"] == {"x": 3.0, "y": -12.5, "z": 0.0}


def test_connections_of_all_workers_count(manifold: Manifold, context: Any, ask: Any, read: Any) -> None:
    context.pools.manifest_connection()
    context.another(connections=2)
    assert read(manifold.evaluate(ask("layer=1")))["connections"] == 3


def test_every_layer_is_on_the_circle_of_its_pool(manifold: Manifold, ask: Any, read: Any) -> None:
    for spiral in range(4):
        for layer, name in enumerate(LAYERS, 1):
            found = read(manifold.evaluate(ask(f"spiral={spiral}&layer={layer}")))
            assert found["layer_name"] == name
            assert math.hypot(found["point"]["x"], found["point"]["z"]) == pytest.approx(spiral + 1)


def test_the_admin_listener_asks_for_the_token(
    manifold: Manifold, context: Any, ask: Any, read: Any, admin: Any, stranger: Any
) -> None:
    context.access = Access("t")
    read(manifold.evaluate(ask(peer=admin)), 403)
    read(manifold.evaluate(ask(peer=admin, authorization="Bearer t")))
    read(manifold.evaluate(ask(peer=stranger)))


@pytest.mark.parametrize("query", ["spiral=4", "layer=0", "layer=8", "position=nan", "sprial=0", "limit=1"])
def test_bad_parameters_are_named(manifold: Manifold, ask: Any, read: Any, query: str) -> None:
    found = read(manifold.evaluate(ask(query)), 400)
    assert (found["parameter"], found["value"]) == tuple(query.split("="))


def test_routes(manifold: Manifold) -> None:
    assert [route[:2] for route in manifold.routes()] == [("GET", "/api/manifold/evaluate")]
