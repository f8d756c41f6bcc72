"""Closing a connection of any worker, and draining the server."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status import actions
from dimserver.handlers.status.access import Access
from dimserver.handlers.status.actions import Close, Drain


@pytest.fixture
def close(context: Any, monkeypatch: pytest.MonkeyPatch) -> Close:
    """This worker, number 1, has one connection: `a`."""
    monkeypatch.setattr(actions, "close_connection", lambda index, name: index is context.pools.index and name == "a")
    return Close(context)


def of(ask: Any, peer: Any, name: str, **fields: Any) -> Any:
    return ask("", peer, {"id": name}, **fields)


def test_one_of_this_worker(close: Close, context: Any, ask: Any, admin: Any, read: Any, later: Any) -> None:
    assert read(later(close, of(ask, admin, "1-a"))) == {"closed": "1-a"}
    assert read(later(close, of(ask, admin, "1-b")), 404) == {"error": "no such connection", "id": "1-b"}
    assert context.peers.asked == []
    assert read(close(of(ask, admin, "1-a"))) == {"closed": "1-a"}


@pytest.mark.parametrize("state", ["serving", "draining"])
def test_one_of_another(close: Close, context: Any, ask: Any, admin: Any, read: Any, later: Any, state: str) -> None:
    number = context.another(1, state).record
    context.peers.answers = {number: True}
    assert read(later(close, of(ask, admin, f"{number}-1000001"))) == {"closed": f"{number}-1000001"}
    assert context.peers.asked == [([number], ("close", "1000001"))]
    context.peers.answers = {number: False}
    assert read(later(close, of(ask, admin, f"{number}-a-b")), 404)["id"] == f"{number}-a-b"
    assert context.peers.asked[-1] == ([number], ("close", "a-b"))
    context.peers.answers, context.peers.missing = {}, {number: "no answer within 0.2 s"}
    found = read(later(close, of(ask, admin, f"{number}-a")), 503)
    assert (found["worker"], found["detail"]) == (number, "no answer within 0.2 s")


@pytest.mark.parametrize("number", [0, 3, 77, 10**30])
def test_a_worker_that_has_no_connections(
    close: Close, context: Any, ask: Any, admin: Any, read: Any, later: Any, number: int
) -> None:
    assert read(later(close, of(ask, admin, f"{number}-a")), 404)["error"] == "no such connection"
    assert context.peers.asked == []


@pytest.mark.parametrize("name", ["", "a", "-a", "1-", "x-a", "١-a", "1_0-a", "+1-a", "1-" + "a" * 200])
def test_what_is_no_id(close: Close, ask: Any, admin: Any, read: Any, later: Any, name: str) -> None:
    found = read(later(close, of(ask, admin, name)), 400)
    assert found["error"] == "bad id"
    assert "GET /api/connections" in found["allowed"]


def test_on_the_admin_listener_only(close: Close, context: Any, ask: Any, peer: Any, read: Any, later: Any) -> None:
    drain = Drain(context)
    for connection in (peer(), peer(None), peer(("203.0.113.9", 1))):
        for name in ("1-a", "nonsense"):
            assert read(later(close, of(ask, connection, name)), 403)["error"] == "forbidden"
        assert drain.drain(ask(peer=connection))[0] == 403
    assert context.drained == 0


def test_a_token_is_asked_for_where_one_is_set(close: Close, context: Any, ask: Any, admin: Any, later: Any) -> None:
    context.access = Access("s3cret")
    assert later(close, of(ask, admin, "1-a"))[0] == 403
    assert later(close, of(ask, admin, "1-a", authorization="Bearer s3cret"))[0] == 200
    drain = Drain(context)
    assert drain.drain(ask(peer=admin))[0] == 403
    assert drain.drain(ask(peer=admin, authorization="Bearer s3cret"))[0] == 202


def test_drain(context: Any, ask: Any, admin: Any, read: Any) -> None:
    drain = Drain(context)
    assert [route[:2] for route in drain.routes()] == [("POST", "/api/drain")]
    assert read(drain.drain(ask(peer=admin)), 202) == {"status": "draining"}
    assert context.drained == 1


def test_a_web_page_may_not(close: Close, context: Any, ask: Any, admin: Any, later: Any) -> None:
    assert later(close, of(ask, admin, "1-a", origin="https://evil.example"))[0] == 403
    assert Drain(context).drain(ask(peer=admin, origin="null"))[0] == 403
    assert context.drained == 0


def test_routes(close: Close) -> None:
    assert list(close.routes()) == [("POST", "/api/connections/{id}/close", close)]
