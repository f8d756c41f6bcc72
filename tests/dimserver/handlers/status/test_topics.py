"""The topics that have subscribers, of all workers."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status import StatusAPI
from dimserver.handlers.status.collection import Collection
from dimserver.handlers.status.topics import TopicResource


@pytest.fixture
def topics(context: Any) -> Collection:
    context.topics.subscribers = {"b": 1, "é": 7, "a": 3}
    return Collection(context, TopicResource(context))


def listed(found: Any) -> list[tuple[str, int]]:
    return [(row["id"], row["subscribers"]) for row in found["topics"]]


def test_sums_and_topics_in_the_order_of_their_names(
    topics: Collection, context: Any, ask: Any, read: Any, later: Any
) -> None:
    context.another()
    rows = [{"id": "b", "subscribers": 4}, {"id": "c", "subscribers": 2}]
    context.peers.answers = {2: (2, rows, {"subscriptions": 6, "published": 1})}
    context.peers.missing = {3: "no answer"}
    found = read(later(topics, ask()))
    assert context.peers.asked == [([2], ("rows", "topics", 100, None, ""))]
    assert found == {
        "subscriptions": 17,
        "published": 6,
        "topics": [
            {"id": "a", "subscribers": 3},
            {"id": "b", "subscribers": 5},
            {"id": "c", "subscribers": 2},
            {"id": "é", "subscribers": 7},
        ],
        "total": 4,
        "missing": [{"worker": 3, "reason": "no answer"}],
        "workers": [
            {"worker": 1, "subscriptions": 11, "published": 5},
            {"worker": 2, "subscriptions": 6, "published": 1},
        ],
    }


def test_pages(topics: Collection, ask: Any, read: Any, later: Any) -> None:
    found = read(later(topics, ask("limit=2")))
    assert (listed(found), found["total"], found["subscriptions"]) == ([("a", 3), ("b", 1)], 3, 11)
    assert listed(read(later(topics, ask("limit=2&after=b")))) == [("é", 7)]
    assert listed(read(topics(ask("limit=0")))) == []
    assert listed(read(topics(ask("after=zzz")))) == [("é", 7)]


def test_the_largest_first(topics: Collection, ask: Any, read: Any, later: Any) -> None:
    assert listed(read(later(topics, ask("order=subscribers&limit=2")))) == [("é", 7), ("a", 3)]
    assert listed(read(later(topics, ask("order=id&limit=2")))) == [("a", 3), ("b", 1)]


def test_how_many_there_are_at_least(topics: Collection, context: Any, ask: Any, read: Any, later: Any) -> None:
    """Two workers with more topics than are listed: nobody knows how many they share."""
    context.another()
    context.peers.answers = {2: (50, [{"id": "a", "subscribers": 1}], {})}
    found = read(later(topics, ask("limit=1")))
    assert (listed(found), found["total"], found["exact"]) == ([("a", 4)], 50, False)


def test_a_supervisor_has_none(context: Any) -> None:
    context.lead()
    assert StatusAPI(context).question("rows", "topics", 9, None, "") == (0, [], {})


def test_another_worker_asks(topics: Collection, context: Any) -> None:
    assert StatusAPI(context).question("rows", "topics", 1, "a", "") == (
        3,
        [{"id": "b", "subscribers": 1}],
        {"subscriptions": 11, "published": 5},
    )
