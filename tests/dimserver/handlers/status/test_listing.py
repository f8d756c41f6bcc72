"""Rows of one worker, and of several joined."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from dimserver.handlers.status.listing import close_connection, join, rows

REMOTE = ("203.0.113.9", 40000)


class Connection:
    def __init__(self, number: int, spiral: int, layer: int, address: tuple[str, int] | str | None) -> None:
        self.id = f"{number:x}"
        self.spiral = spiral
        self.layer = layer
        self.address = address
        self.age_seconds = 12.34567
        self.idle_seconds = 100.0 - number
        self.requests = 3
        self.bytes_in = 300
        self.bytes_out = 900
        self.request: Any = None
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Cell(list[Connection]):
    """Counts how many of its points were looked at."""

    walked = 0

    def __iter__(self) -> Iterator[Connection]:
        for point in super().__iter__():
            self.walked += 1
            yield point


class Index:
    spirals = 4

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], Cell] = {}

    def add(self, number: int, spiral: int, layer: int, address: Any = REMOTE) -> Connection:
        point = Connection(number, spiral, layer, address)
        self.cells.setdefault((spiral, layer), Cell()).append(point)
        return point

    def count_at(self, spiral: int, layer: int) -> int:
        return len(self.cells.get((spiral, layer), ()))

    def oldest(self, spiral: int, layer: int, most: int) -> list[Connection]:
        return list(islice(self.cells.get((spiral, layer), Cell()), most))

    def get_by_id(self, point_id: str, /) -> Connection | None:
        return next((point for cell in self.cells.values() for point in cell if point.id == point_id), None)


@pytest.fixture
def index() -> Index:
    index = Index()
    for number in range(5):
        index.add(number, 0, 4, ("2001:db8::1", number))
    for number in range(5, 8):
        index.add(number, 0, 3)
    index.add(8, 3, 3, None)
    return index


def test_a_row(index: Index) -> None:
    busy = index.cells[3, 3][0]
    busy.request = type("Stage", (), {"stage_name": "routed"})()
    assert rows(index, 2, [3], [3], 10) == [
        {
            "id": "2-8",
            "worker": 2,
            "client": "unix",
            "proxy": None,
            "spiral": 3,
            "pool": "admin",
            "layer": 3,
            "layer_name": "active",
            "age": 12.346,
            "idle": 92.0,
            "requests": 3,
            "bytes_in": 300,
            "bytes_out": 900,
            "stage": "routed",
        }
    ]
    found = rows(index, 0, [0], [4], 10)
    assert [row["client"] for row in found] == [f"[2001:db8::1]:{port}" for port in range(5)]
    assert [row["stage"] for row in found] == [None] * 5


@pytest.mark.parametrize(
    ("spirals", "layers", "limit", "ids"),
    [
        ([0], range(1, 8), 99, "56701234"),  # layer by layer, in a cell the oldest first
        (range(4), [3], 99, "5678"),
        (range(4), range(1, 8), 4, "5670"),
        (range(4), range(1, 8), 99, "567012348"),
        (range(4), range(1, 8), 0, ""),
        ([1], range(1, 8), 99, ""),
        ([0], [4], 2, "01"),
        ([0, 7], [4], 2, "01"),  # a pool that another worker has
    ],
)
def test_which(index: Index, spirals: Any, layers: Any, limit: int, ids: str) -> None:
    assert "".join(row["id"].removeprefix("0-") for row in rows(index, 0, spirals, layers, limit)) == ids


def test_a_limit_bounds_the_walk_too() -> None:
    index = Index()
    for number in range(1000):
        index.add(number, 0, 4)
        index.add(number, 1, 4)
    assert len(rows(index, 0, range(4), [4], 100)) == 100
    assert index.cells[0, 4].walked <= 101
    assert index.cells[1, 4].walked == 0


def test_workers_are_joined_in_the_order_of_one() -> None:
    one, other = Index(), Index()
    for number in (1, 3, 5):
        one.add(number, 0, 4)
        other.add(number + 1, 0, 4)
    one.add(9, 1, 3)
    other.add(9, 0, 3)
    lists = [rows(one, 0, range(4), range(1, 8), 99), rows(other, 1, range(4), range(1, 8), 99)]
    assert [row["id"] for row in join(lists, 99)] == ["1-9", "0-1", "1-2", "0-3", "1-4", "0-5", "1-6", "0-9"]
    assert [row["id"] for row in join(lists, 3)] == ["1-9", "0-1", "1-2"]
    assert join([], 3) == []


def test_closing(index: Index) -> None:
    assert close_connection(index, "5")
    assert index.cells[0, 3][0].closed
    assert not close_connection(index, "ff")
    assert sum(point.closed for cell in index.cells.values() for point in cell) == 1


def test_a_point_of_the_apps_own_has_no_traffic_and_cannot_be_closed(context: Any) -> None:
    context.pools.manifest_connection(None, "/run/peer.sock", "api", "mine")
    (row,) = rows(context.pools.index, 0, range(4), range(1, 8), 9)
    assert (row["id"], row["client"], row["pool"], row["requests"]) == ("0-mine", "unix:/run/peer.sock", "api", 0)
    assert not close_connection(context.pools.index, "mine")
