"""The server as a whole, as rows."""

from __future__ import annotations

from typing import Any

import pytest

from dimserver.handlers.status.resource import Page
from dimserver.handlers.status.servers import ReloadResource, ServerResource, WorkerResource


def test_the_one_server(context: Any) -> None:
    context.lead()
    assert ServerResource(context).share(Page(9)) == (1, [{"id": "77", "done": 0}], {})


def test_reloads_stand_in_their_order(context: Any) -> None:
    context.lead()
    total, rows, _ = ReloadResource(context).share(Page(3, "8"))
    assert (total, [row["id"] for row in rows]) == (12, ["9", "10", "11"])


def test_workers_and_whether_they_answer(context: Any) -> None:
    """A worker says that it does by answering; one that is alone says so of itself."""
    workers = WorkerResource(context)
    assert workers.share(Page(9)) == (1, [{"id": "1", "answers": True}], {})
    context.server = context.lead()
    context.is_worker = True
    assert [row["answers"] for row in workers.rows()] == [True, True]
    context.is_worker = False
    assert [row["answers"] for row in workers.rows()] == [False, False]


@pytest.mark.parametrize("first", [0, 1])
def test_a_row_of_both_parts(context: Any, first: int) -> None:
    parts = [{"id": "1", "pid": 11, "answers": False}, {"id": "1", "answers": True}]
    joined = WorkerResource(context).join(parts[first], parts[1 - first])
    assert joined == {"id": "1", "pid": 11, "answers": True}


def test_a_restart(context: Any) -> None:
    server = context.lead()
    workers = WorkerResource(context)
    assert workers.act("restart", "1", {}, "me") == (202, server.listed[1])
    assert server.done == [("restart", 1, "me")]
    for name in ("7", "", "x", "01"):
        assert workers.act("restart", name, {}, "me") == (404, {"error": "no such worker", "id": name})


def test_a_worker_cannot_do_what_is_the_supervisors(context: Any) -> None:
    with pytest.raises(LookupError):
        ServerResource(context).act("drain", "77", {}, "me")
