"""Lists: who is asked, what is allowed, and who is missing."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status.collection import MAX_LISTED, Collection
from dimserver.handlers.status.servers import ReloadResource, WorkerResource
from dimserver.handlers.status.topics import TopicResource
from dimserver.net.worker_rpc import SUPERVISOR


@pytest.fixture
def reloads(context: Any) -> Collection:
    return Collection(context, ReloadResource(context))


def test_a_worker_asks_the_supervisor(reloads: Collection, context: Any, ask: Any, read: Any, later: Any) -> None:
    context.another()
    context.peers.answers = {SUPERVISOR: (1, [{"id": "1", "state": "done"}], {})}
    found = read(later(reloads, ask("limit=7&after=0")))
    assert context.peers.asked == [([SUPERVISOR], ("rows", "reloads", 7, "0", ""))]
    assert found == {"reloads": [{"id": "1", "state": "done"}], "total": 1, "missing": []}
    context.peers.answers, context.peers.missing = {}, {SUPERVISOR: "it is gone"}
    found = read(later(reloads, ask()))
    assert found == {"reloads": [], "total": 0, "missing": [{"worker": "supervisor", "reason": "it is gone"}]}
    assert read(reloads(ask()))["reloads"] == []


def test_the_supervisor_asks_nobody(context: Any, ask: Any, read: Any, later: Any) -> None:
    context.lead()
    reloads = Collection(context, ReloadResource(context))
    found = read(later(reloads, ask("limit=3&after=9")))
    assert [row["id"] for row in found["reloads"]] == ["10", "11", "12"]
    assert found["total"] == 12
    assert context.peers.asked[-1][0] == []


def test_it_asks_every_worker_where_they_have_a_part(context: Any, ask: Any, read: Any, later: Any) -> None:
    context.another()
    context.lead()
    context.peers.answers = {1: (1, [{"id": "1", "answers": True}], {})}
    context.peers.missing = {2: "no answer within 0.2 s"}
    found = read(later(Collection(context, WorkerResource(context)), ask()))
    assert context.peers.asked[-1][0] == [1, 2]
    assert [(row["id"], row["answers"]) for row in found["workers"]] == [("0", False), ("1", True)]
    assert (found["total"], found["missing"]) == (2, [{"worker": 2, "reason": "no answer within 0.2 s"}])


BAD = ["limit=-1", f"limit={MAX_LISTED + 1}", "limit=x", "limit=1&limit=2", "limits=1", "after=a&after=b",
       "after=" + "x" * 1001, "order=name", "order=subscribers&after=a"]  # fmt: skip


@pytest.mark.parametrize("query", BAD)
def test_a_bad_query(context: Any, query: str, ask: Any, read: Any, later: Any) -> None:
    topics = Collection(context, TopicResource(context))
    for found in (read(later(topics, ask(query)), 400), read(topics(ask(query)), 400)):
        assert found["error"] == "bad parameter"
        assert found.keys() == {"error", "parameter", "value", "allowed"}
    assert context.peers.asked == []


@pytest.mark.parametrize("query", ["after=a", "after=-1", "order=id"])
def test_numbered_rows_have_numbers(reloads: Collection, query: str, ask: Any, read: Any, later: Any) -> None:
    assert read(later(reloads, ask(query)), 400)["parameter"] in ("after", "order")


def test_strangers_may_not(reloads: Collection, context: Any, ask: Any, read: Any, stranger: Any, later: Any) -> None:
    read(later(reloads, ask("", stranger)), 403)
    assert context.peers.asked == []


def test_routes(reloads: Collection) -> None:
    assert list(reloads.routes()) == [("GET", "/api/reloads", reloads)]
