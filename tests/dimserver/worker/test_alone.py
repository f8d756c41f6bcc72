"""A server without a supervisor, as an operator sees it."""

from __future__ import annotations

import os

import pytest

from dimcore import Board, Core, Entry
from dimcore.seed import ConnectionPoolManifold, RequestSubstrate
from dimserver.handlers.status.resource import Refused
from dimserver.worker.alone import Alone


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def alone(done: list[str]) -> Alone:
    board = Board(1)
    Entry(board, board.allot(0), Core(ConnectionPoolManifold(), RequestSubstrate())).enter("serving")
    return Alone(
        board, "1.2", lambda: ["http://127.0.0.1:1"], lambda: done.append("drain"), lambda: done.append("open")
    )


def test_rows(alone: Alone) -> None:
    alone.serves = "shop"
    (server,) = alone.servers()
    assert (server["id"], server["pid"], server["state"]) == (str(os.getpid()), os.getpid(), "serving")
    assert (server["serves"], server["urls"], server["workers"]) == ("shop", ["http://127.0.0.1:1"], 1)
    (worker,) = alone.workers()
    assert (worker["id"], worker["pid"], worker["state"]) == ("0", os.getpid(), "serving")
    assert alone.reloads() == []


def test_what_it_can_do(alone: Alone, done: list[str]) -> None:
    alone.drain()
    alone.reopen_logs()
    assert done == ["drain", "open"]


def test_what_needs_a_supervisor(alone: Alone) -> None:
    for act in (lambda: alone.reload("me"), lambda: alone.scale(2), lambda: alone.restart(0, "me")):
        with pytest.raises(Refused) as caught:
            act()
        status, content = caught.value.outcome
        assert status == 409
        assert "dimserver run" in content["error"]
