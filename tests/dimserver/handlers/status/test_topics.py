"""Counters of all workers, and the largest topics."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status import StatusAPI
from dimserver.handlers.status.topics import MAX_LISTED, Topics


@pytest.fixture
def topics(context: Any) -> Topics:
    context.topics.subscribers = {"a": 3, "b": 1, "é": 7}
    return Topics(context)


def test_sums_and_the_largest(topics: Topics, context: Any, ask: Any, read: Any, later: Any) -> None:
    context.another()
    context.peers.answers = {2: ({"topics": 2, "subscriptions": 6, "published": 1}, {"b": 4, "c": 2})}
    context.peers.missing = {3: "no answer"}
    found = read(later(topics, ask()))
    assert context.peers.asked == [([2], ("topics", 100))]
    assert found == {
        "subscriptions": 17,
        "published": 6,
        "limit": 100,
        "topics": [
            {"topic": "é", "subscribers": 7},
            {"topic": "b", "subscribers": 5},
            {"topic": "a", "subscribers": 3},
            {"topic": "c", "subscribers": 2},
        ],
        "workers": [
            {"worker": 1, "topics": 3, "subscriptions": 11, "published": 5},
            {"worker": 2, "topics": 2, "subscriptions": 6, "published": 1},
        ],
        "missing": [{"worker": 3, "reason": "no answer"}],
    }


def test_a_limit(topics: Topics, context: Any, ask: Any, read: Any, later: Any) -> None:
    found = read(later(topics, ask("limit=2")))
    assert [each["topic"] for each in found["topics"]] == ["é", "a"]
    assert (found["limit"], found["subscriptions"]) == (2, 11)
    assert read(later(topics, ask("limit=0")))["topics"] == []
    assert read(topics(ask("limit=1")))["topics"] == [{"topic": "é", "subscribers": 7}]


@pytest.mark.parametrize("query", ["limit=-1", f"limit={MAX_LISTED + 1}", "limit=x", "limits=1"])
def test_a_bad_query(topics: Topics, query: str, ask: Any, read: Any, later: Any) -> None:
    read(later(topics, ask(query)), 400)
    read(topics(ask(query)), 400)


def test_strangers_may_not(topics: Topics, context: Any, ask: Any, read: Any, stranger: Any, later: Any) -> None:
    read(later(topics, ask("", stranger)), 403)
    assert context.peers.asked == []


def test_another_worker_asks(topics: Topics, context: Any) -> None:
    assert [route[:2] for route in topics.routes()] == [("GET", "/api/topics")]
    assert StatusAPI(context).question("topics", 1) == (
        {"topics": 3, "subscriptions": 11, "published": 5},
        {"é": 7},
    )
