"""Requests in process: every stage, every total, nothing left in the index."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from dimcore import (
    BadRequest,
    IllegalTransition,
    RequestPoint,
    RequestResponseManifold,
    RequestSubstrate,
    RouteConflict,
    Router,
    UnknownPoint,
    UsageError,
)


@pytest.fixture
def manifold() -> RequestResponseManifold:
    made = RequestResponseManifold()
    made.register_route("GET", "/api/status", lambda request: (200, {}, b"ok"))
    made.register_route("GET", "/users/{name}", lambda request: (200, {}, request.params["name"].encode()))
    made.register_route("GET", "/static/", lambda request: (200, {}, request.path.encode()), exact=False)
    made.register_route("POST", "/echo", lambda request: (200, dict(request.headers.items()), request.body))
    return made


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/api/status", (200, {}, b"ok")),
        ("GET", "/api/status?a=b", (200, {}, b"ok")),
        ("HEAD", "/api/status", (200, {}, b"ok")),
        ("GET", "/users/a%20b", (200, {}, b"a b")),
        ("GET", "/static/x/y", (200, {}, b"/static/x/y")),
    ],
)
def test_a_request_goes_all_the_way(manifold: RequestResponseManifold, method: str, path: str, answer: Any) -> None:
    assert manifold.process_request(method, path) == answer
    assert len(manifold.index) == 0


def test_headers_and_body(manifold: RequestResponseManifold) -> None:
    assert manifold.process_request("POST", "/echo", {"X-A": "b"}, b"body") == (200, {"x-a": "b"}, b"body")


def test_refusals(manifold: RequestResponseManifold) -> None:
    assert manifold.process_request("GET", "/nowhere")[0] == 404
    status, headers, _ = manifold.process_request("PUT", "/echo")
    assert (status, headers["Allow"]) == (405, "POST")
    assert manifold.process_request("BREW", "/api/status")[0] == 405
    assert manifold.process_request("OPTIONS", "/echo") == (204, {"Allow": "POST, OPTIONS"}, b"")
    assert manifold.process_request("OPTIONS", "/nowhere")[0] == 404


def test_the_stages_a_handler_and_its_keeper_see() -> None:
    manifold = RequestResponseManifold()
    seen: list[Any] = []

    def look(request: RequestPoint) -> int:
        seen.append((request.stage_name, request.spiral, len(manifold.index), manifold.index.count_at(1, 3)))
        seen.append(request)
        return 5

    manifold.register_route("POST", "/", look)
    assert manifold.process_request("POST", "/?a=b") == 5
    assert seen[0] == ("routed", 1, 1, 1)
    kept = seen[1]
    assert (kept.stage_name, kept.query_string, kept.processing_time_ms >= 0) == ("logged", "a=b", True)
    before = kept.processing_time_ms
    assert kept.processing_time_ms == before


def test_errors_of_handlers() -> None:
    manifold = RequestResponseManifold()

    def teapot(request: RequestPoint) -> None:
        raise BadRequest("short and stout", 418)

    manifold.register_route("GET", "/teapot", teapot)
    manifold.register_route("GET", "/broken", lambda request: 1 // 0)
    assert manifold.process_request("GET", "/teapot") == (
        418,
        {"Content-Type": "text/plain; charset=utf-8"},
        b"short and stout\n",
    )
    with pytest.raises(ZeroDivisionError):
        manifold.process_request("GET", "/broken")
    stats = manifold.get_stats()
    assert (stats["total_errors"], stats["in_flight"], stats["success_rate"]) == (2, 0, 0.0)


@pytest.mark.parametrize(("method", "path"), [("", "/"), ("G T", "/"), ("GET", "/" + "x" * 70_000), ("G\u20ac", "/")])
def test_what_is_no_request(manifold: RequestResponseManifold, method: str, path: str) -> None:
    with pytest.raises(UsageError):
        manifold.process_request(method, path)
    assert manifold.get_stats()["total_requests"] == 0
    assert len(manifold.index) == 0


def test_a_handler_that_takes_its_request_out(manifold: RequestResponseManifold) -> None:
    manifold.register_route("GET", "/out", lambda request: manifold.index.remove(request.id))
    manifold.register_route("GET", "/end", lambda request: manifold.requests.transition(request.id, 7))
    manifold.process_request("GET", "/out")
    manifold.process_request("GET", "/end")
    assert len(manifold.index) == 0


def test_a_request_within_a_request(manifold: RequestResponseManifold) -> None:
    manifold.register_route("GET", "/outer", lambda request: manifold.process_request("GET", "/users/inner"))
    assert manifold.process_request("GET", "/outer") == (200, {}, b"inner")
    assert manifold.get_stats()["total_requests"] == 2


def test_totals_are_exact(manifold: RequestResponseManifold) -> None:
    assert manifold.get_stats() == {
        "total_requests": 0,
        "total_processed": 0,
        "total_errors": 0,
        "in_flight": 0,
        "avg_processing_time_ms": 0.0,
        "success_rate": 100.0,
    }
    manifold.register_route("GET", "/broken", lambda request: 1 // 0)
    for _ in range(3):
        manifold.process_request("GET", "/api/status")
    with pytest.raises(ZeroDivisionError):
        manifold.process_request("GET", "/broken")
    stats = manifold.get_stats()
    assert (stats["total_requests"], stats["total_processed"], stats["total_errors"]) == (4, 3, 1)
    assert stats["success_rate"] == 75.0
    assert 0 < stats["avg_processing_time_ms"] < 100


def test_a_router_of_ones_own() -> None:
    router = Router()
    manifold = RequestResponseManifold(router)
    assert manifold.router is router
    manifold.register_route("GET", "/", lambda request: 1, blocking=True)
    assert [route.blocking for route in router.routes()] == [True]
    with pytest.raises(RouteConflict):
        manifold.register_route("GET", "/", lambda request: 2)


def test_requests_by_hand() -> None:
    requests = RequestSubstrate()
    request = requests.manifest("GET", "/a?b=c", {"A": "b"}, b"body")
    assert (request.stage_name, request.query_string, request.headers["a"], request.body) == (
        "received",
        "b=c",
        "b",
        b"body",
    )
    assert requests.index.get_by_id(request.id) is request
    with pytest.raises(IllegalTransition):
        requests.transition(request.id, 6)
    assert request.layer == 1
    for stage in (2, 3, 4, 5, 6, 7):
        assert requests.transition(request.id, stage) is request
        assert request.layer == stage
    assert len(requests.index) == 0
    with pytest.raises(UnknownPoint):
        requests.transition(request.id, 7)
    with pytest.raises(UnknownPoint):
        requests.transition("none", 2)
    assert requests.get_stats()["total_requests"] == 1


def test_nothing_is_kept(manifold: RequestResponseManifold) -> None:
    manifold.process_request("GET", "/api/status")
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        manifold.process_request("GET", "/users/x?y=z", {"A": "b"})
        manifold.process_request("GET", "/nowhere")
    gc.collect()
    assert len(gc.get_objects()) - before < 10


def test_compose_two_requests(manifold: RequestResponseManifold) -> None:
    first = manifold.requests.manifest("GET", "/users/a")
    second = manifold.requests.manifest("GET", "/users/b")
    expected = first.z_value * second.z_value
    for keeper in (manifold, manifold.requests):
        assert keeper.compose(first, second) == keeper.compose(first.id, second.id) == expected
        with pytest.raises(UnknownPoint):
            keeper.compose(first, "nobody")
        with pytest.raises(UsageError):
            keeper.compose(None, second)  # type: ignore[arg-type]
    assert manifold.compose(first, 2.0) == 2 * first.z_value
