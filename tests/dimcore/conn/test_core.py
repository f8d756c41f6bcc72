"""What the connections of a worker share: limits, room, hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dimcore import (
    ConnectionPoolManifold,
    Core,
    InvalidCoordinate,
    RequestSubstrate,
    ResponseError,
    Router,
    Site,
    UsageError,
)

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
Serve = Callable[..., Any]


@pytest.fixture
def core() -> Core:
    return Core(ConnectionPoolManifold(), RequestSubstrate())


@pytest.mark.parametrize(
    "limits",
    [
        {"max_connections": 0},
        {"max_connections": -1},
        {"max_connections": 1 << 40},
        {"admin_reserve": -1},
        {"max_body": -1},
        {"max_body": 1 << 63},
        {"request_line": 15},
        {"request_line": 65536},
        {"head": 63},
        {"head": 65536},
        {"field": 15},
        {"fields": 0},
        {"fields": 101},
        {"body_rate": -1},
        {"send_rate": -1},
        {"seconds": {"idle": -1}},
        {"seconds": {"idle": float("nan")}},
        {"seconds": {"idle": float("inf")}},
        {"seconds": {"idle": 1e10}},
        {"seconds": {"lunch": 1}},
        {"seconds": {"head": 1, "x": 1}},
    ],
    ids=repr,
)
def test_bad_limits_change_nothing(serve: Serve, limits: dict[str, Any]) -> None:
    rig = serve(max_body=5, seconds={"idle": 100})
    with pytest.raises(UsageError):
        rig.core.configure(**({"max_body": 100} | limits))
    client = rig.connect()
    assert client.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n").status == 413


def test_limits_of_the_head(serve: Serve) -> None:
    rig = serve(request_line=32, head=200, field=60, fields=3)
    for data, status in (
        (b"GET /" + b"x" * 40 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 60 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 3 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"A: " + b"x" * 50 + b"\r\n") * 4 + b"\r\n", 431),
        (GET, 200),
    ):
        assert rig.connect().ask(data).status == status


def test_the_server_name() -> None:
    for name in ("x" * 31, "a\nb"):
        with pytest.raises((ResponseError, UnicodeEncodeError)):
            Core(ConnectionPoolManifold(), RequestSubstrate(), name)


def test_arguments(core: Core) -> None:
    with pytest.raises(TypeError):
        Core(None, RequestSubstrate())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Site(core, None)  # type: ignore[arg-type]
    for spiral in (-1, 4, 7, 8, 64):
        with pytest.raises(InvalidCoordinate, match="spiral must be 0 to 3"):
            Site(core, Router(), None, spiral)
    site = Site(core, Router())
    assert (site.core, site.fallback, site.spiral, site.splits_api) == (core, None, 0, True)


def test_without_threads_a_blocking_route_is_a_500(serve: Serve) -> None:
    rig = serve({"GET !/": lambda request: "x"}, options={"offload": None})
    assert rig.connect().ask(GET).status == 500
    assert isinstance(rig.reports[0][2], UsageError)


def test_the_default_report_goes_to_stderr(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    rig = serve(lambda request: 1 // 0, options={"report": None})
    assert rig.connect().ask(GET).status == 500
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_report_that_fails_disturbs_nobody(serve: Serve) -> None:
    def broken(*what: Any) -> None:
        raise OSError("stderr is closed")

    rig = serve(lambda request: 1 // 0, options={"report": broken})
    client = rig.connect()
    assert [client.ask(GET).status for _ in range(2)] == [500, 500]


def test_fallback_routes(serve: Serve) -> None:
    rig = serve({"GET /": lambda request: "main", "GET /both": lambda request: "main"})
    other = Router()
    for path in ("/both", "/other"):
        other.add("GET", path, lambda request: "fallback")
    listener = rig.listen(Site(rig.core, rig.router, other))
    client = rig.connect(listener)
    for path, body in (("/", b"main"), ("/both", b"main"), ("/other", b"fallback")):
        assert client.ask(GET.replace(b" / ", f" {path} ".encode())).body == body
    answer = client.ask(b"POST /other HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, answer["allow"]) == (405, "GET, HEAD")


def test_stats_are_exact(serve: Serve) -> None:
    rig = serve({"GET /": lambda request: "x", "GET /broken": lambda request: 1 // 0})
    one, two = rig.connect(), rig.connect()
    one.send(GET * 5)
    for _ in range(5):
        one.answer()
    one.ask(GET.replace(b" / ", b" /broken "))
    one.ask(GET.replace(b" / ", b" /nowhere "))
    two.ask(b"\0")
    two.rest()
    two.sock.close()
    rig.turn(0.05)
    stats = rig.core.requests.get_stats()
    assert {name: stats[name] for name in ("total_requests", "total_processed", "total_errors", "in_flight")} == {
        "total_requests": 8,
        "total_processed": 6,
        "total_errors": 2,
        "in_flight": 0,
    }
    assert stats["success_rate"] == 75.0
    pool = rig.core.pools.get_stats()["spiral_0"]
    assert (pool["total_created"], pool["total_closed"], pool["total_connections"]) == (2, 1, 1)
    assert (pool["idle_connections"], pool["total_requests"], pool["bytes_in"]) == (1, 0, 1)


def test_a_huge_head_does_not_stay(serve: Serve) -> None:
    import tracemalloc

    sizes = [20 << 20, 1]
    rig = serve(lambda request: (200, {"A": "x" * sizes.pop(0)}, b""))
    client = rig.connect()
    tracemalloc.start()
    try:
        assert len(client.ask(GET)["a"]) == 20 << 20
        assert client.ask(GET)["a"] == "x"
        client.left = b""
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
