"""Alive and ready."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status.health import Health


def test_alive_whatever_happens(context: Any, ask: Any) -> None:
    health = Health(context)
    for state in ("starting", "serving", "draining"):
        context.entry.enter(state)
        assert health.alive(ask())[::2] == (200, b"ok\n")


@pytest.mark.parametrize(
    ("state", "status", "body"),
    [("starting", 503, b"starting\n"), ("serving", 200, b"ready\n"), ("draining", 503, b"draining\n")],
)
def test_ready(context: Any, ask: Any, state: str, status: int, body: bytes) -> None:
    context.entry.enter(state)
    assert Health(context).ready(ask())[::2] == (status, body)


def test_one_worker_that_is_replaced_does_not_matter(context: Any, ask: Any) -> None:
    context.another()
    context.entry.enter("draining")
    assert Health(context).ready(ask())[0] == 200


def test_a_server_that_drains_is_not_ready_before_its_workers_know(context: Any, ask: Any) -> None:
    context.board.draining = True
    assert Health(context).ready(ask())[::2] == (503, b"draining\n")


def test_routes(context: Any) -> None:
    assert [route[:2] for route in Health(context).routes()] == [("GET", "/healthz"), ("GET", "/readyz")]
