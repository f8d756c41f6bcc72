"""Rows of one worker, and of several joined, in slices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from dimcore import ConnectionPoint, Index
from dimserver.handlers.status.connection_rows import AT_ONCE, close_connection, join, rows, spread


class Closable(ConnectionPoint):
    closed = False

    def close(self) -> None:
        self.closed = True


class Loop:
    def __init__(self) -> None:
        self.rounds: list[list[Callable[[], object]]] = [[]]

    def call_soon(self, call: Callable[[], object]) -> None:
        self.rounds[-1].append(call)

    def call_later(self, delay: float, call: Callable[[], object]) -> None:
        raise NotImplementedError

    call_from_thread = call_soon

    def turn(self) -> bool:
        now = self.rounds[-1]
        self.rounds.append([])
        for call in now:
            call()
        return bool(now)


def ids(lists: Any, limit: int) -> list[str]:
    return [json.loads(text)["id"] for text in chain.from_iterable(join(lists, limit))]


def test_workers_are_joined_in_the_order_of_one() -> None:
    one, other = Index(), Index()
    for number in (1, 3, 5):
        one.add(ConnectionPoint(f"{number}."), 0, 4)
        other.add(ConnectionPoint(f"{number + 1}."), 0, 4)
    one.add(ConnectionPoint("9."), 1, 3)
    other.add(ConnectionPoint("9."), 0, 3)
    lists = [list(rows(one, 0, range(4), range(1, 8), 99)), list(rows(other, 1, range(4), range(1, 8), 99))]
    assert ids(lists, 99) == ["1-9.", "0-1.", "1-2.", "0-3.", "1-4.", "0-5.", "1-6.", "0-9."]
    assert ids(lists, 3) == ["1-9.", "0-1.", "1-2."]
    assert ids([], 3) == ids([[]], 3) == ids([[[]], []], 3) == []


def test_joining_is_done_in_slices() -> None:
    lists = [[[(4, number, b"%d" % number)] for number in range(start, 500, 3)] for start in range(3)]
    parts = list(join(lists, 250))
    assert [len(part) for part in parts] == [AT_ONCE, AT_ONCE, 250 - 2 * AT_ONCE]
    assert list(chain.from_iterable(parts)) == [b"%d" % number for number in range(250)]


def test_one_slice_a_round() -> None:
    loop = Loop()
    made: list[int] = []
    found: list[Any] = []

    def slices() -> Iterator[int]:
        for number in range(3):
            made.append(len(loop.rounds))
            yield number

    spread(loop, slices(), lambda *what: found.append(what))
    assert made == []
    while loop.turn():
        pass
    assert made == [2, 3, 4]
    assert found == [([0, 1, 2], None)]


def test_a_slice_that_fails() -> None:
    loop = Loop()
    found: list[Any] = []

    def slices() -> Iterator[float]:
        yield 1
        yield 1 / 0

    spread(loop, slices(), lambda *what: found.append(what))
    while loop.turn():
        pass
    ((made, error),) = found
    assert made == [1]
    assert isinstance(error, ZeroDivisionError)


def test_closing() -> None:
    index = Index()
    points = [Closable(f"c{number}") for number in range(3)]
    for point in points:
        index.add(point, 0, 3)
    row = close_connection(index, 3, "c1")
    assert row is not None
    assert (row["id"], row["worker"], row["layer_name"]) == ("3-c1", 3, "active")
    assert [point.closed for point in points] == [False, True, False]
    assert close_connection(index, 3, "ff") is None


def test_a_point_of_the_apps_own_has_no_traffic_and_cannot_be_closed(context: Any) -> None:
    context.pools.manifest_connection(None, "/run/peer.sock", "api", "mine")
    ((((_, _, text),)),) = rows(context.pools.index, 0, range(4), range(1, 8), 9)
    row = json.loads(text)
    assert (row["id"], row["client"], row["pool"], row["requests"]) == ("0-mine", "unix:/run/peer.sock", "api", 0)
    assert close_connection(context.pools.index, 0, "mine") is None
